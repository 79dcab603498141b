//! A dispatcher in the test's own process, over the fixtures: for races that are driven through its seams.

use super::{native_key, rig::Ear, state_with};
use snapback_host::{
    dispatch::{DispatchConfig, Dispatcher, Rejected},
    generation::{Generation, Service},
    job::{Ask, Form, Outcome},
    metrics::Metrics,
    policy::{Percent, Policy, SwapPolicy},
    process::ProcessMemory,
    seams::Seams,
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

/// The fixtures, baked from a seed of their own.
pub(crate) fn generation(engine: &Engine, seed: &[u8]) -> Generation {
    let state = state_with("fixtures");
    let store = ImageStore::open(&state).expect("the store");
    let cache = NativeCache::open(&state, &native_key(), 1 << 30);
    let guest = Guest::find("fixtures").expect("embedded");
    let inputs = [Input::new("seed", seed.to_vec())];
    let digest: Digest = store.baked(&bake_key(guest, &inputs)).unwrap_or_else(|| {
        let quiet: Arc<dyn Progress> = Arc::new(Quiet);
        bake(&store, &cache, guest, &inputs, &Default::default(), &quiet).expect("a bake").digest
    });
    let image = cache.load(engine, &store.open_image(&digest).expect("the image")).expect("native code");
    Generation::new(image).expect("an image")
}

/// Two lanes that swap only when they have to.
pub(crate) fn policy() -> Policy {
    Policy {
        swap: SwapPolicy::Off,
        memory_limit_bytes: 64 << 20,
        deadline: Duration::from_millis(300),
        ..Policy::default()
    }
}

pub(crate) const QUEUE_DEPTH: usize = 8;

pub(crate) struct Host {
    pub(crate) engine: Engine,
    _ticker: Arc<Ticker>,
    pub(crate) dispatcher: Arc<Dispatcher>,
}

impl Host {
    pub(crate) fn start(lanes: usize, policy: Policy, seams: Seams) -> Self {
        let process = ProcessMemory::new(Some(1 << 50), Percent::new(70), Percent::new(90));
        Self::within(lanes, policy, seams, process)
    }

    /// The same, in a process of which something is known.
    pub(crate) fn within(lanes: usize, policy: Policy, seams: Seams, process: ProcessMemory) -> Self {
        let config = DispatchConfig {
            lanes,
            queue_depth: QUEUE_DEPTH,
            reply_bytes_max: 1 << 20,
            sample_interval: Duration::from_millis(20),
        };
        let engine = engine(config.instances_max(1)).expect("an engine");
        let ticker = Ticker::start(&engine).expect("a thread");
        let service = Arc::new(Service::new("fixtures", generation(&engine, b"old"), policy));
        let metrics = Arc::new(Metrics::new());
        let dispatcher = Dispatcher::start(config, vec![service], metrics, process, seams).expect("lanes");
        Self { engine, _ticker: ticker, dispatcher }
    }

    pub(crate) fn ask(&self, method: &str, body: &[u8]) -> Result<Receiver<Outcome>, Rejected> {
        self.dispatcher.submit(Ask {
            service: 0,
            method: method.into(),
            circuit: String::new(),
            body: body.to_vec().into(),
            form: Form::Raw,
        })
    }

    /// Listens from now on.
    pub(crate) fn ear(&self) -> Ear {
        Ear::new(self.dispatcher.events().listen())
    }

    pub(crate) fn outcome(&self, method: &str, body: &[u8]) -> Outcome {
        self.ask(method, body).expect("room").blocking_recv().expect("an answer")
    }

    pub(crate) fn call(&self, method: &str, body: &[u8]) -> Vec<u8> {
        self.outcome(method, body).result.expect("a reply").body
    }

    /// A sample of the metrics; zero before the first.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(self.dispatcher.render_metrics()).expect("text");
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    /// Swaps for that reason.
    pub(crate) fn swaps(&self, reason: &str) -> f64 {
        self.metric(&format!(r#"snapback_swaps_total{{image="fixtures",reason="{reason}"}}"#))
    }
}
