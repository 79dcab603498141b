//! The page in a real browser: people add circuits, prove, verify, swap, roll back and sign in, and servers die.
//!
//! Without Chromium and its driver the tests are skipped, unless SNAPBACK_REQUIRE_BROWSER is set. With SNAPBACK_WRITE_DOCS,
//! the pictures in docs/ are made anew.

mod harness;

#[path = "browser/driver.rs"]
mod driver;

use driver::{Browser, Screen};
use harness::{
    Server,
    circuits::{own_state, own_state_with, serve, squares::squares, verifies_natively},
    fixture,
    jobs::{ended, fixtures},
    keyed::{Keyed, ask},
    run_ok, snapback, until,
};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// Names of the wires 1 to 3, as circom writes them.
const SYM: &[u8] = b"1,1,0,main.out\n2,3,0,main.x\n3,2,0,main.k\n";
/// Largest picture in docs/, in bytes.
const PICTURE_BYTES_MAX: usize = 200_000;

/// Opens the page, and waits until it shows what the server does.
fn open(browser: &Browser, url: &str) {
    browser.open(url);
    browser.until("document.documentElement.dataset.readyMs");
    browser.until("document.querySelector('#state').textContent === 'ready'");
}

fn add_x5chain(browser: &Browser) {
    let (r1cs, wasm) = (fixture("x5chain/x5chain.r1cs"), fixture("x5chain/x5chain.wasm"));
    browser.click("#tabs a", Some("Circuits"));
    let files: [(&str, &[u8]); 3] = [("x5chain.r1cs", &r1cs), ("x5chain.wasm", &wasm), ("x5chain.sym", SYM)];
    browser.drop_files("#view-circuits .drop", &files);
    browser.click("#view-circuits button", Some("Add the circuit"));
    browser.until("[...document.querySelectorAll('#view-circuits strong')].some((name) => name.textContent === 'x5chain')");
}

fn active(server: &Server) -> Value {
    server.get("/v1/generations").json()["active"].clone()
}

