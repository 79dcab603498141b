//! A lane's instances of one service: the active one, and the standbys that wait behind it.
//!
//! A call takes the active instance; what comes after it, swapping included, comes after the reply.
//!
//! Invariant: a call begins and ends in one instance, an instance that faulted is never called again, and what
//! could wait is never done without a standby that is ready.

use crate::{
    entropy::Entropy,
    events::What,
    generation::Service,
    growth::Growth,
    instance::{Call, Condition, Fault, Instance},
    job::{Ask, Form},
    lane::Shared,
    meter::Watcher,
    metrics::LaneGauges,
    nursery::{Crib, Taken},
    policy::{Percent, Policy, SwapPolicy},
    pressure::{self, Decision, Pressure, Reason, Sample},
    process::Grant,
    witness::CalculatorError,
};
use crossbeam_channel::Sender;
use snapback_snapshot::call::Reply;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// By how much each failure of a standby raises the warn threshold, and up to where.
const WARN_STEP: u8 = 5;
const WARN_MAX: u8 = 85;
/// Pause after the first failure of a standby; it doubles with each.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Why a swap is put off.
const IN_A_STORM: &str = "the image was swapped swap.per_minute_max times in this minute";

/// What an operator wants of a lane's instances of one service. Asked twice before it is done, it is done once.
#[derive(Default)]
pub(crate) struct Wishes {
    // Relaxed: flags that stand for themselves; the lane is woken through a channel after they are set.
    prepare: AtomicBool,
    swap: AtomicBool,
}

impl Wishes {
    /// Have a standby at hand.
    pub(crate) fn prepare(&self) {
        self.prepare.store(true, Ordering::Relaxed);
    }

    /// Replace the active instance, once a standby is ready.
    pub(crate) fn swap(&self) {
        self.swap.store(true, Ordering::Relaxed);
    }
}

/// A lane's instances of one service.
pub(crate) struct Seat {
    service: Arc<Service>,
    lane: usize,
    active: Option<Active>,
    crib: Crib,
    growth: Growth,
    pressure: Pressure,
    /// No standby is ordered before: the last ones failed.
    backoff_until: Option<Instant>,
    wishes: Arc<Wishes>,
    watcher: Watcher,
    grant: Grant,
    gauges: LaneGauges,
    /// Why the swap that is due was put off, as it was last told: once for each reason is enough.
    put_off: Option<&'static str>,
    /// How long the witness calculator of the last call ran.
    witness_took: Duration,
}

struct Active {
    instance: Instance,
    life: Life,
}

/// How an instance has lived since it became active.
struct Life {
    began: Instant,
    last_call: Instant,
    calls: u64,
    calls_max: Option<u64>,
    age_max: Option<Duration>,
}

impl Seat {
    /// Takes its place with an active instance. `wake` makes the lane look at its wishes.
    pub(crate) fn new(
        service: &Arc<Service>,
        lane: usize,
        wishes: Arc<Wishes>,
        wake: Sender<()>,
        shared: &Shared,
    ) -> Result<Self, Fault> {
        let policy = service.policy();
        let crib = Crib::new(service, lane, &shared.nursery, wake);
        let gauges = shared.metrics.lane_gauges(service.name(), lane);
        let grant = shared.process.grant();
        let watcher: Watcher = {
            let (service, orders, gauges) = (Arc::clone(service), crib.orders().clone(), gauges.clone());
            let grant = grant.clone();
            Arc::new(move |bytes| {
                gauges.memory(bytes);
                grant.is(bytes.saturating_sub(service.current().image().manifest.memory_bytes));
                let policy = service.policy();
                let pressure = Pressure::of(bytes, policy.memory_limit_bytes, policy.warn, policy.critical);
                // In the middle of a call: by its end the standby is there.
                if policy.swap == SwapPolicy::Threshold && pressure >= Pressure::Warn {
                    orders.one();
                }
            })
        };
        let mut seat = Self {
            service: Arc::clone(service),
            lane,
            active: None,
            crib,
            growth: Growth::default(),
            pressure: Pressure::Calm,
            backoff_until: None,
            wishes,
            watcher,
            grant,
            gauges,
            put_off: None,
            witness_took: Duration::ZERO,
        };
        let instance = Instance::of(&service.current(), policy.memory_limit_bytes)?;
        seat.active = Some(seat.begin(instance, &policy, shared));
        if policy.swap == SwapPolicy::EveryCall {
            seat.crib.orders().stock();
        }
        Ok(seat)
    }

