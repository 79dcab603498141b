//! Encryption of bodies and results, and the digests that depend on the key.
//!
//! A sealed value is 24 bytes of nonce, 16 bytes of tag and the ciphertext of XChaCha20-Poly1305. The identifier of the
//! job and what the value is are authenticated with it, so that a value that was moved to another job cannot be opened.
//!
//! Invariant: plaintexts and keys are erased from memory when they are dropped, and are never formatted.

use super::{JobError, JobId};
use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use std::fmt;
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 24;
/// Length of what stands before the ciphertext.
pub(super) const HEADER_BYTES: usize = NONCE_BYTES + 16;
const DIGEST_CONTEXT: &str = "snapback 2026-11-27 jobs: digests of requests";

/// A key of 32 bytes that seals bodies and results.
#[derive(Clone)]
pub struct SealingKey(Zeroizing<[u8; 32]>);

impl SealingKey {
    /// Takes the bytes of a key.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn from_zeroizing(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

/// What a sealed value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealed {
    /// The body of a job.
    Body,
    /// The result of a job.
    Result,
    /// The URL that is told about its end.
    Callback,
}

impl Sealed {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Result => "result",
            Self::Callback => "callback",
        }
    }
}

/// Seals and opens values.
pub(super) struct Seal {
    cipher: XChaCha20Poly1305,
    digest_key: Zeroizing<[u8; 32]>,
}

impl Seal {
    pub(super) fn new(key: &SealingKey) -> Self {
        let digest_key = Zeroizing::new(blake3::derive_key(DIGEST_CONTEXT, &*key.0));
        Self { cipher: XChaCha20Poly1305::new((&*key.0).into()), digest_key }
    }

    /// A digest that only the key's owner can compute: it does not reveal which of several guesses was digested. Every
    /// part is preceded by its length.
    pub(super) fn digest<'p>(&self, parts: impl IntoIterator<Item = &'p [u8]>) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.digest_key);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.finalize().into()
    }

    /// Encrypts a value in place, and returns what stands before it.
    pub(super) fn seal(&self, job: JobId, what: Sealed, value: &mut [u8]) -> [u8; HEADER_BYTES] {
        self.seal_for(&aad(job, what), value)
    }

    /// Encrypts a short value, and returns all of it.
    pub(super) fn sealed(&self, job: JobId, what: Sealed, value: &str) -> Vec<u8> {
        let mut value = value.as_bytes().to_vec();
        let header = self.seal(job, what, &mut value);
        [&header[..], &value].concat()
    }

    /// Decrypts a value in place.
    pub(super) fn open(
        &self,
        job: JobId,
        what: Sealed,
        header: &[u8; HEADER_BYTES],
        value: &mut [u8],
    ) -> Result<(), JobError> {
        self.open_for(&aad(job, what), header, value).ok_or(JobError::Damaged { what: what.name() })
    }

    /// A value that only this key opens.
    pub(super) fn check_value(&self) -> [u8; HEADER_BYTES] {
        self.seal_for(b"check", &mut [])
    }

    /// Whether the value was made by [`check_value`](Self::check_value) with this key.
    pub(super) fn opens(&self, check_value: &[u8]) -> bool {
        check_value.try_into().is_ok_and(|header| self.open_for(b"check", header, &mut []).is_some())
    }

    fn seal_for(&self, aad: &[u8], value: &mut [u8]) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let (nonce, tag) = header.split_at_mut(NONCE_BYTES);
        getrandom::fill(nonce).expect("the operating system provides entropy");
        let nonce = XNonce::try_from(&*nonce).expect("the header has a nonce's length");
        let sealed = self.cipher.encrypt_inout_detached(&nonce, aad, value.into());
        tag.copy_from_slice(&sealed.expect("a value is shorter than 256 GiB"));
        header
    }

    fn open_for(&self, aad: &[u8], header: &[u8; HEADER_BYTES], value: &mut [u8]) -> Option<()> {
        let (nonce, tag) = header.split_at(NONCE_BYTES);
        let nonce = XNonce::try_from(nonce).expect("the header has a nonce's length");
        let tag = Tag::try_from(tag).expect("the header has a tag's length");
        self.cipher.decrypt_inout_detached(&nonce, aad, value.into(), &tag).ok()
    }
}

fn aad(job: JobId, what: Sealed) -> Vec<u8> {
    [job.as_bytes(), what.name().as_bytes()].concat()
}
