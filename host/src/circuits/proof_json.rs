//! A proof as clients read it: the JSON of its proof system, with the names of its public signals and how long it took.
//!
//! Invariant: signals are named only if the circuit that is served under the name is the one that was proven.

use super::Registry;
use serde_json::json;
use snapback_snapshot::proof_systems::{JsonObject, MalformedProof};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a call took that made a proof.
#[derive(Clone, Copy, Debug)]
pub struct ProofTimes {
    /// All of the call.
    pub call: Duration,
    /// How much of that the witness calculator ran.
    pub witness: Duration,
}

impl Registry {
    /// Returns the JSON of a proof that the guest made with a circuit.
    ///
    /// # Errors
    /// Returns an error if the proof cannot be read.
    pub fn proof_json(
        &self,
        circuit: &str,
        proof: &[u8],
        times: ProofTimes,
    ) -> Result<Zeroizing<Vec<u8>>, MalformedProof> {
        let mut json = self.system().proof_to_json(proof)?;
        if let Some(signals) = self.named_signals(&json, circuit) {
            json.insert("signals".into(), signals);
        }
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let proof_took = times.call.saturating_sub(times.witness);
        let timings = json!({ "witness_ms": ms(times.witness), "proof_ms": ms(proof_took) });
        json.insert("timings".into(), timings);
        Ok(Zeroizing::new(serde_json::to_vec(&json).expect("it has string keys only")))
    }

    /// The public signals of a proof by name, where the names are known.
    fn named_signals(&self, proof: &JsonObject, circuit: &str) -> Option<serde_json::Value> {
        let names = self.public_names(circuit, proof.get("circuit")?.as_str()?);
        let public = proof.get("public")?.as_array()?;
        let are_known = !names.is_empty() && names.len() == public.len();
        are_known.then(|| names.into_iter().zip(public.iter().cloned()).collect::<JsonObject>().into())
    }
}
