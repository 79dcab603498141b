//! What an image is served by: when its instances are replaced, what they may have, what a call may take.
//!
//! Invariant: a policy is replaced as a whole, and a call sees one policy from its beginning to its end.

use crate::generation::Generation;
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// When a lane takes a fresh instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapPolicy {
    /// After every call: nothing of one call is left for another.
    EveryCall,
    /// When memory, or another trigger, says so: the instance stays warm until then.
    Threshold,
    /// Only after a fault: the server is a plain host.
    Off,
}

impl SwapPolicy {
    /// Every policy, as users write it.
    pub const ACCEPTED: &str = "`every-call`, `threshold` or `off`";

    fn name(self) -> &'static str {
        match self {
            Self::EveryCall => "every-call",
            Self::Threshold => "threshold",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for SwapPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SwapPolicy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::EveryCall, Self::Threshold, Self::Off]
            .into_iter()
            .find(|policy| policy.name() == text)
            .ok_or(Self::ACCEPTED)
    }
}

/// A share in hundredths, from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// So many hundredths; more than a hundred are a hundred.
    #[must_use]
    pub const fn new(hundredths: u8) -> Self {
        Self(if hundredths > 100 { 100 } else { hundredths })
    }

    /// This share of an amount, rounded down.
    #[must_use]
    pub fn of(self, amount: u64) -> u64 {
        u64::try_from(u128::from(amount) * u128::from(self.0) / 100).expect("no more than the amount")
    }

    /// Hundredths.
    #[must_use]
    pub fn hundredths(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// How an image is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `swap.policy`
    pub swap: SwapPolicy,
    /// `memory.limit`: linear memory of one instance.
    pub memory_limit_bytes: u64,
    /// `memory.warn`: from here on a standby is kept.
    pub warn: Percent,
    /// `memory.critical`: from here on the instance is replaced.
    pub critical: Percent,
    /// `swap.calls_max`: calls that an instance serves.
    pub calls_max: Option<u64>,
    /// `swap.age_max`: how old an instance gets.
    pub age_max: Option<Duration>,
    /// `swap.idle_max`: how long a used instance waits for its next call.
    pub idle_max: Option<Duration>,
    /// `swap.jitter`: by how much of themselves counts and ages are shortened at random.
    pub jitter: Percent,
    /// `swap.life_min`: how young an instance is not replaced for what could wait.
    pub life_min: Duration,
    /// `swap.per_minute_max`: swaps of an image in a minute; more, and it is unhealthy.
    pub swaps_per_minute_max: u32,
    /// `call.deadline`
    pub deadline: Duration,
    /// `call.stall_timeout`: how long a call may go without using the processor.
    pub stall_timeout: Duration,
    /// `breaker.failures`: failures in a row that open the breaker.
    pub breaker_failures: u32,
    /// `breaker.open_for`: how long it stays open before a call probes.
    pub breaker_open_for: Duration,
    /// What differs for single methods.
    pub methods: BTreeMap<String, MethodPolicy>,
}

/// What differs for one method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodPolicy {
    /// `method.NAME.deadline`
    pub deadline: Option<Duration>,
    /// `method.NAME.repeatable`: whether a call that failed in a used instance may run once more.
    pub repeatable: Option<bool>,
}

impl Policy {
    /// How long a call of that method may run.
    #[must_use]
    pub fn deadline_of(&self, method: &str) -> Duration {
        self.methods.get(method).and_then(|method| method.deadline).unwrap_or(self.deadline)
    }

    /// Whether a call of that method may run once more.
    #[must_use]
    pub fn is_repeatable(&self, method: &str) -> bool {
        self.methods.get(method).and_then(|method| method.repeatable).unwrap_or(true)
    }
}

