//! A dispatcher in the process of the test, which serves the fixtures: for tests that drive races through its seams.

use super::{native_key, rig::EventListener, state_with};
use snapback_host::{
    dispatch::{Dispatcher, Rejected, Services},
    ids::{GenerationId, LaneId},
    instance::{Generation, StopFlag},
    lanes::{BodyKind, CallRequest, LaneCommand, LaneConfig, Outcome},
    memory::process::ProcessMemory,
    policy::{MethodPolicy, Percent, Policy, SwapPolicy},
    seams::Seams,
    service::Service,
    telemetry::{Telemetry, setting_changes::Author, traces::Trace},
};
use snapback_snapshot::{
    BakeEnvironment, BakeLimits, Digest, Guest, ImageStore, Input, NativeCache, Portion, Progress, Stage,
    Ticker, bake, earlier_bake, engine, proof_systems::ProofSystems,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot::{self, Receiver};
use wasmtime::Engine;

struct Quiet;

impl Progress for Quiet {
    fn stage(&self, _: Stage) {}
    fn portion(&self, _: Stage, _: Portion) {}
    fn log(&self, _: &str) {}
}

/// Returns a generation of the fixtures that is baked from `seed`.
pub(crate) fn generation(engine: &Engine, seed: &[u8]) -> Generation {
    let state = state_with("fixtures");
    let store = ImageStore::open(&state).expect("the store");
    let cache = NativeCache::open(&state, &native_key(), 1 << 30);
    let guest = Guest::find("fixtures").expect("embedded");
    let inputs = [Input::new("seed", seed.to_vec())];
    let systems = ProofSystems::builtin();
    let digest: Digest = earlier_bake(&store, &systems, guest, &inputs).unwrap_or_else(|| {
        let quiet: Arc<dyn Progress> = Arc::new(Quiet);
        let environment = BakeEnvironment {
            store: &store,
            cache: &cache,
            systems: &systems,
            limits: &BakeLimits::default(),
        };
        bake(environment, guest, &inputs, &quiet).expect("a bake").digest
    });
    let image = cache.load(engine, &store.open_image(&digest).expect("the image")).expect("native code");
    Generation::new(GenerationId::FIRST, image).expect("an image")
}

/// Returns a policy under which lanes swap only when they have to.
pub(crate) fn policy() -> Policy {
    let spin = MethodPolicy { deadline: Some(Duration::from_millis(50)), ..MethodPolicy::default() };
    Policy {
        swap: SwapPolicy::Off,
        memory_limit_bytes: 64 << 20,
        // Far longer than a call takes on a machine under any load, so that only `spin` reaches its deadline.
        deadline: Duration::from_mins(20),
        methods: [("spin".to_owned(), spin)].into(),
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

    /// Starts a host that measures the process with `process`.
    pub(crate) fn within(lanes: usize, policy: Policy, seams: Seams, process: ProcessMemory) -> Self {
        let config = LaneConfig {
            lanes,
            queue_depth: QUEUE_DEPTH,
            reply_bytes_max: 1 << 20,
            sample_interval: Duration::from_millis(20),
            standby_max: None,
        };
        let engine = engine(config.instances_max(1)).expect("an engine");
        let ticker = Ticker::start(&engine).expect("a thread");
        let mut services = Services::default();
        services.add("fixtures", generation(&engine, b"old"), policy);
        let telemetry = Telemetry::default();
        let dispatcher = Dispatcher::start(config, services, telemetry, process, seams).expect("lanes");
        Self { engine, _ticker: ticker, dispatcher }
    }

    /// The only service.
    pub(crate) fn service(&self) -> &Service {
        &self.dispatcher.services()[0]
    }

    /// Submits a call; the receiver gets its outcome.
    pub(crate) fn submit(&self, method: &str, body: &[u8]) -> Result<Receiver<Outcome>, Rejected> {
        self.submit_stoppable(method, body, None)
    }

    /// Submits a call that the flag stops; the receiver gets its outcome.
    pub(crate) fn submit_stoppable(
        &self,
        method: &str,
        body: &[u8],
        stop: Option<StopFlag>,
    ) -> Result<Receiver<Outcome>, Rejected> {
        let request = CallRequest {
            service: self.service().id(),
            method: method.into(),
            circuit: String::new(),
            body: body.to_vec().into(),
            kind: BodyKind::Raw,
            tenant: None,
            stop,
            trace: Trace::default(),
        };
        let (sink, outcome) = oneshot::channel();
        self.dispatcher.submit(request, Box::new(sink)).map(|()| outcome)
    }

    /// Gives a command to one lane or all.
    pub(crate) fn command(&self, command: LaneCommand, lane: Option<usize>) {
        self.dispatcher.command(command, self.service(), lane.map(LaneId::from_index));
    }

    pub(crate) fn publish(&self, generation: Generation) {
        self.dispatcher.publish(self.service(), generation);
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        self.dispatcher.set_policy(self.service(), policy, &Author::Operator);
    }

    pub(crate) fn is_swap_limited(&self) -> bool {
        self.dispatcher.is_swap_limited(self.service())
    }

    /// Subscribes to the events from now on.
    pub(crate) fn listen(&self) -> EventListener {
        EventListener::new(self.dispatcher.events().listen())
    }

    pub(crate) fn outcome(&self, method: &str, body: &[u8]) -> Outcome {
        self.submit(method, body).expect("room in the queue").blocking_recv().expect("an answer")
    }

    pub(crate) fn call(&self, method: &str, body: &[u8]) -> Vec<u8> {
        self.outcome(method, body).result.expect("a reply").body.to_vec()
    }

    /// Returns the value of a metric; zero before its first sample.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(self.dispatcher.render_metrics()).expect("text");
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    /// Returns the number of swaps for a reason.
    pub(crate) fn swaps(&self, reason: &str) -> f64 {
        self.metric(&format!(r#"snapback_swaps_total{{image="fixtures",reason="{reason}"}}"#))
    }
}
