//! The time until something can be called: an instance of an image, and a process.
//!
//! `instantiate/IMAGE` makes an instance and drops it; `cold_start/process` runs from exec to the first reply. Starts of a
//! small image and of one of a gigabyte are compared with each other and with a bare program of Wasmtime.

mod support;

use snapback_host::instance::Instance;

use criterion::{Criterion, criterion_group};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use support::{Image, MEMORY, cold, median, record, served::Served};

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
            bencher.iter(|| Instance::instantiate(generation, MEMORY).expect("an instance"))
        });
    }
    group.finish();

    // The two images are interleaved, so that other load on the machine affects both sides of the ratio alike.
    let time = |index: usize| {
        let begun = Instant::now();
        for _ in 0..100 {
            drop(Instance::instantiate(&images[index].1, MEMORY).expect("an instance"));
        }
        begun.elapsed().as_secs_f64()
    };
    let ratios = (0..50).map(|_| time(2) / time(1)).collect();
    record("instantiate_sapling_over_orchard", median(ratios));
}

/// Starts the server with cached native code, and returns the time until its first reply.
fn process() -> Duration {
    let begun = Instant::now();
    let mut server = Served::start("zcash", &[]);
    server.post("/v1/methods/circuits", b"");
    begun.elapsed()
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

fn main() {
    if cold::is_bare() {
        return;
    }
    cold::compare();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
