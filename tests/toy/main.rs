//! The `snapback` program with an additional proof system, that of `guest/toy`, which exists only in tests.
//!
//! `TOY_GUEST` is the path of its guest. `TOY_NATIVE=other` makes the native implementation expect other keys than the
//! guest makes, as a defect of either would.

use snapback_guest_toy::{is_root, number, vk_digest};
use snapback_host::cli;
use snapback_snapshot::{
    Digest, Error, Input, References, Refusal, TrialCall,
    manifest::{CircuitId, Manifest},
    proof_systems::{
        BakePlan, CircuitError, CircuitFiles, Description, FileKind, FileSpec, JsonObject, MalformedProof,
        Presence, ProofSystem, ProofSystems, VerifyError,
    },
};
use std::{collections::BTreeMap, env, fs, process::ExitCode, sync::Arc};

const NUMBER: FileKind = FileKind::new("number");
const TRIAL: &str = ".trial";
static FILES: [FileSpec; 1] = [FileSpec { kind: NUMBER, presence: Presence::Needed, input: Some("number") }];

fn main() -> ExitCode {
    let guest = fs::read(env::var_os("TOY_GUEST").expect("TOY_GUEST is set")).expect("readable");
    cli::main(&ProofSystems::builtin().with(Arc::new(Toy { guest: Digest::of(&guest) })))
}

struct Toy {
    guest: Digest,
}

impl ProofSystem for Toy {
    fn id(&self) -> &'static str {
        "toy"
    }

    fn owns(&self, guest: &Digest) -> bool {
        self.guest == *guest
    }

    fn files(&self) -> &'static [FileSpec] {
        &FILES
    }

    fn describe(&self, files: &CircuitFiles) -> Result<Description, CircuitError> {
        let number = number(files.needed(&NUMBER)?);
        let number = number.ok_or_else(|| CircuitError::Malformed("not a number".into()))?;
        Ok(Description { circuit: Digest::from_bytes(vk_digest(number)), shape: None })
    }

    fn plan_bake<'a>(
        &self,
        _: &References<'_>,
        base: Option<&'a Manifest>,
        inputs: &'a [Input],
    ) -> Result<Box<dyn BakePlan + 'a>, Error> {
        Ok(Box::new(Plan { base, inputs }))
    }

    fn proof_to_json(&self, proof: &[u8]) -> Result<JsonObject, MalformedProof> {
        let root = number(proof).ok_or_else(|| MalformedProof("not a proof".into()))?;
        Ok(BTreeMap::from([("root".to_owned(), root.into())]).into_iter().collect())
    }

    fn proof_from_json(&self, json: &[u8], _bytes_max: usize) -> Result<Vec<u8>, MalformedProof> {
        let malformed = |reason: String| MalformedProof(reason);
        let json: serde_json::Value =
            serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
        let root = json["root"].as_u64().ok_or_else(|| malformed("no root".into()))?;
        Ok(root.to_string().into_bytes())
    }

    fn reads_key(&self, key: &[u8]) -> bool {
        key.starts_with(b"toy key ")
    }

    fn verify(&self, _: &References<'_>, key: &[u8], proof: &[u8]) -> Result<(), VerifyError> {
        let wanted = key.strip_prefix(b"toy key ").and_then(number);
        let wanted = wanted.ok_or_else(|| VerifyError::Key("not a number".into()))?;
        let root = number(proof).ok_or_else(|| VerifyError::Proof("not a number".into()))?;
        if is_root(root, wanted) { Ok(()) } else { Err(VerifyError::Refuted("it is not a root".into())) }
    }
}

struct Plan<'a> {
    base: Option<&'a Manifest>,
    inputs: &'a [Input],
}

impl BakePlan for Plan<'_> {
    fn references(&self) -> Vec<Input> {
        // The image proves this number as a trial, because its root is known.
        if self.base.is_some() {
            Vec::new()
        } else {
            vec![Input::new(&format!("number/{TRIAL}"), b"9".to_vec())]
        }
    }

    fn trials(&self) -> Vec<TrialCall> {
        vec![TrialCall { method: "prove".into(), circuit: TRIAL.into(), body: b"3".into() }]
    }

    fn gate(self: Box<Self>, found: &[CircuitId], proofs: &[(TrialCall, Vec<u8>)]) -> Result<(), Error> {
        let is_proven = proofs.iter().all(|(_, proof)| number(proof).is_some_and(|root| is_root(root, 9)));
        if !is_proven || proofs.is_empty() {
            return Err(Refusal::Native { circuit: TRIAL.into(), reason: "no proof".into() }.into());
        }
        let shift = u64::from(env::var("TOY_NATIVE").is_ok_and(|native| native == "other"));
        for input in self.inputs.iter().filter(|input| input.name == "number") {
            let wanted = Digest::from_bytes(vk_digest(number(&input.bytes).unwrap_or(0) + shift));
            if !found.iter().any(|circuit| circuit.name == input.of && circuit.vk_digest == wanted) {
                return Err(Refusal::Key { circuit: input.of.clone() }.into());
            }
        }
        Ok(())
    }
}
