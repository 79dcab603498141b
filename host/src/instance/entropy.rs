//! The 32 bytes of randomness that every call carries.
//!
//! Invariant: a value of this type is used for one call; it cannot be copied, printed or compared.

use snapback_abi::ENTROPY_LEN;
use zeroize::Zeroizing;

/// The entropy of one call.
pub struct Entropy(Zeroizing<[u8; ENTROPY_LEN]>);

impl Entropy {
    /// Draws entropy from the operating system.
    ///
    /// # Panics
    /// Panics if the operating system provides no entropy, because nothing may be proven without it.
    #[must_use]
    pub fn fresh() -> Self {
        let mut bytes = Zeroizing::new([0; ENTROPY_LEN]);
        getrandom::fill(bytes.as_mut()).expect("the operating system provides entropy");
        Self(bytes)
    }

    /// Uses a chosen value, for tests and benches that compare proofs byte by byte. Nothing that a client sends
    /// reaches this function.
    #[must_use]
    pub fn from_seed(seed: [u8; ENTROPY_LEN]) -> Self {
        Self(Zeroizing::new(seed))
    }

    pub(crate) fn expose(&self) -> &[u8; ENTROPY_LEN] {
        &self.0
    }
}
