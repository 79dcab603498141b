//! Parts that the benches share: baked images, calls, and figures other than durations.
#![expect(dead_code, reason = "each bench uses a part")]

pub(crate) mod cold;
pub(crate) mod crowd;
pub(crate) mod served;
pub(crate) mod unbaked;

use snapback_host::{
    dispatch::{Dispatcher, Services},
    ids::GenerationId,
    instance::{Call, Entropy, Generation, Instance},
    lanes::{BodyKind, CallRequest, LaneCommand, LaneConfig, Outcome},
    memory::process::ProcessMemory,
    policy::{Percent, Policy},
    seams::Seams,
    telemetry::{Telemetry, traces::Trace},
};
use snapback_snapshot::{
    BakeEnvironment, BakeLimits, Digest, Guest, ImageStore, Input, NativeCache, Portion, Progress, Stage,
    Ticker, bake, earlier_bake, proof_systems::ProofSystems,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};
use wasmtime::Engine;

/// Linear memory that an instance may have, in bytes.
pub(crate) const MEMORY: u64 = 4 << 30;

/// The images that are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Image {
    Fixtures,
    Orchard,
    OrchardSapling,
    /// This number of circuits of x5chain's size.
    Circuits(usize),
}

const X5CHAIN: &str = "x5chain/x5chain.r1cs";

struct Quiet;

impl Progress for Quiet {
    fn stage(&self, _: Stage) {}
    fn portion(&self, _: Stage, _: Portion) {}
    fn log(&self, _: &str) {}
}

/// Path of the state directory, which outlives a run, so that images are baked once.
pub(crate) fn state_dir() -> PathBuf {
    target_dir().join("bench-state")
}

/// The key of the jobs of all benches that share the state directory, in which it must not be.
pub(crate) fn job_key() -> String {
    target_dir().join("bench-jobs.key").to_str().expect("UTF-8").to_owned()
}

pub(crate) fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}

fn cache(state_dir: &Path) -> NativeCache {
    NativeCache::open(state_dir, &state_dir.join("native.key"), 2 << 30)
}

impl Image {
    fn guest(self) -> &'static Guest {
        let name = match self {
            Self::Fixtures => "fixtures",
            Self::Circuits(_) => "plonk",
            Self::Orchard | Self::OrchardSapling => "zcash",
        };
        Guest::find(name).expect("embedded")
    }

    fn inputs(self) -> Vec<Input> {
        if let Self::Circuits(count) = self {
            let r1cs = fixture(X5CHAIN);
            return (0..count)
                .map(|index| Input::new(&format!("circuit/x5chain{index}"), r1cs.clone()))
                .collect();
        }
        if self != Self::OrchardSapling {
            return Vec::new();
        }
        let (spend, output) = wagyu_zcash_parameters::load_sapling_parameters();
        vec![Input::new("sapling_spend", spend), Input::new("sapling_output", output)]
    }

    /// Bakes circuits in a process of its own, so that this process cannot use memory that the bake leaves on the heap.
    pub(crate) fn bake_apart(self) {
        let mut bake = Command::new(env!("CARGO_BIN_EXE_snapback"));
        bake.env("SNAPBACK_STATE_DIR", state_dir()).arg("bake").arg(self.guest().name.as_ref());
        let file = fixture_path(X5CHAIN);
        bake.args(self.inputs().iter().map(|input| format!("--input={}={}", input.label(), file.display())));
        assert!(bake.status().expect("the command runs").success());
    }

    /// Bakes the image if it was not baked before, and returns its digest.
    pub(crate) fn baked(self) -> Digest {
        baked(self.guest(), &self.inputs())
    }

    /// Loads the image on an engine.
    pub(crate) fn load(self, engine: &Engine) -> Generation {
        load(&self.baked(), engine)
    }
}

/// Bakes a guest with these inputs if it was not baked before, and returns the digest of the image.
pub(crate) fn baked(guest: &Guest, inputs: &[Input]) -> Digest {
    let store = ImageStore::open(&state_dir()).expect("the store");
    earlier_bake(&store, &ProofSystems::builtin(), guest, inputs)
        .unwrap_or_else(|| bake_in(&state_dir(), guest, inputs))
}

/// Bakes a guest into a state directory, and returns the digest of the image.
pub(crate) fn bake_in(state_dir: &Path, guest: &Guest, inputs: &[Input]) -> Digest {
    let progress: Arc<dyn Progress> = Arc::new(Quiet);
    let environment = BakeEnvironment {
        store: &ImageStore::open(state_dir).expect("the store"),
        cache: &cache(state_dir),
        systems: &ProofSystems::builtin(),
        limits: &BakeLimits::default(),
    };
    bake(environment, guest, inputs, &progress).expect("a bake").digest
}

/// Loads an image of a state directory.
pub(crate) fn load_from(state_dir: &Path, digest: &Digest, engine: &Engine) -> Generation {
    let sealed = ImageStore::open(state_dir).and_then(|store| store.open_image(digest)).expect("the image");
    let image = cache(state_dir).load(engine, &sealed).expect("native code");
    Generation::new(GenerationId::FIRST, image).expect("an image")
}

fn load(digest: &Digest, engine: &Engine) -> Generation {
    load_from(&state_dir(), digest, engine)
}

/// Loads the image of an embedded guest with these inputs, which is baked if it was not before.
pub(crate) fn load_baked(guest: &str, inputs: &[Input], engine: &Engine) -> Generation {
    load(&baked(Guest::find(guest).expect("embedded"), inputs), engine)
}

