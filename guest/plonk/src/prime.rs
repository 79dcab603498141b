//! The two sides of Pasta, called as `circom --prime` calls them.
//!
//! Circom's `pallas` is the base field of Pallas, hence the scalar field of Vesta: such circuits are proven with
//! commitments on Vesta, and the other way round.

use crate::{Error, sections::FIELD_BYTES};
use ff::{FromUniformBytes, PrimeField};
use halo2_proofs::pasta::{EpAffine, EqAffine, Fp, Fq};
use pasta_curves::arithmetic::{CurveAffine, VartimeField};
use std::fmt;

/// A prime over which circuits are proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prime {
    /// `circom --prime pallas`
    Pallas,
    /// `circom --prime vesta`
    Vesta,
}

/// A field that circuits are over: the scalars of one of the two curves.
pub trait Scalar: PrimeField<Repr = [u8; FIELD_BYTES]> + FromUniformBytes<64> + VartimeField + Ord {}
impl Scalar for Fp {}
impl Scalar for Fq {}

/// A curve that circuits are committed on.
pub trait Side: CurveAffine<ScalarExt: Scalar> {
    /// What circom calls its scalar field.
    const PRIME: Prime;
}

impl Side for EqAffine {
    const PRIME: Prime = Prime::Pallas;
}

impl Side for EpAffine {
    const PRIME: Prime = Prime::Vesta;
}

impl Prime {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Pallas, Self::Vesta];

    /// What circom calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pallas => "pallas",
            Self::Vesta => "vesta",
        }
    }

    /// The prime of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|prime| prime.name() == name)
    }

    /// The modulus, little-endian.
    #[must_use]
    pub fn modulus(self) -> [u8; FIELD_BYTES] {
        match self {
            Self::Pallas => modulus::<Fp>(),
            Self::Vesta => modulus::<Fq>(),
        }
    }

    /// The prime with that modulus, little-endian.
    ///
    /// # Errors
    /// When it is neither, with the name that circom gives it, if any.
    pub fn of(modulus: &[u8]) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|prime| prime.modulus() == modulus);
        known.ok_or_else(|| {
            let other =
                OTHERS.iter().find(|(_, low)| modulus.len() >= 8 && modulus[..8] == low.to_le_bytes());
            let name = other.map_or("another prime", |(name, _)| name);
            Error::Unsupported(format!(
                "it is over {name}; compile it with `circom --prime pallas` or `--prime vesta`"
            ))
        })
    }
}

impl fmt::Display for Prime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

pub(crate) fn modulus<F: Scalar>() -> [u8; FIELD_BYTES] {
    // One less than the modulus is even, so that adding one changes its lowest byte alone.
    let mut repr = (-F::ONE).to_repr();
    repr[0] += 1;
    repr
}

/// Other primes of circom, by the lowest 64 bits of their modulus: for a helpful message only.
const OTHERS: [(&str, u64); 5] = [
    ("bn128", 0x43e1_f593_f000_0001),
    ("bls12381", 0xffff_ffff_0000_0001),
    ("bls12377", 0x0a11_8000_0000_0001),
    ("grumpkin", 0x3c20_8c16_d87c_fd47),
    ("secq256r1", 0xffff_ffff_ffff_ffff),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moduli_are_those_of_the_pasta_curves() {
        let hex = |bytes: [u8; 32]| bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>();
        // From the Pasta curves' specification.
        assert_eq!(
            hex(Prime::Pallas.modulus()),
            "40000000000000000000000000000000224698fc094cf91b992d30ed00000001"
        );
        assert_eq!(
            hex(Prime::Vesta.modulus()),
            "40000000000000000000000000000000224698fc0994a8dd8c46eb2100000001"
        );
    }

    #[test]
    fn other_primes_are_named() {
        let mut bn128 = [0; 32];
        bn128[..8].copy_from_slice(&0x43e1_f593_f000_0001u64.to_le_bytes());
        let error = Prime::of(&bn128).expect_err("another prime");
        assert!(error.to_string().contains("bn128"), "{error}");
        assert!(Prime::of(&[]).is_err());
    }
}
