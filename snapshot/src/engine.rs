//! The only place that builds a `wasmtime::Config`. Bake and serve use the same settings, so native code that one
//! compiles loads in the other.
//!
//! Invariant: two engines differ in the size of their pools and in nothing else.

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

/// Largest linear memory of an instance in bytes: the range of 32-bit addresses.
pub const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// Interval at which the epoch of an engine advances: the resolution of every deadline.
const EPOCH: Duration = Duration::from_millis(10);

/// Creates an engine whose pool holds `instances` instances at once.
///
/// # Errors
/// Returns an error if the address space for the pool cannot be reserved.
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
        // Wasmtime copies the memory of an image with holes, and does not report it, unless every extent counts as
        // dense.
        .memory_guaranteed_dense_image_size(MEMORY_BYTES_MAX)
        .concurrency_support(false)
        // A trap is reported by its class; collecting frames would take time on the path of a request.
        .wasm_backtrace_max_frames(None);
    Engine::new(&config)
        .map_err(Error::engine("reserve its pool (fewer `lanes` or images need less address space)"))
}

/// Advances the epoch of an engine until it is dropped.
pub struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread that advances the epoch.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be started.
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
            // A ticker that panicked has stopped too, so its panic does not matter.
            let _ = thread.join();
        }
    }
}

/// Returns the number of epochs after which a deadline of this duration has passed: one more than the duration holds,
/// because the first one has begun already.
#[must_use]
pub fn epochs(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(EPOCH.as_nanos())).unwrap_or(u64::MAX - 1) + 1
}
