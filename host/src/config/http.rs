//! The settings of the HTTP server: `http.*`, and what of `circuits.*` is about requests.

use super::{
    hosts::Hosts,
    values::{bytes, duration, hosts, number, one_of, or_off, origins},
};
use std::time::Duration;

/// Whether clients get the witnesses that calculators compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WitnessExport {
    /// They do.
    On,
    /// They do not.
    Off,
}

/// The settings of the HTTP server.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// `http.hosts`
    pub hosts: Hosts,
    /// `http.origins`
    pub origins: Vec<String>,
    /// `http.body_bytes_max`
    pub body_bytes_max: u64,
    /// `http.buffered_bytes_max`
    pub buffered_bytes_max: u64,
    /// `http.unread_bytes_max`
    pub unread_bytes_max: u64,
    /// `http.connections_max`
    pub connections_max: usize,
    /// `http.connections_per_peer_max`
    pub connections_per_peer_max: Option<usize>,
    /// `http.streams_max`
    pub streams_max: u32,
    /// `http.send_rate_min`, in bytes a second.
    pub send_rate_min: Option<u64>,
    /// `http.header_timeout`
    pub header_timeout: Duration,
    /// `http.body_timeout`
    pub body_timeout: Duration,
    /// `circuits.upload_bytes_max`
    pub upload_bytes_max: u64,
    /// `circuits.upload_rate_min`, in bytes a second.
    pub upload_rate_min: u64,
    /// `circuits.witness_export`
    pub witness_export: WitnessExport,
}

impl HttpConfig {
    pub(super) fn defaults() -> Self {
        Self {
            hosts: Hosts::Named(Vec::new()),
            origins: Vec::new(),
            body_bytes_max: 40 << 20,
            buffered_bytes_max: 256 << 20,
            unread_bytes_max: 128 << 20,
            connections_max: 1024,
            connections_per_peer_max: Some(512),
            streams_max: 100,
            send_rate_min: Some(16 << 10),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            upload_bytes_max: 1 << 30,
            upload_rate_min: 64 << 10,
            witness_export: WitnessExport::Off,
        }
    }

    /// Whether a key is one of these settings.
    pub(super) fn has(key: &str) -> bool {
        key.starts_with("http.") || key.starts_with("circuits.upload_") || key == "circuits.witness_export"
    }

    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "http.hosts" => self.hosts = hosts(value)?,
            "http.origins" => self.origins = origins(value)?,
            "http.body_bytes_max" => self.body_bytes_max = bytes(value, 1, 1 << 30)?,
            "http.buffered_bytes_max" => self.buffered_bytes_max = bytes(value, 1 << 16, 1 << 31)?,
            "http.unread_bytes_max" => self.unread_bytes_max = bytes(value, 1, 1 << 40)?,
            "http.connections_max" => self.connections_max = number(value, 1, 1 << 20)?,
            "http.connections_per_peer_max" => {
                self.connections_per_peer_max = or_off(value, |value| number(value, 1, 1 << 20))?;
            }
            "http.streams_max" => {
                self.streams_max = u32::try_from(number(value, 1, 1 << 16)?).expect("checked");
            }
            "http.send_rate_min" => {
                self.send_rate_min = or_off(value, |value| bytes(value, 1, 1 << 30))?;
            }
            "http.header_timeout" => self.header_timeout = duration(value)?,
            "http.body_timeout" => self.body_timeout = duration(value)?,
            "circuits.upload_bytes_max" => self.upload_bytes_max = bytes(value, 1, 2 << 30)?,
            "circuits.upload_rate_min" => self.upload_rate_min = bytes(value, 1, 1 << 30)?,
            "circuits.witness_export" => {
                use WitnessExport::{Off, On};
                self.witness_export = one_of(value, &[("on", On), ("off", Off)])?;
            }
            _ => return Err("a setting of the HTTP server".into()),
        }
        Ok(())
    }
}
