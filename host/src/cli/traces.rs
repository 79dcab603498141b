//! What a server exports traces with.
//!
//! Invariant: files are read before the sandbox is entered, and the thread starts afterwards.

use crate::{
    config::{Config, TraceEndpoint},
    sandbox::Outgoing,
    telemetry::{
        metrics::Metrics,
        traces::{CollectorSettings, ExportSettings, Exporter, HttpCollector, Pace, Traces},
    },
    webhooks::{DNS_PORT, RESOLVER},
};
use anyhow::Context;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// How long a server that stops may take to export its last spans.
pub(super) const FLUSH_MAX: Duration = Duration::from_secs(5);

/// What is exported, and the collector that it goes to.
pub(super) struct Export {
    endpoint: TraceEndpoint,
    collector: HttpCollector,
    settings: ExportSettings,
}

impl Export {
    /// Reads what is needed; `None` if traces are off.
    pub(super) fn load(config: &Config) -> anyhow::Result<Option<Self>> {
        let settings = config.traces.clone();
        let Some(endpoint) = settings.endpoint else { return Ok(None) };
        let collector = HttpCollector::new(CollectorSettings {
            url: endpoint.url().to_owned(),
            headers_file: settings.headers_file,
            ca_file: settings.ca_file,
        })?;
        let settings = ExportSettings {
            service_name: settings.service_name,
            sample: settings.sample,
            queue_max: settings.queue_max,
            timeout: settings.timeout,
            pace: Pace::default(),
        };
        Ok(Some(Self { endpoint, collector, settings }))
    }

    /// The files that are read while spans are exported.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> + use<> {
        RESOLVER.into_iter().map(PathBuf::from)
    }

    /// The connections that are made to export spans.
    pub(super) fn outgoing(&self) -> Outgoing {
        Outgoing::To(vec![self.endpoint.port(), DNS_PORT])
    }

    /// Starts to export.
    fn start(self, metrics: &Arc<Metrics>) -> anyhow::Result<(Traces, Exporter)> {
        let started = Exporter::start(Box::new(self.collector), self.settings, metrics);
        let started = started.context("cannot start the thread that exports traces")?;
        tracing::info!(endpoint = self.endpoint.url(), "traces");
        Ok(started)
    }
}

/// Exports traces until it is stopped; nothing if traces are off.
#[derive(Default)]
pub(super) struct Exporting {
    pub(super) traces: Traces,
    exporter: Option<Exporter>,
}

impl Exporting {
    pub(super) fn start(export: Option<Export>, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let Some(export) = export else { return Ok(Self::default()) };
        let (traces, exporter) = export.start(metrics)?;
        Ok(Self { traces, exporter: Some(exporter) })
    }

    /// Exports the last spans, for this long at most.
    pub(super) fn stop(self, time: Duration) {
        if let Some(exporter) = self.exporter {
            exporter.stop(time);
        }
    }
}
