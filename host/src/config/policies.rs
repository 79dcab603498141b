//! The settings that each image can have of its own.
//!
//! Invariant: files, flags and admin requests set a key by the same name and with the same values.

use super::{
    keys::of_method,
    values::{bytes, duration, number, or_off, percent},
};
use crate::policy::{MethodPolicy, Policy};
use snapback_snapshot::MEMORY_BYTES_MAX;
use std::time::Duration;

/// Sets one key of a policy. Admin requests use the same names.
///
/// # Errors
/// Returns the accepted values if the value is not accepted, or a message that there is no such key.
pub fn set_policy(policy: &mut Policy, key: &str, value: &str) -> Result<(), String> {
    match key {
        "memory.limit" => policy.memory_limit_bytes = bytes(value, 1 << 16, MEMORY_BYTES_MAX)?,
        "memory.warn" => policy.warn = percent(value)?,
        "memory.critical" => policy.critical = percent(value)?,
        "swap.policy" => policy.swap = value.parse()?,
        "swap.share" => policy.share = percent(value)?,
        "standby.min" => policy.standby_min = number(value, 0, 1024)?,
        "swap.calls_max" => {
            policy.calls_max = or_off(value, |value| number(value, 1, usize::MAX))?.map(|calls| calls as u64);
        }
        "swap.age_max" => policy.age_max = or_off(value, duration)?,
        "swap.idle_max" => policy.idle_max = or_off(value, duration)?,
        "swap.jitter" => policy.jitter = percent(value)?,
        "swap.life_min" => {
            policy.life_min = if value == "0s" { Duration::ZERO } else { duration(value)? };
        }
        "swap.per_minute_max" => {
            policy.swaps_per_minute_max =
                u32::try_from(number(value, 1, u32::MAX as usize)?).expect("the number is checked");
        }
        "call.deadline" => policy.deadline = duration(value)?,
        "call.stall_timeout" => policy.stall_timeout = duration(value)?,
        "breaker.failures" => {
            policy.breaker_failures =
                u32::try_from(number(value, 1, u32::MAX as usize)?).expect("the number is checked");
        }
        "breaker.open_for" => policy.breaker_open_for = duration(value)?,
        key => {
            let (method, what) = of_method(key).ok_or("a setting that can be set for one image")?;
            let method: &mut MethodPolicy = policy.methods.entry(method.into()).or_default();
            match what {
                "deadline" => method.deadline = Some(duration(value)?),
                _ => method.repeatable = Some(value.parse().map_err(|_| "`true` or `false`")?),
            }
        }
    }
    Ok(())
}
