//! The settings that each image can have of its own.
//!
//! Invariant: files, flags and admin requests set a key by the same name and with the same values. What settings leave to a
//! guest is decided when its image is known.

use super::{
    keys::of_method,
    values::{bytes, duration, number, or_off, percent},
};
use crate::policy::{MethodPolicy, Policy, SwapPolicy};
use snapback_snapshot::{MEMORY_BYTES_MAX, manifest::Manifest};
use std::{collections::BTreeMap, time::Duration};

/// The value of `swap.policy` that leaves the choice to the guest.
const AUTO: &str = "auto";

/// The settings of images: those of all images, and those of images with settings of their own, `image.NAME.*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    all: PolicySettings,
    images: BTreeMap<String, PolicySettings>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PolicySettings {
    /// With `swap.policy = auto`, its swap policy is that of a guest that asks for none.
    policy: Policy,
    swap: SwapChoice,
}

/// What chooses the swap policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SwapChoice {
    /// The guest does: `swap.policy = auto`.
    #[default]
    OfGuest,
    /// `swap.policy` names it.
    Named,
}

impl Policies {
    /// Sets a key for one image, or for all. Keys for all are set first, because a first key for one image copies them.
    pub(super) fn set(&mut self, image: Option<&str>, key: &str, value: &str) -> Result<(), String> {
        let settings = match image {
            Some(image) => self.images.entry(image.into()).or_insert_with(|| self.all.clone()),
            None => &mut self.all,
        };
        set_policy(&mut settings.policy, key, value, SwapPolicy::default())?;
        if key == "swap.policy" {
            settings.swap = if value == AUTO { SwapChoice::OfGuest } else { SwapChoice::Named };
        }
        Ok(())
    }

    /// The policy of images without settings of their own, whose guests ask for no swap policy.
    #[must_use]
    pub fn all(&self) -> &Policy {
        &self.all.policy
    }

    /// The names of the images with settings of their own.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.images.keys().map(String::as_str)
    }

    /// The policy of the image that is served under this name.
    #[must_use]
    pub fn of(&self, image: &str, manifest: &Manifest) -> Policy {
        let PolicySettings { policy, swap } = self.images.get(image).unwrap_or(&self.all);
        let swap = match swap {
            SwapChoice::OfGuest => SwapPolicy::of_guest(manifest),
            SwapChoice::Named => policy.swap,
        };
        Policy { swap, ..policy.clone() }
    }

    /// Checks that the values agree with each other, and with `standby.max`.
    pub(super) fn check(&self, standby_max: Option<usize>) -> Result<(), String> {
        let own = self.images.iter().map(|(image, settings)| (format!("image.{image}."), settings));
        own.chain([(String::new(), &self.all)])
            .try_for_each(|(prefix, settings)| settings.policy.check_values(&prefix, standby_max))
    }
}

/// Sets one key of a policy, whose guest has this swap policy. Admin requests use the same names.
///
/// # Errors
/// Returns the accepted values if the value is not accepted, or a message that there is no such key.
pub fn set_policy(policy: &mut Policy, key: &str, value: &str, of_guest: SwapPolicy) -> Result<(), String> {
    match key {
        "memory.limit" => policy.memory_limit_bytes = bytes(value, 1 << 16, MEMORY_BYTES_MAX)?,
        "memory.warn" => policy.warn = percent(value)?,
        "memory.critical" => policy.critical = percent(value)?,
        "swap.policy" if value == AUTO => policy.swap = of_guest,
        "swap.policy" => policy.swap = value.parse().map_err(|accepted| format!("`{AUTO}`, {accepted}"))?,
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
