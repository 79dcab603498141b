//! The circuits of a bake: their reference strings, their trial calls, and the checks that their image has to pass.

use super::{INPUT_CIRCUIT, INPUT_SRS, srs::Reference};
use crate::{
    Digest, Error, TrialCall,
    error::Refusal,
    inputs::Input,
    manifest::{CircuitId, Manifest},
    proof_systems::{BakePlan, INPUT_REMOVE},
    references::References,
};
use halo2_proofs::pasta::{EpAffine, EqAffine};
use snapback_abi::METHOD_PROVE;
use snapback_circom::r1cs::Header;
use snapback_guest_plonk::{self as plonk, Compiled, PastaPrime, Side, Verifier};
use std::{
    borrow::Cow,
    collections::{BTreeMap, btree_map::Entry},
};

/// The circuits of a bake and the reference strings that they need.
pub(super) struct Plan<'a> {
    base: Option<&'a Manifest>,
    pallas: CurveSide<'a, EqAffine>,
    vesta: CurveSide<'a, EpAffine>,
    removed: Vec<&'a str>,
}

/// The circuits of a bake on one side of the Pasta cycle.
struct CurveSide<'a, C: Side> {
    /// Reference strings by their size, the number of rows as a power of two.
    references: BTreeMap<u32, Reference<C>>,
    circuits: Vec<(Cow<'a, str>, Compiled<C::ScalarExt>)>,
    /// The smallest circuit, which every image with this side proves as a trial, and its witness.
    trial: Option<(Input, Vec<u8>)>,
}

impl<'a> Plan<'a> {
    /// Reads the circuits among the inputs, and generates the reference strings that the store lacks.
    pub(super) fn new(
        srs: &References<'_>,
        base: Option<&'a Manifest>,
        inputs: &'a [Input],
    ) -> Result<Self, Error> {
        let mut plan = Self { base, pallas: CurveSide::new(), vesta: CurveSide::new(), removed: Vec::new() };
        for input in inputs {
            match input.name.as_str() {
                INPUT_CIRCUIT => {
                    let refuse =
                        |error: plonk::Error| Error::Input { name: input.label(), reason: error.to_string() };
                    let prime = Header::read(&input.bytes).map_err(plonk::Error::from);
                    match prime.and_then(|header| header.prime.try_into()).map_err(refuse)? {
                        PastaPrime::Pallas => plan.pallas.add(srs, input, refuse)?,
                        PastaPrime::Vesta => plan.vesta.add(srs, input, refuse)?,
                    }
                }
                INPUT_REMOVE => plan.removed.push(&input.of),
                _ => {}
            }
        }
        plan.pallas.add_trial(srs, base)?;
        plan.vesta.add_trial(srs, base)?;
        Ok(plan)
    }
}

impl BakePlan for Plan<'_> {
    fn trials(&self) -> Vec<TrialCall> {
        let trials = [&self.pallas.trial, &self.vesta.trial].into_iter().flatten();
        let call = |(input, witness): &(Input, Vec<u8>)| TrialCall {
            method: METHOD_PROVE.into(),
            circuit: input.of.clone().into(),
            body: witness.clone().into(),
        };
        trials.map(call).collect()
    }

    fn references(&self) -> Vec<Input> {
        let trials =
            [&self.pallas.trial, &self.vesta.trial].into_iter().flatten().map(|(input, _)| input.clone());
        let inputs = self.pallas.inputs().chain(self.vesta.inputs()).chain(trials);
        let has = |input: &Input| {
            let id = input.id();
            self.base.is_some_and(|base| base.inputs.contains(&id))
        };
        inputs.filter(|input| !has(input)).collect()
    }

    fn gate(self: Box<Self>, found: &[CircuitId], proofs: &[(TrialCall, Vec<u8>)]) -> Result<(), Error> {
        let Self { base, pallas, vesta, removed } = *self;
        let mut wanted: BTreeMap<Cow<'_, str>, Digest> = BTreeMap::new();
        for circuit in base.iter().flat_map(|base| &base.circuits) {
            if !removed.contains(&circuit.name.as_str()) {
                wanted.insert(Cow::Borrowed(&circuit.name), circuit.vk_digest);
            }
        }
        let proof = |name: &str| {
            let proven = proofs.iter().find(|(call, _)| call.method == METHOD_PROVE && call.circuit == name);
            proven.map(|(_, proof)| proof.as_slice())
        };
        pallas.native(&mut wanted, &proof)?;
        vesta.native(&mut wanted, &proof)?;
        // The guest does not list trial circuits, whose names begin with a dot.
        wanted.retain(|name, _| !name.starts_with('.'));
        let found: BTreeMap<&str, Digest> =
            found.iter().map(|circuit| (circuit.name.as_str(), circuit.vk_digest)).collect();
        let differs = wanted.iter().find(|(name, digest)| found.get(&***name) != Some(digest));
        let surplus = found.keys().find(|name| !wanted.contains_key(**name));
        match differs.map(|(name, _)| &**name).or(surplus.copied()) {
            Some(name) => Err(Refusal::Key { circuit: name.into() }.into()),
            None => Ok(()),
        }
    }
}

