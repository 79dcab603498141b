//! A server in a process of its own, which is called over HTTP and measured through proc(5).

use super::state_dir;
use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Start of a reply that is a success.
const SUCCESS: &str = "http/1.1 20";

/// A running server and a connection to it that stays open.
pub(crate) struct Served {
    child: Child,
    address: String,
    client: Client,
}

/// A connection that stays open.
pub(crate) struct Client(TcpStream);

/// A server of an image of a state directory, on a free port.
pub(crate) fn command(state_dir: &Path, image: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snapback"));
    command.args(["serve", image, "--listen", "127.0.0.1:0", "--state-dir"]).arg(state_dir);
    command.arg("--native-key-file").arg(state_dir.join("native.key")).args(args);
    command
}

/// Resources that a process has used so far.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    pub(crate) page_faults: u64,
}

impl Served {
    /// Starts a server of an image with further arguments, and returns once it takes calls. Native code is cached after
    /// the first start.
    pub(crate) fn start(image: &str, args: &[&str]) -> Self {
        let args = [&["--log-level", "error"][..], args].concat();
        Self::of(&mut command(&state_dir(), image, &args))
    }

    /// Starts a server from a prepared command.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the command runs");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        // The first start also prints the progress of the bake.
        let address = stderr
            .lines()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once(" on http://")?.1.to_owned()));
        let address = address.expect("the server starts");
        let client = Client::connect(&address);
        Self { child, address, client }
    }

    /// Address and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request without a body, and returns the body of the reply, which has to be a success.
    pub(crate) fn ask(&mut self, method: &str, path: &str) -> Vec<u8> {
        self.client.send(method, path, "application/octet-stream", b"")
    }

    /// Opens another connection.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.address)
    }

    /// Sends a body and returns the body of the reply, which has to be a success.
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Vec<u8> {
        self.client.send("POST", path, "application/octet-stream", body)
    }

    /// Returns the body of a reply to GET, which has to be a success.
    pub(crate) fn get(&mut self, path: &str) -> Vec<u8> {
        self.client.send("GET", path, "application/octet-stream", b"")
    }

    /// Sends a body and returns the body of the reply, or why the call was lost.
    pub(crate) fn try_post(&mut self, path: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        match self.client.exchange("POST", path, "application/octet-stream", body) {
            Ok((head, body)) if head.starts_with(SUCCESS) => Ok(body),
            Ok((_, body)) => Err(String::from_utf8_lossy(&body).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns processor time and minor page faults: proc(5), `stat`, fields 10, 14 and 15.
    pub(crate) fn used(&self) -> Used {
        let stat = self.proc("stat");
        let mut fields = stat.rsplit_once(')').expect("a name in brackets").1.split_ascii_whitespace();
        let mut field = |skip| fields.nth(skip).and_then(|field| field.parse().ok()).expect("a number");
        let page_faults = field(7);
        let ticks: u64 = field(3) + field(0);
        Used {
            cpu: Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64),
            page_faults,
        }
    }

    /// Returns the private memory in bytes.
    pub(crate) fn private_bytes(&self) -> f64 {
        super::private_of(&self.proc("smaps_rollup"))
    }

    /// Returns the resident memory in bytes: pages that were written, code, and pages of images that were read.
    pub(crate) fn resident_bytes(&self) -> f64 {
        super::of_rollup(&self.proc("smaps_rollup"), "Rss:")
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("the server is alive")
    }
}

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).expect("a socket");
        Self(stream)
    }

    /// Sends a request and returns the body of the reply, which has to be a success.
    pub(crate) fn send(&mut self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
        let (head, body) = self.exchange(method, path, content_type, body).expect("a reply");
        assert!(head.starts_with(SUCCESS), "{head}");
        body
    }

    /// Sends a request and returns the head of the reply, in lower case, and its body.
    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> io::Result<(String, Vec<u8>)> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all(&[head.as_bytes(), body].concat())?;
        let mut reply = Vec::new();
        let mut chunk = [0; 1 << 16];
        loop {
            let len = self.0.read(&mut chunk)?;
            if len == 0 {
                let sent = String::from_utf8_lossy(&reply);
                return Err(io::Error::other(format!("the server closed the connection: {sent}")));
            }
            reply.extend_from_slice(&chunk[..len]);
            let Some(end) = reply.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&reply[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).expect("a length");
            if reply.len() >= end + 4 + length {
                return Ok((head, reply.split_off(end + 4)));
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
