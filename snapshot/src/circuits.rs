//! Circuits as data: what a bake of the plonk guest needs beside the guest, and the gate its images pass.
//!
//! Invariant: no image is published whose verifying keys differ from those that the native twin makes of the same
//! circuits, or in which a circuit changed that nobody touched.

use crate::{
    Digest, Error, Guest, TrialCall,
    error::Refusal,
    inputs::Input,
    manifest::{CircuitId, Manifest},
    srs::{Reference, SrsStore},
};
use halo2_proofs::pasta::{EpAffine, EqAffine};
use snapback_abi::METHOD_PROVE;
use snapback_guest_plonk::{self as plonk, Compiled, GUEST_NAME, KeyFile, Prime, Side, Verifier};
use std::{
    borrow::Cow,
    collections::{BTreeMap, btree_map::Entry},
};

pub(crate) const INPUT_SRS: &str = "srs";
/// The input that brings a circuit: `circuit/NAME`, an `.r1cs` file.
pub const INPUT_CIRCUIT: &str = "circuit";
/// The input that brings the names of a circuit's signals: `sym/NAME`, a `.sym` file.
pub const INPUT_SYM: &str = "sym";
/// The input that takes a circuit out: `remove/NAME`, empty.
pub const INPUT_REMOVE: &str = "remove";

/// Whether the guest is the one whose circuits come as data.
#[must_use]
pub fn takes_circuits(guest: &Digest) -> bool {
    Guest::find(GUEST_NAME).is_some_and(|known| known.digest == *guest)
}

/// Whether it is that guest, as another version of this program embedded it.
pub(crate) fn is_of_another_version(guest: &Guest) -> bool {
    guest.name == GUEST_NAME && !takes_circuits(&guest.digest)
}

/// The circuits of a bake, with the reference strings that they need.
pub(crate) struct Circuits<'a> {
    base: Option<&'a Manifest>,
    pallas: Half<'a, EqAffine>,
    vesta: Half<'a, EpAffine>,
    removed: Vec<&'a str>,
}

struct Half<'a, C: Side> {
    references: BTreeMap<u32, Reference<C>>,
    circuits: Vec<(Cow<'a, str>, Compiled<C::ScalarExt>)>,
    /// The tiny circuit that every image of this side proves for trial, and a witness of it.
    trial: Option<(Input, Vec<u8>)>,
}

impl<'a> Circuits<'a> {
    /// Reads the circuits among the inputs, and gets the reference strings for them.
    pub(crate) fn read(
        srs: &SrsStore,
        base: Option<&'a Manifest>,
        inputs: &'a [Input],
    ) -> Result<Self, Error> {
        let mut circuits = Self { base, pallas: Half::new(), vesta: Half::new(), removed: Vec::new() };
        for input in inputs {
            match input.name.as_str() {
                INPUT_CIRCUIT => {
                    let refuse =
                        |error: plonk::Error| Error::Input { name: input.label(), reason: error.to_string() };
                    match plonk::r1cs::Header::read(&input.bytes).map_err(refuse)?.prime {
                        Prime::Pallas => circuits.pallas.add(srs, input, refuse)?,
                        Prime::Vesta => circuits.vesta.add(srs, input, refuse)?,
                    }
                }
                INPUT_REMOVE => circuits.removed.push(&input.of),
                _ => {}
            }
        }
        circuits.pallas.add_trial(srs, base)?;
        circuits.vesta.add_trial(srs, base)?;
        Ok(circuits)
    }

    /// The calls that show that an image proves.
    pub(crate) fn trials(&self) -> Vec<TrialCall> {
        let trials = [&self.pallas.trial, &self.vesta.trial].into_iter().flatten();
        let call = |(input, witness): &(Input, Vec<u8>)| TrialCall {
            method: METHOD_PROVE.into(),
            circuit: input.of.clone().into(),
            body: witness.clone().into(),
        };
        trials.map(call).collect()
    }