    /// How long the witness calculator of the last call ran; nothing where it had none.
    pub(crate) fn witness_took(&self) -> Duration {
        self.witness_took
    }

    pub(crate) fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Runs a call; one that failed for want of memory, or trapped, in a used instance runs once more in a
    /// fresh one.
    pub(crate) fn run(&mut self, ask: &Ask, policy: &Policy, shared: &Shared) -> Result<Reply, Fault> {
        let begun = Instant::now();
        let deadline = policy.deadline_of(&ask.method);
        self.witness_took = Duration::ZERO;
        let mut active = self.take(ask, policy, shared)?;
        let is_used = active.life.calls > 0;
        let before_bytes = active.instance.meter().now_bytes();
        let witness = match witness(&active.instance, ask, self.service.name(), shared) {
            Ok(witness) => witness,
            Err(error) => {
                self.active = Some(active);
                return Err(error.into());
            }
        };
        if witness.is_some() {
            self.witness_took = begun.elapsed();
        }
        let body = witness.as_deref().unwrap_or(&ask.body.bytes);
        let mut outcome = call(&mut active.instance, ask, body, deadline, shared, self.lane);
        let again = match &outcome {
            Err(Fault::OutOfMemory(_)) if is_used => Some(Reason::OutOfMemory),
            Err(Fault::Trap(_)) if is_used => Some(Reason::Trap),
            _ => None,
        };
        let after_bytes = active.instance.meter().now_bytes();
        if is_used && outcome.is_ok() {
            self.growth.saw(&ask.method, &ask.circuit, after_bytes - before_bytes);
        }
        if let Some(reason) = again.filter(|_| policy.is_repeatable(&ask.method)) {
            shared.metrics.retried(self.service.name());
            self.tell(shared, || What::SwapStart { reason });
            shared.retire(active.instance);
            active = self.fresh(policy, shared)?;
            self.swapped(reason, begun, shared);
            let left =
                (deadline + self.witness_took).saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
            outcome = call(&mut active.instance, ask, body, left, shared, self.lane);
        }
        if outcome.is_ok() {
            let retained_bytes = active.instance.meter().now_bytes().saturating_sub(before_bytes);
            shared.metrics.retained(self.service.name(), &ask.method, retained_bytes);
        }
        active.life.calls += 1;
        active.life.last_call = shared.seams.clock.now();
        self.active = Some(active);
        outcome
    }

    /// The instance for the next call: the active one, unless the call would not fit it or it is not of what is
    /// served now; else a standby; else, when none is ready, one made on the spot.
    fn take(&mut self, ask: &Ask, policy: &Policy, shared: &Shared) -> Result<Active, Fault> {
        self.leave_what_is_outdated(policy, shared);
        if self.active.as_ref().is_some_and(|active| self.is_too_full(active, ask, policy)) {
            // What is foreseen is not seen: without this, one large call would be foreseen for ever.
            self.growth.doubts(&ask.method, &ask.circuit);
            self.swap(Reason::Predicted, policy, shared);
        }
        match self.active.take() {
            Some(active) => Ok(active),
            None => self.fresh(policy, shared),
        }
    }

    fn is_too_full(&self, active: &Active, ask: &Ask, policy: &Policy) -> bool {
        let growth_bytes = self.growth.of(&ask.method, &ask.circuit);
        let meter = active.instance.meter();
        policy.swap == SwapPolicy::Threshold
            && active.life.calls > 0
            && !pressure::fits(meter.now_bytes(), growth_bytes, meter.limit_bytes())
    }

    /// A standby, or an instance made on the spot.
    fn fresh(&mut self, policy: &Policy, shared: &Shared) -> Result<Active, Fault> {
        self.look(policy, shared);
        if let Some(standby) = self.standby(shared) {
            self.restock(policy, shared);
            return Ok(self.begin(standby, policy, shared));
        }
        let begun = Instant::now();
        shared.metrics.standby_missing(self.service.name());
        let made = Instance::of(&self.service.current(), policy.memory_limit_bytes)?;
        self.restock(policy, shared);
        shared.metrics.swap_took(self.service.name(), begun.elapsed());
        Ok(self.begin(made, policy, shared))
    }

