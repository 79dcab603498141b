//! What a server needs for webhooks, from its settings.
//!
//! Invariant: every file is read here, before the server enters its sandbox.

use super::{
    connect::Connect,
    deliver::{Deliverer, Jitter},
    resolve::SystemResolver,
    secret::Secrets,
    send::Sender,
    targets::{CallbackError, Callbacks, Targets},
};
use crate::{
    config::{WebhookPorts, WebhookSettings},
    jobs::{JobEngine, KeyFileError},
    sandbox::Outgoing,
    telemetry::metrics::Metrics,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

/// What the C library reads to resolve names: its settings, and modules that those name.
pub(crate) const RESOLVER: [&str; 8] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/run/systemd/resolve",
    "/lib",
    "/usr/lib",
];
/// Where long answers of name servers come from.
pub(crate) const DNS_PORT: u16 = 53;

/// Why webhooks cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum WebhooksError {
    /// The file of the secret cannot be used.
    #[error("`webhooks.secret_file`: {0}")]
    Secret(#[from] KeyFileError),
    /// The default URL is not accepted.
    #[error("`webhooks.default_url`: {0}")]
    DefaultUrl(#[from] CallbackError),
    /// The file of certificates cannot be used.
    #[error("`webhooks.ca_file`: {} cannot be used: {reason}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// What a server needs for webhooks.
pub struct Webhooks {
    /// Decides about the callbacks of jobs.
    pub callbacks: Callbacks,
    settings: WebhookSettings,
    sender: Sender,
}

impl Webhooks {
    /// Reads what is needed.
    ///
    /// # Errors
    /// Returns an error if a file cannot be used, or the default URL is not accepted.
    pub fn load(settings: &WebhookSettings, state_dir: &Path) -> Result<Self, WebhooksError> {
        let secrets = Secrets::load(&settings.secret_file, state_dir)?;
        let targets = Targets::new(settings.private_addresses, settings.ports.clone());
        let callbacks = Callbacks::new(targets.clone(), settings.default_url.clone())?;
        let connect = connect(settings.ca_file.as_deref())?;
        let resolver = SystemResolver::new(settings.concurrent_max);
        let sender = Sender::new(secrets, targets, Arc::new(resolver), connect, settings.timeout);
        Ok(Self { callbacks, settings: settings.clone(), sender })
    }

    /// The files that are read while webhooks are sent.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> + use<> {
        RESOLVER.into_iter().map(PathBuf::from)
    }

    /// The connections that are made for webhooks.
    pub(crate) fn outgoing(&self) -> Outgoing {
        match &self.settings.ports {
            WebhookPorts::Any => Outgoing::Any,
            WebhookPorts::These(ports) => Outgoing::To(ports.iter().copied().chain([DNS_PORT]).collect()),
        }
    }

    /// Delivers until the server drains. `engine` resolves once the jobs are open, and to nothing if there are none.
    pub async fn run(
        self,
        engine: impl Future<Output = Option<Arc<dyn JobEngine>>>,
        metrics: Arc<Metrics>,
        draining: watch::Receiver<bool>,
    ) {
        let Some(engine) = engine.await else { return };
        let deliverer = Deliverer {
            sender: Arc::new(self.sender),
            concurrent_max: self.settings.concurrent_max,
            give_up_after: self.settings.give_up_after,
            jitter: random(),
            metrics,
        };
        deliverer.run(engine, draining).await;
    }
}

fn connect(ca_file: Option<&Path>) -> Result<Connect, WebhooksError> {
    let further = match ca_file {
        None => Vec::new(),
        Some(path) => {
            let failed = |reason: String| WebhooksError::Certificates { path: path.into(), reason };
            let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            let found = found.map_err(|error| failed(error.to_string()))?;
            if found.is_empty() {
                return Err(failed("there is no certificate in it".into()));
            }
            found
        }
    };
    Connect::new(further).map_err(|refused| WebhooksError::Certificates {
        path: ca_file.unwrap_or(Path::new("")).into(),
        reason: format!("{refused} of its certificates cannot be read"),
    })
}

fn random() -> Jitter {
    Arc::new(|| {
        let mut random = [0u8; 4];
        getrandom::fill(&mut random).expect("the operating system provides entropy");
        f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX)
    })
}
