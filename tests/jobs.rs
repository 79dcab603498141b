//! The conformance suite of job engines, and what is particular to the one on SQLite.

#[path = "jobs/damage.rs"]
mod damage;
#[path = "jobs/deliveries.rs"]
mod deliveries;
#[path = "jobs/fixture.rs"]
mod fixture;
#[path = "jobs/idempotency.rs"]
mod idempotency;
#[path = "jobs/kills.rs"]
mod kills;
#[path = "jobs/life.rs"]
mod life;
#[path = "jobs/order.rs"]
mod order;
#[path = "jobs/sharing.rs"]
mod sharing;
#[path = "jobs/sizes.rs"]
mod sizes;
#[path = "jobs/times.rs"]
mod times;
