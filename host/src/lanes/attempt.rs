//! One call on one lane: prepares its body, runs it, and decides whether it may run once more.
//!
//! Invariant: a panic of the host while it runs the call costs that call and its instance, and all attempts at a call
//! share one deadline.

use super::{
    call::{BodyKind, CallRequest},
    context::LaneContext,
    stages,
};
use crate::{
    ids::LaneId,
    instance::{Call, Condition, Entropy, Fault, Instance},
    policy::{Policy, Reason},
    witness::CalculatorError,
};
use snapback_abi::reply::Tag;
use snapback_snapshot::call::Reply;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// How far a call came, and how long its witness took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) reached: Reached,
    /// How long the witness calculator ran; zero if the call has none.
    pub(super) witness_took: Duration,
}

/// How far a call came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reached {
    /// The guest, or the making of its instance.
    #[default]
    Guest,
    /// Only the witness calculator: its inputs were refused, or their witness is the reply.
    Calculator,
}

/// One call, for as long as it runs.
pub(super) struct Attempt<'a> {
    request: &'a CallRequest,
    context: &'a LaneContext,
    lane: LaneId,
    begun: Instant,
    deadline: Duration,
    is_repeatable: bool,
    /// The witness, where the client sent inputs of a circuit.
    witness: Option<Zeroizing<Vec<u8>>>,
    progress: Progress,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        request: &'a CallRequest,
        policy: &Policy,
        lane: LaneId,
        context: &'a LaneContext,
    ) -> Self {
        Self {
            request,
            context,
            lane,
            begun: Instant::now(),
            deadline: policy.deadline_of(&request.method),
            is_repeatable: policy.is_repeatable(&request.method),
            witness: None,
            progress: Progress::default(),
        }
    }

    /// When the call began.
    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// How far the call has come.
    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// Prepares the body, and returns the result of the call if it ends with that: the circuit is another tenant's, the
    /// client's inputs are refused, or their witness is all that it wants. The deadline of the call begins afterwards:
    /// calculators have one of their own.
    pub(super) fn prepare(&mut self, instance: &Instance, image: &str) -> Option<Result<Reply, Fault>> {
        // Another tenant's circuit may have taken the name since the call was admitted.
        if let (Some(tenant), Some(owner)) =
            (&self.request.tenant, instance.generation().owner(&self.request.circuit))
            && tenant != owner
        {
            let body = format!("no circuit `{}`", self.request.circuit).into_bytes().into();
            return Some(Ok(Reply { tag: Tag::UnknownCircuit, body }));
        }
        if self.request.kind == BodyKind::Raw {
            return None;
        }
        let result = self.calculate_witness(instance, image);
        let outcome = if result.is_ok() { "ok" } else { "no_witness" };
        stages::witness(self.request, self.begun, image, self.lane, outcome);
        self.progress = Progress { reached: Reached::Calculator, witness_took: self.begun.elapsed() };
        match (result, self.request.kind) {
            (Err(error), _) => Some(Err(error.into())),
            (Ok(witness), BodyKind::InputsOfWitness) => Some(self.witness_reply(witness)),
            (Ok(witness), _) => {
                self.witness = Some(witness);
                self.progress.reached = Reached::Guest;
                None
            }
        }
    }

    /// Computes the witness of the client's inputs, with the calculator of the generation that the call runs in.
    fn calculate_witness(
        &self,
        instance: &Instance,
        image: &str,
    ) -> Result<Zeroizing<Vec<u8>>, CalculatorError> {
        let begun = Instant::now();
        let calculator =
            instance.generation().calculator(&self.request.circuit).ok_or(CalculatorError::Missing)?;
        let result = catch_unwind(AssertUnwindSafe(|| calculator.run(&self.request.body.bytes)));
        let panicked = |_| Err(CalculatorError::Engine(wasmtime::Error::msg("the host panicked")));
        let result = result.unwrap_or_else(panicked);
        self.context.telemetry.metrics.witness_calculated(image, begun.elapsed());
        result
    }

    fn witness_reply(&self, witness: Zeroizing<Vec<u8>>) -> Result<Reply, Fault> {
        let (bytes, bytes_max) = (witness.len() as u64, self.context.reply_bytes_max);
        if bytes > bytes_max {
            return Err(Fault::ReplyTooLarge { bytes, bytes_max });
        }
        Ok(Reply { tag: Tag::Ok, body: witness })
    }

    /// Runs the call for the first time.
    pub(super) fn run(&self, instance: &mut Instance) -> Result<Reply, Fault> {
        self.call(instance, self.deadline)
    }

    /// Runs the call again, within what is left of its deadline.
    pub(super) fn run_again(&self, instance: &mut Instance) -> Result<Reply, Fault> {
        let left = (self.deadline + self.progress.witness_took).saturating_sub(self.begun.elapsed());
        self.call(instance, left.max(Duration::from_millis(1)))
    }

    /// Why the call is to run again in a fresh instance, if it is: it failed in a used one in a way that the earlier
    /// calls may have caused. `before` is the condition in which the call found the instance.
    pub(super) fn retry_reason(&self, result: &Result<Reply, Fault>, before: Condition) -> Option<Reason> {
        let may_repeat = self.is_repeatable && before == Condition::Used;
        match result {
            Err(fault @ (Fault::OutOfMemory(_) | Fault::Trap(_))) if may_repeat => Some(fault.reason()),
            _ => None,
        }
    }

    fn call(&self, instance: &mut Instance, deadline: Duration) -> Result<Reply, Fault> {
        let CallRequest { service, method, circuit, body, stop, trace, .. } = self.request;
        let before = stages::Before::of(trace, instance);
        let result = catch_unwind(AssertUnwindSafe(|| {
            self.context.seams.faults.call(self.lane, method);
            instance.call(&Call {
                method,
                circuit,
                body: self.witness.as_deref().unwrap_or(&body.bytes),
                entropy: Entropy::fresh(),
                deadline,
                reply_bytes_max: self.context.reply_bytes_max,
                stop: stop.as_ref(),
            })
        }))
        .unwrap_or_else(|_| Err(Fault::host_panicked()));
        if let (Some(before), Some(service)) = (before, self.context.services.get(service.index())) {
            before.called(self.request, instance, service.name(), self.lane, &result);
        }
        result
    }
}
