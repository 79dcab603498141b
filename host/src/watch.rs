//! Looks at what a lane cannot see itself: a call of its own that uses no processor.
//!
//! A call that spins is stopped by its deadline. One that sleeps executes nothing that could stop it: the watch
//! answers its client, and puts another lane into the place of the one that is stuck.
//!
//! Invariant: the lane and the watch both want to answer; who takes the call from the desk does.

use crate::{breaker::Probe, generation::Service, job::Answer};
use std::{
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A call that is running.
pub(crate) struct InFlight {
    pub(crate) answer: Answer,
    pub(crate) begun: Instant,
    pub(crate) service: Arc<Service>,
    pub(crate) stall_timeout: Duration,
    pub(crate) probe: Option<Probe>,
}

/// Where a lane lays its call while it runs.
#[derive(Default)]
pub(crate) struct Desk {
    state: Mutex<DeskState>,
}

#[derive(Default)]
struct DeskState {
    call: Option<InFlight>,
    /// Counts calls, so that two looks know whether they saw the same one.
    calls: u64,
    /// The thread of the lane that sits here.
    thread: Option<rustix::thread::Pid>,
    /// The processor time that a look found, when it had last changed, and in which call.
    seen: Option<(u64, CpuTicks, Instant)>,
}

/// Processor time of a thread, in ticks of the kernel's accounting.
type CpuTicks = u64;

impl Desk {
    fn lock(&self) -> MutexGuard<'_, DeskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calling thread is the lane's.
    pub(crate) fn sit_down(&self) {
        self.lock().thread = Some(rustix::thread::gettid());
    }

    /// A call begins.
    pub(crate) fn begin(&self, call: InFlight) {
        let mut state = self.lock();
        state.calls += 1;
        state.call = Some(call);
    }

    /// A call has ended; none if the watch took it.
    pub(crate) fn end(&self) -> Option<InFlight> {
        self.lock().call.take()
    }

    /// Takes a call that has used no processor for its image's `call.stall_timeout`.
    pub(crate) fn take_stalled(&self, now: Instant) -> Option<InFlight> {
        let mut state = self.lock();
        let stall_timeout = state.call.as_ref()?.stall_timeout;
        let thread = state.thread?;
        let Some(ticks) = sleeping_at(thread) else {
            state.seen = None;
            return None;
        };
        match state.seen {
            Some((calls, seen, since)) if calls == state.calls && seen == ticks => {
                if now.saturating_duration_since(since) >= stall_timeout {
                    state.seen = None;
                    return state.call.take();
                }
            }
            _ => state.seen = Some((state.calls, ticks, now)),
        }
        None
    }
}

/// The processor time of a thread that waits for something else than a processor; proc(5), `stat`, fields 3, 14
/// and 15. Who is runnable and merely gets no turn does not stall.
fn sleeping_at(thread: rustix::thread::Pid) -> Option<CpuTicks> {
    let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", thread.as_raw_nonzero())).ok()?;
    // The second field is the name in brackets, and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let is_runnable = fields.next()? == "R";
    let user: CpuTicks = fields.nth(10)?.parse().ok()?;
    let system: CpuTicks = fields.next()?.parse().ok()?;
    (!is_runnable).then_some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_computes_does_not_sleep_and_who_waits_does() {
        let (told, tell) = crossbeam_channel::bounded::<rustix::thread::Pid>(1);
        let (go_on, wait) = crossbeam_channel::bounded::<()>(0);
        let sleeper = std::thread::spawn(move || {
            told.send(rustix::thread::gettid()).expect("heard");
            let _ = wait.recv();
        });
        let thread = tell.recv().expect("a thread");
        while sleeping_at(thread).is_none() {
            std::thread::yield_now();
        }
        assert_eq!(sleeping_at(rustix::thread::gettid()), None, "this thread runs");
        drop(go_on);
        sleeper.join().expect("it ends");
    }
}
