//! A proof together with its statement: the circuit and its public signals.
//!
//! ```text
//! "sbpf" | version: u32 | circuit's digest: 32 bytes | signals: u32 | the signals: 32 bytes each | the proof
//! ```

use crate::Error;
use snapback_circom::sections::Reader;

const FORMAT: &str = "a proof file";
const MAGIC: [u8; 4] = *b"sbpf";
const VERSION: u32 = 1;

/// A proof and its statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFile<'a> {
    /// [`Compiled::digest`](crate::Compiled::digest) of the circuit.
    pub circuit: [u8; 32],
    /// Public signals in circom's order, each little-endian.
    pub publics: Vec<[u8; 32]>,
    /// The proof, as halo2 writes it.
    pub proof: &'a [u8],
}

impl<'a> ProofFile<'a> {
    /// Encodes the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(44 + 32 * self.publics.len() + self.proof.len());
        file.extend_from_slice(&MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&self.circuit);
        file.extend_from_slice(&(self.publics.len() as u32).to_le_bytes());
        self.publics.iter().for_each(|public| file.extend_from_slice(public));
        file.extend_from_slice(self.proof);
        file
    }

    /// Decodes a file.
    ///
    /// # Errors
    /// Returns an error if the bytes do not follow the format. The verifier checks that the signals are field elements.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, FORMAT);
        if reader.array("magic word")? != MAGIC {
            return Err(reader.error("it begins with other bytes").into());
        }
        let version = reader.u32("version")?;
        if version != VERSION {
            return Err(Error::Unsupported(format!("it has version {version} of the format, not {VERSION}")));
        }
        let circuit = reader.array("circuit's digest")?;
        let count = reader.u32("number of signals")?;
        let publics = reader.bytes(u64::from(count) * 32, "signals")?;
        let publics = publics.as_chunks().0.to_vec();
        let proof = reader.bytes(reader.left() as u64, "proof")?;
        Ok(Self { circuit, publics, proof })
    }
}
