//! Interface of proof systems to the bake, the server and the command line.
//!
//! ```text
//! mod          the trait, and the list of systems of a program
//! files        the kinds of file that a circuit consists of
//! description  what a circuit is, as people read it
//! object       objects in JSON
//! plonk/       circom's circuits over Pasta, proven with halo2
//! groth16/     circom's circuits over BN254, with the keys of snarkjs
//! ```
//!
//! A proof system has a guest, which proves in a sandbox, and a native implementation behind [`ProofSystem`], which
//! checks the results of the guest. The manifest of an image names its system; see [`crate::manifest::ImageKind`].
//!
//! Invariant: no image is published whose verifying keys differ from those that the native implementation generates
//! from the same circuits, or in which a circuit of the base changed that the bake did not replace.

mod description;
mod files;
pub mod groth16;
mod object;
pub mod plonk;

pub use description::{CircuitShape, Description, Estimate};
pub use files::{CircuitFiles, FileBytes, FileKind, FileSpec, Presence, find_spec};

use crate::{
    Digest, Error, TrialCall,
    inputs::Input,
    manifest::{CircuitId, ImageKind, Manifest},
    references::References,
};
use snapback_circom::{Prime, r1cs::Header, sym::input_names};
use std::{collections::BTreeSet, sync::Arc};

/// A proof as JSON.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// The bake input that removes a circuit: `remove/NAME`, empty. Every proof system's guest takes it.
pub const INPUT_REMOVE: &str = "remove";

/// A proof system.
pub trait ProofSystem: Send + Sync {
    /// Returns the name of the system, as manifests hold it.
    fn id(&self) -> &'static str;

    /// Returns whether this is the guest of the system, in the version that this program was built with.
    fn owns(&self, guest: &Digest) -> bool;

    /// Returns the kinds of file that a circuit of this system consists of, in the order in which they are baked.
    fn files(&self) -> &'static [FileSpec];

    /// Checks the files of a circuit, and describes the circuit.
    ///
    /// # Errors
    /// Returns an error if the files are malformed or not supported.
    fn describe(&self, files: &CircuitFiles) -> Result<Description, CircuitError>;

    /// Returns what a circuit of this shape will take, where that can be said in advance.
    fn estimate(&self, _: &CircuitShape) -> Option<Estimate> {
        None
    }

    /// Prepares a bake: reads the circuits among its inputs, and generates the reference strings that they need. `base`
    /// is the manifest of the image that the bake starts from, if it starts from one.
    ///
    /// # Errors
    /// Returns an error if an input is wrong, or a reference string cannot be read or stored.
    fn plan_bake<'a>(
        &self,
        references: &References<'_>,
        base: Option<&'a Manifest>,
        inputs: &'a [Input],
    ) -> Result<Box<dyn BakePlan + 'a>, Error>;

    /// Returns the shape of the witnesses of a circuit.
    ///
    /// # Errors
    /// Returns an error if the files are malformed or not supported.
    fn witness_shape(&self, files: &CircuitFiles) -> Result<WitnessShape, CircuitError> {
        WitnessShape::of_r1cs(files)
    }

    /// Turns a proof, as the guest returns it, into JSON.
    ///
    /// # Errors
    /// Returns an error if the bytes are not a proof.
    fn proof_to_json(&self, proof: &[u8]) -> Result<JsonObject, MalformedProof>;

    /// Turns a proof in JSON into the bytes that the guest takes, at most `bytes_max` of them. The limit holds while
    /// the JSON is read: short numbers in JSON become 32 bytes each.
    ///
    /// # Errors
    /// Returns an error if the JSON is not a proof, or is one of more bytes.
    fn proof_from_json(&self, json: &[u8], bytes_max: usize) -> Result<Vec<u8>, MalformedProof>;

    /// Returns whether these bytes begin like a verifying key of this system.
    fn reads_key(&self, key: &[u8]) -> bool;

    /// Verifies a proof with a verifying key, without an image.
    ///
    /// # Errors
    /// Returns an error if the key or the proof cannot be read, or the proof does not verify.
    fn verify(&self, references: &References<'_>, key: &[u8], proof: &[u8]) -> Result<(), VerifyError>;
}

/// Preparations of the native implementation for one bake.
pub trait BakePlan: Sync {
    /// Checks what takes long to check of the circuits. It runs beside the initialiser of the guest, which is confined
    /// whatever it is fed, and nothing is published of a circuit that is refused here.
    ///
    /// # Errors
    /// Returns an error if an input is wrong.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Returns the inputs that the base lacks and that are fed before the circuits, such as reference strings.
    fn references(&self) -> Vec<Input>;

