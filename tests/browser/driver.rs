//! A browser for tests: Chromium, driven through WebDriver's JSON over HTTP.
//!
//! Invariant: a step waits until the page shows what it needs, and for no fixed time.

use crate::harness::{Answer, until};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};
use tempfile::TempDir;

/// The key of a reference to an element, by the standard.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// The element of this selector that is shown and can be used, with this text if one is given.
const FIND: &str = "const [selector, text] = arguments;
    return [...document.querySelectorAll(selector)].find((element) => !element.disabled
        && element.checkVisibility() && (text === null || element.textContent.trim() === text)) ?? null;";
/// Drops files on an element, as a person does with the pointer.
const DROP: &str = "const [element, files] = arguments;
    const transfer = new DataTransfer();
    for (const [name, text] of files) {
        transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
    }
    for (const type of ['dragover', 'drop']) {
        element.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }";

/// How large the window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    Desk,
    Phone,
}

/// A browser with one page.
pub(crate) struct Browser {
    driver: Child,
    /// Held, so that the driver can write to it.
    _output: BufReader<ChildStdout>,
    session: String,
    downloads: TempDir,
}

fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().flat_map(|name| places.iter().map(move |place| place.join(name))).find(|file| file.is_file())
}

impl Browser {
    /// Starts a browser; returns `None` if there is none on this machine.
    pub(crate) fn start(screen: Screen) -> Option<Self> {
        let found = program(&["chromedriver"]).zip(program(&["chromium", "google-chrome"]));
        let Some((driver, chromium)) = found else {
            assert!(
                std::env::var_os("SNAPBACK_REQUIRE_BROWSER").is_none(),
                "chromium and chromedriver are required and missing: run tests/browser.sh"
            );
            eprintln!("skipped: chromium is missing (`make test` says how to install it)");
            return None;
        };
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut output = BufReader::new(driver.stdout.take().expect("piped"));
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert!(output.read_line(&mut line).expect("text") > 0, "chromedriver did not start");
            if let Some((_, port)) = line.trim_end().split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        let downloads = tempfile::tempdir().expect("a directory");
        let session = format!("http://127.0.0.1:{port}/session");
        let options = options(screen, &chromium, downloads.path());
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let created = request("POST", &session, &capabilities).expect("a session");
        let session = format!("{session}/{}", created["sessionId"].as_str().expect("an id"));
        Some(Self { driver, _output: output, session, downloads })
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        request(method, &format!("{}{path}", self.session), body)
    }

    pub(crate) fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url })).expect("a page");
    }

    /// Runs a script in the page.
    pub(crate) fn run(&self, script: &str, arguments: &[Value]) -> Value {
        let body = json!({ "script": script, "args": arguments });
        self.call("POST", "/execute/sync", &body).unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until an expression is true in the page.
    pub(crate) fn until(&self, expression: &str) {
        let script = format!("return Boolean({expression});");
        until(expression, || self.run(&script, &[]) == true);
    }

    /// Waits until the text of an element contains this.
    pub(crate) fn until_text(&self, selector: &str, text: &str) {
        let script = "return document.querySelector(arguments[0])?.textContent ?? '';";
        until(&format!("{selector} has {text:?}"), || {
            self.run(script, &[selector.into()]).as_str().is_some_and(|found| found.contains(text))
        });
    }

    fn element(&self, selector: &str, text: Option<&str>) -> Value {
        let mut found = Value::Null;
        until(&format!("{selector} {text:?} is shown"), || {
            found = self.run(FIND, &[selector.into(), text.into()]);
            !found.is_null()
        });
        found
    }

    /// Clicks the element of this selector with this text, once it is there.
    pub(crate) fn click(&self, selector: &str, text: Option<&str>) {
        // The page may replace or move an element between finding and clicking it.
        until(&format!("{selector} {text:?} is clicked"), || {
            let element = self.element(selector, text);
            let path = format!("/element/{}/click", element[ELEMENT].as_str().expect("an id"));
            self.call("POST", &path, &json!({})).is_ok()
        });
    }

    /// Types into a field in place of what is there.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector, None);
        let id = element[ELEMENT].as_str().expect("an id");
        self.call("POST", &format!("/element/{id}/clear"), &json!({})).expect("a field");
        self.call("POST", &format!("/element/{id}/value"), &json!({ "text": text })).expect("a field");
    }

    /// Presses one key after the other, wherever the focus is.
    pub(crate) fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
            })
            .collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.call("POST", "/actions", &body).expect("a keyboard");
    }

    /// Drops files on an element.
    pub(crate) fn drop_files(&self, selector: &str, files: &[(&str, &[u8])]) {
        let files: Vec<Value> =
            files.iter().map(|(name, bytes)| json!([name, STANDARD.encode(bytes)])).collect();
        let element = self.element(selector, None);
        self.run(DROP, &[element, files.into()]);
    }

    /// Waits for a download of this name, and returns the file.
    pub(crate) fn downloaded(&self, name: &str) -> Vec<u8> {
        let path = self.downloads.path().join(name);
        // The browser first reserves the name with an empty file, and then moves the whole file there.
        let mut bytes = Vec::new();
        until(&format!("{name} is downloaded"), || {
            bytes = std::fs::read(&path).unwrap_or_default();
            !bytes.is_empty()
        });
        bytes
    }

    pub(crate) fn screenshot(&self) -> Vec<u8> {
        let picture = self.call("GET", "/screenshot", &Value::Null).expect("a picture");
        STANDARD.decode(picture.as_str().expect("text")).expect("Base64")
    }

    /// What the browser complained about so far: errors of scripts, and whatever the content security policy refused.
    /// Answers of the server that are no success are left out.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.call("POST", "/se/log", &json!({ "type": "browser" })).expect("a log");
        let messages =
            log.as_array().expect("a list").iter().map(|entry| entry["message"].as_str().expect("text"));
        messages.filter(|message| !message.contains("Failed to load resource")).map(str::to_owned).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; what is left of it ends with the driver.
        let _ = self.call("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Options of Chromium. It runs without its sandbox, which a container or root cannot have: it opens pages of the test alone.
fn options(screen: Screen, chromium: &Path, downloads: &Path) -> Value {
    let args = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--hide-scrollbars",
        "--window-size=1280,900",
    ];
    let mut options = json!({
        "binary": chromium, "args": args, "prefs": { "download.default_directory": downloads },
    });
    if screen == Screen::Phone {
        let metrics = json!({ "width": 380, "height": 820, "pixelRatio": 2.0, "touch": true });
        options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
    }
    options
}

fn request(method: &str, url: &str, body: &Value) -> Result<Value, String> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request =
        ureq::http::Request::builder().method(method).uri(url).header("content-type", "application/json");
    let answer = Answer::run(request.body(body).expect("a request"));
    let value = answer.json()["value"].clone();
    if answer.status == 200 { Ok(value) } else { Err(format!("{}: {}", value["error"], value["message"])) }
}
