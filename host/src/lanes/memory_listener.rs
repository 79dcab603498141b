//! Follows the memory of an active instance while a call runs.

use super::standbys::StandbyOrders;
use crate::{
    memory::{meter::GrowthListener, process::Grant},
    policy::{Pressure, SwapPolicy},
    service::Service,
    telemetry::metrics::LaneGauges,
};
use std::sync::Arc;

/// Creates a listener that sets the gauges and, under `threshold`, orders a standby as soon as the memory reaches the
/// warn threshold, so that the standby is ready when the call ends.
pub(super) fn new(
    service: &Arc<Service>,
    orders: &StandbyOrders,
    gauges: &LaneGauges,
    grant: &Grant,
) -> GrowthListener {
    let (service, orders) = (Arc::clone(service), orders.clone());
    let (gauges, grant) = (gauges.clone(), grant.clone());
    Arc::new(move |bytes| {
        gauges.set_linear_bytes(bytes);
        grant.set(bytes.saturating_sub(service.current().image().manifest.memory_bytes));
        let policy = service.policy();
        let pressure = Pressure::of(bytes, policy.memory_limit_bytes, policy.warn, policy.critical);
        if policy.swap == SwapPolicy::Threshold && pressure >= Pressure::Warn {
            orders.ensure_one();
        }
    })
}