    /// After a call, and now and then without one: samples, decides, and does it. `fault` is why the instance is
    /// broken, if it is.
    pub(crate) fn settle(&mut self, fault: Option<Reason>, policy: &Policy, shared: &Shared) {
        let warn = self.warn(policy);
        let Some(active) = &mut self.active else { return };
        if active.instance.condition() == Condition::Broken {
            return self.swap(fault.unwrap_or(Reason::Fault), policy, shared);
        }
        // No hook is asked where its answer would change nothing.
        let sample = match policy.swap {
            SwapPolicy::Threshold => sample(active, &self.growth, warn, shared),
            _ => Ok(plain_sample(active, policy.warn, shared)),
        };
        let Ok(sample) = sample else {
            return self.swap(Reason::Fault, policy, shared);
        };
        self.gauges.used(sample.used_bytes);
        self.tell_memory(&sample, policy, shared);
        if policy.swap == SwapPolicy::Threshold {
            self.look(policy, shared);
        }
        match pressure::decide(&sample, policy) {
            Decision::Keep => {}
            Decision::Prepare => self.order(policy, shared),
            Decision::Swap(reason) => self.swap(reason, policy, shared),
        }
    }

    /// Between calls: does what operators wish, and moves over to a new generation.
    pub(crate) fn tend(&mut self, policy: &Policy, shared: &Shared) {
        if self.wishes.prepare.swap(false, Ordering::Relaxed) {
            self.order(policy, shared);
        }
        self.leave_what_is_outdated(policy, shared);
        if self.active.is_none() {
            self.look(policy, shared);
            if let Some(standby) = self.standby(shared) {
                self.active = Some(self.begin(standby, policy, shared));
            }
            self.restock(policy, shared);
        }
        if self.wishes.swap.load(Ordering::Relaxed) {
            self.swap(Reason::Operator, policy, shared);
        }
    }

    /// Ends: everything it has goes to the reaper.
    pub(crate) fn leave(mut self, shared: &Shared) {
        if let Some(active) = self.active.take() {
            shared.retire(active.instance);
        }
    }

    /// Retires an active instance of another generation, or under another limit.
    fn leave_what_is_outdated(&mut self, policy: &Policy, shared: &Shared) {
        let service = &self.service;
        let outdated = self.active.take_if(|active| {
            !service.is_current(active.instance.generation())
                || active.instance.meter().limit_bytes() != policy.memory_limit_bytes
        });
        let Some(Active { instance, .. }) = outdated else { return };
        let begun = Instant::now();
        let is_new_generation = !service.is_current(instance.generation());
        let reason = if is_new_generation { Reason::Generation } else { Reason::Operator };
        self.tell(shared, || What::SwapStart { reason });
        shared.retire(instance);
        self.growth.clear();
        self.look(policy, shared);
        self.active = self.standby(shared).map(|standby| self.begin(standby, policy, shared));
        self.restock(policy, shared);
        self.swapped(reason, begun, shared);
    }

    /// Replaces the active instance. What can wait waits for a standby, for `swap.life_min` and for the minute's
    /// count; what cannot leaves the place empty, for the next call or the next standby to fill.
    fn swap(&mut self, reason: Reason, policy: &Policy, shared: &Shared) {
        let begun = Instant::now();
        self.look(policy, shared);
        if (reason.can_wait() || reason == Reason::Operator)
            && let Err(error) = self.may_swap(reason, policy, shared)
        {
            self.order(policy, shared);
            self.crib.orders().wake_for_next();
            if self.put_off.replace(error) != Some(error) {
                self.tell(shared, || What::SwapError { reason, error });
            }
            return;
        }
        self.tell(shared, || What::SwapStart { reason });
        if reason == Reason::Operator {
            self.wishes.swap.store(false, Ordering::Relaxed);
        }
        let standby = self.standby(shared).map(|standby| self.begin(standby, policy, shared));
        if standby.is_none() {
            self.grant.is(0);
        }
        if let Some(used) = std::mem::replace(&mut self.active, standby) {
            shared.retire(used.instance);
        }
        self.restock(policy, shared);
        self.swapped(reason, begun, shared);
    }

