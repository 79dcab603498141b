//! The only place that builds a `wasmtime::Config`, for bake and serve alike: native code compiled by one
//! loads in the other, because the settings that shape code are the same.
//!
//! Invariant: what differs between two engines is the size of the pool and nothing else.

use crate::Error;
use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Largest linear memory of an instance: what 32-bit addresses reach.
pub const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// How often an engine's epoch advances: the resolution of every deadline.
const EPOCH: Duration = Duration::from_millis(10);

/// An engine whose pool holds that many instances at once.
///
/// # Errors
/// When the address space for the pool cannot be had.
pub fn engine(instances: u32) -> Result<Engine, Error> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(instances)
        .total_memories(instances)
        .total_tables(instances)
        .max_unused_warm_slots(instances)
        .max_memory_size(usize::try_from(MEMORY_BYTES_MAX).expect("a 64-bit host"))
        .table_elements(1 << 16)
        .max_core_instance_size(1 << 20);

    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .wasm_wide_arithmetic(true)
        .epoch_interruption(true)
        .memory_init_cow(true)
        // An image with holes falls back to copying without a word, unless every extent counts as dense.
        .memory_guaranteed_dense_image_size(MEMORY_BYTES_MAX)
        .concurrency_support(false)
        // A trap is told by its class; collecting frames would be work on the request's path.
        .wasm_backtrace_max_frames(None);
    Engine::new(&config)
        .map_err(Error::engine("reserve its pool (fewer `lanes` or images need less address space)"))
}

/// Advances an engine's epoch until it is dropped.
pub struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts to tick.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(engine: &Engine) -> Result<Arc<Self>, Error> {
        let engine = engine.weak();
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("epoch".into())
            .spawn(move || {
                while stopped.recv_timeout(EPOCH) == Err(RecvTimeoutError::Timeout) {
                    let Some(engine) = engine.upgrade() else { return };
                    engine.increment_epoch();
                }
            })
            .map_err(|source| Error::io("start the thread", "epoch", source))?;
        Ok(Arc::new(Self { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A ticker that panicked has stopped, which is all that is wanted of it.
            let _ = thread.join();
        }
    }
}

/// Epochs after which a call of that duration has had its time: one more than fit, as the first is under way.
#[must_use]
pub fn epochs(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(EPOCH.as_nanos())).unwrap_or(u64::MAX - 1) + 1
}
