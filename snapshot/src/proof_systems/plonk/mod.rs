//! Circom's circuits over Pasta, proven with halo2: the native implementation for the guest `plonk`.
//!
//! ```text
//! bake          circuits of a bake and checks of their image   estimate      what a circuit will take
//! proof_json    proofs as JSON                                 srs           structured reference strings
//!                                                              srs_digests   the digests that they have
//! ```

mod bake;
mod estimate;
mod proof_json;
mod srs;
mod srs_digests;

use super::{
    BakePlan, CircuitError, CircuitFiles, CircuitShape, Description, Estimate, FileKind, FileSpec,
    JsonObject, MalformedProof, Presence, ProofSystem, VerifyError,
};
use crate::{Digest, Error, Guest, inputs::Input, manifest::Manifest, references::References};
use snapback_guest_plonk::{self as plonk, GUEST_NAME, KeyFile, Outline, ReferenceSource, Side};

/// The bake input that carries a circuit: `circuit/NAME`, an `.r1cs` file.
pub const INPUT_CIRCUIT: &str = "circuit";
/// The bake input that carries the names of a circuit's signals: `sym/NAME`, a `.sym` file.
pub const INPUT_SYM: &str = "sym";
/// The bake input that carries a reference string: `srs/PRIME`.
const INPUT_SRS: &str = "srs";

static FILES: [FileSpec; 3] = [
    FileSpec { kind: FileKind::R1CS, presence: Presence::Needed, input: Some(INPUT_CIRCUIT) },
    FileSpec { kind: FileKind::SYM, presence: Presence::Optional, input: Some(INPUT_SYM) },
    FileSpec { kind: FileKind::WASM, presence: Presence::Optional, input: None },
];

/// The proof system of the guest `plonk`.
pub struct Plonk;

impl ProofSystem for Plonk {
    fn id(&self) -> &'static str {
        GUEST_NAME
    }

    fn owns(&self, guest: &Digest) -> bool {
        Guest::find(GUEST_NAME).is_some_and(|known| known.digest == *guest)
    }

    fn files(&self) -> &'static [FileSpec] {
        &FILES
    }

    fn describe(&self, files: &CircuitFiles) -> Result<Description, CircuitError> {
        let outline = Outline::read(files.needed(&FileKind::R1CS)?).map_err(|error| match error {
            plonk::Error::Unsupported(message) => CircuitError::Unsupported(message),
            error => CircuitError::Malformed(error.to_string()),
        })?;
        let Outline { header, k, digest } = outline;
        let shape = CircuitShape::of_r1cs(&header, k, files)?;
        Ok(Description { circuit: Digest::from_bytes(digest), shape: Some(shape) })
    }

    fn estimate(&self, shape: &CircuitShape) -> Option<Estimate> {
        Some(estimate::estimate(shape))
    }

    fn plan_bake<'a>(
        &self,
        references: &References<'_>,
        base: Option<&'a Manifest>,
        inputs: &'a [Input],
    ) -> Result<Box<dyn BakePlan + 'a>, Error> {
        Ok(Box::new(bake::Plan::new(references, base, inputs)?))
    }

    fn proof_to_json(&self, proof: &[u8]) -> Result<JsonObject, MalformedProof> {
        proof_json::encode(proof).map_err(MalformedProof)
    }

    fn proof_from_json(&self, json: &[u8], bytes_max: usize) -> Result<Vec<u8>, MalformedProof> {
        proof_json::decode(json, bytes_max).map_err(MalformedProof)
    }

    fn reads_key(&self, key: &[u8]) -> bool {
        KeyFile::is_key(key)
    }

    fn verify(&self, references: &References<'_>, key: &[u8], proof: &[u8]) -> Result<(), VerifyError> {
        let key = KeyFile::read(key)?.prepare_from(references)?;
        key.verify(proof).map_err(|error| match error {
            plonk::Error::Refuted(_) => VerifyError::Refuted(error.to_string()),
            error => VerifyError::Proof(error.to_string()),
        })
    }
}

impl ReferenceSource for References<'_> {
    type Error = VerifyError;

    fn reference<C: Side>(&self, k: u32) -> Result<Vec<u8>, VerifyError> {
        srs::get::<C>(self, k).map_err(|error| VerifyError::References(error.to_string()))
    }
}

impl From<plonk::Error> for VerifyError {
    fn from(error: plonk::Error) -> Self {
        Self::Key(error.to_string())
    }
}
