//! The two sides of the Pasta cycle, as circom and halo2 name them.
//!
//! Circom's `pallas` is the base field of Pallas, hence the scalar field of Vesta: circuits over it are proven with
//! commitments on Vesta. Circuits over `vesta` are proven with commitments on Pallas.

use crate::Error;
use ff::{FromUniformBytes, PrimeField};
use halo2_proofs::pasta::{EpAffine, EqAffine, Fp, Fq};
use pasta_curves::{
    arithmetic::{CurveAffine, VartimeField},
    glv::GlvParams,
};
use snapback_circom::{FIELD_BYTES, Prime};

/// A field of circuits: the scalar field of one of the two curves.
pub trait Scalar: PrimeField<Repr = [u8; FIELD_BYTES]> + FromUniformBytes<64> + VartimeField + Ord {}
impl Scalar for Fp {}
impl Scalar for Fq {}

/// A curve on which the commitments of proofs lie.
pub trait Side: CurveAffine<ScalarExt: Scalar, CurveExt: GlvParams> {
    /// Circom's name for its scalar field.
    const PRIME: Prime;
}

impl Side for EqAffine {
    const PRIME: Prime = Prime::Pallas;
}

impl Side for EpAffine {
    const PRIME: Prime = Prime::Vesta;
}

/// A prime over which this crate proves circuits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PastaPrime {
    /// The prime of `circom --prime pallas`.
    Pallas,
    /// The prime of `circom --prime vesta`.
    Vesta,
}

impl TryFrom<Prime> for PastaPrime {
    type Error = Error;

    fn try_from(prime: Prime) -> Result<Self, Error> {
        match prime {
            Prime::Pallas => Ok(Self::Pallas),
            Prime::Vesta => Ok(Self::Vesta),
            other => Err(Error::Unsupported(format!(
                "it is over {other}; compile it with `circom --prime pallas` or `--prime vesta`"
            ))),
        }
    }
}

impl From<PastaPrime> for Prime {
    fn from(prime: PastaPrime) -> Self {
        match prime {
            PastaPrime::Pallas => Self::Pallas,
            PastaPrime::Vesta => Self::Vesta,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_primes_are_refused_by_name() {
        let error = PastaPrime::try_from(Prime::Bn128).expect_err("another prime");
        assert!(error.to_string().contains("bn128"), "{error}");
    }
}
