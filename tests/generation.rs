//! A new generation: published at once, taken up by each lane at its next call, never in the middle of one.

mod harness;

use harness::{native_key, state_with, until};
use snapback_host::{
    config::SwapPolicy,
    dispatch::{DispatchConfig, Dispatcher, Joined, Readiness, Rejected},
    generation::{Generation, Service},
    instance::Fault,
    job::{Ask, Outcome},
    metrics::Metrics,
};
use snapback_snapshot::{
    Digest, Guest, ImageStore, Input, NativeCache, Progress, Stage, Ticker, bake, bake_key, engine,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot::Receiver;
use wasmtime::Engine;

struct Quiet;

impl Progress for Quiet {
    fn stage(&self, _: Stage) {}
    fn log(&self, _: &str) {}
}

const CONFIG: DispatchConfig = DispatchConfig {
    lanes: 2,
    queue_depth: 8,
    memory_limit_bytes: 64 << 20,
    reply_bytes_max: 1 << 20,
    swap: SwapPolicy::Off,
};

struct Host {
    engine: Engine,
    _ticker: Arc<Ticker>,
    dispatcher: Arc<Dispatcher>,
}

/// The fixtures, baked from a seed of their own.
fn generation(engine: &Engine, seed: &[u8]) -> Generation {
    let state = state_with("fixtures");
    let store = ImageStore::open(&state).expect("the store");
    let cache = NativeCache::open(&state, &native_key(), CONFIG.memory_limit_bytes);
    let guest = Guest::find("fixtures").expect("embedded");
    let inputs = [Input { name: "seed".into(), bytes: seed.to_vec() }];
    let digest: Digest = store.baked(&bake_key(guest, &inputs)).unwrap_or_else(|| {
        let quiet: Arc<dyn Progress> = Arc::new(Quiet);
        bake(&store, &cache, guest, &inputs, &Default::default(), &quiet).expect("a bake").digest
    });
    let image = cache.load(engine, &store.open_image(&digest).expect("the image")).expect("native code");
    Generation::new(image).expect("an image")
}

impl Host {
    fn start() -> Self {
        let engine = engine(CONFIG.instances_max(1)).expect("an engine");
        let ticker = Ticker::start(&engine).expect("a thread");
        let service = Arc::new(Service::new("fixtures", generation(&engine, b"old")));
        let dispatcher = Dispatcher::start(CONFIG, vec![service], Arc::new(Metrics::new())).expect("lanes");
        Self { engine, _ticker: ticker, dispatcher }
    }

    fn ask(&self, method: &str, body: &[u8]) -> Result<Receiver<Outcome>, Rejected> {
        self.dispatcher.submit(Ask {
            service: 0,
            method: method.into(),
            circuit: String::new(),
            body: body.to_vec().into(),
            deadline: Duration::from_millis(300),
        })
    }

    fn call(&self, method: &str, body: &[u8]) -> Vec<u8> {
        let outcome = self.ask(method, body).expect("room").blocking_recv().expect("an answer");
        outcome.result.expect("a reply").body
    }
}

#[test]
fn lanes_move_over_at_their_next_call_and_running_calls_finish_where_they_began() {
    let host = Host::start();
    let old = host.call("table", b"7");
    let new = generation(&host.engine, b"new");
    let id = new.id();

    // Both lanes keep what a call left in their instance; a call is running when the new generation comes.
    let running = host.ask("spin", b"").expect("room");
    until("it runs", || host.dispatcher.queue_len() == 0);
    host.dispatcher.publish(0, new);
    let fresh: Vec<Vec<u8>> = (0..20).map(|_| host.call("table", b"7")).collect();
    assert!(fresh.iter().all(|entry| *entry == fresh[0] && *entry != old), "an old answer after publication");
    assert!(matches!(running.blocking_recv().expect("an answer").result, Err(Fault::Deadline(_))));
    assert_eq!(host.dispatcher.services()[0].current().id(), id);
    assert_eq!(host.dispatcher.readiness(), Readiness::Ready);
}

#[test]
fn publishing_under_load_loses_nothing() {
    let host = Host::start();
    let (old, new) = (host.call("table", b"0"), generation(&host.engine, b"new"));
    let mut waiting = Vec::new();
    let mut answers = Vec::new();
    let mut new = Some(new);
    for round in 0..2_000 {
        if round == 1_000 {
            host.dispatcher.publish(0, new.take().expect("published once"));
        }
        loop {
            match host.ask("table", b"0") {
                Ok(answer) => break waiting.push(answer),
                Err(Rejected::QueueFull { .. }) => {
                    let first: Receiver<Outcome> = waiting.remove(0);
                    answers.push(first.blocking_recv().expect("an answer").result.expect("a reply").body);
                }
                Err(Rejected::Draining) => panic!("nobody drains"),
            }
        }
    }
    answers.extend(
        waiting
            .into_iter()
            .map(|answer| answer.blocking_recv().expect("an answer").result.expect("a reply").body),
    );
    assert_eq!(answers.len(), 2_000);
    // Admitted in order, answered by two lanes: the change-over is one point, give or take what was queued.
    let first_new = answers.iter().position(|answer| *answer != old).expect("the new one serves");
    assert!((1_000 - CONFIG.queue_depth - CONFIG.lanes..=1_000).contains(&first_new), "{first_new}");
    assert!(answers[1_000..].iter().all(|answer| *answer != old), "an old answer after publication");
}

#[test]
fn draining_answers_what_was_admitted_and_admits_no_more() {
    let host = Host::start();
    let admitted: Vec<_> = (0..CONFIG.queue_depth).filter_map(|_| host.ask("echo", b"in").ok()).collect();
    assert!(!admitted.is_empty());
    host.dispatcher.drain();
    assert!(matches!(host.ask("echo", b"late"), Err(Rejected::Draining)));
    assert_eq!(host.dispatcher.readiness(), Readiness::Draining);
    assert_eq!(host.dispatcher.join(Duration::from_secs(60)), Joined::Finished);
    for answer in admitted {
        assert_eq!(answer.blocking_recv().expect("an answer").result.expect("a reply").body, b"in");
    }
}
