//! The header of a `.zkey`: the sizes of the circuit, and the points that stand alone.
//!
//! Source: snarkjs, `zkey_utils.js`.
//!
//! Invariant: sizes that were read fit each other and what this prover can do.

use crate::{
    Error,
    domain::LOG_DOMAIN_MAX,
    field::{ELEMENT_BYTES, Modulus, Q, R, bytes},
    groups::Group,
    point::{G1, G2, Point},
};
use snapback_circom::sections::Reader;

/// The format, as messages name it.
pub(crate) const FORMAT: &str = "a .zkey file";
/// The first bytes of a file.
pub(crate) const MAGIC: [u8; 4] = *b"zkey";
/// The version of the format.
pub(crate) const VERSION: u32 = 1;
/// Protocols by their number in the first section.
const GROTH16: u32 = 1;
const PLONK: u32 = 2;
const FFLONK: u32 = 10;

/// Length of the header for this curve, in bytes.
pub(crate) const HEADER_BYTES: u64 = (2 * (4 + ELEMENT_BYTES) + 3 * 4 + 3 * G1::BYTES + 3 * G2::BYTES) as u64;

/// The header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of wires, the constant one included.
    pub wires: u32,
    /// Number of public signals: outputs and public inputs.
    pub publics: u32,
    /// Logarithm of the size of the domain: the constraints with those for public signals, rounded up to a power of two.
    pub log_domain: u32,
    /// `alpha` in the first group.
    pub alpha: G1,
    /// `beta` in the first group.
    pub beta_first: G1,
    /// `beta` in the second group.
    pub beta: G2,
    /// `gamma` in the second group.
    pub gamma: G2,
    /// `delta` in the first group.
    pub delta_first: G1,
    /// `delta` in the second group.
    pub delta: G2,
}

/// Checks the number of the protocol, the contents of the first section.
pub(crate) fn check_protocol(protocol: u32) -> Result<(), Error> {
    let other = match protocol {
        GROTH16 => return Ok(()),
        PLONK => "PLONK",
        FFLONK => "FFLONK",
        _ => {
            return Err(Error::Unsupported(format!(
                "the .zkey is for an unknown protocol, number {protocol}"
            )));
        }
    };
    let message = format!(
        "the .zkey is for {other}, and only Groth16 is supported: `snarkjs groth16 setup` and `snarkjs zkey contribute` make one"
    );
    Err(Error::Unsupported(message))
}

impl Header {
    /// Reads the second section.
    pub(crate) fn read(section: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(section, FORMAT);
        check_prime(&mut reader, &bytes(Q::WORDS))?;
        check_prime(&mut reader, &bytes(R::WORDS))?;
        let (wires, publics) = (reader.u32("number of wires")?, reader.u32("number of public signals")?);
        let domain = reader.u32("size of the domain")?;
        let malformed = |reason: String| Err(Error::malformed(FORMAT, reason));
        if wires.checked_sub(1).is_none_or(|others| others < publics) {
            return malformed(format!("it has {wires} wires and {publics} public signals"));
        }
        if !domain.is_power_of_two() || domain <= publics {
            return malformed(format!("a domain of {domain} for {publics} public signals is not possible"));
        }
        if domain.ilog2() > LOG_DOMAIN_MAX {
            return Err(Error::Unsupported(format!(
                "the circuit has more than 2^{LOG_DOMAIN_MAX} constraints"
            )));
        }
        let header = Self {
            wires,
            publics,
            log_domain: domain.ilog2(),
            alpha: point(&mut reader, "alpha1")?,
            beta_first: point(&mut reader, "beta1")?,
            beta: point(&mut reader, "beta2")?,
            gamma: point(&mut reader, "gamma2")?,
            delta_first: point(&mut reader, "delta1")?,
            delta: point(&mut reader, "delta2")?,
        };
        reader.end()?;
        Ok(header)
    }

    /// Number of rows: constraints and public signals, rounded up.
    #[must_use]
    pub fn domain(&self) -> u32 {
        1 << self.log_domain
    }
}

fn check_prime(reader: &mut Reader<'_>, expected: &[u8; ELEMENT_BYTES]) -> Result<(), Error> {
    let len = reader.u32("field size")?;
    if reader.bytes(u64::from(len), "prime")? == expected {
        return Ok(());
    }
    let curve = if len == 48 { ", perhaps BLS12-381" } else { "" };
    let message = format!(
        "the .zkey is over another curve{curve}; only BN254 is supported, the curve that circom and snarkjs call bn128 \
         and use unless told otherwise"
    );
    Err(Error::Unsupported(message))
}

fn point<G: Group>(reader: &mut Reader<'_>, name: &'static str) -> Result<Point<G>, Error> {
    let point = Point::from_montgomery(reader.bytes(Point::<G>::BYTES as u64, name)?);
    let point = point.map_err(|reason| Error::point(FORMAT, name, reason))?;
    if point.is_identity() {
        Err(Error::malformed(FORMAT, format!("{name} is the identity")))
    } else {
        Ok(point)
    }
}