    /// Returns calls that show that the image can prove.
    fn trials(&self) -> Vec<TrialCall>;

    /// Compares the circuits that the image lists, `found`, with those that it should hold, and verifies the proofs of
    /// the trial calls.
    ///
    /// # Errors
    /// Returns an error if the image is refused.
    fn gate(self: Box<Self>, found: &[CircuitId], proofs: &[(TrialCall, Vec<u8>)]) -> Result<(), Error>;
}

/// Shape of the witnesses of a circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessShape {
    /// Prime of the field.
    pub prime: Prime,
    /// Number of values, the constant one included.
    pub wires: u32,
    /// Number of input values, public and private, as the file claims it.
    pub inputs: u64,
    /// Names of the input signals, without indices; empty where they are not known.
    pub signals: BTreeSet<String>,
}

impl WitnessShape {
    /// Reads the shape from the `.r1cs` of a circuit, and the names of its inputs from its `.sym`, if it has one.
    ///
    /// # Errors
    /// Returns an error if the files are malformed or not supported.
    pub fn of_r1cs(files: &CircuitFiles) -> Result<Self, CircuitError> {
        let header = Header::read(files.needed(&FileKind::R1CS)?)?;
        let signals = match files.get(&FileKind::SYM) {
            Some(sym) => input_names(sym, &header)?,
            None => BTreeSet::new(),
        };
        let inputs = header.inputs();
        Ok(Self { prime: header.prime, wires: header.wires, inputs, signals })
    }
}

/// Why the files of a circuit are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CircuitError {
    /// A file is missing, surplus, or does not follow its format.
    #[error("{0}")]
    Malformed(String),
    /// The circuit is well formed, but the system cannot prove it.
    #[error("{0}")]
    Unsupported(String),
}

impl From<snapback_circom::Error> for CircuitError {
    fn from(error: snapback_circom::Error) -> Self {
        match error {
            snapback_circom::Error::Unsupported(message) => Self::Unsupported(message),
            malformed @ snapback_circom::Error::Malformed { .. } => Self::Malformed(malformed.to_string()),
        }
    }
}

/// A proof that cannot be converted, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedProof(pub String);

/// Why a proof was not verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The verifying key cannot be used.
    #[error("the verifying key cannot be used: {0}")]
    Key(String),
    /// The stored reference strings cannot be read.
    #[error("the reference string cannot be read: {0}")]
    References(String),
    /// The proof cannot be read.
    #[error("{0}")]
    Proof(String),
    /// The proof does not verify.
    #[error("{0}")]
    Refuted(String),
}

/// The proof systems of a program.
#[derive(Clone)]
pub struct ProofSystems(Vec<Arc<dyn ProofSystem>>);

impl ProofSystems {
    /// Returns the systems of this library.
    #[must_use]
    pub fn builtin() -> Self {
        Self(vec![Arc::new(plonk::Plonk), Arc::new(groth16::Groth16)])
    }

    /// Returns every system.
    pub fn iter(&self) -> impl Iterator<Item = &dyn ProofSystem> {
        self.0.iter().map(|system| &**system)
    }

    /// Adds a system.
    #[must_use]
    pub fn with(mut self, system: Arc<dyn ProofSystem>) -> Self {
        self.0.push(system);
        self
    }

    /// Returns the system that owns the guest with this digest, if one does.
    #[must_use]
    pub fn of_guest(&self, guest: &Digest) -> Option<&Arc<dyn ProofSystem>> {
        self.0.iter().find(|system| system.owns(guest))
    }

    /// Returns the system of an image whose circuits are bake inputs. Returns `None` if the image was baked from
    /// another version of the guest, because its verifying keys cannot be checked.
    #[must_use]
    pub fn of_image(&self, manifest: &Manifest) -> Option<&Arc<dyn ProofSystem>> {
        let ImageKind::Circuits { proof_system } = &manifest.kind else { return None };
        self.of_guest(&manifest.guest.digest).filter(|system| system.id() == proof_system)
    }

    /// Returns the system that a verifying key belongs to, if one recognises it.
    #[must_use]
    pub fn of_key(&self, key: &[u8]) -> Option<&Arc<dyn ProofSystem>> {
        self.0.iter().find(|system| system.reads_key(key))
    }
}