#[test]
fn a_circuit_is_added_proven_verified_replaced_and_rolled_back() {
    let Some(browser) = Browser::start(Screen::Desk) else { return };
    let state = own_state();
    // Without a bake that would follow the replacement and publish another generation.
    let server = serve(state.path(), &["--circuits-compact-at", "100%"]);
    open(&browser, &server.url("/"));
    add_x5chain(&browser);
    assert_eq!(active(&server), 2);

    // The form has the circuit's inputs; the proof is that of the server, and is downloaded whole.
    browser.click("#view-circuits a", Some("Prove"));
    browser.until("document.querySelector('#prove-circuit').value === 'plonk x5chain'");
    browser.fill("input[name=x]", "7");
    browser.click("#view-prove button", Some("Prove"));
    browser.until_text("#view-prove .verdict", "The input k is empty.");
    browser.fill("input[name=k]", "5");
    browser.click("#view-prove button", Some("Prove"));
    browser.until_text("#view-prove .verdict", "Proven in");
    browser.click("#prove-download", None);
    let proof = browser.downloaded("x5chain-proof.json");
    let proven: Value = serde_json::from_slice(&proof).expect("JSON");
    assert_eq!(proven["signals"]["k"], "5");
    browser.click("#view-prove button", Some("Verify it"));
    browser.until_text("#view-prove .verdict", "The server verified the proof.");
    let stored = browser.run("return JSON.stringify([{ ...localStorage }, { ...sessionStorage }]);", &[]);
    assert_eq!(stored, r#"[{"snapback.theme":"auto"},{}]"#, "inputs are kept nowhere");

    // A witness of circom's own tools, as a job.
    browser.drop_files("#view-prove .drop", &[("witness.wtns", &fixture("x5chain/witness.wtns"))]);
    browser.click("#prove-job", None);
    browser.click("#view-prove button", Some("Prove"));
    browser.until_text("#view-prove .verdict", "Proven in");
    browser.click("#prove-download", None);
    verifies_natively(&fixture("x5chain/x5chain.r1cs"), &browser.downloaded("x5chain.proof"));
    browser.click("#tabs a", Some("Jobs"));
    browser.until_text("#view-jobs tbody", "prove x5chain");

    browser.click("#tabs a", Some("Verify"));
    browser.until("document.querySelector('#verify-circuit').value === 'plonk x5chain'");
    browser.drop_files("#view-verify .drop", &[("proof.json", &proof)]);
    browser.until_text("#view-verify .verdict", "Valid: proof.json is a proof of x5chain.");
    let mut forged = proven;
    forged["public"][1] = "6".into();
    browser.drop_files("#view-verify .drop", &[("forged.json", forged.to_string().as_bytes())]);
    browser.until_text("#view-verify .verdict", "Not valid: forged.json is no proof of x5chain.");
    browser.drop_files("#view-verify .drop", &[("nonsense.json", b"{}")]);
    browser.until_text("#view-verify .verdict", "malformed_input");

    // Files on the row of a circuit replace it. Names in them may be anything.
    browser.click("#tabs a", Some("Circuits"));
    let (squares, _) = squares(5, 3);
    let hostile = b"1,1,0,main.out\n2,2,0,main.<img src=x onerror=\"document.title='owned'\">\n";
    browser.drop_files("#view-circuits tbody tr", &[("squares.r1cs", &squares), ("squares.sym", hostile)]);
    browser.click("#view-circuits button", Some("Replace the circuit"));
    until("the circuit is replaced", || active(&server) == 3);
    browser.click("#tabs a", Some("Prove"));
    browser.until_text("#view-prove .fields label", "<img src=x");
    assert_eq!(
        browser.run("return document.querySelector('main img') === null && document.title;", &[]),
        "Snapback"
    );

    browser.click("#tabs a", Some("Circuits"));
    let older = "[...document.querySelectorAll('[aria-label=Generations] tr')].find((row) => row.dataset.key === 'plonk 2')";
    browser.until(&format!("{older}?.querySelector('button')?.checkVisibility()"));
    browser.run(&format!("{older}.querySelector('button').click();"), &[]);
    browser.click("#confirm-yes", None);
    browser.until(&format!("{older}?.dataset.active === 'true'"));
    assert_eq!(active(&server), 2);
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}

#[test]
fn operators_swap_and_change_settings_and_a_wrong_key_is_refused() {
    let Some(browser) = Browser::start(Screen::Desk) else { return };
    let keyed = Keyed::new(own_state_with("fixtures"));
    let [operator, prover] = ["operator", "prover"].map(|role| keyed.key("acme", role));
    let server = keyed.serve("fixtures", &["--swap-policy", "threshold", "--lanes", "2"]);
    let swaps = || {
        let metrics = ask(&server, &operator, "GET", "/metrics", b"");
        metrics.metric(r#"snapback_swaps_total{image="fixtures",reason="operator"}"#)
    };
    let sign_in = |key: &str| {
        browser.fill("#key", key);
        browser.click("#sign-in button", Some("Sign in"));
    };
    browser.open(&server.url("/"));
    browser.until("document.querySelector('#sign-in').open");
    sign_in("a wrong key");
    browser.until_text("#sign-in-error", "The server does not accept this key.");
    assert_eq!(browser.run("return sessionStorage.length;", &[]), 0, "a key that is refused is not kept");
    sign_in(&operator);
    browser.until("!document.querySelector('#sign-in').open");
    browser.until_text("#who", "operator");

    let before = swaps();
    browser.click(".lane button", Some("Swap"));
    browser.until_text(".lanes", "operator");
    browser.until_text(".feed", "swapped (operator)");
    until("the lane has swapped", || swaps() > before);

    browser.click("#tabs a", Some("Settings"));
    browser.fill("[id='setting-fixtures-swap.policy']", "never");
    browser.press("\u{e007}");
    browser.until_text("#notices", "bad_settings");
    browser.fill("[id='setting-fixtures-swap.policy']", "every-call");
    browser.press("\u{e007}");
    browser.until_text("#view-settings", "swap.policy: threshold → every-call");
    browser.until_text("#view-settings", "key ");
    let policies = ask(&server, &operator, "GET", "/v1/admin/policy", b"").json();
    assert_eq!(policies["fixtures"]["swap.policy"], "every-call");

    browser.click("#sign-out", None);
    browser.until("document.querySelector('#sign-in').open");
    assert_eq!(browser.run("return sessionStorage.length;", &[]), 0);
    sign_in(&prover);
    browser.until_text("#who", "prover");
    browser.until("document.querySelector('#view-settings td span')?.checkVisibility()");
    browser.click("#tabs a", Some("Now"));
    browser.until("document.querySelector('.lane')");
    let buttons = browser.run("return [...document.querySelectorAll('#view-now button')].filter((b) => b.checkVisibility()).length;", &[]);
    assert_eq!(buttons, 0, "a role sees what it may do");
}

#[test]
fn a_server_that_dies_is_missed_and_found_again() {
    let Some(browser) = Browser::start(Screen::Desk) else { return };
    let state = own_state_with("fixtures");
    let server = fixtures(state.path(), &[]);
    let address = server.address.to_string();
    open(&browser, &server.url("/"));
    server.signal(rustix::process::Signal::KILL);
    browser.until_text("#lost", "No connection to the server since");
    browser.until_text("#state", "unreachable");
    browser.click("#tabs a", Some("Jobs"));
    browser.until_text("#view-jobs", "the server does not answer");
    drop(server);
    let server = fixtures(state.path(), &["--listen", &address]);
    browser.until("document.querySelector('#lost').hidden");
    browser.until_text("#state", "ready");

    // A drain ends the stream of the page, or the server would wait for it.
    server.stop();
    browser.until("!document.querySelector('#lost').hidden");
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}

#[test]
fn a_thousand_jobs_are_listed_filtered_and_cancelled() {
    let Some(browser) = Browser::start(Screen::Desk) else { return };
    let state = own_state_with("fixtures");
    let server = fixtures(state.path(), &[]);
    let mut jobs = vec![json!({ "method": "echo", "body": "YQ==", "delay": "10h" }); 990];
    jobs.extend(vec![json!({ "method": "trap", "body": "" }); 3]);
    jobs.extend(vec![json!({ "method": "echo", "body": "YQ==" }); 7]);
    let accepted = server.post_json("/v1/jobs", json!({ "jobs": jobs }).to_string().as_bytes());
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let listed = |state: &str| {
        let list = server.get(&format!("/v1/jobs?limit=1000&state={state}")).json();
        list["jobs"].as_array().expect("jobs").len()
    };
    for job in accepted.json()["jobs"].as_array().expect("jobs").iter().skip(990) {
        ended(&server, job);
    }
    assert_eq!((listed("succeeded"), listed("failed"), listed("queued")), (7, 3, 990));

    open(&browser, &server.url("/ui"));
    browser.click("#tabs a", Some("Jobs"));
    let rows = "document.querySelectorAll('#view-jobs tbody tr').length";
    browser.until(&format!("{rows} === 100"));
    browser.click("#view-jobs button", Some("Older jobs"));
    browser.until(&format!("{rows} === 600"));
    browser.click("#view-jobs button", Some("Older jobs"));
    browser.until(&format!("{rows} === 1000"));
    let choose = |state: &str| {
        let script = "const list = document.querySelector('#job-state'); list.value = arguments[0];
            list.dispatchEvent(new Event('change'));";
        browser.run(script, &[state.into()]);
    };
    choose("failed");
    browser.until(&format!("{rows} === 3"));
    browser.until_text("#view-jobs tbody", "guest_trapped");
    choose("queued");
    browser.until(&format!("{rows} === 100"));
    browser.click("#view-jobs td button", Some("Cancel"));
    browser.until_text("#notices", "The job is cancelled.");
    assert_eq!((listed("cancelled"), listed("queued")), (1, 989));
    choose("expired");
    browser.until_text("#view-jobs .empty", "No jobs match.");
    choose("succeeded");
    browser.until(&format!("{rows} === 7"));
    browser.click("#view-jobs td button", Some("Result"));
    let newest = server.get("/v1/jobs?limit=1&state=succeeded").json();
    let id = newest["jobs"][0]["id"].as_str().expect("an id");
    assert_eq!(browser.downloaded(&format!("echo-{}.bin", &id[..8])), b"a");
}

fn writes_docs() -> bool {
    std::env::var_os("SNAPBACK_WRITE_DOCS").is_some()
}

/// Writes a picture, if the documents are to be written.
fn keep(picture: &[u8], name: &str) {
    assert!(picture.len() < PICTURE_BYTES_MAX, "{name}: {} bytes", picture.len());
    if writes_docs() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        fs::write(docs.join(name), picture).expect("written");
    }
}

/// A server of two images with some calls behind it.
fn busy(state: &Path) -> Server {
    run_ok(snapback().args(["bake", "fixtures", "--state-dir"]).arg(state));
    let settings = state.join("page.toml");
    let text =
        "cold_start.target = '1h'\n[image.fixtures]\nswap.policy = 'threshold'\nmemory.limit = '64MiB'\n";
    fs::write(&settings, text).expect("written");
    let mut command = snapback();
    command.args(["serve", "plonk", "fixtures", "--lanes", "2", "--state-dir"]).arg(state);
    Server::of(command.arg("--config").arg(settings))
}

#[test]
fn the_page_reads_well_on_a_desk_and_on_a_phone() {
    let Some(desk) = Browser::start(Screen::Desk) else { return };
    let state = own_state();
    let server = busy(state.path());
    open(&desk, &server.url("/"));
    println!("ready after {} ms", number(&desk, "document.documentElement.dataset.readyMs"));
    add_x5chain(&desk);
    desk.click("#tabs a", Some("Now"));
    // Buckets are of ten seconds: a picture with lines takes minutes, a test needs none.
    let wanted = if writes_docs() { 20 } else { 1 };
    let buckets = || server.get("/v1/history").json()["calls"].as_array().expect("a list").len();
    let mut round = 0_usize;
    until("the history has lines", || {
        for call in 0..20 + 10 * (buckets() % 5) {
            let bytes = 50_000 * (1 + (round * 7 + call) % 11);
            assert_eq!(server.post("/v1/methods/leak", bytes.to_string().as_bytes()).status, 200);
        }
        server.post("/v1/methods/fail", b"refused");
        server.post("/v1/circuits/x5chain/prove", &fixture("x5chain/witness.wtns"));
        round += 1;
        buckets() >= wanted
    });
    desk.until("document.querySelector('.chart path.s0').getAttribute('d')");
    desk.until("document.querySelector('.feed li')");
    let dark = || desk.run("document.documentElement.dataset.theme = arguments[0];", &["dark".into()]);
    keep(&desk.screenshot(), "page-light.png");
    dark();
    keep(&desk.screenshot(), "page-dark.png");

    // Everything is reached with the keyboard: the first stop skips the head, the next ones are the sections.
    desk.run("document.activeElement.blur();", &[]);
    desk.open(&server.url("/"));
    desk.until("document.documentElement.dataset.readyMs");
    desk.press("\u{e004}");
    desk.until("document.activeElement.className === 'skip'");
    desk.press("\u{e004}\u{e004}\u{e004}");
    desk.until("document.activeElement.hash === '#circuits'");
    desk.press("\u{e007}");
    desk.until("!document.querySelector('#view-circuits').hidden");
    let nameless = "[...document.querySelectorAll('input, select, textarea')].filter((field) => !field.labels.length).length";
    assert_eq!(number(&desk, nameless), 0, "every field has a label");

    let Some(phone) = Browser::start(Screen::Phone) else { return };
    open(&phone, &server.url("/"));
    phone.until("document.querySelector('.lane')");
    for section in ["now", "jobs", "circuits", "prove", "verify", "settings"] {
        phone.run("location.hash = arguments[0];", &[section.into()]);
        phone.until(&format!("!document.querySelector('#view-{section}').hidden"));
        let width = number(&phone, "document.documentElement.scrollWidth");
        assert_eq!((section, width), (section, 380), "nothing is wider than the screen");
    }
    phone.run("location.hash = 'now';", &[]);
    phone.until("document.querySelector('.chart path.s0').getAttribute('d')");
    keep(&phone.screenshot(), "page-phone.png");
    for browser in [&desk, &phone] {
        assert_eq!(browser.complaints(), [] as [&str; 0]);
    }
}

fn number(browser: &Browser, expression: &str) -> usize {
    let value = browser.run(&format!("return Number({expression});"), &[]);
    value
        .as_u64()
        .and_then(|value| usize::try_from(value).ok())
        .unwrap_or_else(|| panic!("{expression}: {value}"))
}
