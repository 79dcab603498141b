//! What is left of a call in the memory of the server: of its body and its reply, nothing, once the call is over.
//!
//! The tests read the whole memory of the server's process and look for a marker that was in the body. Buffers of the
//! HTTP library are not overwritten, which docs/security.md says. The body is therefore sent in two chunks that part the
//! marker: as one piece it is only in memory that the host or a guest has written.

mod harness;

use harness::{
    Server,
    circuits::{done, own_state, put, serve},
    fixture, until,
};
use rustix::process::Signal;
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::FileExt,
};

const PAGE: u64 = 4096;
/// Size of the record of one page in `/proc/PID/pagemap`.
const RECORD: u64 = 8;
/// Bits of a record: the page is in memory, or was swapped out.
const IS_THERE: u64 = 0b11 << 62;
/// Pages that are read at once.
const PAGES_MAX: u64 = 1 << 10;

/// Returns the regions of a server's private memory in which a marker is, once for each copy.
fn copies(server: &Server, marker: &[u8]) -> Vec<String> {
    let proc = format!("/proc/{}", server.pid());
    let open = |name: &str| File::open(format!("{proc}/{name}")).expect("the test started the process");
    let (memory, pages) = (open("mem"), open("pagemap"));
    let mut found = Vec::new();
    for region in fs::read_to_string(format!("{proc}/maps")).expect("text").lines() {
        let mut fields = region.split_whitespace();
        let (range, rights) = (fields.next().expect("a range"), fields.next().expect("rights"));
        if !rights.starts_with('r') || !rights.ends_with('p') {
            continue;
        }
        let (start, end) = range.split_once('-').expect("a range");
        let page = |address: &str| u64::from_str_radix(address, 16).expect("hexadecimal") / PAGE;
        let (mut at, end) = (page(start), page(end));
        // The end of what was read before, in which a copy may begin.
        let mut tail = Vec::new();
        while at < end {
            let count = (end - at).min(PAGES_MAX);
            let mut records = vec![0; (count * RECORD) as usize];
            // A region of the kernel has no records, and one that was unmapped meanwhile has no pages.
            if pages.read_exact_at(&mut records, at * RECORD).is_err() {
                break;
            }
            // Pages that were never written are not there: reading them would make the server larger.
            for (number, record) in (at..).zip(records.as_chunks::<8>().0) {
                let mut bytes = [0; PAGE as usize];
                let is_there = u64::from_le_bytes(*record) & IS_THERE != 0;
                if !is_there || memory.read_exact_at(&mut bytes, number * PAGE).is_err() {
                    tail.clear();
                    continue;
                }
                tail.extend_from_slice(&bytes);
                let is_copy = |window: &&[u8]| window[0] == marker[0] && *window == marker;
                found.extend(tail.windows(marker.len()).filter(is_copy).map(|_| region.to_owned()));
                tail.drain(..tail.len() + 1 - marker.len());
            }
            at += count;
        }
    }
    found
}

/// Waits until no copy is left: instances are dropped after the reply, on another thread.
fn is_gone(server: &Server, what: &str, marker: &[u8]) {
    until(&format!("{what} is gone"), || {
        let left = copies(server, marker);
        // The output of a test that fails says where it was.
        left.iter().for_each(|region| eprintln!("{what} is in {region}"));
        left.is_empty()
    });
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("entropy");
    bytes
}

/// Sends a body whose chunks part the marker in its middle.
fn send(server: &Server, path: &str, body: &[u8]) -> TcpStream {
    let mut stream = server.connect();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("the server reads");
    let (first, second) = body.split_at(body.len() / 2);
    for chunk in [first, second, b""] {
        let framed = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
        stream.write_all(&framed).expect("the server reads");
    }
    stream
}

/// Reads an answer to its end, which has to be a success.
fn answered(mut stream: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server closes");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    answer
}

/// The marker in the middle of a body of this length.
fn around(marker: &[u8], len: usize) -> Vec<u8> {
    let side = vec![b'x'; (len - marker.len()) / 2];
    [&side, marker, &side].concat()
}

#[test]
fn nothing_of_a_call_is_left_once_it_was_answered() {
    // A guest that keeps its body shows that the search finds what is there.
    let warm = Server::start("fixtures", &["--swap-policy", "off", "--lanes", "1"]);
    let marker = random();
    answered(send(&warm, "/v1/methods/remember", &around(&marker, 512)));
    assert!(!copies(&warm, &marker).is_empty(), "the search finds nothing at all");
    drop(warm);

    let server = Server::start("fixtures", &["--swap-policy", "every-call", "--lanes", "1"]);
    // Bodies that fit one piece, that take several, and whose replies take a path of their own.
    for len in [512, 300 << 10, 3 << 20] {
        for method in ["echo", "remember"] {
            let marker = random();
            let answer = answered(send(&server, &format!("/v1/methods/{method}"), &around(&marker, len)));
            assert_eq!(answer.windows(32).any(|window| window == marker), method == "echo");
            is_gone(&server, &format!("a body of {len} bytes for `{method}`"), &marker);
        }
    }
}

#[test]
fn nothing_of_the_inputs_of_a_circuit_is_left_once_they_were_proven() {
    let state = own_state();
    let server = serve(state.path(), &["--swap-policy", "every-call", "--lanes", "1"]);
    let (r1cs, wasm) = (fixture("x5chain/x5chain.r1cs"), fixture("x5chain/x5chain.wasm"));
    done(&server, &put(&server, "/v1/circuits/x5chain", &[("r1cs", &r1cs), ("wasm", &wasm)]));

    // A value below the prime, as it is sent and as witnesses hold it.
    let mut value = random();
    value[31] &= 0x1f;
    let text: String = value.iter().rev().map(|byte| format!("{byte:02x}")).collect();
    let (begin, end) = (r#"{"inputs": {"k": 5, "x": "0x"#, r#""}}"#);
    // White space moves the middle of the body into the text.
    let body = format!("{begin}{text}{end}{:1$}", "", begin.len() - end.len());
    // While the proof is made, the text and the value are both in memory: the search finds them in either form. On a busy
    // machine, a proof can be over before the server is stopped, and another one is made.
    let witnesses = || server.metric(r#"snapback_witness_seconds_count{image="plonk"}"#);
    until("both are found while a proof is made", || {
        let before = witnesses();
        let stream = send(&server, "/v1/circuits/x5chain/prove", body.as_bytes());
        until("the witness is there", || witnesses() > before);
        server.signal(Signal::STOP);
        let under_way = [copies(&server, text.as_bytes()), copies(&server, &value)];
        server.signal(Signal::CONT);
        answered(stream);
        under_way.iter().all(|copies| !copies.is_empty())
    });
    is_gone(&server, "an input, as text", text.as_bytes());
    is_gone(&server, "an input, as a witness has it", &value);
}
