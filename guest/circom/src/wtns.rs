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
        let sections = Sections::read(bytes, MAGIC, VERSION, FORMAT)?;
        let mut header = sections.get(HEADER)?;
        let field_bytes = header.u32("field size")?;
        let found = Prime::of(header.bytes(u64::from(field_bytes), "prime")?)?;
        if found != prime {
            return Err(Error::Unsupported(format!("the witness is over {found}, the circuit over {prime}")));
        }
        let count = header.u32("number of values")?;
        header.end()?;
        let mut values = sections.get(VALUES)?;
        if count != wires || values.left() as u64 != u64::from(count) * FIELD_BYTES as u64 {
            return Err(header.error(format!("the circuit has {wires} wires, the witness {count} values")));
        }
        let mut witness = Self(Vec::with_capacity(count as usize));
        for _ in 0..count {
            witness.0.push(values.element("value")?);
        }
        if witness.0.first() != Some(&F::ONE) {
            return Err(header.error("its first value is not one"));
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
        write(&prime.modulus(), self.0.len(), self.0.iter().map(F::to_repr))
    }
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
        self.0.fill(F::ZERO);
        // Keeps the compiler from removing writes that nobody reads.
        std::hint::black_box(&mut self.0);
    }
}
