//! The stages of a call as spans: queue, witness, call or verify, swap.
//!
//! Invariant: a stage is described only where its trace is recorded, by names, numbers and sizes of this program.

use super::call::CallRequest;
use crate::{
    ids::LaneId,
    instance::{Condition, Fault, Instance},
    policy::Reason,
    telemetry::{
        metrics::outcome,
        traces::{Attribute, Kind, Roots, Status, Trace, Traces, attribute},
    },
};
use snapback_abi::METHOD_VERIFY;
use snapback_snapshot::call::Reply;
use std::time::Instant;

/// Digits of an image's digest that spans show.
const DIGEST_LEN: usize = 12;

/// Records how long a call waited for its lane.
pub(super) fn queued(trace: &Trace, queued: Instant, image: &str, lane: LaneId) {
    if trace.is_recorded() {
        trace.stage("queue", (queued, Instant::now()), Status::Unset, || of_lane(image, lane));
    }
}

/// Records how long a witness calculator ran.
pub(super) fn witness(
    request: &CallRequest,
    begun: Instant,
    image: &str,
    lane: LaneId,
    outcome: &'static str,
) {
    if request.trace.is_recorded() {
        // Inputs that are refused are the client's fault.
        request.trace.stage("witness", (begun, Instant::now()), Status::Unset, || {
            let mut attributes = of_lane(image, lane);
            attributes.push(attribute("snapback.circuit", request.circuit.clone()));
            attributes.push(attribute("snapback.outcome", outcome));
            attributes
        });
    }
}

/// An instance before a call.
pub(super) struct Before {
    begun: Instant,
    condition: Condition,
    linear_bytes: u64,
}

impl Before {
    /// Looks at the instance, if the trace is recorded.
    pub(super) fn of(trace: &Trace, instance: &Instance) -> Option<Self> {
        trace.is_recorded().then(|| Self {
            begun: Instant::now(),
            condition: instance.condition(),
            linear_bytes: instance.meter().now_bytes(),
        })
    }

    /// Records a call of the guest.
    pub(super) fn called(
        self,
        request: &CallRequest,
        instance: &Instance,
        image: &str,
        lane: LaneId,
        result: &Result<Reply, Fault>,
    ) {
        let name = if request.method == METHOD_VERIFY { "verify" } else { "call" };
        let status = if result.is_ok() { Status::Unset } else { Status::Error };
        request.trace.stage(name, (self.begun, Instant::now()), status, || {
            let generation = instance.generation();
            let mut digest = generation.image().digest.to_string();
            digest.truncate(DIGEST_LEN);
            let condition = if self.condition == Condition::Fresh { "fresh" } else { "used" };
            // A client may ask for any method; only those of the image become attributes.
            let is_known = !matches!(result, Err(Fault::NoSuchMethod));
            let method = if is_known { request.method.clone() } else { "none".to_owned() };
            let mut attributes = of_lane(image, lane);
            attributes.extend([
                attribute("snapback.method", method),
                attribute("snapback.outcome", outcome(result)),
                attribute("snapback.image.digest", digest),
                attribute("snapback.generation", generation.id().get()),
                attribute("snapback.instance", instance.number()),
                attribute("snapback.instance.condition", condition),
                attribute("snapback.memory.before_bytes", self.linear_bytes),
                attribute("snapback.memory.after_bytes", instance.meter().now_bytes()),
            ]);
            if !request.circuit.is_empty() {
                attributes.push(attribute("snapback.circuit", request.circuit.clone()));
            }
            attributes
        });
    }
}

/// Records a swap: as a stage of the call that it follows from, or as a trace of its own.
pub(super) fn swapped(
    trace: &Trace,
    traces: &Traces,
    begun: Instant,
    reason: Reason,
    image: &str,
    lane: LaneId,
) {
    if !traces.are_on() {
        return;
    }
    let times = (begun, Instant::now());
    let attributes = || {
        let mut attributes = of_lane(image, lane);
        attributes.push(attribute("snapback.reason", reason.label()));
        attributes
    };
    if trace.is_on() {
        return trace.stage("swap", times, Status::Unset, attributes);
    }
    let own = traces.begin(None, None, Roots::Sampled);
    own.end(Kind::Internal, times, Status::Unset, || ("swap".into(), attributes()));
}

fn of_lane(image: &str, lane: LaneId) -> Vec<Attribute> {
    vec![attribute("snapback.image", image.to_owned()), attribute("snapback.lane", lane.index() as u64)]
}
