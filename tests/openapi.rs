//! The document of the HTTP API: it has the routes of the router, its examples and the server's answers follow its schemas,
//! and a client that is generated from it proves.

mod harness;
#[path = "openapi/routes.rs"]
mod routes;
#[path = "openapi/schema.rs"]
mod schema;

use harness::{
    Answer,
    circuits::{done, own_state, own_state_with, put, serve, squares::squares, verifies_natively},
    jobs::{ended, fixtures, path, submit},
};
use schema::Document;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

fn document() -> Document {
    Document(serde_json::from_str(snapback_host::http::openapi()).expect("JSON"))
}

/// Every operation: its method, its path, and what the document says of it.
fn operations(document: &Document) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = document.0["paths"].as_object().expect("paths").iter();
    paths.flat_map(|(path, item)| {
        let item = item.as_object().expect("a path").iter();
        item.map(move |(method, operation)| (method, path, operation))
    })
}

#[test]
fn the_document_has_every_route_and_nothing_else() {
    let document = document();
    assert_eq!(document.0["openapi"], "3.1.0");
    let described: BTreeSet<_> =
        operations(&document).map(|(method, path, _)| (method.clone(), path.clone())).collect();
    let routes = routes::of_sources();
    assert!(routes.len() > 30, "only {routes:?} are seen");
    let missing: Vec<_> = routes.difference(&described).collect();
    assert!(missing.is_empty(), "add {missing:?} to host/src/http/openapi: its mod.rs says how");
    let extra: Vec<_> = described.difference(&routes).collect();
    assert!(extra.is_empty(), "no router has {extra:?}: remove them from host/src/http/openapi");
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = operation["operationId"].as_str().expect("a name");
        assert!(names.insert(name), "{method} {path} has the name of another operation: {name}");
        let tag = &operation["tags"][0];
        assert!(
            document.0["tags"].as_array().expect("tags").iter().any(|known| known["name"] == *tag),
            "{path}: {tag}"
        );
        let declared = operation["parameters"].as_array().into_iter().flatten();
        let declared: BTreeSet<_> = declared
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|one| one["name"].as_str())
            .collect();
        let segments = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        assert_eq!(declared, segments.collect(), "{method} {path}");
    }
}

#[test]
fn roles_are_those_of_the_routes() {
    let document = document();
    let role = |method: &str, path: &str| document.0["paths"][path][method]["x-role"].clone();
    for (method, path, wanted) in [
        ("get", "/healthz", Value::Null),
        ("get", "/docs", Value::Null),
        ("post", "/v1/circuits/{circuit}/prove", json!("prover")),
        ("put", "/v1/circuits/{circuit}", json!("registrar")),
        ("post", "/v1/admin/drain", json!("operator")),
        ("get", "/metrics", json!("operator")),
    ] {
        assert_eq!(role(method, path), wanted, "{method} {path}");
    }
    for (method, path, operation) in operations(&document) {
        let ways = operation["security"].as_array().expect("a list").len();
        assert_eq!(ways == 0, operation["x-role"].is_null(), "{method} {path}");
    }
}

