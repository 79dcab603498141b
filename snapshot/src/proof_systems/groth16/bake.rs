//! The keys of a bake: their trial call, and the checks that their image has to pass.
//!
//! The native implementation reads the keys itself, checks that they are consistent, derives the verifying keys, and
//! verifies the proof of the trial. Verification shares the reading of points with the guest, and nothing else, so that a
//! mistake of either shows.

use super::INPUT_ZKEY;
use crate::{
    Digest, Error, TrialCall,
    error::Refusal,
    inputs::Input,
    manifest::{CircuitId, Manifest},
    proof_systems::{BakePlan, INPUT_REMOVE, VerifyError},
};
use ark_bn254::{Bn254, Fq, Fq2, G1Affine, G2Affine};
use ark_ec::{AffineRepr, CurveGroup, pairing::Pairing};
use ark_ff::{BigInt, One, PrimeField};
use snapback_abi::METHOD_PROVE;
use snapback_guest_groth16::{self as groth16, G1, G2, Outline, ProofFile, VerifyingKey, trial};
use std::collections::BTreeMap;

/// Name of the trial circuit. The guest does not list it.
const TRIAL: &str = ".trial";

/// The keys of a bake.
pub(super) struct Plan<'a> {
    base: Option<&'a Manifest>,
    keys: BTreeMap<&'a str, (&'a Input, Outline<'a>)>,
    removed: Vec<&'a str>,
    trial: Input,
}

impl<'a> Plan<'a> {
    /// Reads the keys among the inputs.
    pub(super) fn new(base: Option<&'a Manifest>, inputs: &'a [Input]) -> Result<Self, Error> {
        let trial = Input::new(&format!("{INPUT_ZKEY}/{TRIAL}"), trial::ZKEY.to_vec());
        let mut plan = Self { base, keys: BTreeMap::new(), removed: Vec::new(), trial };
        for input in inputs {
            match input.name.as_str() {
                INPUT_ZKEY => {
                    let outline = Outline::read(&input.bytes).map_err(|error| refuse(input, &error))?;
                    plan.keys.insert(&input.of, (input, outline));
                }
                INPUT_REMOVE => plan.removed.push(&input.of),
                _ => {}
            }
        }
        Ok(plan)
    }
}

/// Returns the error for a key that is refused.
fn refuse(input: &Input, error: &groth16::Error) -> Error {
    Error::Input { name: input.label(), reason: error.to_string() }
}

impl BakePlan for Plan<'_> {
    fn check(&self) -> Result<(), Error> {
        self.keys.values().try_for_each(|(input, key)| key.check().map_err(|error| refuse(input, &error)))
    }

    fn references(&self) -> Vec<Input> {
        let is_in_base = self.base.is_some_and(|base| base.inputs.contains(&self.trial.id()));
        if is_in_base { Vec::new() } else { vec![self.trial.clone()] }
    }

    fn trials(&self) -> Vec<TrialCall> {
        vec![TrialCall { method: METHOD_PROVE.into(), circuit: TRIAL.into(), body: trial::WITNESS.into() }]
    }

    fn gate(self: Box<Self>, found: &[CircuitId], proofs: &[(TrialCall, Vec<u8>)]) -> Result<(), Error> {
        let refuse = |reason: String| Refusal::Native { circuit: TRIAL.into(), reason };
        let proven = proofs.iter().find(|(call, _)| call.method == METHOD_PROVE && call.circuit == TRIAL);
        let (_, proof) = proven.ok_or_else(|| refuse("it was not proven".into()))?;
        let proof = ProofFile::decode(proof).map_err(|error| refuse(error.to_string()))?;
        let key = Outline::read(trial::ZKEY).map_err(|error| refuse(error.to_string()))?.verifying_key;
        verify(&key, &proof).map_err(|error| refuse(error.to_string()))?;

        let Self { base, keys, removed, .. } = *self;
        let kept = base.iter().flat_map(|base| &base.circuits);
        let kept = kept.filter(|circuit| !removed.contains(&circuit.name.as_str()));
        let mut wanted: BTreeMap<&str, Digest> =
            kept.map(|circuit| (circuit.name.as_str(), circuit.vk_digest)).collect();
        wanted.extend(
            keys.iter().map(|(name, (_, key))| (*name, Digest::from_bytes(key.verifying_key.digest()))),
        );
        let found: BTreeMap<&str, Digest> =
            found.iter().map(|circuit| (circuit.name.as_str(), circuit.vk_digest)).collect();
        let differs = wanted.iter().find(|(name, digest)| found.get(*name) != Some(digest));
        let surplus = found.keys().find(|name| !wanted.contains_key(*name));
        match differs.map(|(name, _)| *name).or(surplus.copied()) {
            Some(name) => Err(Refusal::Key { circuit: name.into() }.into()),
            None => Ok(()),
        }
    }
}

/// Verifies a proof: `e(a, b) = e(alpha, beta) e(signals, gamma) e(c, delta)`.
pub(super) fn verify(
    key: &VerifyingKey,
    ProofFile { publics, proof }: &ProofFile,
) -> Result<(), VerifyError> {
    let (Some((constant, points)), true) = (key.ic.split_first(), key.ic.len() == publics.len() + 1) else {
        let wanted = key.ic.len().saturating_sub(1);
        let reason = format!("the key has {wanted} public signals, the proof {}", publics.len());
        return Err(VerifyError::Proof(reason));
    };
    let mut signals = first(constant).into_group();
    for (point, public) in points.iter().zip(publics) {
        signals += first(point).mul_bigint(BigInt(*public));
    }
    let pairs = [
        (-first(&proof.a), second(&proof.b)),
        (first(&key.alpha), second(&key.beta)),
        (signals.into_affine(), second(&key.gamma)),
        (first(&proof.c), second(&key.delta)),
    ];
    let (left, right): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    if Bn254::multi_pairing(left, right).0.is_one() {
        Ok(())
    } else {
        Err(VerifyError::Refuted("the proof does not verify".into()))
    }
}

fn base(number: [u64; 4]) -> Fq {
    Fq::from_bigint(BigInt(number)).expect("a coordinate is below the prime")
}

fn first(point: &G1) -> G1Affine {
    if point.is_identity() {
        return G1Affine::identity();
    }
    let [x, y] = point.numbers().map(base);
    G1Affine::new_unchecked(x, y)
}

fn second(point: &G2) -> G2Affine {
    if point.is_identity() {
        return G2Affine::identity();
    }
    let [x, y] = point.numbers().map(|[re, im]| Fq2::new(base(re), base(im)));
    G2Affine::new_unchecked(x, y)
}