    /// The reference strings and trial circuits that the base has not, in the form in which they are fed.
    pub(crate) fn reference_inputs(&self) -> Vec<Input> {
        let trials =
            [&self.pallas.trial, &self.vesta.trial].into_iter().flatten().map(|(input, _)| input.clone());
        let inputs = self.pallas.inputs().chain(self.vesta.inputs()).chain(trials);
        let has = |input: &Input| {
            let id = input.id();
            self.base.is_some_and(|base| base.inputs.contains(&id))
        };
        inputs.filter(|input| !has(input)).collect()
    }

    /// Holds what the guest says it can prove against what it should.
    pub(crate) fn gate(self, found: &[CircuitId], proofs: &[(TrialCall, Vec<u8>)]) -> Result<(), Error> {
        let mut wanted: BTreeMap<Cow<'_, str>, Digest> = BTreeMap::new();
        for circuit in self.base.iter().flat_map(|base| &base.circuits) {
            if !self.removed.contains(&circuit.name.as_str()) {
                wanted.insert(Cow::Borrowed(&circuit.name), circuit.vk_digest);
            }
        }
        let proof = |name: &str| {
            let proven = proofs.iter().find(|(call, _)| call.method == METHOD_PROVE && call.circuit == name);
            proven.map(|(_, proof)| proof.as_slice())
        };
        self.pallas.native(&mut wanted, &proof)?;
        self.vesta.native(&mut wanted, &proof)?;
        // The bake's own are not listed.
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

impl<'a, C: Side> Half<'a, C> {
    fn new() -> Self {
        Self { references: BTreeMap::new(), circuits: Vec::new(), trial: None }
    }

    fn add(
        &mut self,
        srs: &SrsStore,
        input: &'a Input,
        refuse: impl FnOnce(plonk::Error) -> Error,
    ) -> Result<(), Error> {
        let compiled = Compiled::read(&input.bytes).map_err(refuse)?;
        if let Entry::Vacant(vacant) = self.references.entry(compiled.k()) {
            let k = *vacant.key();
            vacant.insert(srs.get(k)?);
        }
        self.circuits.push((Cow::Borrowed(&input.of), compiled));
        Ok(())
    }

    /// Has the image prove something, whatever its circuits are: nobody has a witness of those.
    fn add_trial(&mut self, srs: &SrsStore, base: Option<&Manifest>) -> Result<(), Error> {
        let (r1cs, witness) = plonk::trial::<C>();
        let input = Input::new(&format!("{INPUT_CIRCUIT}/.trial-{}", C::PRIME), r1cs);
        let is_in_base = base.is_some_and(|base| base.inputs.contains(&input.id()));
        if self.circuits.is_empty() && !is_in_base {
            return Ok(());
        }
        let compiled = Compiled::read(&input.bytes).expect("a circuit of our own");
        if let Entry::Vacant(vacant) = self.references.entry(compiled.k()) {
            let k = *vacant.key();
            vacant.insert(srs.get(k)?);
        }
        self.circuits.push((Cow::Owned(input.of.clone()), compiled));
        self.trial = Some((input, witness));
        Ok(())
    }

    fn inputs(&self) -> impl Iterator<Item = Input> {
        let label = format!("{INPUT_SRS}/{}", C::PRIME);
        self.references.values().map(move |reference| Input::new(&label, reference.bytes.clone()))
    }

    /// Makes the verifying keys natively, and verifies the trial's proof with the one it is for.
    fn native<'p>(
        self,
        digests: &mut BTreeMap<Cow<'a, str>, Digest>,
        proof: &impl Fn(&str) -> Option<&'p [u8]>,
    ) -> Result<(), Error> {
        for (name, compiled) in self.circuits {
            let refuse =
                |error: plonk::Error| Refusal::Twin { circuit: name.to_string(), reason: error.to_string() };
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

/// Verifies a proof file with a verifying key's file: no image is needed.
///
/// # Errors
/// When one of them is none, or the proof does not verify.
pub fn verify_with_key(key: &[u8], proof: &[u8]) -> Result<(), plonk::Error> {
    KeyFile::read(key)?.prepare()?.verify(proof)
}