#[test]
fn every_example_follows_its_schema() {
    let document = document();
    let mut count = 0;
    for content in Document::contents(&document.0["paths"]) {
        let one = content.get("example").into_iter();
        let several =
            content["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
        for example in one.chain(several) {
            document.check(&content["schema"], example).unwrap_or_else(|error| panic!("{error}"));
            count += 1;
        }
    }
    assert!(count > 100, "only {count} examples were found");
    for (method, path, operation) in operations(&document) {
        for content in Document::contents(operation) {
            let is_bytes =
                content["schema"]["format"] == "binary" || content["schema"]["properties"].is_object();
            let has_example = content.get("example").is_some() || content.get("examples").is_some();
            assert!(is_bytes || has_example, "{method} {path} has a body without an example");
        }
    }
}

/// Checks an answer against what the document says of a route.
fn follows(document: &Document, method: &str, route: &str, answer: &Answer) {
    let replies = &document.0["paths"][route][method]["responses"];
    let reply = &replies[answer.status.to_string()];
    assert!(reply.is_object(), "{method} {route} does not document {}: {}", answer.status, answer.text());
    let media_type = answer.header("content-type").unwrap_or_default().split(';').next().expect("one part");
    if media_type != "application/json" {
        return;
    }
    let json = answer.json();
    let content = &reply["content"][media_type];
    document.check(&content["schema"], &json).unwrap_or_else(|error| panic!("{method} {route}: {error}"));
    if answer.status >= 400 {
        let code = json["code"].as_str().expect("a code");
        assert!(content["examples"][code].is_object(), "{method} {route} does not document `{code}`");
    }
}

#[test]
fn answers_follow_the_document() {
    let document = document();
    let dir = own_state();
    let server = serve(dir.path(), &[]);
    let (r1cs, witness) = squares(5, 3);
    let added = put(&server, "/v1/circuits/squares", &[("r1cs", &r1cs)]);
    follows(&document, "put", "/v1/circuits/{circuit}", &added);
    done(&server, &added);
    let accepted = server.post("/v1/circuits/squares/prove?async=true", &witness);
    follows(&document, "post", "/v1/circuits/{circuit}/prove", &accepted);
    let job = ended(&server, &accepted.json());
    let again = put(&server, "/v1/circuits/squares", &[("r1cs", &r1cs)]);
    assert_eq!(again.status, 200);
    follows(&document, "put", "/v1/circuits/{circuit}", &again);
    for (route, path) in [
        ("/healthz", "/healthz"),
        ("/readyz", "/readyz"),
        ("/v1/status", "/v1/status"),
        ("/v1/whoami", "/v1/whoami"),
        ("/v1/circuits", "/v1/circuits"),
        ("/v1/methods", "/v1/methods"),
        ("/v1/changes", "/v1/changes"),
        ("/v1/changes", "/v1/changes?circuit=squares"),
        ("/v1/changes/{id}", "/v1/changes/1"),
        ("/v1/changes/{id}", "/v1/changes/77"),
        ("/v1/changes/{id}", "/v1/changes/one"),
        ("/v1/generations", "/v1/generations"),
        ("/v1/generations", "/v1/generations?image=none"),
        ("/v1/jobs", "/v1/jobs"),
        ("/v1/jobs", "/v1/jobs?state=lost"),
        ("/v1/jobs", "/v1/jobs?limit=0"),
        ("/v1/jobs/{id}", path(&job).as_str()),
        ("/v1/jobs/{id}", "/v1/jobs/none"),
        ("/v1/jobs/{id}/result", &format!("{}/result", path(&job))),
        ("/v1/admin/status", "/v1/admin/status"),
    ] {
        follows(&document, "get", route, &server.get(path));
    }
    for (route, path, body) in [
        ("/v1/circuits/{circuit}/prove", "/v1/circuits/squares/prove", b"no witness".as_slice()),
        ("/v1/circuits/{circuit}/prove", "/v1/circuits/nobody/prove", b""),
        ("/v1/circuits/{circuit}/prove", "/v1/circuits/squares/prove", b"{}"),
        ("/v1/circuits/{circuit}/verify", "/v1/circuits/squares/verify?priority=1", b""),
        ("/v1/circuits/{circuit}/witness", "/v1/circuits/squares/witness", b"{}"),
        ("/v1/methods/{method}", "/v1/methods/nothing", b""),
        ("/v1/jobs", "/v1/jobs", b"{}"),
        ("/v1/generations/{id}/activate", "/v1/generations/1/activate", b""),
        ("/v1/generations/{id}/activate", "/v1/generations/99/activate", b""),
    ] {
        follows(&document, "post", route, &server.post(path, body));
    }
    follows(&document, "delete", "/v1/circuits/{circuit}", &server.delete("/v1/circuits/nobody"));
}

#[test]
fn answers_about_jobs_follow_the_document() {
    let document = document();
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &[]);
    let failed = ended(&server, &submit(&server, "trap", b""));
    follows(&document, "get", "/v1/jobs/{id}", &server.get(&path(&failed)));
    follows(&document, "get", "/v1/jobs/{id}/result", &server.get(&format!("{}/result", path(&failed))));
    let batch =
        server.post_json("/v1/jobs", br#"{"jobs":[{"method":"echo","body":"aGVsbG8=","priority":9}]}"#);
    assert_eq!(batch.status, 202, "{}", batch.text());
    follows(&document, "post", "/v1/jobs", &batch);
    follows(&document, "delete", "/v1/jobs/{id}", &server.delete(&path(&batch.json()["jobs"][0])));
}

#[test]
fn the_server_serves_the_document_and_a_page_that_runs_nothing_else() {
    // Of its own, because refusals are recorded in it.
    let dir = own_state_with("fixtures");
    let server = fixtures(dir.path(), &["--auth-required", "on"]);
    let served = server.get("/v1/openapi.json");
    let tag = served.header("etag").expect("a tag").to_owned();
    assert_eq!(served.text(), snapback_host::http::openapi());
    let known = ureq::http::Request::get(server.url("/v1/openapi.json")).header("if-none-match", &tag);
    assert_eq!(Answer::run(known.body(String::new()).expect("a request")).status, 304);
    for (path, media_type) in
        [("/docs", "text/html"), ("/docs/page.js", "text/javascript"), ("/docs/page.css", "text/css")]
    {
        let answer = server.get(path);
        assert_eq!(answer.status, 200, "no key is needed for {path}");
        assert!(answer.header("content-type").is_some_and(|known| known.starts_with(media_type)), "{path}");
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        let text = answer.text();
        for forbidden in
            ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "://", "style="]
        {
            assert!(!text.contains(forbidden), "{path} has {forbidden}");
        }
    }
    server.get("/v1/status").error(401, "unauthorised");
}

