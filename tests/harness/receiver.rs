//! Receivers of webhooks that do what a test tells them.
//!
//! A request is read by a thread and handed to the test with its connection, so that the test decides what happens next,
//! and when.

use sha2::{Digest, Sha256};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

/// A receiver on a port of its own.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    requests: mpsc::Receiver<Received>,
}

/// A request that waits for its answer.
pub(crate) struct Received {
    /// The first line.
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) stream: TcpStream,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (sender, requests) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, sender) = (stream.expect("a connection"), sender.clone());
                thread::spawn(move || {
                    // A connection that ends early was never a request, and a test that has ended wants none.
                    let _ = Received::read(stream).map(|received| sender.send(received));
                });
            }
        });
        Self { address, requests }
    }

    /// A URL of the receiver.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits for a request.
    pub(crate) fn next(&self) -> Received {
        self.requests.recv().expect("the receiver listens")
    }

    /// Returns a request if there was one that the test has not seen.
    pub(crate) fn next_if_any(&self) -> Option<Received> {
        self.requests.try_recv().ok()
    }
}

impl Received {
    fn read(stream: TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream.try_clone().expect("a connection"));
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            Some(line.trim_end().to_owned())
        };
        let first = line().filter(|line| !line.is_empty())?;
        let mut headers = Vec::new();
        while let Some((name, value)) = line()?.split_once(": ") {
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut received = Self { line: first, headers, body: Vec::new(), stream };
        received.body = vec![0; received.header("content-length").parse().ok()?];
        reader.read_exact(&mut received.body).ok()?;
        Some(received)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Answers, and closes the connection.
    pub(crate) fn answer(mut self, status: &str, headers: &str) {
        let answer = format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\n\r\n");
        // The server may have left.
        let _ = self.stream.write_all(answer.as_bytes());
    }

    /// Writes what repeats until the server closes the connection.
    pub(crate) fn answer_without_end(mut self, begin: &str, repeated: &str) {
        let _ = self.stream.write_all(begin.as_bytes());
        while self.stream.write_all(repeated.as_bytes()).is_ok() {}
    }

    /// Whether the signature is that of the secret, by the rules of Standard Webhooks.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        use base64::{Engine, prelude::BASE64_STANDARD};
        let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").expect("the prefix"));
        let head = format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp"));
        let mac = hmac(&key.expect("Base64"), &[head.as_bytes(), &self.body].concat());
        self.header("webhook-signature") == format!("v1,{}", BASE64_STANDARD.encode(mac))
    }
}

/// HMAC as RFC 2104 writes it, independent of the library that the server uses.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let block = |pad: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ pad).collect() };
    let inner = Sha256::digest([&block(0x36)[..], message].concat());
    Sha256::digest([&block(0x5c)[..], &inner[..]].concat()).to_vec()
}
