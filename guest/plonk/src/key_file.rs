//! A verifying key as a file. Whoever has it verifies, without an image.
//!
//! ```text
//! "sbvk" | version: u32 | digest of the verifying key: 32 bytes | the circuit, as an .r1cs file
//! ```
//!
//! halo2 has no byte encoding of its keys, but makes the same key of the same circuit each time: so the file holds the
//! circuit, and the digest of what must come of it.

use crate::{Compiled, Error, Prime, Side, Verifier, r1cs::Header, sections::Reader};
use halo2_proofs::{
    pasta::{EpAffine, EqAffine},
    poly::commitment::Params,
};

const FORMAT: &str = "a verifying key";
const MAGIC: [u8; 4] = *b"sbvk";
const VERSION: u32 = 1;

/// Writes the file.
pub(crate) fn encode(vk_digest: &[u8; 32], r1cs: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &VERSION.to_le_bytes(), vk_digest, r1cs].concat()
}

/// A verifying key from its file, ready to verify.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let file = std::fs::read("x5chain.vk")?;
/// let key = snapback_guest_plonk::KeyFile::read(&file)?;
/// let key = key.prepare()?; // seconds: the structured reference string is made anew
/// key.verify(&std::fs::read("x5chain.proof")?)?;
/// # Ok(())
/// # }
/// ```
pub struct KeyFile<'a> {
    vk_digest: [u8; 32],
    prime: Prime,
    r1cs: &'a [u8],
}

impl<'a> KeyFile<'a> {
    /// Reads the file; nothing is computed yet.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, FORMAT);
        if reader.array("magic word")? != MAGIC {
            return Err(reader.error("it begins with other bytes"));
        }
        let version = reader.u32("version")?;
        if version != VERSION {
            return Err(Error::Unsupported(format!("version {version} of this format, {VERSION} is read")));
        }
        let vk_digest = reader.array("digest")?;
        let r1cs = reader.bytes(reader.left() as u64, "circuit")?;
        Ok(Self { vk_digest, prime: Header::read(r1cs)?.prime, r1cs })
    }

    /// Makes the structured reference string and the key.
    ///
    /// # Errors
    /// When the key that comes of the circuit is not the one that the file names.
    pub fn prepare(&self) -> Result<PreparedKey, Error> {
        Ok(match self.prime {
            Prime::Pallas => PreparedKey(Half::Pallas(Prepared::new(self)?)),
            Prime::Vesta => PreparedKey(Half::Vesta(Prepared::new(self)?)),
        })
    }
}

/// A key that verifies.
pub struct PreparedKey(Half);

enum Half {
    Pallas(Prepared<EqAffine>),
    Vesta(Prepared<EpAffine>),
}

impl PreparedKey {
    /// Verifies a proof file.
    ///
    /// # Errors
    /// When it is none, is of another circuit, or does not verify.
    pub fn verify(&self, proof: &[u8]) -> Result<(), Error> {
        match &self.0 {
            Half::Pallas(Prepared { params, verifier }) => verifier.verify_file(params, proof),
            Half::Vesta(Prepared { params, verifier }) => verifier.verify_file(params, proof),
        }
    }

    /// What identifies the circuit.
    #[must_use]
    pub fn circuit(&self) -> [u8; 32] {
        match &self.0 {
            Half::Pallas(prepared) => prepared.verifier.compiled().digest(),
            Half::Vesta(prepared) => prepared.verifier.compiled().digest(),
        }
    }
}

struct Prepared<C: Side> {
    params: Params<C>,
    verifier: Verifier<C>,
}

impl<C: Side> Prepared<C> {
    fn new(file: &KeyFile<'_>) -> Result<Self, Error> {
        let compiled = Compiled::read(file.r1cs)?;
        let params = Params::new(compiled.k());
        let verifier = Verifier::new(&params, compiled)?;
        if verifier.vk_digest() != file.vk_digest {
            let reason = "the circuit in it has another key than the one it names".into();
            return Err(Error::Malformed { format: FORMAT, reason });
        }
        Ok(Self { params, verifier })
    }
}
