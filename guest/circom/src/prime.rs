//! The primes that circom compiles for, under the names that `circom --prime` takes.
//!
//! Circom names a prime after the curve whose scalar field it is, with two exceptions: `pallas` and `vesta` are the
//! base fields of the curves of these names.
//!
//! Source: circom 2.2, `program_structure/src/utils/constants.rs`, and the specifications of the curves.

use crate::{Error, FIELD_BYTES};
use std::fmt;

/// A prime over which circom compiles circuits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prime {
    /// `--prime bn128`, circom's default: the scalar field of BN254.
    Bn128,
    /// `--prime bls12377`: the scalar field of BLS12-377.
    Bls12377,
    /// `--prime bls12381`: the scalar field of BLS12-381.
    Bls12381,
    /// `--prime goldilocks`: the prime 2^64 - 2^32 + 1, of 64 bits.
    Goldilocks,
    /// `--prime grumpkin`: the base field of BN254.
    Grumpkin,
    /// `--prime pallas`: the base field of Pallas, hence the scalar field of Vesta.
    Pallas,
    /// `--prime secq256r1`: the base field of P-256.
    Secq256r1,
    /// `--prime vesta`: the base field of Vesta, hence the scalar field of Pallas.
    Vesta,
}

/// Little-endian 64-bit words of the moduli, in the order of [`Prime::ALL`].
const MODULI: [[u64; 4]; 8] = [
    [0x43e1_f593_f000_0001, 0x2833_e848_79b9_7091, 0xb850_45b6_8181_585d, 0x3064_4e72_e131_a029],
    [0x0a11_8000_0000_0001, 0x59aa_76fe_d000_0001, 0x60b4_4d1e_5c37_b001, 0x12ab_655e_9a2c_a556],
    [0xffff_ffff_0000_0001, 0x53bd_a402_fffe_5bfe, 0x3339_d808_09a1_d805, 0x73ed_a753_299d_7d48],
    [0xffff_ffff_0000_0001, 0, 0, 0],
    [0x3c20_8c16_d87c_fd47, 0x9781_6a91_6871_ca8d, 0xb850_45b6_8181_585d, 0x3064_4e72_e131_a029],
    [0x992d_30ed_0000_0001, 0x2246_98fc_094c_f91b, 0, 0x4000_0000_0000_0000],
    [0xffff_ffff_ffff_ffff, 0x0000_0000_ffff_ffff, 0, 0xffff_ffff_0000_0001],
    [0x8c46_eb21_0000_0001, 0x2246_98fc_0994_a8dd, 0, 0x4000_0000_0000_0000],
];

impl Prime {
    /// Every prime.
    pub const ALL: [Self; 8] = [
        Self::Bn128,
        Self::Bls12377,
        Self::Bls12381,
        Self::Goldilocks,
        Self::Grumpkin,
        Self::Pallas,
        Self::Secq256r1,
        Self::Vesta,
    ];

    /// Returns the name that `circom --prime` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bn128 => "bn128",
            Self::Bls12377 => "bls12377",
            Self::Bls12381 => "bls12381",
            Self::Goldilocks => "goldilocks",
            Self::Grumpkin => "grumpkin",
            Self::Pallas => "pallas",
            Self::Secq256r1 => "secq256r1",
            Self::Vesta => "vesta",
        }
    }

    /// Returns the prime with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|prime| prime.name() == name)
    }

    /// Returns the modulus as little-endian words.
    #[must_use]
    pub fn words(self) -> [u64; 4] {
        let index = Self::ALL.iter().position(|prime| *prime == self);
        MODULI[index.expect("ALL holds every prime")]
    }

    /// Returns the modulus, little-endian. [`Self::Goldilocks`] has zeros in the upper 24 bytes.
    #[must_use]
    pub fn modulus(self) -> [u8; FIELD_BYTES] {
        let mut bytes = [0; FIELD_BYTES];
        for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.words()) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    /// Returns the length of a field element in circom's files, in bytes.
    #[must_use]
    pub fn field_bytes(self) -> usize {
        if self == Self::Goldilocks { 8 } else { FIELD_BYTES }
    }

    /// Returns the prime with this modulus, which is little-endian and has [`Self::field_bytes`] bytes.
    ///
    /// # Errors
    /// Returns an error if circom does not know the prime.
    pub fn of(modulus: &[u8]) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|prime| prime.modulus()[..prime.field_bytes()] == *modulus)
            .ok_or_else(|| Error::Unsupported("it is over a prime that circom does not know".into()))
    }
}

impl fmt::Display for Prime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Element;
    use pasta_curves::{Fp, Fq};

    #[test]
    fn moduli_are_those_of_the_pasta_curves() {
        assert_eq!(Prime::Pallas.modulus(), Fp::modulus());
        assert_eq!(Prime::Vesta.modulus(), Fq::modulus());
    }

    #[test]
    fn every_prime_is_found_by_its_name_and_by_its_modulus() {
        for prime in Prime::ALL {
            assert_eq!(Prime::find(prime.name()), Some(prime));
            assert_eq!(Prime::of(&prime.modulus()[..prime.field_bytes()]), Ok(prime));
            assert_eq!(prime.modulus()[0] & 1, 1, "a prime is odd");
        }
        assert!(Prime::of(&[]).is_err() && Prime::of(&[1; 32]).is_err());
    }
}
