//! The settings of one image: when its instances are replaced, what they may use, how long a call may take.
//!
//! Invariant: a policy is replaced as a whole, and a call sees one policy from its beginning to its end.

use super::percent::Percent;
use serde::{Serialize, Serializer, ser::SerializeMap};
use snapback_snapshot::{Guest, InstanceUse, manifest::Manifest};
use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// When a lane takes a fresh instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SwapPolicy {
    /// After every call: nothing of one call is left for another.
    #[default]
    EveryCall,
    /// When memory use or another trigger asks for it; the instance stays warm until then.
    Threshold,
    /// Only after a fault: the server is a plain host.
    Off,
}

impl SwapPolicy {
    /// The accepted values, as an error message lists them.
    pub const ACCEPTED: &str = "`every-call`, `threshold` or `off`";

    /// The policy that the guest of an image is made for: `every-call`, unless this binary embeds the guest and says
    /// otherwise.
    #[must_use]
    pub fn of_guest(manifest: &Manifest) -> Self {
        match Guest::embedded(&manifest.guest.digest).map(|guest| guest.instances) {
            Some(InstanceUse::Many) => Self::Threshold,
            Some(InstanceUse::Once) | None => Self::default(),
        }
    }

    /// The value as users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
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

/// How one image is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `swap.policy`
    pub swap: SwapPolicy,
    /// `swap.share`: share of calls that `swap` applies to; the others are served as with `off`.
    pub share: Percent,
    /// `standby.min`: standbys that each lane keeps ready at all times.
    pub standby_min: usize,
    /// `memory.limit`: linear memory of one instance.
    pub memory_limit_bytes: u64,
    /// `memory.warn`: a standby is kept from this share on.
    pub warn: Percent,
    /// `memory.critical`: the instance is replaced from this share on.
    pub critical: Percent,
    /// `swap.calls_max`: calls that an instance serves.
    pub calls_max: Option<u64>,
    /// `swap.age_max`: age at which an instance is replaced.
    pub age_max: Option<Duration>,
    /// `swap.idle_max`: idle time after which a used instance is replaced.
    pub idle_max: Option<Duration>,
    /// `swap.jitter`: largest share by which counts and ages are shortened at random.
    pub jitter: Percent,
    /// `swap.life_min`: age below which only swaps that cannot wait happen.
    pub life_min: Duration,
    /// `swap.per_minute_max`: swaps of an image per minute; beyond, it counts as unhealthy.
    pub swaps_per_minute_max: u32,
    /// `call.deadline`
    pub deadline: Duration,
    /// `call.stall_timeout`: how long a call may use no processor time.
    pub stall_timeout: Duration,
    /// `breaker.failures`: consecutive failures that open the breaker.
    pub breaker_failures: u32,
    /// `breaker.open_for`: how long the breaker stays open before it admits a probe.
    pub breaker_open_for: Duration,
    /// Settings of single methods.
    pub methods: BTreeMap<String, MethodPolicy>,
}

/// The settings of one method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodPolicy {
    /// `method.NAME.deadline`
    pub deadline: Option<Duration>,
    /// `method.NAME.repeatable`: whether a call that failed in a used instance may run once more.
    pub repeatable: Option<bool>,
}

impl Policy {
    /// Returns how long a call of that method may run.
    #[must_use]
    pub fn deadline_of(&self, method: &str) -> Duration {
        self.methods.get(method).and_then(|method| method.deadline).unwrap_or(self.deadline)
    }

    /// Returns the longest time that a call of any method may run.
    #[must_use]
    pub fn longest_deadline(&self) -> Duration {
        let methods = self.methods.values().filter_map(|method| method.deadline);
        methods.chain([self.deadline]).max().unwrap_or(self.deadline)
    }

    /// Whether a call of that method may run once more.
    #[must_use]
    pub fn is_repeatable(&self, method: &str) -> bool {
        self.methods.get(method).and_then(|method| method.repeatable).unwrap_or(true)
    }
}

impl Policy {
    /// Checks that the values agree with each other, with an image whose instances start with `initial_memory_bytes` of
    /// linear memory, and with `standby.max`, if that is a number.
    ///
    /// # Errors
    /// Returns a sentence that names the settings that disagree.
    pub fn check(&self, initial_memory_bytes: u64, standby_max: Option<usize>) -> Result<(), String> {
        let Self { memory_limit_bytes, .. } = self;
        self.check_values("", standby_max)?;
        if initial_memory_bytes > *memory_limit_bytes {
            return Err(format!(
                "`memory.limit` = {memory_limit_bytes} bytes is less than the {initial_memory_bytes} bytes that an \
                 instance of the image starts with"
            ));
        }
        Ok(())
    }

    /// Checks that the values agree with each other and with `standby.max`. `prefix` stands before the settings in the
    /// sentence, such as `image.NAME.`.
    ///
    /// # Errors
    /// Returns a sentence that names the settings that disagree.
    pub(crate) fn check_values(&self, prefix: &str, standby_max: Option<usize>) -> Result<(), String> {
        let Self { warn, critical, standby_min, .. } = self;
        if warn > critical {
            return Err(format!(
                "`{prefix}memory.warn` = {warn} is above `{prefix}memory.critical` = {critical}: no standby would be \
                 ready for the swap"
            ));
        }
        if let Some(most) = standby_max.filter(|most| standby_min > most) {
            return Err(format!("`{prefix}standby.min` = {standby_min} is above `standby.max` = {most}"));
        }
        Ok(())
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            swap: SwapPolicy::default(),
            share: Percent::ALL,
            standby_min: 0,
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
    /// Serializes as a map from setting to value, as users write the values; sizes and counts are numbers.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = |time: Duration| humantime::format_duration(time).to_string();
        let or_off = |limit: Option<Duration>| limit.map_or_else(|| "off".into(), time);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("memory.limit", &self.memory_limit_bytes)?;
        map.serialize_entry("memory.warn", &self.warn.to_string())?;
        map.serialize_entry("memory.critical", &self.critical.to_string())?;
        map.serialize_entry("swap.policy", self.swap.name())?;
        map.serialize_entry("swap.share", &self.share.to_string())?;
        map.serialize_entry("standby.min", &self.standby_min)?;
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
