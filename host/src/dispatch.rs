//! Admission and the queue in front of the lanes.
//!
//! Invariant: the queue is bounded, a job that was admitted is answered, and stopping means admitting
//! nothing more, then letting the lanes finish.

pub use crate::lane::StartError;
use crate::{
    config::SwapPolicy,
    generation::{Generation, Service},
    job::{Ask, Job, Outcome},
    lane::{Lane, Notice, Shared},
    metrics::Metrics,
    nursery::Nursery,
    reaper::Reaper,
};
use arc_swap::ArcSwapOption;
use crossbeam_channel::{Sender, TrySendError, bounded};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Rooms in the reaper's queue for each lane.
const REAPER_ROOM_PER_LANE: usize = 4;

/// Sizes of a dispatcher.
#[derive(Clone, Copy, Debug)]
pub struct DispatchConfig {
    /// Compute threads.
    pub lanes: usize,
    /// Calls that may wait.
    pub queue_depth: usize,
    /// Memory of one instance.
    pub memory_limit_bytes: u64,
    /// Longest reply.
    pub reply_bytes_max: u64,
    /// When lanes swap.
    pub swap: SwapPolicy,
}

impl DispatchConfig {
    /// Instances that can be alive at once, for the size of the pool: for each lane and service an active
    /// one, a standby, one in the nursery and, while a generation is replaced, the same again; and those that wait
    /// for the reaper.
    #[must_use]
    pub fn instances_max(&self, services: usize) -> u32 {
        let instances = self.lanes * services * 6 + self.lanes * REAPER_ROOM_PER_LANE + 2;
        u32::try_from(instances).unwrap_or(u32::MAX)
    }
}

/// Why a call was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Too many calls wait.
    #[error("the queue is full; try again in {} s", .retry_after.as_secs())]
    QueueFull {
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// The server stops.
    #[error("the server is shutting down")]
    Draining,
}

/// Whether a call that came now would run at once or soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It would.
    Ready,
    /// Some lanes have no instance yet.
    Starting,
    /// It would be turned away, as too many wait.
    QueueFull,
    /// The server stops.
    Draining,
}

/// The queue and the lanes behind it.
pub struct Dispatcher {
    config: DispatchConfig,
    services: Vec<Arc<Service>>,
    metrics: Arc<Metrics>,
    queue: ArcSwapOption<Sender<Job>>,
    notices: Vec<Sender<Notice>>,
    lanes_ready: Arc<AtomicUsize>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    lanes: ThreadPool,
    lanes_done: crossbeam_channel::Receiver<()>,
    helpers: Vec<JoinHandle<()>>,
}

