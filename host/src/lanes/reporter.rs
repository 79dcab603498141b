//! What an executor reports: events, metrics and its status. It never decides.

use super::{
    active::Active,
    context::LaneContext,
    stages,
    standbys::Standbys,
    status::{ActiveReport, Report, StatusCell},
    swap_gate::Deferral,
};
use crate::{
    ids::LaneId,
    policy::{Policy, Pressure, Reason, decision::Sample},
    service::Service,
    telemetry::{events::EventKind, metrics::LaneGauges, traces::Trace},
};
use std::{sync::Arc, time::Instant};

/// Reports for one executor.
pub(super) struct Reporter {
    service: Arc<Service>,
    lane: LaneId,
    gauges: LaneGauges,
    /// Pressure at the last sample.
    pressure: Pressure,
    status: Arc<StatusCell>,
    /// The trace of the call that what follows is due to.
    trace: Trace,
}

impl Reporter {
    pub(super) fn new(
        service: &Arc<Service>,
        lane: LaneId,
        status: Arc<StatusCell>,
        context: &LaneContext,
    ) -> Self {
        let gauges = context.telemetry.metrics.lane_gauges(service.name(), lane);
        Self {
            service: Arc::clone(service),
            lane,
            gauges,
            pressure: Pressure::Calm,
            status,
            trace: Trace::default(),
        }
    }

    /// Swaps from now on are due to this call.
    pub(super) fn follow(&mut self, trace: &Trace) {
        self.trace.clone_from(trace);
    }

    /// Swaps from now on are due to no call.
    pub(super) fn unfollow(&mut self) {
        self.trace = Trace::default();
    }

    /// Gauges of the active instance's memory.
    pub(super) fn gauges(&self) -> &LaneGauges {
        &self.gauges
    }

    /// Reports that a swap begins.
    pub(super) fn swap_started(&self, reason: Reason, context: &LaneContext) {
        self.emit(context, || EventKind::SwapStart { reason });
    }

    /// Reports that a swap which began at `begun` has ended.
    pub(super) fn swap_ended(&self, reason: Reason, begun: Instant, context: &LaneContext) {
        let took = begun.elapsed();
        let metrics = &context.telemetry.metrics;
        metrics.swap_ended(self.service.name(), reason);
        context.telemetry.history.swapped();
        metrics.swap_lasted(self.service.name(), took);
        let traces = &context.telemetry.traces;
        stages::swapped(&self.trace, traces, begun, reason, self.service.name(), self.lane);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.emit(context, || EventKind::SwapComplete { reason, took_us });
    }

    /// Counts each time that a swap is due and the limit defers it.
    pub(super) fn swap_due(&self, deferral: Deferral, context: &LaneContext) {
        if deferral == Deferral::SwapLimit {
            context.telemetry.metrics.swap_limited(self.service.name());
        }
    }

    /// Reports that a swap is deferred, once for each reason.
    pub(super) fn swap_deferred(&self, reason: Reason, deferral: Deferral, context: &LaneContext) {
        let image = self.service.name();
        context.telemetry.metrics.swap_put_off(image, deferral.label());
        if deferral == Deferral::SwapLimit {
            tracing::warn!(image, lane = self.lane.index(), reason = %deferral, "swap deferred");
        }
        self.emit(context, || EventKind::SwapError { reason, error: deferral.message() });
    }

    /// Reports a memory sample, and the pressure if it has changed.
    pub(super) fn sampled(&mut self, sample: &Sample, policy: &Policy, context: &LaneContext) {
        let Sample { used_bytes, limit_bytes, .. } = *sample;
        self.gauges.set_used_bytes(used_bytes);
        let pressure = Pressure::of(used_bytes, limit_bytes, sample.warn, policy.critical);
        self.emit(context, || EventKind::MemoryCheck { used_bytes, limit_bytes, pressure });
        let from = std::mem::replace(&mut self.pressure, pressure);
        if from != pressure {
            self.emit(context, || EventKind::Pressure { from, to: pressure });
        }
    }

    /// Updates the status that operators read.
    pub(super) fn update_status(&self, active: Option<&Active>, standbys: &Standbys, now: Instant) {
        let active = active.map(|active| ActiveReport {
            calls: active.calls(),
            age: active.age(now),
            used_bytes: active.used_bytes(),
        });
        let (standbys_ready, standbys_ordered) = standbys.counts();
        let pressure = if active.is_some() { self.pressure } else { Pressure::Calm };
        self.status.set(Report { active, pressure, standbys_ready, standbys_ordered });
    }

    fn emit(&self, context: &LaneContext, kind: impl FnOnce() -> EventKind) {
        let events = &context.telemetry.events;
        if events.has_listeners() {
            events.emit(self.service.name(), Some(self.lane), kind());
        }
    }
}
