//! Which URLs are accepted as callbacks, and which addresses are connected to.
//!
//! Invariant: an address is connected to only if it came out of [`Targets::check`], and a name is refused if one of its
//! addresses is.

use super::address::is_private;
use crate::{
    config::{PrivateAddresses, WebhookPorts},
    jobs::{Callback, CallbackHost, InvalidCallback},
};
use std::net::IpAddr;

/// Why a URL is refused, or why its host is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// It has not the form of a callback.
    #[error("`callback_url` is not accepted: {0}")]
    Form(#[from] InvalidCallback),
    /// Its port is not one of `webhooks.ports`.
    #[error("webhooks are not sent to port {0}: see the setting webhooks.ports")]
    Port(u16),
    /// It leads to an address that is not on the public internet.
    #[error("webhooks are not sent to private addresses: see the setting webhooks.private_addresses")]
    Private,
}

/// Where webhooks may be sent.
#[derive(Clone, Debug)]
pub struct Targets {
    private: PrivateAddresses,
    ports: WebhookPorts,
}

impl Targets {
    /// Creates the rules from their settings.
    #[must_use]
    pub fn new(private: PrivateAddresses, ports: WebhookPorts) -> Self {
        Self { private, ports }
    }

    /// Checks what is known of a URL before its host is resolved.
    ///
    /// # Errors
    /// Returns an error if its port is not allowed, or its host is a private address or `localhost`.
    pub fn check_url(&self, callback: &Callback) -> Result<(), CallbackError> {
        if !self.ports.include(callback.port()) {
            return Err(CallbackError::Port(callback.port()));
        }
        match callback.host() {
            CallbackHost::Address(address) => self.check(&[*address]),
            CallbackHost::Name(name) if self.private == PrivateAddresses::Refuse && is_local_name(name) => {
                Err(CallbackError::Private)
            }
            CallbackHost::Name(_) => Ok(()),
        }
    }

    /// Checks all addresses of a host.
    ///
    /// # Errors
    /// Returns an error if one of them is private and such addresses are refused.
    pub fn check(&self, addresses: &[IpAddr]) -> Result<(), CallbackError> {
        let is_refused =
            self.private == PrivateAddresses::Refuse && addresses.iter().copied().any(is_private);
        if is_refused { Err(CallbackError::Private) } else { Ok(()) }
    }
}

/// Whether a name is one of this machine. Source: RFC 6761.
fn is_local_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Decides about the callbacks of jobs when these are submitted.
#[derive(Clone, Debug)]
pub struct Callbacks {
    targets: Targets,
    default: Option<Callback>,
}

impl Callbacks {
    /// Creates the rules, and the callback of jobs that have none of their own.
    ///
    /// # Errors
    /// Returns an error if that callback would be refused.
    pub fn new(targets: Targets, default: Option<Callback>) -> Result<Self, CallbackError> {
        default.as_ref().map_or(Ok(()), |callback| targets.check_url(callback))?;
        Ok(Self { targets, default })
    }

    /// Takes the callback that a client asks for.
    ///
    /// # Errors
    /// Returns an error if it is not accepted.
    pub fn accept(&self, url: &str) -> Result<Callback, CallbackError> {
        let callback = url.parse::<Callback>()?;
        self.targets.check_url(&callback)?;
        Ok(callback)
    }

    /// The callback of jobs that have none of their own.
    #[must_use]
    pub fn default_callback(&self) -> Option<Callback> {
        self.default.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_private_places_and_other_ports_are_refused() {
        let ports = WebhookPorts::These(vec![80, 443]);
        let callbacks =
            Callbacks::new(Targets::new(PrivateAddresses::Refuse, ports), None).expect("no default");
        for url in [
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://169.254.169.254/latest",
            "http://LOCALHOST./",
            "http://a.localhost/",
        ] {
            assert_eq!(callbacks.accept(url), Err(CallbackError::Private), "{url}");
        }
        assert_eq!(callbacks.accept("https://hooks.example:22/"), Err(CallbackError::Port(22)));
        assert!(matches!(callbacks.accept("gopher://x"), Err(CallbackError::Form(_))));
        assert!(callbacks.accept("https://hooks.example/a?b").is_ok());

        let allowing = Targets::new(PrivateAddresses::Allow, WebhookPorts::Any);
        let default = "http://127.0.0.1:9/x".parse().expect("a callback");
        let callbacks = Callbacks::new(allowing, Some(default)).expect("it is accepted");
        assert!(callbacks.accept("http://localhost:9000/").is_ok());
        assert_eq!(callbacks.default_callback().map(|url| url.origin()), Some("http://127.0.0.1:9".into()));
    }

    #[test]
    fn one_private_address_among_others_is_enough() {
        let targets = Targets::new(PrivateAddresses::Refuse, WebhookPorts::Any);
        let [public, private] = ["1.1.1.1", "10.0.0.1"].map(|text| text.parse().expect("an address"));
        assert!(targets.check(&[public]).is_ok());
        assert_eq!(targets.check(&[public, private]), Err(CallbackError::Private));
    }
}
