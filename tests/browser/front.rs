//! A server in front of a server, for tests of the page: it asks for keys, passes the requests of operators to the admin
//! listener, and keeps its address while the server behind it dies and comes back.

use crate::harness::operated::TOKEN;
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// What is behind the front.
#[derive(Clone)]
pub(crate) struct Behind {
    pub(crate) server: SocketAddr,
    /// The admin listener.
    pub(crate) admin: Option<SocketAddr>,
    /// Keys with their roles; without any, no key is asked for.
    pub(crate) keys: &'static [(&'static str, &'static str)],
}

/// The front.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    behind: Arc<Mutex<Behind>>,
}

impl Front {
    /// Starts a front, which ends with the test.
    pub(crate) fn start(behind: Behind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let behind = Arc::new(Mutex::new(behind));
        let shared = Arc::clone(&behind);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let behind = shared.lock().expect("whole").clone();
                // A browser that leaves, or a server that is gone, ends the connection.
                thread::spawn(move || drop(serve(client, &behind)));
            }
        });
        Self { address, behind }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Puts another server behind the front.
    pub(crate) fn move_to(&self, server: SocketAddr) {
        self.behind.lock().expect("whole").server = server;
    }
}

fn serve(mut client: TcpStream, behind: &Behind) -> io::Result<()> {
    let (head, rest) = read_head(&mut client)?;
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    let path = lines[0].split(' ').nth(1).unwrap_or_default();
    let name = path.split('?').next().unwrap_or_default().to_owned();
    let is_header = |line: &str, name: &str| line.to_ascii_lowercase().starts_with(name);
    let given = lines.iter().find(|line| is_header(line, "authorization:"));
    let given = given.and_then(|line| line.split_once("Bearer ")).map(|(_, key)| key.to_owned());
    lines.retain(|line| !is_header(line, "authorization:") && !is_header(line, "connection:"));
    lines.push("connection: close");
    let is_open = ["/", "/ui", "/healthz", "/readyz"].contains(&name.as_str()) || name.starts_with("/ui/");
    let role = behind.keys.iter().find(|(key, _)| given.as_deref() == Some(key)).map(|(_, role)| *role);
    let operates = name.starts_with("/v1/admin/");
    match role {
        None if !behind.keys.is_empty() && !is_open => {
            return answer(
                client,
                "401 Unauthorized",
                r#"{"code":"unauthorised","message":"the request lacks a key"}"#,
            );
        }
        Some(role) if name == "/v1/whoami" => {
            let who = format!(r#"{{"keys":"required","tenant":"local","role":"{role}","key":"1"}}"#);
            return answer(client, "200 OK", &who);
        }
        role if operates && role != Some("operator") => {
            return answer(
                client,
                "403 Forbidden",
                r#"{"code":"forbidden","message":"the role does not permit it"}"#,
            );
        }
        _ => {}
    }
    let bearer = format!("authorization: Bearer {TOKEN}");
    let address = match behind.admin.filter(|_| operates) {
        Some(admin) => {
            lines.push(&bearer);
            admin
        }
        None => behind.server,
    };
    let mut server = TcpStream::connect(address)?;
    server.write_all(lines.join("\r\n").as_bytes())?;
    server.write_all(b"\r\n\r\n")?;
    server.write_all(&rest)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}

/// Returns the head of a request, and what came after it.
fn read_head(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            bytes.truncate(end);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        match client.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

fn answer(mut client: TcpStream, status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())
}
