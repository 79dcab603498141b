//! The settings of webhooks: `webhooks.*`.
//!
//! Invariant: without a setting, nothing is sent, and nothing is sent to private addresses.

use super::values::{default_dir, duration, long_duration, number, one_of, path};
use crate::jobs::{Callback, JobLimits};
use std::{path::PathBuf, time::Duration};

/// Whether webhooks are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookDelivery {
    /// They are.
    On,
    /// They are not, and no callbacks are accepted.
    Off,
}

/// Whether webhooks are sent to addresses that are not on the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateAddresses {
    /// They are not.
    Refuse,
    /// They are.
    Allow,
}

/// Ports that webhooks are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookPorts {
    /// These.
    These(Vec<u16>),
    /// All.
    Any,
}

impl WebhookPorts {
    /// Whether a port is one of them.
    #[must_use]
    pub fn include(&self, port: u16) -> bool {
        match self {
            Self::These(ports) => ports.contains(&port),
            Self::Any => true,
        }
    }
}

/// The settings of webhooks.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// `webhooks.deliver`
    pub delivery: WebhookDelivery,
    /// `webhooks.secret_file`
    pub secret_file: PathBuf,
    /// `webhooks.default_url`
    pub default_url: Option<Callback>,
    /// `webhooks.private_addresses`
    pub private_addresses: PrivateAddresses,
    /// `webhooks.ports`
    pub ports: WebhookPorts,
    /// `webhooks.ca_file`
    pub ca_file: Option<PathBuf>,
    /// `webhooks.timeout`
    pub timeout: Duration,
    /// `webhooks.concurrent_max`
    pub concurrent_max: usize,
    /// `webhooks.give_up_after`
    pub give_up_after: Duration,
    /// `webhooks.kept`
    kept: Duration,
    /// `webhooks.waiting_max`
    waiting_max: u64,
}

impl WebhookSettings {
    pub(super) fn defaults() -> Self {
        Self {
            delivery: WebhookDelivery::Off,
            secret_file: default_dir("XDG_DATA_HOME", ".local/share")
                .unwrap_or_default()
                .join("webhooks.key"),
            default_url: None,
            private_addresses: PrivateAddresses::Refuse,
            ports: WebhookPorts::These(vec![80, 443]),
            ca_file: None,
            timeout: Duration::from_secs(15),
            concurrent_max: 16,
            give_up_after: Duration::from_hours(24),
            kept: Duration::from_hours(7 * 24),
            waiting_max: 100_000,
        }
    }

    /// Adds the bounds of deliveries to those of jobs.
    #[must_use]
    pub fn limit(&self, jobs: JobLimits) -> JobLimits {
        JobLimits {
            deliveries_max: self.waiting_max,
            delivery_ttl: self.kept,
            // An attempt that takes longer has lost its server.
            delivery_lease: self.timeout + Duration::from_mins(1),
            ..jobs
        }
    }

    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let or_none = |value: &str| (value != "none").then(|| value.to_owned());
        match key {
            "webhooks.deliver" => {
                use WebhookDelivery::{Off, On};
                self.delivery = one_of(value, &[("on", On), ("off", Off)])?;
            }
            "webhooks.secret_file" => self.secret_file = path(value)?,
            "webhooks.default_url" => {
                let parsed = or_none(value).map(|url| url.parse::<Callback>()).transpose();
                self.default_url = parsed.map_err(|accepted| format!("`none`, or {accepted}"))?;
            }
            "webhooks.private_addresses" => {
                use PrivateAddresses::{Allow, Refuse};
                self.private_addresses = one_of(value, &[("refuse", Refuse), ("allow", Allow)])?;
            }
            "webhooks.ports" => self.ports = ports(value)?,
            "webhooks.ca_file" => self.ca_file = or_none(value).map(|value| path(&value)).transpose()?,
            "webhooks.timeout" => self.timeout = duration(value)?,
            "webhooks.concurrent_max" => self.concurrent_max = number(value, 1, 1024)?,
            "webhooks.give_up_after" => self.give_up_after = long_duration(value)?,
            "webhooks.kept" => self.kept = long_duration(value)?,
            "webhooks.waiting_max" => self.waiting_max = number(value, 1, 10_000_000)? as u64,
            _ => return Err("a setting of webhooks".into()),
        }
        Ok(())
    }
}

fn ports(value: &str) -> Result<WebhookPorts, String> {
    if value == "any" {
        return Ok(WebhookPorts::Any);
    }
    let ports: Option<Vec<u16>> =
        value.split(',').map(|port| port.trim().parse().ok().filter(|port| *port > 0)).collect();
    ports.map(WebhookPorts::These).ok_or_else(|| "`any`, or ports such as 80,443".into())
}
