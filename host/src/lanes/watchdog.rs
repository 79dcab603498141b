//! Finds what a lane cannot see itself: a call of its own that uses no processor time.
//!
//! A call that spins is stopped by its deadline. A call that sleeps executes nothing that could stop it: the watchdog
//! answers it, and the pool puts another lane in the place of the stalled one.
//!
//! Invariant: lane and watchdog both want to deliver the outcome; the one that takes the call out of its cell does.

use super::reply_sink::Reply;
use crate::{
    policy::{SwapPolicy, breaker::Probe},
    service::Service,
};
use std::{
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A call that is running.
pub(super) struct InFlight {
    pub(super) reply: Reply,
    pub(super) begun: Instant,
    pub(super) service: Arc<Service>,
    pub(super) method: String,
    /// The swap policy under which the call is served.
    pub(super) swap: SwapPolicy,
    pub(super) stall_timeout: Duration,
    pub(super) probe: Option<Probe>,
}

/// Holds the call that a lane runs, where the watchdog can see it.
#[derive(Default)]
pub(super) struct InFlightCell {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    call: Option<InFlight>,
    /// Counts calls, so that two checks know whether they saw the same one.
    calls: u64,
    /// The thread of the lane.
    thread: Option<rustix::thread::Pid>,
    /// The last check that found the thread asleep.
    asleep: Option<Asleep>,
}

/// Processor time of a thread, in ticks of the kernel's accounting.
type CpuTicks = u64;

/// What a check found: the call, the processor time used so far, and since when neither has changed.
struct Asleep {
    calls: u64,
    ticks: CpuTicks,
    since: Instant,
}

impl InFlightCell {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the calling thread the one whose processor time is checked.
    pub(super) fn bind_thread(&self) {
        self.lock().thread = Some(rustix::thread::gettid());
    }

    /// Puts a call in when it begins.
    pub(super) fn begin(&self, call: InFlight) {
        let mut state = self.lock();
        state.calls += 1;
        state.call = Some(call);
    }

    /// Takes the call out when it has ended; `None` if the watchdog has taken it.
    pub(super) fn end(&self) -> Option<InFlight> {
        self.lock().call.take()
    }

    /// Takes the call out if it has used no processor time for its `call.stall_timeout`.
    pub(super) fn take_stalled(&self, now: Instant) -> Option<InFlight> {
        let mut state = self.lock();
        let stall_timeout = state.call.as_ref()?.stall_timeout;
        let thread = state.thread?;
        let Some(ticks) = sleeping_at(thread) else {
            state.asleep = None;
            return None;
        };
        match state.asleep {
            Some(Asleep { calls, ticks: seen, since }) if calls == state.calls && seen == ticks => {
                if now.saturating_duration_since(since) >= stall_timeout {
                    state.asleep = None;
                    return state.call.take();
                }
            }
            _ => state.asleep = Some(Asleep { calls: state.calls, ticks, since: now }),
        }
        None
    }
}

/// Returns the processor time of a thread that sleeps; `None` for one that is runnable, since a thread that merely gets
/// no processor does not stall. Source: proc(5), `stat`, fields 3, 14 and 15.
fn sleeping_at(thread: rustix::thread::Pid) -> Option<CpuTicks> {
    let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", thread.as_raw_nonzero())).ok()?;
    // The second field is the name in brackets and may contain anything.
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
    fn a_thread_that_computes_does_not_sleep_and_one_that_waits_does() {
        let (sender, receiver) = crossbeam_channel::bounded::<rustix::thread::Pid>(1);
        let (release, wait) = crossbeam_channel::bounded::<()>(0);
        let sleeper = std::thread::spawn(move || {
            sender.send(rustix::thread::gettid()).expect("the receiver lives");
            let _ = wait.recv();
        });
        let thread = receiver.recv().expect("a thread");
        while sleeping_at(thread).is_none() {
            std::thread::yield_now();
        }
        assert_eq!(sleeping_at(rustix::thread::gettid()), None, "this thread runs");
        drop(release);
        sleeper.join().expect("it ends");
    }
}
