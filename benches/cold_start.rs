//! How fast there is something to call: an instance of an image, and a process.
//!
//! `instantiate/IMAGE` makes an instance and drops it; `cold_start/process` runs from exec to the first reply.

mod support;

use snapback_host::instance::Instance;

use criterion::{Criterion, criterion_group, criterion_main};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use support::{Image, MEMORY, median, private_bytes, record, state_dir};

fn instantiate(criterion: &mut Criterion) {
    let engine = snapback_snapshot::engine(256).expect("an engine");
    let images = [
        ("fixtures", Image::Fixtures),
        ("orchard", Image::Orchard),
        ("orchard+sapling", Image::OrchardSapling),
    ]
    .map(|(name, image)| (name, Arc::new(image.load(&engine))));

    let mut group = criterion.benchmark_group("instantiate");
    for (name, generation) in &images {
        record(&format!("native_bytes_{name}"), generation.image().native_bytes as f64);
        group.bench_function(*name, |bencher| {
            bencher.iter(|| Instance::of(generation, MEMORY).expect("an instance"))
        });
    }
    group.finish();

    // Interleaved, for the ratio: what else the machine does meets both alike.
    let time = |index: usize| {
        let begun = Instant::now();
        for _ in 0..100 {
            drop(Instance::of(&images[index].1, MEMORY).expect("an instance"));
        }
        begun.elapsed().as_secs_f64()
    };
    let ratios = (0..50).map(|_| time(2) / time(1)).collect();
    record("instantiate_sapling_over_orchard", median(ratios));

    // A hundred standbys that were never called, in a pool that never held another instance.
    let engine = snapback_snapshot::engine(128).expect("an engine");
    let generation = &Arc::new(Image::Orchard.load(&engine));
    let before = private_bytes();
    let standbys: Vec<_> = (0..100).map(|_| Instance::of(generation, MEMORY).expect("an instance")).collect();
    record("standby_private_bytes", (private_bytes() - before) / standbys.len() as f64);
}

/// Starts the server on cached native code and asks it one thing.
fn process() -> Duration {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_snapback"))
        .args(["serve", "zcash", "--listen", "127.0.0.1:0", "--log-level", "error", "--state-dir"])
        .arg(state_dir())
        .arg("--native-key-file")
        .arg(state_dir().join("native.key"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    stderr.read_line(&mut line).expect("a line");
    let address = line.trim().rsplit("http://").next().expect("an address").to_owned();
    let mut stream = TcpStream::connect(&address).unwrap_or_else(|error| panic!("{error}: {line}"));
    let request =
        "POST /v1/methods/circuits HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).expect("a reply");
    let took = begun.elapsed();
    assert!(reply.starts_with(b"HTTP/1.1 200"));
    child.kill().expect("alive");
    child.wait().expect("it ends");
    took
}

fn cold_start(criterion: &mut Criterion) {
    Image::Orchard.baked();
    let mut group = criterion.benchmark_group("cold_start");
    group.sample_size(50);
    group.bench_function("process", |bencher| {
        bencher.iter_custom(|iters| (0..iters).map(|_| process()).sum())
    });
    group.finish();
}

criterion_group!(benches, instantiate, cold_start);
criterion_main!(benches);
