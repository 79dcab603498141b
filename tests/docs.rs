//! The documents agree with the sources: settings, error codes, links, length.

use snapback_host::config::{SETTINGS, Scope, Setting};
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// docs/settings.md, from the table of settings.
fn settings() -> String {
    let mut text = String::from(
        "# Settings\n\
         \n\
         This page is generated from the table in `host/src/config/settings.rs`. A test fails when it is stale;\n\
         `SNAPBACK_WRITE_DOCS=1 cargo test --release --package snapback-host --test docs` writes it again.\n\
         `snapback settings` shows the same list with the values in force, and `snapback settings --toml` prints a file to\n\
         start from.\n\
         \n\
         Flags beat variables, and variables beat the TOML file (`--config`, `SNAPBACK_CONFIG`). The key `memory.limit` is the\n\
         flag `--memory-limit`, the variable `SNAPBACK_MEMORY_LIMIT`, and `limit` in the table `[memory]`. An unknown key is an\n\
         error in a file; an unknown variable that begins with `SNAPBACK_` is reported in the log, unless it is one that\n\
         Kubernetes sets.\n\
         \n\
         Settings marked with *image* can be set for one image, as `image.NAME.KEY`, and change without a restart: SIGHUP reads\n\
         the settings again, and `PATCH /v1/admin/policy` changes them. `method.NAME.deadline` and `method.NAME.repeatable`\n\
         (whether a call may run a second time; `true` by default) concern one method, also as `image.NAME.method.NAME.deadline`.\n\
         These keys have no flags of their own: `--set image.zcash.swap.policy=off`.\n\
         \n\
         | key | default | | meaning |\n\
         |---|---|---|---|\n",
    );
    for Setting { key, default, help, scope } in SETTINGS {
        let scope = if *scope == Scope::Image { "image" } else { "" };
        text.push_str(&format!("| `{key}` | {default} | {scope} | {help} |\n"));
    }
    text
}

#[test]
fn the_page_of_settings_is_up_to_date() {
    let path = root().join("docs/settings.md");
    if env::var_os("SNAPBACK_WRITE_DOCS").is_some() {
        fs::write(&path, settings()).expect("written");
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        settings(),
        "docs/settings.md is stale: SNAPBACK_WRITE_DOCS=1 cargo test --release --package snapback-host --test docs"
    );
}

/// Status and code of every error in `http/error_status.rs`.
fn codes_of_the_source() -> BTreeSet<(u16, String)> {
    let source = read("host/src/http/error_status.rs");
    let mut codes = BTreeSet::new();
    for piece in source.split("StatusCode::").skip(1) {
        let constant = piece.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().expect("a name");
        // The code follows as the next string, unless this is no pair.
        let Some((between, rest)) = piece.split_once('"') else { continue };
        if !between[constant.len()..].chars().all(|c| c.is_whitespace() || c == ',') {
            continue;
        }
        let status = match constant {
            "BAD_REQUEST" => 400,
            "UNAUTHORIZED" => 401,
            "FORBIDDEN" => 403,
            "NOT_FOUND" => 404,
            "METHOD_NOT_ALLOWED" => 405,
            "REQUEST_TIMEOUT" => 408,
            "CONFLICT" => 409,
            "GONE" => 410,
            "MISDIRECTED_REQUEST" => 421,
            "PAYLOAD_TOO_LARGE" => 413,
            "UNPROCESSABLE_ENTITY" => 422,
            "TOO_MANY_REQUESTS" => 429,
            "INTERNAL_SERVER_ERROR" => 500,
            "BAD_GATEWAY" => 502,
            "SERVICE_UNAVAILABLE" => 503,
            "GATEWAY_TIMEOUT" => 504,
            other => panic!("add {other} to this test"),
        };
        codes.insert((status, rest.split('"').next().expect("a code").to_owned()));
    }
    codes
}

#[test]
fn the_list_of_error_codes_is_that_of_the_source() {
    let page = read("docs/http.md");
    let documented: BTreeSet<(u16, String)> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let status = cells.next()?.trim().parse().ok()?;
            Some((status, cells.next()?.trim().trim_matches('`').to_owned()))
        })
        .collect();
    let source = codes_of_the_source();
    assert!(source.len() > 40, "{source:?}");
    assert_eq!(documented, source);
}

#[test]
fn the_openapi_document_has_the_error_codes_of_the_source() {
    let document: serde_json::Value =
        serde_json::from_str(snapback_host::http::openapi()).expect("a document of JSON");
    let pair = |status: u64, code: &str| (u16::try_from(status).expect("a status"), code.to_owned());
    let table = document["x-error-codes"].as_array().expect("a table").iter();
    let table: BTreeSet<_> = table
        .map(|row| pair(row["status"].as_u64().expect("a number"), row["code"].as_str().expect("a code")))
        .collect();
    assert_eq!(table, codes_of_the_source());

    let operations = document["paths"].as_object().expect("paths").values();
    let operations = operations.flat_map(|path| path.as_object().expect("operations").values());
    let responses = operations.flat_map(|operation| operation["responses"].as_object().expect("responses"));
    let documented: BTreeSet<_> = responses
        .flat_map(|(status, response)| {
            let examples = response["content"]["application/json"]["examples"].as_object();
            examples.into_iter().flatten().map(|(code, _)| pair(status.parse().expect("a number"), code))
        })
        .collect();
    // What is no operation has no place in it.
    let missing: Vec<_> = table.difference(&documented).map(|(_, code)| code.as_str()).collect();
    assert_eq!(missing, ["wrong_method"], "add the codes to groups in host/src/http/openapi/errors.rs");
    assert!(documented.is_subset(&table), "{documented:?}");
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let docs = fs::read_dir(root().join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut links = 0;
    for page in pages.chain(["README.md", "CHANGELOG.md"].map(|page| root().join(page))) {
        let text = fs::read_to_string(&page).expect("readable");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { page.clone() } else { page.parent().expect("a directory").join(file) };
            assert!(target.exists(), "{}: {link}", page.display());
            let text = fs::read_to_string(&target).unwrap_or_default();
            let slug = |title: &str| -> String {
                let kept = title.to_lowercase();
                let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
                kept.map(|c| if c == ' ' { '-' } else { c }).collect()
            };
            let titles = text.lines().filter_map(|line| line.strip_prefix('#'));
            let is_there =
                titles.map(|title| slug(title.trim_start_matches('#').trim())).any(|title| title == anchor);
            assert!(anchor.is_empty() || is_there, "{}: {link}", page.display());
            links += 1;
        }
    }
    assert!(links > 10, "only {links} links were found");
}

#[test]
fn the_readme_is_short_and_its_licences_are_there() {
    assert!(read("README.md").lines().count() <= 180);
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(read(licence).len() > 1000, "{licence}");
    }
}
