//! Circuits on their way to the server: they wait on disk and not in memory, and every limit holds while they arrive.

mod harness;

use harness::{
    Server,
    circuits::{BOUNDARY, done, ended, multipart, own_state, put, serve, squares::squares},
    run_err, run_ok, snapback, until,
};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

/// Bytes in memory for all clients together: fewer than one circuit of these tests has.
const BUFFERED: [&str; 2] = ["--http-buffered-bytes-max=64KiB", "--http-body-bytes-max=16KiB"];

/// Returns a circuit of more than 300 kB.
fn circuit() -> Vec<u8> {
    let (r1cs, _) = squares(2_500, 3);
    assert!(r1cs.len() > 300_000);
    r1cs
}

/// Sends a request without its last `missing` bytes, and leaves the connection open.
fn begin(server: &Server, body: &[u8], missing: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    let head = format!(
        "PUT /v1/circuits/slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the server reads");
    stream.write_all(&body[..body.len() - missing]).expect("the server reads");
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Lengths of the files that are being written.
fn arriving(state: &Path) -> Vec<u64> {
    let entries = fs::read_dir(state.join("circuits/plonk/files")).expect("a directory").flatten();
    let arriving = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".tmp-"));
    arriving.filter_map(|entry| Some(entry.metadata().ok()?.len())).collect()
}

#[test]
fn a_circuit_that_does_not_fit_the_memory_for_clients_is_served() {
    let state = own_state();
    let server = serve(state.path(), &BUFFERED);
    let file = state.path().join("squares.r1cs");
    fs::write(&file, circuit()).expect("written");
    let add = |name: &str| {
        let mut command = snapback();
        command.args(["circuits", "add", name, "--server", &server.url("")]).arg("--r1cs").arg(&file);
        run_ok(&mut command)
    };
    assert!(add("one").contains("`one` is served"));
    assert!(arriving(state.path()).is_empty());
    // A file that is not there, or is none, is named.
    for missing in ["missing.r1cs", "."] {
        let mut command = snapback();
        command.args(["circuits", "add", "two", "--server", &server.url(""), "--r1cs", missing]);
        assert!(run_err(&mut command, 1).contains(&format!("cannot read {missing}")));
    }
}

#[test]
fn circuits_that_arrive_at_once_share_a_budget_on_disk() {
    let state = own_state();
    let server = serve(
        state.path(),
        &[BUFFERED[0], BUFFERED[1], "--circuits-upload-bytes-max=500kB", "--http-body-timeout=2h"],
    );
    let (circuit, other) = (circuit(), squares(2_600, 5).0);
    let body = multipart(&[("r1cs", &circuit)]);
    let mut slow = begin(&server, &body, 1);
    // The last bytes before the boundary are held back until it has come.
    until("the file is on disk", || arriving(state.path()).iter().any(|bytes| *bytes > 290_000));

    let refused = put(&server, "/v1/circuits/other", &[("r1cs", &other)]);
    assert_eq!((refused.status, &*refused.json()["code"].to_string()), (429, "\"overloaded\""));
    assert!(refused.text().contains("circuits.upload_bytes_max"), "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("1"));
    // One that is too long by itself is told so.
    let long = put(&server, "/v1/circuits/long", &[("r1cs", &circuit), ("sym", &circuit)]);
    assert!([413, 429].contains(&long.status), "{}", long.text());

    slow.write_all(&body[body.len() - 1..]).expect("the server reads");
    assert!(answer(slow).starts_with("HTTP/1.1 202"));
    until("the circuit is served", || server.get("/v1/circuits").text().contains("\"slow\""));
    let long = put(&server, "/v1/circuits/long", &[("r1cs", &circuit), ("sym", &circuit)]);
    assert_eq!((long.status, &*long.json()["code"].to_string()), (413, "\"upload_too_large\""));
    done(&server, &put(&server, "/v1/circuits/other", &[("r1cs", &other)]));
    assert!(arriving(state.path()).is_empty());
}

#[test]
fn a_client_that_goes_or_stalls_leaves_nothing_behind() {
    let state = own_state();
    let server = serve(state.path(), &["--http-body-timeout=10s", "--circuits-upload-rate-min=1GiB"]);
    let body = multipart(&[("r1cs", &circuit())]);

    let stalled = begin(&server, &body, 1000);
    let answer = answer(stalled);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"upload_timeout\""), "{answer}");
    assert!(answer.contains("circuits.upload_rate_min"), "{answer}");
    until("its file is gone", || arriving(state.path()).is_empty());

    let leaves = begin(&server, &body, 1000);
    until("its file is there", || !arriving(state.path()).is_empty());
    drop(leaves);
    until("its file is gone", || arriving(state.path()).is_empty());
    assert_eq!(fs::read_dir(state.path().join("circuits/plonk/files")).expect("a directory").count(), 0);
    let metrics = server.get("/metrics").text();
    let counted = |line: &str| line.contains("\"circuits.upload_rate_min\"}") && !line.ends_with(" 0");
    assert!(metrics.lines().any(counted), "{metrics}");
}

#[test]
fn the_same_file_twice_and_a_file_of_another_kind_are_refused() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    let circuit = circuit();
    for parts in [&[("r1cs", &circuit[..]), ("r1cs", &circuit)][..], &[("zkey", &circuit[..])], &[]] {
        let refused = put(&server, "/v1/circuits/squares", parts);
        assert_eq!((refused.status, &*refused.json()["code"].to_string()), (400, "\"bad_circuit\""));
    }
    until("nothing is left", || arriving(state.path()).is_empty());
    let change = ended(&server, &put(&server, "/v1/circuits/squares", &[("r1cs", &circuit)]));
    assert_eq!(change["state"], "done");
}
