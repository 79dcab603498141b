//! Circom's circuits over BN254, proven with Groth16: the native implementation for the guest `groth16`.
//!
//! ```text
//! bake      keys of a bake and checks of their image        json      keys, proofs and signals as snarkjs writes them
//! ```

mod bake;
mod json;

use super::{
    BakePlan, CircuitError, CircuitFiles, CircuitShape, Description, FileKind, FileSpec, JsonObject,
    MalformedProof, Presence, ProofSystem, VerifyError, WitnessShape,
};
use crate::{Digest, Error, Guest, inputs::Input, manifest::Manifest, references::References};
use snapback_circom::{Prime, r1cs::Header as R1csHeader, sym::input_names};
use snapback_guest_groth16::{self as groth16, GUEST_NAME, Header, ProofFile};
use std::collections::BTreeSet;

pub use json::{calldata, merge};

/// The bake input that carries a proving key: `zkey/NAME`, a `.zkey` file.
pub const INPUT_ZKEY: &str = "zkey";
/// The bake input that carries the constraints of a circuit: `r1cs/NAME`, an `.r1cs` file.
pub const INPUT_R1CS: &str = "r1cs";
/// The bake input that carries the names of a circuit's signals: `sym/NAME`, a `.sym` file.
pub const INPUT_SYM: &str = "sym";
/// `verification_key.json`: the verifying key that the proving key has to belong to.
const VK: FileKind = FileKind::new("vk");

static FILES: [FileSpec; 5] = [
    FileSpec { kind: FileKind::ZKEY, presence: Presence::Needed, input: Some(INPUT_ZKEY) },
    FileSpec { kind: FileKind::R1CS, presence: Presence::Optional, input: Some(INPUT_R1CS) },
    FileSpec { kind: FileKind::SYM, presence: Presence::Optional, input: Some(INPUT_SYM) },
    FileSpec { kind: FileKind::WASM, presence: Presence::Optional, input: None },
    FileSpec { kind: VK, presence: Presence::Optional, input: None },
];

/// The proof system of the guest `groth16`.
pub struct Groth16;

impl ProofSystem for Groth16 {
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
        let zkey = files.needed(&FileKind::ZKEY)?;
        let outline = groth16::Outline::read(zkey)?;
        if let Some(vk) = files.get(&VK) {
            let sent = json::verifying_key(vk, outline.header.publics as usize);
            let sent = sent.map_err(CircuitError::Malformed)?;
            if sent != outline.verifying_key {
                let reason = "the verifying key belongs to another .zkey: `snarkjs zkey export verificationkey` \
                              writes the one of this file";
                return Err(CircuitError::Malformed(reason.into()));
            }
        }
        let shape = shape(&outline, files)?;
        Ok(Description { circuit: Digest::of(zkey), shape: Some(shape) })
    }

    fn plan_bake<'a>(
        &self,
        _: &References<'_>,
        base: Option<&'a Manifest>,
        inputs: &'a [Input],
    ) -> Result<Box<dyn BakePlan + 'a>, Error> {
        Ok(Box::new(bake::Plan::new(base, inputs)?))
    }

    fn witness_shape(&self, files: &CircuitFiles) -> Result<WitnessShape, CircuitError> {
        let header = groth16::read_header(files.needed(&FileKind::ZKEY)?)?;
        let signals = match (files.get(&FileKind::SYM), r1cs(&header, files)?) {
            (Some(sym), Some(r1cs)) => input_names(sym, &r1cs)?,
            _ => BTreeSet::new(),
        };
        // A key does not say how many inputs there are; the calculator does.
        Ok(WitnessShape { prime: Prime::Bn128, wires: header.wires, inputs: u64::MAX, signals })
    }

    fn proof_to_json(&self, proof: &[u8]) -> Result<JsonObject, MalformedProof> {
        let file = ProofFile::decode(proof).map_err(|error| MalformedProof(error.to_string()))?;
        Ok(json::proof(&file))
    }

    fn proof_from_json(&self, json: &[u8], bytes_max: usize) -> Result<Vec<u8>, MalformedProof> {
        json::read_proof(json, bytes_max).map_err(MalformedProof)
    }

    fn reads_key(&self, key: &[u8]) -> bool {
        json::is_key(key)
    }

    fn verify(&self, _: &References<'_>, key: &[u8], proof: &[u8]) -> Result<(), VerifyError> {
        let key = json::verifying_key(key, json::PUBLICS_MAX).map_err(VerifyError::Key)?;
        let proof = ProofFile::decode(proof).map_err(|error| VerifyError::Proof(error.to_string()))?;
        bake::verify(&key, &proof)
    }
}

/// Returns the header of the `.r1cs`, if the circuit has one, which has to fit its key.
fn r1cs(header: &Header, files: &CircuitFiles) -> Result<Option<R1csHeader>, CircuitError> {
    let Some(file) = files.get(&FileKind::R1CS) else { return Ok(None) };
    let r1cs = R1csHeader::read(file)?;
    if r1cs.prime != Prime::Bn128 || r1cs.wires != header.wires || r1cs.publics() != header.publics {
        let reason = format!(
            "the .r1cs belongs to another circuit: it is over {} with {} wires and {} public signals, the .zkey over {} \
             with {} and {}",
            r1cs.prime,
            r1cs.wires,
            r1cs.publics(),
            Prime::Bn128,
            header.wires,
            header.publics
        );
        return Err(CircuitError::Malformed(reason));
    }
    Ok(Some(r1cs))
}

fn shape(outline: &groth16::Outline<'_>, files: &CircuitFiles) -> Result<CircuitShape, CircuitError> {
    let header = &outline.header;
    match r1cs(header, files)? {
        Some(r1cs) => CircuitShape::of_r1cs(&r1cs, header.log_domain, files),
        None => Ok(CircuitShape {
            prime: Prime::Bn128.to_string(),
            k: header.log_domain,
            constraints: outline.constraints,
            wires: header.wires,
            publics: Some(header.publics),
            outputs: None,
            public_inputs: None,
            private_inputs: None,
            public: Vec::new(),
            inputs: Vec::new(),
        }),
    }
}

impl From<groth16::Error> for CircuitError {
    fn from(error: groth16::Error) -> Self {
        match error {
            groth16::Error::Unsupported(message) => Self::Unsupported(message),
            error => Self::Malformed(error.to_string()),
        }
    }
}
