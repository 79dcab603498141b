//! Parts that the tests share: a state directory with baked images, a server as a process, a client.
//!
//! Each test file compiles its own copy and uses a part of it.
#![expect(dead_code, reason = "each test file uses a part")]

pub(crate) mod circuits;
pub(crate) mod guests;
pub(crate) mod inside;
pub(crate) mod jobs;
pub(crate) mod keyed;
pub(crate) mod metrics;
pub(crate) mod operated;
pub(crate) mod pages;
pub(crate) mod pty;
pub(crate) mod receiver;
pub(crate) mod rig;
pub(crate) mod threshold;
pub(crate) mod zcash;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, OnceLock, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Returns a command for the binary under test, with the environment of a fresh machine.
pub(crate) fn snapback() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snapback"));
    // The key of native code belongs to the user, so tests have one of their own.
    command.env("XDG_DATA_HOME", env!("CARGO_TARGET_TMPDIR"));
    for (name, _) in std::env::vars() {
        if name.starts_with("SNAPBACK_") {
            command.env_remove(name);
        }
    }
    command
}

/// Gives a command deadlines that no machine misses, however loaded it is. Flags go before them.
pub(crate) fn patient(command: &mut Command) -> &mut Command {
    for deadline in ["CALL_DEADLINE", "DRAIN_DEADLINE", "CIRCUITS_CALCULATOR_DEADLINE"] {
        command.env(format!("SNAPBACK_{deadline}"), "2h");
    }
    command
}

/// Reads a file of `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the state directory that all tests share, with this guest baked. The directory outlives a run.
pub(crate) fn state_with(guest: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("state");
    fs::create_dir_all(&dir).expect("a place for the state");
    // Cargo runs test binaries one after another, but a person may run two at once.
    let lock = File::create(dir.join("lock")).expect("a lock file");
    lock.lock().expect("the lock");
    static BAKED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut baked = BAKED.lock().expect("no test panics in here");
    if !baked.iter().any(|name| name == guest) {
        let output =
            snapback().args(["inspect", guest]).arg("--state-dir").arg(&dir).output().expect("it runs");
        if !output.status.success() {
            run_ok(snapback().args(["bake", guest]).arg("--state-dir").arg(&dir));
        }
        baked.push(guest.into());
    }
    dir
}

/// Path of the key of native code that the binary uses in tests.
pub(crate) fn native_key() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("snapback/native.key")
}

