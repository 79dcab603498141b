//! Prepares what the alternatives of one load need, and starts them.
//!
//! Invariant: what is prepared once is not measured: compiled native code, and Snapback's image.

use crate::{
    guest::{Code, Live, engine},
    load::{Calls, Load},
    setup::{Alternative, Setup, Source, Spawned},
    support::{baked, served::Served, state_dir},
    wire::{self, Answer},
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use snapback_snapshot::{Digest, ImageStore, manifest::Tools};
use std::{fs, net::Shutdown, ops::Range, path::PathBuf, sync::OnceLock, time::Duration};

/// Longest wait for a reply.
const PATIENCE: Duration = Duration::from_mins(5);
/// Share of the limit at which workers are replaced.
const ROTATE: f64 = 0.75;

/// A load under a limit, and what its alternatives start from.
pub(crate) struct Scenario {
    pub(crate) load: Load,
    pub(crate) calls: Calls,
    pub(crate) limit_bytes: u64,
    /// Bytes of linear memory that a call leaks.
    pub(crate) leak_bytes: f64,
    /// Calls of a worker that is rotated.
    pub(crate) calls_max: usize,
    guest: PathBuf,
    image: PathBuf,
    digest: Digest,
}

/// A running service.
pub(crate) trait Service {
    fn call(&mut self, body: &[u8]) -> Answer;
    /// Returns the process that all processes of the service descend from.
    fn pid(&self) -> u32;
}

impl Scenario {
    pub(crate) fn new(load: Load, limit_bytes: u64) -> Self {
        let guest = load.guest();
        let digest = baked(&guest, &load.inputs());
        let image = ImageStore::open(&state_dir()).expect("the store").path(&digest);
        let image = compiled(&digest, &fs::read(image).expect("an image"));
        let guest = compiled(&guest.digest, &guest.wasm);
        let mut scenario = Self {
            load,
            calls: load.calls(),
            limit_bytes,
            leak_bytes: 0.0,
            calls_max: 1,
            guest,
            image,
            digest,
        };
        scenario.measure_leak();
        scenario
    }

    /// Measures what a call leaks, after the first calls, and how many calls a worker may serve.
    fn measure_leak(&mut self) {
        const CALLS: usize = 16;
        let mut live = Live::start(&Code::open(&self.setup(Alternative::Plain, 4 << 30)));
        let mut calls = |numbers: Range<usize>| {
            numbers.for_each(|number| drop(live.call(self.calls.body(number)).expect("a reply")));
            live.bytes() as f64
        };
        let first = calls(0..CALLS);
        self.leak_bytes = (calls(CALLS..2 * CALLS) - first) / CALLS as f64;
        let base = first - self.leak_bytes * CALLS as f64;
        let room = ROTATE * self.limit_bytes as f64 - base;
        self.calls_max = (room / self.leak_bytes).max(1.0) as usize;
    }

    fn setup(&self, alternative: Alternative, limit_bytes: u64) -> Setup {
        let source = alternative.source();
        let code = if source == Source::Image { &self.image } else { &self.guest };
        Setup {
            alternative,
            load: self.load,
            source,
            limit_bytes,
            calls_max: self.calls_max,
            code: code.clone(),
        }
    }

    /// Starts an alternative on a core that it has for itself.
    pub(crate) fn start(&self, alternative: Alternative) -> Box<dyn Service> {
        self.start_with(alternative, self.limit_bytes)
    }

    /// Starts an alternative under another limit.
    pub(crate) fn start_with(&self, alternative: Alternative, limit_bytes: u64) -> Box<dyn Service> {
        if alternative.is_snapback() {
            return Box::new(self.snapback(alternative, limit_bytes, &[]));
        }
        let setup = self.setup(alternative, limit_bytes);
        let spawned = on_last_core(|| setup.spawn().expect("the process starts"));
        spawned.socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Box::new(Plain(spawned))
    }

    /// Starts Snapback's server with one lane and further arguments, on a core that it has for itself.
    pub(crate) fn snapback(&self, policy: Alternative, limit_bytes: u64, args: &[&str]) -> Snapback {
        let limit = format!("{}MiB", limit_bytes >> 20);
        let own = ["--lanes", "1", "--swap-policy", policy.key(), "--memory-limit", &limit];
        let served = on_last_core(|| Served::start(&self.digest.to_string(), &[&own, args].concat()));
        let path = format!("/v1/methods/{}?circuit={}", self.load.method(), self.load.circuit());
        Snapback { path: path.trim_end_matches("?circuit=").to_owned(), served }
    }
}

/// Compiles a module, unless an earlier run has, and returns the file with the native code.
fn compiled(digest: &Digest, wasm: &[u8]) -> PathBuf {
    let dir = state_dir().join("alternatives");
    let file = dir.join(format!("{digest}-{}.cwasm", Tools::current().wasmtime));
    if !file.exists() {
        fs::create_dir_all(&dir).expect("a directory");
        let code = engine().precompile_module(wasm).expect("a module");
        let unfinished = file.with_extension("unfinished");
        fs::write(&unfinished, code).and_then(|()| fs::rename(&unfinished, &file)).expect("written");
    }
    file
}

/// Runs `start` on the last core, which the processes that it starts inherit, and leaves the other cores to this one.
fn on_last_core<T>(start: impl FnOnce() -> T) -> T {
    static ALL: OnceLock<CpuSet> = OnceLock::new();
    let all = ALL.get_or_init(|| sched_getaffinity(None).expect("the cores of this thread"));
    let last = (0..CpuSet::MAX_CPU).rev().find(|core| all.is_set(*core)).expect("a core");
    if all.count() == 1 {
        return start();
    }
    let (mut theirs, mut ours) = (CpuSet::new(), *all);
    theirs.set(last);
    ours.unset(last);
    sched_setaffinity(None, &theirs).expect("a core");
    let started = start();
    sched_setaffinity(None, &ours).expect("the other cores");
    started
}

struct Plain(Spawned);

impl Service for Plain {
    fn call(&mut self, body: &[u8]) -> Answer {
        wire::call(&self.0.socket, body)
    }

    fn pid(&self) -> u32 {
        self.0.child.id()
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // The process ends, and its children do, when the socket is closed.
        let _ = self.0.socket.shutdown(Shutdown::Both);
        let _ = self.0.child.wait();
    }
}

/// Snapback's server.
pub(crate) struct Snapback {
    served: Served,
    path: String,
}

impl Service for Snapback {
    fn call(&mut self, body: &[u8]) -> Answer {
        self.served.try_post(&self.path, body)
    }

    fn pid(&self) -> u32 {
        self.served.pid()
    }
}
