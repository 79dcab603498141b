//! Circom's `.wtns`, version 2: the value of every wire. The values are secret.
//!
//! ```text
//! section 1: field bytes: u32 | prime | values: u32        section 2: the values
//! ```
//! Source: snarkjs, `wtns_utils`.

use crate::{Element, Error, FIELD_BYTES, Prime, sections::Sections};

const FORMAT: &str = "a .wtns file";
const MAGIC: [u8; 4] = *b"wtns";
const VERSION: u32 = 2;
const HEADER: u32 = 1;
const VALUES: u32 = 2;

/// The value of every wire. The values are overwritten when the witness is dropped.
pub struct Witness<F: Element>(Vec<F>);

impl<F: Element> Witness<F> {
    /// Reads the witness of a circuit over `prime` with `wires` wires.
    ///
    /// # Errors
    /// Returns an error if the file does not follow the format, or belongs to a circuit over another prime or of
    /// another size.
    pub fn read(bytes: &[u8], prime: Prime, wires: u32) -> Result<Self, Error> {
        let values = values(bytes, prime, wires)?;
        let mut witness = Self(Vec::with_capacity(values.len()));
        for value in values {
            let value = F::from_le(*value).ok_or_else(not_below_the_prime)?;
            witness.0.push(value);
        }
        Ok(witness)
    }

    /// Returns the values, in the order of the wires.
    #[must_use]
    pub fn values(&self) -> &[F] {
        &self.0
    }

    /// Wraps the values of all wires; the first one is the constant one.
    #[must_use]
    pub fn from_values(values: Vec<F>) -> Self {
        Self(values)
    }

    /// Encodes the witness as a file over `prime`.
    #[must_use]
    pub fn write(&self, prime: Prime) -> Vec<u8> {
        write(&prime.modulus(), self.0.len(), self.0.iter().map(|value| value.to_le()))
    }
}

/// Returns the values of a witness of a circuit over `prime` with `wires` wires, as they are in the file: numbers below the
/// prime, the lowest byte first. The first one is one.
///
/// # Errors
/// Returns an error if the file does not follow the format, or belongs to a circuit over another prime or of another size.
pub fn values(bytes: &[u8], prime: Prime, wires: u32) -> Result<&[[u8; FIELD_BYTES]], Error> {
    let sections = Sections::read(bytes, MAGIC, VERSION, FORMAT)?;
    let mut header = sections.get(HEADER)?;
    let field_bytes = header.u32("field size")?;
    let found = Prime::of(header.bytes(u64::from(field_bytes), "prime")?)?;
    if found != prime {
        return Err(Error::Unsupported(format!("the witness is over {found}, the circuit over {prime}")));
    }
    let count = header.u32("number of values")?;
    header.end()?;
    let mut section = sections.get(VALUES)?;
    let (values, rest) = section.bytes(section.left() as u64, "values")?.as_chunks::<FIELD_BYTES>();
    if count != wires || values.len() as u64 != u64::from(count) || !rest.is_empty() {
        return Err(header.error(format!("the circuit has {wires} wires, the witness {count} values")));
    }
    let modulus = prime.modulus();
    if !values.iter().all(|value| value.iter().rev().lt(modulus.iter().rev())) {
        return Err(not_below_the_prime());
    }
    let one = values.first().is_some_and(|value| value[0] == 1 && value[1..].iter().all(|byte| *byte == 0));
    if one { Ok(values) } else { Err(header.error("its first value is not one")) }
}

fn not_below_the_prime() -> Error {
    Error::Malformed { format: FORMAT, reason: "its value is not below the prime".into() }
}

/// Encodes `count` values over a prime of 32 bytes as a file.
pub fn write(
    modulus: &[u8; FIELD_BYTES],
    count: usize,
    values: impl Iterator<Item = [u8; FIELD_BYTES]>,
) -> Vec<u8> {
    let mut file = Vec::with_capacity(count * FIELD_BYTES + 76);
    file.extend_from_slice(&MAGIC);
    for word in [VERSION, 2, HEADER] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(&(8 + FIELD_BYTES as u64).to_le_bytes());
    file.extend_from_slice(&(FIELD_BYTES as u32).to_le_bytes());
    file.extend_from_slice(modulus);
    file.extend_from_slice(&(count as u32).to_le_bytes());
    file.extend_from_slice(&VALUES.to_le_bytes());
    file.extend_from_slice(&((count * FIELD_BYTES) as u64).to_le_bytes());
    values.for_each(|value| file.extend_from_slice(&value));
    file
}

impl<F: Element> Drop for Witness<F> {
    fn drop(&mut self) {
        self.0.fill(F::zero());
        // Keeps the compiler from removing writes that nobody reads.
        std::hint::black_box(&mut self.0);
    }
}
