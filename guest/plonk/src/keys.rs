//! The keys of a circuit: generated from the circuit and the structured reference string, used to prove and to verify.
//!
//! Invariant: `prove` returns a proof only after `verify` has accepted it.

use crate::{Compiled, Error, ProofFile, Side, circuit::publics};
use chacha20::ChaCha20Rng;
use halo2_proofs::{
    plonk::{self, ProvingKey, SingleVerifier, VerifyingKey},
    poly::commitment::Params,
    transcript::{Blake2bRead, Blake2bWrite, Challenge255},
};
use rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use snapback_circom::{Unsatisfied, sym::Names, wtns::Witness};
use std::fmt::Write;

/// A circuit with the key that verifies its proofs.
pub struct Verifier<C: Side> {
    compiled: Compiled<C::ScalarExt>,
    key: VerifyingKey<C>,
    digest: [u8; 32],
}

impl<C: Side> Verifier<C> {
    /// Generates the key.
    ///
    /// # Errors
    /// Returns an error if the structured reference string does not have the size that the circuit needs.
    pub fn new(params: &Params<C>, compiled: Compiled<C::ScalarExt>) -> Result<Self, Error> {
        check_params(params, &compiled)?;
        let key = plonk::keygen_vk(params, &compiled.circuit(None)).map_err(|error| prover(&error))?;
        let digest = digest(&key);
        Ok(Self { compiled, key, digest })
    }

    /// Returns the circuit.
    #[must_use]
    pub fn compiled(&self) -> &Compiled<C::ScalarExt> {
        &self.compiled
    }

    /// Returns the SHA-256 digest of the `Debug` text of the pinned key. halo2 has no byte encoding of keys, and
    /// identifies them by this text in its own transcripts.
    #[must_use]
    pub fn vk_digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Verifies a proof of these public signals, in circom's order: outputs, then public inputs.
    ///
    /// # Errors
    /// Returns an error if the proof does not verify, or the number of signals is not that of the circuit.
    pub fn verify(&self, params: &Params<C>, publics: &[C::ScalarExt], proof: &[u8]) -> Result<(), Error> {
        check_params(params, &self.compiled)?;
        verify(params, &self.compiled, &self.key, publics, proof)
    }

    /// Verifies a [`ProofFile`](crate::ProofFile).
    ///
    /// # Errors
    /// Returns an error if the bytes are not a proof file, or the proof belongs to another circuit or does not verify.
    pub fn verify_file(&self, params: &Params<C>, file: &[u8]) -> Result<(), Error> {
        let file = ProofFile::decode(file)?;
        if file.circuit != self.compiled.digest() {
            return Err(Error::Refuted("it belongs to another circuit"));
        }
        self.verify(params, &elements(&file.publics)?, file.proof)
    }
}

/// A circuit with the key that makes its proofs.
pub struct Prover<C: Side> {
    compiled: Compiled<C::ScalarExt>,
    key: ProvingKey<C>,
    digest: [u8; 32],
    names: Names,
}

impl<C: Side> Prover<C> {
    /// Generates the keys.
    ///
    /// # Errors
    /// Returns an error if the structured reference string does not have the size that the circuit needs.
    pub fn new(params: &Params<C>, compiled: Compiled<C::ScalarExt>) -> Result<Self, Error> {
        let Verifier { compiled, key, digest } = Verifier::new(params, compiled)?;
        let key = plonk::keygen_pk(params, key, &compiled.circuit(None)).map_err(|error| prover(&error))?;
        Ok(Self { compiled, key, digest, names: Names::default() })
    }

    /// Sets the names of the signals, which messages use.
    pub fn name(&mut self, names: Names) {
        self.names = names;
    }

    /// Returns the circuit.
    #[must_use]
    pub fn compiled(&self) -> &Compiled<C::ScalarExt> {
        &self.compiled
    }

    /// Returns the same digest as [`Verifier::vk_digest`].
    #[must_use]
    pub fn vk_digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Checks a witness against the circuit, proves it, and verifies the proof.
    ///
    /// # Errors
    /// Returns [`Error::Unsatisfied`] with the first constraint that does not hold, and an error if the reference
    /// string or the witness does not have the size that the circuit needs.
    pub fn prove(
        &self,
        params: &Params<C>,
        witness: &Witness<C::ScalarExt>,
        entropy: &[u8; 32],
    ) -> Result<Vec<u8>, Error> {
        check_params(params, &self.compiled)?;
        self.check(witness)?;
        let values = Witness::from_values(self.compiled.tape().fill(witness.values()));
        let publics = publics(values.values(), self.compiled.r1cs().header.publics());
        let mut transcript = Blake2bWrite::<_, C, Challenge255<C>>::init(Vec::new());
        plonk::create_proof(
            params,
            &self.key,
            &[self.compiled.circuit(Some(values.values()))],
            &[&[publics]],
            ChaCha20Rng::from_seed(*entropy),
            &mut transcript,
        )
        .map_err(|error| prover(&error))?;
        let proof = transcript.finalize();
        verify(params, &self.compiled, self.key.get_vk(), publics, &proof)
            .map_err(|error| Error::Prover(format!("the new proof failed its check: {error}")))?;
        Ok(proof)
    }

    /// Verifies a proof like [`Verifier::verify`].
    ///
    /// # Errors
    /// Returns the errors of [`Verifier::verify`].
    pub fn verify(&self, params: &Params<C>, publics: &[C::ScalarExt], proof: &[u8]) -> Result<(), Error> {
        check_params(params, &self.compiled)?;
        verify(params, &self.compiled, self.key.get_vk(), publics, proof)
    }