    fn may_swap(&mut self, reason: Reason, policy: &Policy, shared: &Shared) -> Result<(), &'static str> {
        if !self.crib.is_ready() {
            return Err("no standby is ready yet");
        }
        if reason == Reason::Operator {
            return Ok(());
        }
        let now = shared.seams.clock.now();
        let age = self.active.as_ref().map(|active| now.saturating_duration_since(active.life.began));
        if age.is_some_and(|age| age < policy.life_min) {
            return Err("the instance is younger than swap.life_min");
        }
        if !self.service.storm.allows(now, policy.swaps_per_minute_max) {
            if self.put_off != Some(IN_A_STORM) {
                tracing::warn!(
                    image = self.service.name(),
                    lane = self.lane,
                    reason = IN_A_STORM,
                    "swap put off"
                );
            }
            shared.metrics.swap_refused(self.service.name());
            return Err(IN_A_STORM);
        }
        Ok(())
    }

    fn swapped(&mut self, reason: Reason, begun: Instant, shared: &Shared) {
        let took = begun.elapsed();
        self.put_off = None;
        shared.metrics.swapped(self.service.name(), reason);
        shared.metrics.swap_took(self.service.name(), took);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.tell(shared, || What::SwapComplete { reason, took_us });
    }

    /// Makes an instance the active one.
    fn begin(&mut self, mut instance: Instance, policy: &Policy, shared: &Shared) -> Active {
        instance.watch(&self.watcher);
        let now = shared.seams.clock.now();
        let shortened = |most: u64| {
            let part = u128::from(policy.jitter.of(most)) * u128::from(jitter()) / 256;
            most.saturating_sub(u64::try_from(part).unwrap_or(most))
        };
        let life = Life {
            began: now,
            last_call: now,
            calls: 0,
            calls_max: policy.calls_max.map(|most| shortened(most).max(1)),
            age_max: policy.age_max.map(|most| {
                Duration::from_millis(shortened(u64::try_from(most.as_millis()).unwrap_or(u64::MAX)))
            }),
        };
        Active { instance, life }
    }

    /// Takes in what the nursery made; failures make the next order wait.
    fn look(&mut self, policy: &Policy, shared: &Shared) {
        let failures = self.crib.look();
        while let Some(stale) = self.crib.take_stale() {
            shared.retire(stale);
        }
        let Some(failures) = failures else { return };
        if failures == 0 {
            self.backoff_until = None;
        } else {
            let pause = BACKOFF_MIN.saturating_mul(1 << (failures - 1).min(16)).min(BACKOFF_MAX);
            self.backoff_until = Some(shared.seams.clock.now() + pause);
            tracing::warn!(
                image = self.service.name(),
                lane = self.lane,
                failures,
                warn_at = %self.warn(policy),
                "standbys fail: going on with the active instance"
            );
        }
        self.crib.orders().hold(self.backoff_until.is_some());
    }

    /// Lets orders go out again once the pause after a failure is over.
    fn end_backoff(&mut self, shared: &Shared) {
        if self.backoff_until.is_some_and(|until| shared.seams.clock.now() >= until) {
            self.backoff_until = None;
            self.crib.orders().hold(false);
        }
    }

    /// The warn threshold: raised while standbys fail, so that the next attempt comes later.
    fn warn(&self, policy: &Policy) -> Percent {
        let raised = u8::try_from(self.crib.failures().min(20)).unwrap_or(20) * WARN_STEP;
        let most = WARN_MAX.max(policy.warn.hundredths());
        Percent::new(policy.warn.hundredths().saturating_add(raised).min(most))
    }

    /// Has a standby made, unless the last ones failed a moment ago.
    fn order(&mut self, policy: &Policy, shared: &Shared) {
        self.end_backoff(shared);
        match policy.swap {
            SwapPolicy::EveryCall => self.crib.orders().stock(),
            SwapPolicy::Threshold | SwapPolicy::Off => self.crib.orders().one(),
        }
    }

    /// Orders what the policy wants at hand when nothing presses.
    fn restock(&mut self, policy: &Policy, shared: &Shared) {
        self.end_backoff(shared);
        if policy.swap == SwapPolicy::EveryCall {
            self.crib.orders().stock();
        } else if self.active.is_none() {
            self.crib.orders().one();
        }
    }

    fn standby(&mut self, shared: &Shared) -> Option<Instance> {
        loop {
            match self.crib.take() {
                Taken::Ready(standby) => return Some(standby),
                Taken::Stale(stale) => shared.retire(stale),
                Taken::None => return None,
            }
        }
    }

    fn tell(&self, shared: &Shared, what: impl FnOnce() -> What) {
        if shared.events.is_heard() {
            shared.events.tell(self.service.name(), Some(self.lane), what());
        }
    }

    fn tell_memory(&mut self, sample: &Sample, policy: &Policy, shared: &Shared) {
        let Sample { used_bytes, limit_bytes, .. } = *sample;
        let pressure = Pressure::of(used_bytes, limit_bytes, sample.warn, policy.critical);
        self.tell(shared, || What::MemoryCheck { used_bytes, limit_bytes, pressure });
        let from = std::mem::replace(&mut self.pressure, pressure);
        if from != pressure {
            self.tell(shared, || What::Pressure { from, to: pressure });
        }
    }
}