/// The directory into which `tests/openapi.sh` installs.
fn tools() -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/openapi-0.9.0-0.29.1/bin");
    let is_there = tools.join("openapi-python-client").exists();
    assert!(
        is_there || env::var_os("SNAPBACK_REQUIRE_OPENAPI").is_none(),
        "openapi-python-client is missing: tests/openapi.sh installs it"
    );
    is_there.then_some(tools)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/openapi").join(name)
}

#[test]
fn a_generated_client_proves_and_polls() {
    let Some(tools) = tools() else {
        return eprintln!("skipped: tests/openapi.sh installs what generates clients");
    };
    let work = tempfile::tempdir().expect("a directory");
    let file = work.path().join("openapi.json");
    fs::write(&file, snapback_host::http::openapi()).expect("written");
    let run = |command: &mut Command| {
        let output = command.current_dir(work.path()).output().expect("it runs");
        let log = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
        assert!(output.status.success(), "{command:?}: {log}");
        (output.stdout, log)
    };
    let (_, examples) = run(Command::new(tools.join("python")).arg(script("validate.py")).arg(&file));
    assert!(examples.trim().parse::<usize>().is_ok_and(|count| count > 100), "{examples}");
    let client = work.path().join("client");
    // A warning is an operation that clients could not call.
    let (_, log) = run(Command::new(tools.join("openapi-python-client"))
        .args(["generate", "--meta", "none", "--fail-on-warning", "--path"])
        .arg(&file)
        .arg("--output-path")
        .arg(client.join("snapback_client"))
        // It formats with ruff, which is beside it.
        .env("PATH", format!("{}:{}", tools.display(), env::var("PATH").unwrap_or_default())));
    assert!(!log.to_lowercase().contains("warning"), "{log}");

    let dir = own_state();
    let server = serve(dir.path(), &[]);
    let (r1cs, witness) = squares(5, 3);
    done(&server, &put(&server, "/v1/circuits/squares", &[("r1cs", &r1cs)]));
    let file = work.path().join("squares.wtns");
    fs::write(&file, witness).expect("written");
    let (proof, _) = run(Command::new(tools.join("python"))
        .arg(script("prove.py"))
        .args([server.url(""), "squares".into()])
        .arg(&file)
        .env("PYTHONPATH", &client));
    verifies_natively(&r1cs, &proof);
}