    fn check(&self, witness: &Witness<C::ScalarExt>) -> Result<(), Error> {
        let r1cs = self.compiled.r1cs();
        if witness.values().len() != r1cs.header.wires as usize {
            let reason = format!(
                "the circuit has {} wires, and the witness has {} values",
                r1cs.header.wires,
                witness.values().len()
            );
            return Err(Error::Malformed { format: "a witness of this circuit", reason });
        }
        let unsatisfied = Unsatisfied::find(r1cs, &self.names, witness.values());
        unsatisfied.map_or(Ok(()), |unsatisfied| Err(Error::Unsatisfied(unsatisfied)))
    }
}

fn check_params<C: Side>(params: &Params<C>, compiled: &Compiled<C::ScalarExt>) -> Result<(), Error> {
    if params.k() == compiled.k() {
        return Ok(());
    }
    let (has, needs) = (params.k(), compiled.k());
    Err(Error::Unsupported(format!("the reference string has 2^{has} rows, the circuit needs 2^{needs}")))
}

fn verify<C: Side>(
    params: &Params<C>,
    compiled: &Compiled<C::ScalarExt>,
    key: &VerifyingKey<C>,
    publics: &[C::ScalarExt],
    mut proof: &[u8],
) -> Result<(), Error> {
    let wanted = compiled.r1cs().header.publics();
    if publics.len() != wanted as usize {
        return Err(Error::Malformed {
            format: "a proof of this circuit",
            reason: format!("the circuit has {wanted} public signals, the proof {}", publics.len()),
        });
    }
    let mut transcript = Blake2bRead::<_, C, Challenge255<C>>::init(&mut proof);
    plonk::verify_proof(params, key, SingleVerifier::new(params), &[&[publics]], &mut transcript)
        .map_err(|_| Error::Refuted("its equations do not hold"))?;
    if proof.is_empty() { Ok(()) } else { Err(Error::Refuted("bytes follow its end")) }
}

fn prover(error: &plonk::Error) -> Error {
    Error::Prover(error.to_string())
}

fn digest<C: Side>(key: &VerifyingKey<C>) -> [u8; 32] {
    struct Hash(Sha256);
    impl Write for Hash {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.update(text);
            Ok(())
        }
    }
    let mut hash = Hash(Sha256::new());
    write!(hash, "{:?}", key.pinned()).expect("a hash takes any text");
    hash.0.finalize().into()
}

/// Reads field elements of 32 bytes each.
pub(crate) fn elements<F: crate::Scalar>(reprs: &[[u8; 32]]) -> Result<Vec<F>, Error> {
    let element = |repr: &[u8; 32]| {
        F::from_repr(*repr).into_option().ok_or_else(|| Error::Malformed {
            format: "a public signal",
            reason: "it is not below the prime".into(),
        })
    };
    reprs.iter().map(element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        KeyFile,
        arbitrary::{Satisfied, satisfied},
        key_file,
    };
    use ff::{Field, PrimeField};
    use halo2_proofs::pasta::{EpAffine, EqAffine};
    use proptest::prelude::*;

    fn proves<C: Side>(
        Satisfied { r1cs, witness }: Satisfied<C::ScalarExt>,
        at: prop::sample::Index,
    ) -> Result<(), TestCaseError> {
        let compiled = Compiled::new(r1cs).expect("the circuit is small");
        let params = Params::<C>::new(compiled.k());
        let prover = Prover::new(&params, compiled).expect("keys");
        let publics = publics(&witness, prover.compiled().r1cs().header.publics()).to_vec();
        let proof =
            prover.prove(&params, &Witness::from_values(witness.clone()), &[3; 32]).expect("a valid witness");

        // The key from the file accepts this proof of these signals, and no other.
        let key = key_file::encode(&prover.vk_digest(), &prover.compiled().r1cs().write());
        let key = KeyFile::read(&key).expect("a key file").prepare().expect("the same key");
        let circuit = prover.compiled().digest();
        let file = |publics: &[C::ScalarExt], proof: &[u8]| {
            ProofFile { circuit, publics: publics.iter().map(PrimeField::to_repr).collect(), proof }.encode()
        };
        prop_assert_eq!(key.verify(&file(&publics, &proof)), Ok(()));
        let mut flipped = proof.clone();
        let at = at.index(flipped.len());
        flipped[at] ^= 1;
        prop_assert!(key.verify(&file(&publics, &flipped)).is_err());
        let mut other = publics.clone();
        other[0] += C::ScalarExt::ONE;
        prop_assert!(key.verify(&file(&other, &proof)).is_err());
        prop_assert!(key.verify(&file(&publics, &[&proof[..], &[0]].concat())).is_err(), "bytes follow it");
        prop_assert!(key.verify(&file(&publics[1..], &proof)).is_err(), "a signal is missing");
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn a_satisfied_circuit_is_proven_and_verified_by_its_key_file(
            circuit in satisfied::<EqAffine>(), at: prop::sample::Index,
        ) {
            proves::<EqAffine>(circuit, at)?;
        }

        #[test]
        fn the_same_holds_over_vesta(circuit in satisfied::<EpAffine>(), at: prop::sample::Index) {
            proves::<EpAffine>(circuit, at)?;
        }
    }
}