/// Polls until a condition holds.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        // Far longer than a machine under any load needs, so that only a defect ends here.
        assert!(begun.elapsed() < Duration::from_mins(20), "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// A body with which `leak` computes for a few seconds of processor time. Whatever the load of the machine, the steps
/// that a test takes meanwhile need a small part of that.
pub(crate) const SECONDS_OF_WORK: &[u8] = b"1000000 30000";

/// Runs a command that has to succeed, and returns its standard output.
pub(crate) fn run_ok(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Runs a command that has to fail with that code, and returns its standard error.
pub(crate) fn run_err(command: &mut Command, code: i32) -> String {
    let Output { status, stderr, .. } = command.output().expect("it runs");
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(code), "{command:?}: {stderr}");
    stderr
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server of an embedded guest with further arguments.
    pub(crate) fn start(guest: &str, args: &[&str]) -> Self {
        Self::of(snapback().arg("serve").arg(guest).arg("--state-dir").arg(state_with(guest)).args(args))
    }

    /// Starts a server from a prepared command on a free port, and returns once it serves.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::try_of(command).unwrap_or_else(|(_, log)| panic!("the server did not start: {log}"))
    }

    /// Starts a server like [`Self::of`], or returns its exit status and its log if it ends instead.
    pub(crate) fn try_of(command: &mut Command) -> Result<Self, (ExitStatus, String)> {
        if !command.get_args().any(|arg| arg == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child =
            patient(command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
        let stderr = child.stderr.take().expect("piped");
        let (serving, address) = mpsc::channel();
        let log = Arc::new(Mutex::new(String::new()));
        let reader = {
            let log = Arc::clone(&log);
            std::thread::spawn(move || collect(stderr, &serving, &log))
        };
        match address.recv() {
            Ok(address) => Ok(Self { child, address, log, reader: Some(reader) }),
            Err(_) => {
                reader.join().expect("it reads to the end");
                let status = child.wait().expect("it ends");
                Err((status, log.lock().expect("whole").clone()))
            }
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Answer {
        Answer::to(ureq_agent().post(self.url(path)).send(body).expect("an answer"))
    }

    pub(crate) fn put(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let request = ureq_agent().put(self.url(path)).header("content-type", content_type);
        Answer::to(request.send(body).expect("an answer"))
    }

    pub(crate) fn post_json(&self, path: &str, body: &[u8]) -> Answer {
        self.post_as(path, "application/json", body)
    }

    pub(crate) fn post_as(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let request = ureq_agent().post(self.url(path)).header("content-type", content_type);
        Answer::to(request.send(body).expect("an answer"))
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        Answer::to(ureq_agent().delete(self.url(path)).call().expect("an answer"))
    }

    /// Returns the value of a metric; zero before its first sample.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.get("/metrics").metric(name)
    }

    /// Returns the origin of the native code of the only image.
    pub(crate) fn native_origin(&self) -> String {
        let metrics = self.get("/metrics").text();
        let line =
            metrics.lines().find(|line| line.starts_with("snapback_native_code_total{")).expect("counted");
        line.split('"').nth(1).expect("a label").to_owned()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        Answer::to(ureq_agent().get(self.url(path)).call().expect("an answer"))
    }

    /// Opens a connection, for requests that no well-behaved client sends.
    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("the server listens")
    }

    /// Sends raw bytes, and returns everything that the server sends before it closes the connection.
    pub(crate) fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("the server reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the server closes");
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it is alive");
    }

    /// Waits until the server has ended, and returns its exit status and its log.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("it ends");
        self.reader.take().expect("joined once").join().expect("it reads to the end");
        (status, self.log_so_far())
    }

    /// Returns the log so far.
    pub(crate) fn log_so_far(&self) -> String {
        self.log.lock().expect("whole").clone()
    }

    /// Stops the server, and returns its log.
    pub(crate) fn stop(self) -> String {
        self.terminate();
        let (status, log) = self.wait();
        assert!(status.success(), "{status}: {log}");
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail in tests that have stopped the server already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(stderr: ChildStderr, serving: &mpsc::Sender<SocketAddr>, log: &Mutex<String>) {
    for line in BufReader::new(stderr).lines() {
        let line = line.expect("text");
        let mut log = log.lock().expect("whole");
        log.push_str(&line);
        log.push('\n');
        let served = line.split_once(" on http://").or_else(|| line.split_once(" on https://"));
        if let Some((_, address)) = served {
            serving.send(address.trim().parse().expect("an address")).expect("the test waits");
        }
    }
}

fn ureq_agent() -> &'static ureq::Agent {
    static AGENT: OnceLock<ureq::Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        // Each request has a connection of its own: a server that stops would close an idle one that a client begins to
        // use.
        ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0).build().into()
    })
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Answer {
    pub(crate) fn to(mut response: ureq::http::Response<ureq::Body>) -> Self {
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().expect("a whole body");
        Self::of(response.status().as_u16(), response.headers(), body)
    }

    pub(crate) fn of(status: u16, headers: &ureq::http::HeaderMap, body: Vec<u8>) -> Self {
        let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Self { status, body, headers }
    }

    /// Returns the value of a metric among those of this answer; zero before its first sample.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let metrics = self.text();
        let line =
            metrics.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    /// Sends a request with any method and any headers.
    pub(crate) fn run(request: ureq::http::Request<impl ureq::AsSendBody>) -> Self {
        Self::to(ureq_agent().run(request).expect("an answer"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts the status, the code and the shape of an error, and returns its message.
    pub(crate) fn error(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        let json = self.json();
        let mut keys: Vec<&String> = json.as_object().expect("an object").keys().collect();
        keys.sort();
        assert_eq!(keys, ["code", "message", "request_id"]);
        assert_eq!(json["code"], code);
        assert_eq!(json["request_id"].as_str(), self.header("x-request-id"));
        json["message"].as_str().expect("a message").to_owned()
    }

    /// Asserts success, and returns the body.
    pub(crate) fn ok(self) -> Vec<u8> {
        assert_eq!(self.status, 200, "{}", self.text());
        self.body
    }
}