/// What is known without asking the guest.
fn plain_sample(active: &Active, warn: Percent, shared: &Shared) -> Sample {
    let now = shared.seams.clock.now();
    let Active { instance, life } = active;
    Sample {
        used_bytes: instance.meter().now_bytes(),
        limit_bytes: instance.meter().limit_bytes(),
        growth_bytes: 0,
        calls: life.calls,
        calls_max: life.calls_max,
        age: now.saturating_duration_since(life.began),
        age_max: life.age_max,
        idle: now.saturating_duration_since(life.last_call),
        retires: false,
        process: shared.process_pressure(),
        warn,
    }
}

fn sample(active: &mut Active, growth: &Growth, warn: Percent, shared: &Shared) -> Result<Sample, Fault> {
    let used_bytes = active.instance.used_bytes()?;
    let retires = active.instance.retires()?;
    Ok(Sample { used_bytes, retires, growth_bytes: growth.most(), ..plain_sample(active, warn, shared) })
}

/// A random byte; from the system, as lanes that started together should not swap together.
fn jitter() -> u8 {
    let mut byte = [0];
    // Without randomness, nothing is shortened.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}

/// The witness of a circuit's inputs, by the calculator of the generation that the call runs in.
fn witness(
    instance: &Instance,
    ask: &Ask,
    image: &str,
    shared: &Shared,
) -> Result<Option<Zeroizing<Vec<u8>>>, CalculatorError> {
    if ask.form == Form::Raw {
        return Ok(None);
    }
    let begun = Instant::now();
    let calculator = instance.generation().calculator(&ask.circuit).ok_or(CalculatorError::Missing)?;
    let witness = catch_unwind(AssertUnwindSafe(|| calculator.run(&ask.body.bytes)));
    let panicked = |_| Err(CalculatorError::Engine(wasmtime::Error::msg("the host panicked")));
    let witness = witness.unwrap_or_else(panicked);
    shared.metrics.witness_took(image, begun.elapsed());
    witness.map(Some)
}

fn call(
    instance: &mut Instance,
    ask: &Ask,
    body: &[u8],
    deadline: Duration,
    shared: &Shared,
    lane: usize,
) -> Result<Reply, Fault> {
    let call = Call {
        method: &ask.method,
        circuit: &ask.circuit,
        body,
        entropy: Entropy::fresh(),
        deadline,
        reply_bytes_max: shared.reply_bytes_max,
    };
    // A panic of the host in the middle of a call costs that call and its instance, not the lane.
    catch_unwind(AssertUnwindSafe(|| {
        shared.seams.faults.call(lane, &ask.method);
        instance.call(&call)
    }))
    .unwrap_or_else(|_| Err(Fault::Engine(wasmtime::Error::msg("the host panicked"))))
}