impl<'a, C: Side> CurveSide<'a, C> {
    fn new() -> Self {
        Self { references: BTreeMap::new(), circuits: Vec::new(), trial: None }
    }

    fn add(
        &mut self,
        srs: &References<'_>,
        input: &'a Input,
        refuse: impl FnOnce(plonk::Error) -> Error,
    ) -> Result<(), Error> {
        let compiled = Compiled::read(&input.bytes).map_err(refuse)?;
        if let Entry::Vacant(vacant) = self.references.entry(compiled.k()) {
            let k = *vacant.key();
            vacant.insert(Reference::get(srs, k)?);
        }
        self.circuits.push((Cow::Borrowed(&input.of), compiled));
        Ok(())
    }

    /// Adds the trial circuit, which the image has to prove: the bake has no witnesses of the other circuits.
    fn add_trial(&mut self, srs: &References<'_>, base: Option<&Manifest>) -> Result<(), Error> {
        let (r1cs, witness) = plonk::trial::<C>();
        let input = Input::new(&format!("{INPUT_CIRCUIT}/.trial-{}", C::PRIME), r1cs);
        let is_in_base = base.is_some_and(|base| base.inputs.contains(&input.id()));
        if self.circuits.is_empty() && !is_in_base {
            return Ok(());
        }
        let compiled = Compiled::read(&input.bytes).expect("the trial circuit compiles");
        if let Entry::Vacant(vacant) = self.references.entry(compiled.k()) {
            let k = *vacant.key();
            vacant.insert(Reference::get(srs, k)?);
        }
        self.circuits.push((Cow::Owned(input.of.clone()), compiled));
        self.trial = Some((input, witness));
        Ok(())
    }

    fn inputs(&self) -> impl Iterator<Item = Input> {
        let label = format!("{INPUT_SRS}/{}", C::PRIME);
        self.references.values().map(move |reference| Input::new(&label, reference.bytes.clone()))
    }

    /// Generates the verifying keys natively, and verifies the proof of the trial with its key.
    fn native<'p>(
        self,
        digests: &mut BTreeMap<Cow<'a, str>, Digest>,
        proof: &impl Fn(&str) -> Option<&'p [u8]>,
    ) -> Result<(), Error> {
        for (name, compiled) in self.circuits {
            let refuse = |error: plonk::Error| Refusal::Native {
                circuit: name.to_string(),
                reason: error.to_string(),
            };
            let params = &self.references[&compiled.k()].params;
            let verifier = Verifier::new(params, compiled).map_err(refuse)?;
            if let Some(proof) = proof(&name) {
                verifier.verify_file(params, proof).map_err(refuse)?;
            }
            digests.insert(name, Digest::from_bytes(verifier.vk_digest()));
        }
        Ok(())
    }
}