/// A dispatcher of one image, and the ticker that enforces its deadlines.
pub(crate) struct Host {
    pub(crate) dispatcher: Arc<Dispatcher>,
    _ticker: Arc<Ticker>,
}

impl Host {
    pub(crate) fn start(image: Image, lanes: usize) -> Self {
        Self::by(image, lanes, Policy { deadline: Duration::from_mins(5), ..Policy::default() })
    }

    /// Starts a host with a policy of its own.
    pub(crate) fn by(image: Image, lanes: usize, policy: Policy) -> Self {
        Self::of(|engine| image.load(engine), lanes, policy)
    }

    /// Starts a host of the image that `load` loads.
    pub(crate) fn of(load: impl FnOnce(&Engine) -> Generation, lanes: usize, policy: Policy) -> Self {
        let config = LaneConfig {
            lanes,
            queue_depth: 64,
            reply_bytes_max: 64 << 20,
            sample_interval: Duration::from_secs(5),
            standby_max: None,
        };
        let engine = snapback_snapshot::engine(config.instances_max(1)).expect("an engine");
        let ticker = Ticker::start(&engine).expect("a thread");
        let mut services = Services::default();
        services.add("bench", load(&engine), policy);
        let process = ProcessMemory::new(None, Percent::new(70), Percent::new(90));
        let dispatcher = Dispatcher::start(config, services, Telemetry::default(), process, Seams::default());
        let dispatcher = dispatcher.expect("lanes");
        Self { dispatcher, _ticker: ticker }
    }

    /// Submits a call; the receiver gets its outcome.
    pub(crate) fn submit(
        &self,
        method: &str,
        circuit: &str,
        body: &[u8],
    ) -> tokio::sync::oneshot::Receiver<Outcome> {
        let request = CallRequest {
            service: self.dispatcher.services()[0].id(),
            method: method.into(),
            circuit: circuit.into(),
            body: body.to_vec().into(),
            kind: BodyKind::Raw,
            tenant: None,
            stop: None,
            trace: Trace::default(),
        };
        let (sink, outcome) = tokio::sync::oneshot::channel();
        self.dispatcher.submit(request, Box::new(sink)).expect("room in the queue");
        outcome
    }

    /// Returns the sum of a family's samples.
    pub(crate) fn metric(&self, family: &str) -> f64 {
        let text = String::from_utf8(self.dispatcher.render_metrics()).expect("text");
        let samples = text.lines().filter_map(|line| line.strip_prefix(family));
        samples
            .filter(|rest| rest.starts_with(['{', ' ']))
            .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
            .fold(0.0, |sum, sample| sum + sample)
    }

    /// Replaces the instances of all lanes, and waits until they are replaced.
    pub(crate) fn swap(&self) {
        let lanes = self.dispatcher.config().lanes as f64;
        let wanted = self.metric("snapback_swaps_total") + lanes;
        self.dispatcher.command(LaneCommand::Swap, &self.dispatcher.services()[0], None);
        while self.metric("snapback_swaps_total") < wanted {
            std::thread::yield_now();
        }
    }

    /// Runs a call, and returns the body of its reply.
    pub(crate) fn call(&self, method: &str, circuit: &str, body: &[u8]) -> Vec<u8> {
        let outcome = self.submit(method, circuit, body).blocking_recv().expect("an answer");
        outcome.result.expect("a reply").body.to_vec()
    }
}

/// Runs a call in an instance, and returns the body of its reply.
pub(crate) fn call(instance: &mut Instance, method: &str, circuit: &str, body: &[u8]) -> Vec<u8> {
    let call = Call {
        method,
        circuit,
        body,
        entropy: Entropy::fresh(),
        deadline: Duration::from_mins(5),
        reply_bytes_max: 64 << 20,
        stop: None,
    };
    instance.call(&call).expect("a reply").body.to_vec()
}

/// Returns the PCZT for which the Orchard proofs are made.
pub(crate) fn pczt() -> Vec<u8> {
    fixture("orchard2.pczt")
}

/// Path of a file in `tests/fixtures`.
fn fixture_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = fixture_path(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the CPU time of this thread that `work` takes.
pub(crate) fn counted(work: impl FnOnce()) -> Duration {
    let cpu = || -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        now.try_into().expect("time goes forward")
    };
    let begun = cpu();
    work();
    cpu() - begun
}

/// Writes a figure to a file for the report.
pub(crate) fn record(name: &str, value: f64) {
    let dir = target_dir().join("criterion/figures");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join(name), value.to_string()).expect("the file is written");
}

/// Returns the median of the samples.
pub(crate) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Returns the sample below which that share of the samples lies.
pub(crate) fn quantile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[((samples.len() as f64 * share) as usize).min(samples.len() - 1)]
}

/// Returns the private memory of this process in bytes.
pub(crate) fn private_bytes() -> f64 {
    private_of(&fs::read_to_string("/proc/self/smaps_rollup").expect("proc"))
}

/// Returns `Anonymous` of proc(5), the pages that a process has written. `Private_Clean` does not count: a page of a
/// file that one lane has read is private only until another lane reads it.
fn private_of(rollup: &str) -> f64 {
    of_rollup(rollup, "Anonymous:")
}

fn of_rollup(rollup: &str, field: &str) -> f64 {
    let line = rollup.lines().find(|line| line.starts_with(field)).expect("a field of proc(5)");
    let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok());
    kilobytes.expect("a number") * 1024.0
}
