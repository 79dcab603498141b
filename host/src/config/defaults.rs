//! The default of every setting. The table in `settings` shows the same values, which a test checks.

use super::{
    access::AccessSettings,
    http::HttpConfig,
    jobs::JobSettings,
    model::{CircuitChanges, CircuitSettings, Config, LogFormat},
    policies::Policies,
    tls::TlsSettings,
    traces::TraceSettings,
    values::default_dir,
    webhooks::WebhookSettings,
};
use crate::{policy::Percent, sandbox::SandboxMode, witness::CalculatorLimits};
use snapback_snapshot::{BakeLimits, CacheMode, CheckMode};
use std::{net::SocketAddr, time::Duration};

impl Config {
    /// The defaults.
    pub(super) fn defaults() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            state_dir: default_dir("XDG_STATE_HOME", ".local/state").unwrap_or_default(),
            key_file: default_dir("XDG_DATA_HOME", ".local/share").unwrap_or_default().join("native.key"),
            native_cache: CacheMode::On,
            native_check: CheckMode::Identity,
            cold_start_target: Duration::from_millis(15),
            sandbox: SandboxMode::Auto,
            lanes: std::thread::available_parallelism().map_or(1, usize::from),
            policies: Policies::default(),
            sample_interval: Duration::from_secs(5),
            process_limit_bytes: None,
            standby_max: None,
            queue_depth: 64,
            reply_bytes_max: 64 << 20,
            http: HttpConfig::defaults(),
            tls: TlsSettings::default(),
            admin_listen: None,
            admin_token_file: None,
            drain_deadline: Duration::from_secs(90),
            bake: BakeLimits::default(),
            circuits: CircuitSettings {
                generations_kept: 8,
                generation_age_max: Duration::from_hours(30 * 24),
                compact_at: Percent::new(25),
                changes_max: 32,
                bake_deadline: Duration::from_mins(30),
                calculators: CalculatorLimits {
                    deadline: Duration::from_secs(10),
                    memory_bytes_max: 512 << 20,
                },
            },
            jobs: JobSettings::defaults(),
            access: AccessSettings::defaults(),
            webhooks: WebhookSettings::defaults(),
            traces: TraceSettings::defaults(),
            circuit_changes: CircuitChanges::Auto,
            log_level: "info".into(),
            log_format: LogFormat::Text,
        }
    }
}
