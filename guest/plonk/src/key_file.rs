//! A verifying key as a file, which is enough to verify proofs without an image.
//!
//! ```text
//! "sbvk" | version: u32 | digest of the verifying key: 32 bytes | the circuit, as an .r1cs file
//! ```
//!
//! halo2 has no byte encoding of its keys, but generates the same key from the same circuit each time. The file
//! therefore holds the circuit, and the digest of the key that has to result from it.

use crate::{Compiled, Error, PastaPrime, Side, Verifier, reference_bytes};
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

    /// Returns the reference string for 2^k rows on one side of the cycle, as `Params::write` of halo2 writes it. Whoever
    /// chooses it can make proofs of anything, so it has to be known to be the generated one.
    ///
    /// # Errors
    /// Returns an error if there is none.
    fn reference<C: Side>(&self, k: u32) -> Result<Vec<u8>, Self::Error>;
}

/// Generates reference strings.
struct Generate;

impl ReferenceSource for Generate {
    type Error = Error;

    fn reference<C: Side>(&self, k: u32) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::with_capacity(reference_bytes(k));
        Params::<C>::new(k).write(&mut bytes).expect("writing to a vector does not fail");
        Ok(bytes)
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
        let k = compiled.k();
        let params = read(&source.reference::<C>(k)?, k)?;
        let verifier = Verifier::new(&params, compiled)?;
        if verifier.vk_digest() != file.vk_digest {
            let reason = "the key of its circuit does not have the digest that it names".into();
            return Err(Error::Malformed { format: FORMAT, reason }.into());
        }
        Ok(Self { params, verifier })
    }
}

/// Reads the reference string for 2^k rows.
fn read<C: Side>(mut reference: &[u8], k: u32) -> Result<Params<C>, Error> {
    let malformed = |reason: String| Error::Malformed { format: "a reference string", reason };
    if reference.len() != reference_bytes(k) {
        return Err(malformed(format!("{} bytes are not those for 2^{k} rows", reference.len())));
    }
    Params::read(&mut reference).map_err(|error| malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Length of a point of a reference string.
    const POINT_BYTES: usize = 32;

    struct Given(Vec<u8>);

    impl ReferenceSource for Given {
        type Error = Error;

        fn reference<C: Side>(&self, _: u32) -> Result<Vec<u8>, Error> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn a_reference_string_has_to_have_the_size_and_the_points_of_the_key() {
        let (r1cs, _) = crate::trial::<EqAffine>();
        let compiled = Compiled::read(&r1cs).expect("a circuit");
        let k = compiled.k();
        let verifier = Verifier::<EqAffine>::new(&Params::new(k), compiled).expect("a key");
        let file = encode(&verifier.vk_digest(), &r1cs);
        let file = KeyFile::read(&file).expect("a key file");
        let reference = Generate.reference::<EqAffine>(k).expect("generated");
        let prepare =
            |reference: &[u8]| file.prepare_from(&Given(reference.to_vec())).map(|key| key.circuit());
        assert_eq!(prepare(&reference).expect("a key"), verifier.compiled().digest());

        let malformed = |reference: &[u8]| match prepare(reference) {
            Err(Error::Malformed { format, .. }) => format,
            other => panic!("{other:?}"),
        };
        assert_eq!(malformed(&reference[1..]), "a reference string");
        assert_eq!(malformed(&[]), "a reference string");
        let mut no_points = reference.clone();
        no_points[4..].fill(0xff);
        assert_eq!(malformed(&no_points), "a reference string");
        let mut exchanged = reference;
        let (first, second) = exchanged[4 + (POINT_BYTES << k)..].split_at_mut(POINT_BYTES);
        first.swap_with_slice(&mut second[..POINT_BYTES]);
        assert_eq!(malformed(&exchanged), FORMAT, "the key has another digest");
    }
}
