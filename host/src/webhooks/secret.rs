//! The secrets of tenants, and signatures.
//!
//! Source: Standard Webhooks: `v1,` and the Base64 of HMAC-SHA256 over `id.timestamp.body`, with a secret that is written
//! as `whsec_` and Base64.
//!
//! Invariant: the secret of one tenant tells nothing about that of another one, and none is in a `Debug` output.

use crate::jobs::{JobId, KeyFileError, Tenant, Timestamp, load_key};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{fmt, path::Path};
use zeroize::Zeroizing;

/// Separates the derivation of secrets from other uses of the key.
const CONTEXT: &[u8] = b"snapback webhooks: secret of the tenant ";

/// The key of a server, from which the secrets of its tenants are derived.
pub struct Secrets(Zeroizing<[u8; 32]>);

impl Secrets {
    /// Reads the key from its file, and creates the file if there is none.
    ///
    /// # Errors
    /// Returns an error if the file is in the state directory, can be read by others, or is not the file of a key.
    pub fn load(path: &Path, state_dir: &Path) -> Result<Self, KeyFileError> {
        load_key(path, state_dir).map(Self)
    }

    /// The secret of a tenant.
    #[must_use]
    pub fn of(&self, tenant: &Tenant) -> Secret {
        Secret(Zeroizing::new(hmac(&*self.0, &[CONTEXT, tenant.as_str().as_bytes()])))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// What a tenant's webhooks are signed with.
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// The secret as receivers are given it.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("whsec_{}", BASE64_STANDARD.encode(*self.0)))
    }

    /// The signature of a webhook: the value of `webhook-signature`.
    pub(super) fn sign(&self, id: JobId, timestamp: Timestamp, body: &[u8]) -> String {
        signature(&*self.0, &id.to_string(), seconds(timestamp), body)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A time as `webhook-timestamp` has it.
pub(super) fn seconds(timestamp: Timestamp) -> u64 {
    timestamp.as_millis() / 1000
}

fn signature(key: &[u8], id: &str, seconds: u64, body: &[u8]) -> String {
    let signed = hmac(key, &[id.as_bytes(), b".", seconds.to_string().as_bytes(), b".", body]);
    format!("v1,{}", BASE64_STANDARD.encode(signed))
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length is accepted");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The vector that the reference implementations are tested with.
        let key = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("Base64");
        let signed =
            signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_tenant_has_a_secret_of_its_own() {
        let [one, other] = [7, 8].map(|byte| Secrets(Zeroizing::new([byte; 32])));
        let [ada, bob]: [Tenant; 2] = ["ada", "bob"].map(|name| name.parse().expect("a tenant"));
        let texts = [one.of(&ada), one.of(&bob), other.of(&ada)].map(|secret| secret.text());
        assert!(texts[0] != texts[1] && texts[0] != texts[2] && texts[0] == one.of(&ada).text());
        let decoded = BASE64_STANDARD.decode(texts[0].strip_prefix("whsec_").expect("the prefix"));
        assert_eq!(decoded.expect("Base64").len(), 32);
        assert!(!format!("{one:?}{:?}", one.of(&ada)).contains(&texts[0][6..]));
    }
}