impl Dispatcher {
    /// Starts the lanes; on return each has its instances.
    ///
    /// # Errors
    /// When a thread or an instance cannot be had.
    pub fn start(
        config: DispatchConfig,
        services: Vec<Arc<Service>>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, StartError> {
        let (queue, jobs) = bounded(config.queue_depth);
        let seats = config.lanes * services.len();
        let (reaper, reaper_thread) =
            Reaper::start(config.lanes * REAPER_ROOM_PER_LANE, Arc::clone(&metrics))?;
        let (nursery, nursery_thread) =
            Nursery::start(seats, config.memory_limit_bytes, Arc::clone(&metrics))?;
        let shared = Arc::new(Shared {
            services: services.clone(),
            metrics: Arc::clone(&metrics),
            reaper,
            nursery,
            memory_limit_bytes: config.memory_limit_bytes,
            reply_bytes_max: config.reply_bytes_max,
            swap: config.swap,
        });
        let (notices, mut lanes): (Vec<_>, Vec<_>) = (0..config.lanes)
            .map(|_| {
                let (notice, notices) = bounded(1);
                Ok((notice, Lane::new(Arc::clone(&shared), jobs.clone(), notices)?))
            })
            .collect::<Result<Vec<_>, StartError>>()?
            .into_iter()
            .unzip();
        drop(shared);

        let pool = ThreadPoolBuilder::new()
            .num_threads(config.lanes)
            .thread_name(|lane| format!("lane-{lane}"))
            .build()?;
        // Relaxed: a count for people and probes; the queue carries what has to be ordered.
        let lanes_ready = Arc::new(AtomicUsize::new(config.lanes));
        let (done, lanes_done) = bounded(0);
        for lane in lanes.drain(..) {
            let (ready, done) = (Arc::clone(&lanes_ready), done.clone());
            pool.spawn(move || {
                lane.run();
                ready.fetch_sub(1, Ordering::Relaxed);
                drop(done);
            });
        }
        let threads = Threads { lanes: pool, lanes_done, helpers: vec![reaper_thread, nursery_thread] };
        Ok(Arc::new(Self {
            config,
            services,
            metrics,
            queue: ArcSwapOption::from_pointee(queue),
            notices,
            lanes_ready,
            threads: Mutex::new(Some(threads)),
        }))
    }

    /// Admits a call, or says why not.
    ///
    /// # Errors
    /// When the queue is full or the server stops.
    pub fn submit(&self, ask: Ask) -> Result<oneshot::Receiver<Outcome>, Rejected> {
        let queue = self.queue.load();
        let queue = queue.as_ref().ok_or(Rejected::Draining)?;
        let (reply, answer) = oneshot::channel();
        let job = Job { ask, queued: Instant::now(), reply };
        match queue.try_send(job) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => Err(Rejected::QueueFull { retry_after: self.retry_after() }),
            Err(TrySendError::Disconnected(_)) => Err(Rejected::Draining),
        }
    }

    /// The metrics as Prometheus reads them, with what is known only now.
    #[must_use]
    pub fn render_metrics(&self) -> Vec<u8> {
        self.metrics.queue_is(self.queue_len());
        self.metrics.render()
    }

    /// Replaces the generation of a service. Calls under way finish where they began; lanes move over at
    /// their next.
    pub fn publish(&self, service: usize, generation: Generation) {
        self.services[service].publish(generation);
        for lane in &self.notices {
            // Full: the lane will look at all its services anyway.
            let _ = lane.try_send(Notice::Published);
        }
    }

    /// The services, in the order of their indices.
    #[must_use]
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// Sizes.
    #[must_use]
    pub fn config(&self) -> &DispatchConfig {
        &self.config
    }

    /// The server's metrics.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Calls that wait.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.queue.load().as_ref().map_or(0, |queue| queue.len())
    }

    /// Whether a call could run now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        match &*self.queue.load() {
            None => Readiness::Draining,
            Some(queue) if queue.is_full() => Readiness::QueueFull,
            Some(_) if self.lanes_ready.load(Ordering::Relaxed) < self.config.lanes => Readiness::Starting,
            Some(_) => Readiness::Ready,
        }
    }

    /// Admits nothing more.
    pub fn drain(&self) {
        self.queue.store(None);
    }

    /// Waits until every admitted call was answered and the threads have ended, or the deadline passed.
    #[must_use]
    pub fn join(&self, deadline: Duration) -> Joined {
        self.drain();
        let Some(threads) = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Joined::Finished;
        };
        // Nothing is ever sent: the channel closes when the last lane ends.
        if threads.lanes_done.recv_timeout(deadline) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            // The process is about to end; a lane that spins must not keep it.
            std::mem::forget(threads);
            return Joined::GaveUp;
        }
        drop(threads.lanes);
        for helper in threads.helpers {
            if helper.join().is_err() {
                tracing::error!("a helper thread had panicked");
            }
        }
        Joined::Finished
    }

    /// The time that the calls ahead are likely to take, in whole seconds, at least one.
    fn retry_after(&self) -> Duration {
        let ahead = self.queue_len() / self.config.lanes.max(1) + 1;
        let seconds = self.metrics.call_seconds_mean() * ahead as f64;
        Duration::from_secs(seconds.ceil().clamp(1.0, 600.0) as u64)
    }
}

/// How draining ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// Every admitted call was answered.
    Finished,
    /// The deadline passed first.
    GaveUp,
}
