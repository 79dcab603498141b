//! The cost of a swap, and the time that it saves: preparing a standby, dropping a used instance, the pause of a lane;
//! and a fresh instance against running the initialiser again.

mod support;

use snapback_host::instance::Instance;

use criterion::{BatchSize, Criterion, SamplingMode, criterion_group, criterion_main};
use snapback_abi::request::Request;
use snapback_snapshot::{Guest, call::ContractExports, epochs};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use support::{Host, Image, MEMORY, call, pczt, record};
use wasmtime::{Linker, Module, Store};

fn swap(criterion: &mut Criterion) {
    let engine = snapback_snapshot::engine(64).expect("an engine");
    let generation = Arc::new(Image::Orchard.load(&engine));
    let mut group = criterion.benchmark_group("swap");
    group.bench_function("prepare", |bencher| {
        bencher.iter_batched(
            || (),
            |()| Instance::instantiate(&generation, MEMORY).expect("an instance"),
            BatchSize::PerIteration,
        );
    });
    let host = Host::start(Image::Fixtures, 1);
    // The time that a lane spends on a swap. A request waits for a part of it, or not at all.
    let spent = || host.metric("snapback_swap_seconds_sum");
    group.bench_function("pause", |bencher| {
        bencher.iter_custom(|calls| {
            let before = spent();
            for _ in 0..calls {
                host.call("echo", "", b"");
            }
            Duration::from_secs_f64(spent() - before)
        });
    });
    // Making a used instance of the prover takes seconds, so the bench takes only ten samples.
    let _ticker = snapback_snapshot::Ticker::start(&engine).expect("a thread");
    let pczt = pczt();
    let used = || {
        let mut used = Instance::instantiate(&generation, MEMORY).expect("an instance");
        call(&mut used, "prove", "orchard", &pczt);
        let begun = Instant::now();
        drop(used);
        begun.elapsed()
    };
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
    group.measurement_time(Duration::from_millis(1));
    group.bench_function("drop", |bencher| bencher.iter_custom(|times| (0..times).map(|_| used()).sum()));
    group.finish();
}

/// Records the time that requests wait for a swap, as the lanes measure it under load: an upper bound from the buckets
/// of the histogram.
fn pause(_: &mut Criterion) {
    for (name, lanes, at_once) in [("idle", 1, 1), ("saturated", 2, 4)] {
        let host = Host::start(Image::Fixtures, lanes);
        const CALLS: usize = 40_000;
        for _ in 0..CALLS / at_once {
            let calls: Vec<_> = (0..at_once).map(|_| host.submit("echo", "", b"")).collect();
            for call in calls {
                call.blocking_recv().expect("an answer").result.expect("a reply");
            }
        }
        let text = String::from_utf8(host.dispatcher.render_metrics()).expect("text");
        for quantile in [0.5, 0.99] {
            let figure = format!("swap_pause_seconds_{name}_p{:.0}", quantile * 100.0);
            record(&figure, quantile_bound(&text, quantile));
        }
        let missing = host.metric("snapback_standby_missing_total");
        record(&format!("standby_missing_share_{name}"), missing / CALLS as f64);
    }
}

/// Returns the upper edge of the bucket in which a quantile of the pauses lies.
fn quantile_bound(metrics: &str, quantile: f64) -> f64 {
    let buckets: Vec<(f64, f64)> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("snapback_swap_pause_seconds_bucket{image=\"bench\",le=\""))
        .filter_map(|line| {
            let (edge, count) = line.split_once("\"} ")?;
            Some((edge.replace("+Inf", "inf").parse().ok()?, count.parse().ok()?))
        })
        .collect();
    let total = buckets.last().expect("buckets").1;
    buckets.iter().find(|(_, count)| *count >= quantile * total).expect("the last bucket counts all").0
}

fn reset_vs_replay(criterion: &mut Criterion) {
    let engine = snapback_snapshot::engine(8).expect("an engine");
    let generation = Arc::new(Image::Orchard.load(&engine));
    let guest = Module::new(&engine, &Guest::find("zcash").expect("embedded").wasm).expect("a module");
    let exports = ContractExports::find(&guest).expect("a guest");
    let mut group = criterion.benchmark_group("reset_vs_replay/orchard");
    group.bench_function("reset", |bencher| {
        bencher.iter(|| Instance::instantiate(&generation, MEMORY).expect("an instance"))
    });
    group.sample_size(10);
    group.bench_function("replay", |bencher| {
        bencher.iter(|| {
            let mut store = Store::new(&engine, ());
            store.set_epoch_deadline(epochs(Duration::from_hours(1)));
            let instance = Linker::new(&engine).instantiate(&mut store, &guest).expect("an instance");
            let open = exports.bind(&instance, &mut store).expect("a guest");
            let init = instance.get_typed_func(&mut store, "bake_init").expect("a bake method");
            open.call(&mut store, &init, &Request::header(&[0; 32], ""), &[], 1 << 20).expect("baked");
            store
        });
    });
    group.finish();
}

criterion_group!(benches, swap, pause, reset_vs_replay);
criterion_main!(benches);
