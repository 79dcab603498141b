//! The time of an empty call on a lane, and the time that HTTP adds to it.

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use snapback_host::{
    access::{KeyRing, Quota},
    circuits::Registries,
    config::{Hosts, HttpConfig, WitnessExport},
    http::{App, Gate, Keys, Public, PublicChanges, serve, signals::Signals},
    sandbox::Sandbox,
    worker::JobHandle,
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use support::{Host, Image, median, record};

/// Starts the server on a port of this process, and returns a connection to it.
fn listen(host: &Host) -> TcpStream {
    let http = HttpConfig {
        body_bytes_max: 8 << 20,
        buffered_bytes_max: 64 << 20,
        unread_bytes_max: 1 << 20,
        hosts: Hosts::Named(Vec::new()),
        origins: Vec::new(),
        connections_max: 16,
        connections_per_peer_max: None,
        streams_max: 16,
        send_rate_min: Some(16 << 10),
        header_timeout: Duration::from_mins(10),
        upload_bytes_max: 1,
        upload_rate_min: 1,
        witness_export: WitnessExport::Off,
        body_timeout: Duration::from_secs(30),
    };
    let ring = KeyRing::open(PathBuf::new(), Quota::default()).expect("there is no file");
    let gate = Gate::new(Keys::NotNeeded, Arc::new(ring), None, PublicChanges::Refused, None);
    let app = App::new(
        Arc::clone(&host.dispatcher),
        http,
        Arc::new(Registries::new(&host.dispatcher, [])),
        gate,
        JobHandle::off(),
        None,
        Sandbox::NONE,
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let public = Public { listener, tls: None };
            serve(app, public, None, None, Signals::none(), Duration::from_secs(1))
                .await
                .expect("the server has no error");
        });
    });
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Sends one empty call on a connection that stays open.
fn over_http(stream: &mut TcpStream) {
    let request = b"POST /v1/methods/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request).expect("the server reads");
    let mut reply = [0; 1024];
    let len = stream.read(&mut reply).expect("a reply");
    assert!(reply[..len].starts_with(b"HTTP/1.1 200") && reply[..len].ends_with(b"\r\n\r\n"));
}

fn empty(criterion: &mut Criterion) {
    let host = Host::start(Image::Fixtures, 1);
    let mut stream = listen(&host);
    let mut group = criterion.benchmark_group("call/empty");
    group.bench_function("in_process", |bencher| bencher.iter(|| host.call("echo", "", b"")));
    group.bench_function("http", |bencher| bencher.iter(|| over_http(&mut stream)));
    group.finish();

    let mut added = || {
        let begun = Instant::now();
        host.call("echo", "", b"");
        let in_process = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        over_http(&mut stream);
        begun.elapsed().as_secs_f64() - in_process
    };
    record("http_adds_seconds", median((0..5_000).map(|_| added()).collect()));
}

criterion_group!(benches, empty);
criterion_main!(benches);