impl Policy {
    /// Whether its values fit each other, and the image that is served.
    ///
    /// # Errors
    /// A sentence that names the keys.
    pub fn check(&self, generation: &Generation) -> Result<(), String> {
        let Self { warn, critical, memory_limit_bytes, .. } = self;
        if warn > critical {
            return Err(format!(
                "`memory.warn` = {warn} is above `memory.critical` = {critical}: no standby would be ready for \
                 the swap"
            ));
        }
        let starts_with = generation.image().manifest.memory_bytes;
        if starts_with > *memory_limit_bytes {
            return Err(format!(
                "`memory.limit` = {memory_limit_bytes} bytes is less than the {starts_with} bytes with which \
                 the image starts"
            ));
        }
        Ok(())
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            swap: SwapPolicy::EveryCall,
            memory_limit_bytes: snapback_snapshot::MEMORY_BYTES_MAX,
            warn: Percent::new(70),
            critical: Percent::new(90),
            calls_max: None,
            age_max: None,
            idle_max: None,
            jitter: Percent::new(10),
            life_min: Duration::ZERO,
            swaps_per_minute_max: 6_000,
            deadline: Duration::from_mins(1),
            stall_timeout: Duration::from_secs(30),
            breaker_failures: 20,
            breaker_open_for: Duration::from_secs(5),
            methods: BTreeMap::new(),
        }
    }
}

impl Serialize for Policy {
    /// By the keys of the table of settings, as users write their values; sizes and counts are numbers.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = |time: Duration| humantime::format_duration(time).to_string();
        let or_off = |limit: Option<Duration>| limit.map_or_else(|| "off".into(), time);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("memory.limit", &self.memory_limit_bytes)?;
        map.serialize_entry("memory.warn", &self.warn.to_string())?;
        map.serialize_entry("memory.critical", &self.critical.to_string())?;
        map.serialize_entry("swap.policy", self.swap.name())?;
        match self.calls_max {
            Some(calls_max) => map.serialize_entry("swap.calls_max", &calls_max)?,
            None => map.serialize_entry("swap.calls_max", "off")?,
        }
        map.serialize_entry("swap.age_max", &or_off(self.age_max))?;
        map.serialize_entry("swap.idle_max", &or_off(self.idle_max))?;
        map.serialize_entry("swap.jitter", &self.jitter.to_string())?;
        map.serialize_entry("swap.life_min", &time(self.life_min))?;
        map.serialize_entry("swap.per_minute_max", &self.swaps_per_minute_max)?;
        map.serialize_entry("call.deadline", &time(self.deadline))?;
        map.serialize_entry("call.stall_timeout", &time(self.stall_timeout))?;
        map.serialize_entry("breaker.failures", &self.breaker_failures)?;
        map.serialize_entry("breaker.open_for", &time(self.breaker_open_for))?;
        for (name, method) in &self.methods {
            if let Some(deadline) = method.deadline {
                map.serialize_entry(&format!("method.{name}.deadline"), &time(deadline))?;
            }
            if let Some(repeatable) = method.repeatable {
                map.serialize_entry(&format!("method.{name}.repeatable"), &repeatable)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SETTINGS, Scope, set_policy};

    #[test]
    fn what_is_shown_can_be_set_again_and_nothing_is_left_out() {
        let method = MethodPolicy { deadline: Some(Duration::from_secs(3)), repeatable: Some(false) };
        let policy = Policy {
            swap: SwapPolicy::Threshold,
            memory_limit_bytes: 256 << 20,
            warn: Percent::new(50),
            calls_max: Some(7),
            age_max: Some(Duration::from_mins(90)),
            idle_max: Some(Duration::from_millis(1500)),
            methods: [("prove".to_owned(), method)].into(),
            ..Policy::default()
        };
        let shown = serde_json::to_value(&policy).expect("a map with text keys");
        let shown = shown.as_object().expect("a map");
        for setting in SETTINGS.iter().filter(|setting| setting.scope == Scope::Image) {
            assert!(shown.contains_key(setting.key), "{}", setting.key);
        }
        let mut again = Policy::default();
        for (key, value) in shown {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            set_policy(&mut again, key, &value).unwrap_or_else(|accepted| panic!("{key}: {accepted}"));
        }
        assert_eq!(again, policy);
    }
}
