//! A verifying key as a file, which is enough to verify proofs without an image.
//!
//! ```text
//! "sbvk" | version: u32 | digest of the verifying key: 32 bytes | the circuit, as an .r1cs file
//! ```
//!
//! halo2 has no byte encoding of its keys, but generates the same key from the same circuit each time. The file
//! therefore holds the circuit, and the digest of the key that has to result from it.

use crate::{Compiled, Error, PastaPrime, Side, Verifier};
use halo2_proofs::{
    pasta::{EpAffine, EqAffine},
    poly::commitment::Params,
};
use snapback_circom::{r1cs::Header, sections::Reader};

const FORMAT: &str = "a verifying key";
const MAGIC: [u8; 4] = *b"sbvk";
const VERSION: u32 = 1;

/// Encodes the file.
pub(crate) fn encode(vk_digest: &[u8; 32], r1cs: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &VERSION.to_le_bytes(), vk_digest, r1cs].concat()
}

/// A verifying key as its file holds it. [`Self::prepare`] generates the key that verifies.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let file = std::fs::read("x5chain.vk")?;
/// let key = snapback_guest_plonk::KeyFile::read(&file)?;
/// let key = key.prepare()?; // takes seconds: it generates the structured reference string
/// key.verify(&std::fs::read("x5chain.proof")?)?;
/// # Ok(())
/// # }
/// ```
pub struct KeyFile<'a> {
    vk_digest: [u8; 32],
    prime: PastaPrime,
    r1cs: &'a [u8],
}

impl<'a> KeyFile<'a> {
    /// Returns whether these bytes begin like a verifying key.
    #[must_use]
    pub fn is_key(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Reads the file, without computing anything yet.
    ///
    /// # Errors
    /// Returns an error if the bytes do not follow the format.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, FORMAT);
        if reader.array("magic word")? != MAGIC {
            return Err(reader.error("it begins with other bytes").into());
        }
        let version = reader.u32("version")?;
        if version != VERSION {
            return Err(Error::Unsupported(format!("it has version {version} of the format, not {VERSION}")));
        }
        let vk_digest = reader.array("digest")?;
        let r1cs = reader.bytes(reader.left() as u64, "circuit")?;
        Ok(Self { vk_digest, prime: Header::read(r1cs)?.prime.try_into()?, r1cs })
    }

    /// Generates the structured reference string and the key, which takes seconds.
    ///
    /// # Errors
    /// Returns an error if the circuit is not supported, or its key does not have the digest in the file.
    pub fn prepare(&self) -> Result<PreparedKey, Error> {
        self.prepare_from(&Generate)
    }

    /// Generates the key with a structured reference string from elsewhere.
    ///
    /// # Errors
    /// Returns the source's error, or an error if the circuit is not supported, or its key does not have the digest in
    /// the file.
    pub fn prepare_from<S: ReferenceSource>(&self, source: &S) -> Result<PreparedKey, S::Error> {
        Ok(match self.prime {
            PastaPrime::Pallas => PreparedKey(CurveSide::Pallas(Prepared::new(self, source)?)),
            PastaPrime::Vesta => PreparedKey(CurveSide::Vesta(Prepared::new(self, source)?)),
        })
    }
}

/// Where structured reference strings come from.
pub trait ReferenceSource {
    /// Why there is none, or why the key cannot be used with it.
    type Error: From<Error>;

    /// Returns the reference string for 2^k rows on one side of the cycle.
    ///
    /// # Errors
    /// Returns an error if there is none.
    fn params<C: Side>(&self, k: u32) -> Result<Params<C>, Self::Error>;
}

/// Generates reference strings.
struct Generate;

impl ReferenceSource for Generate {
    type Error = Error;

    fn params<C: Side>(&self, k: u32) -> Result<Params<C>, Error> {
        Ok(Params::new(k))
    }
}

/// A verifying key that is ready to verify proofs.
pub struct PreparedKey(CurveSide);

enum CurveSide {
    Pallas(Prepared<EqAffine>),
    Vesta(Prepared<EpAffine>),
}

impl PreparedKey {
    /// Verifies a [`ProofFile`](crate::ProofFile).
    ///
    /// # Errors
    /// Returns an error if the bytes are not a proof file, or the proof belongs to another circuit or does not verify.
    pub fn verify(&self, proof: &[u8]) -> Result<(), Error> {
        match &self.0 {
            CurveSide::Pallas(Prepared { params, verifier }) => verifier.verify_file(params, proof),
            CurveSide::Vesta(Prepared { params, verifier }) => verifier.verify_file(params, proof),
        }
    }

    /// Returns the digest that identifies the circuit.
    #[must_use]
    pub fn circuit(&self) -> [u8; 32] {
        match &self.0 {
            CurveSide::Pallas(prepared) => prepared.verifier.compiled().digest(),
            CurveSide::Vesta(prepared) => prepared.verifier.compiled().digest(),
        }
    }
}

struct Prepared<C: Side> {
    params: Params<C>,
    verifier: Verifier<C>,
}

impl<C: Side> Prepared<C> {
    fn new<S: ReferenceSource>(file: &KeyFile<'_>, source: &S) -> Result<Self, S::Error> {
        let compiled = Compiled::read(file.r1cs)?;
        let params = source.params(compiled.k())?;
        let verifier = Verifier::new(&params, compiled)?;
        if verifier.vk_digest() != file.vk_digest {
            let reason = "the key of its circuit does not have the digest that it names".into();
            return Err(Error::Malformed { format: FORMAT, reason }.into());
        }
        Ok(Self { params, verifier })
    }
}
