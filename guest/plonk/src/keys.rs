//! A circuit's keys: made from the circuit and the structured reference string, used to prove and to verify.
//!
//! Invariant: a proof leaves `prove` only after `verify` has taken it.

use crate::{
    Error, Prime, ProofFile, Side,
    circuit::{TapeCircuit, publics},
    error::Unsatisfied,
    r1cs::R1cs,
    sym::Names,
    tape::{SLOTS, Tape},
    wtns::Witness,
};
use chacha20::ChaCha20Rng;
use halo2_proofs::{
    pasta::{Fp, Fq},
    plonk::{self, ProvingKey, SingleVerifier, VerifyingKey},
    poly::commitment::Params,
    transcript::{Blake2bRead, Blake2bWrite, Challenge255},
};
use rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Version of the arithmetisation: what it changes, changes every key.
pub const ARITHMETISATION_VERSION: u32 = 1;
/// Smallest number of rows, as a power of two.
const K_MIN: u32 = 4;
/// Largest number of rows, as a power of two: keys of more do not fit a 32-bit memory.
pub const K_MAX: u32 = 18;
/// Rows that halo2 keeps for itself: five for blinding, one for the permutation's last product.
const ROWS_RESERVED: usize = 6;
/// Most signals that a message names.
const NAMED_MAX: usize = 8;

/// A circuit, arithmetised.
pub struct Compiled<F: crate::Scalar> {
    r1cs: R1cs<F>,
    tape: Tape<F>,
    k: u32,
    digest: [u8; 32],
}

impl<F: crate::Scalar> Compiled<F> {
    /// Arithmetises a circuit.
    ///
    /// # Errors
    /// When the file is no circuit over this field, or it needs more than 2^[`K_MAX`] rows.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        Self::new(R1cs::read(bytes)?)
    }

    /// Arithmetises a circuit.
    ///
    /// # Errors
    /// When it needs more than 2^[`K_MAX`] rows.
    pub fn new(r1cs: R1cs<F>) -> Result<Self, Error> {
        // A product takes a slot of its own: what cannot fit is refused before it is laid out.
        let products = r1cs.constraints().filter(|gate| !gate.a.is_empty() && !gate.b.is_empty()).count();
        if products > SLOTS << K_MAX || r1cs.header.publics() > 1 << K_MAX {
            return Err(Error::Unsupported(format!(
                "it has {products} products and {} public signals; keys have up to {} rows",
                r1cs.header.publics(),
                1 << K_MAX
            )));
        }
        let tape = Tape::new(&r1cs);
        let rows = tape.rows().max(r1cs.header.publics() as usize) + ROWS_RESERVED;
        let k = rows.next_power_of_two().trailing_zeros().max(K_MIN);
        if k > K_MAX {
            return Err(Error::Unsupported(format!("it needs {rows} rows; keys have up to {}", 1 << K_MAX)));
        }
        let mut hash = Sha256::new();
        hash.update(b"snapback circuit");
        hash.update(ARITHMETISATION_VERSION.to_le_bytes());
        hash.update(k.to_le_bytes());
        hash.update(r1cs.write());
        Ok(Self { r1cs, tape, k, digest: hash.finalize().into() })
    }

    /// Rows of its columns, as a power of two: the size of the structured reference string that it needs.
    #[must_use]
    pub fn k(&self) -> u32 {
        self.k
    }

    /// The circuit.
    #[must_use]
    pub fn r1cs(&self) -> &R1cs<F> {
        &self.r1cs
    }

    /// What identifies the circuit: a digest of its constraints and of how they are proven.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    #[cfg(test)]
    pub(crate) fn tape(&self) -> &Tape<F> {
        &self.tape
    }

    fn circuit<'a>(&'a self, values: Option<&'a [F]>) -> TapeCircuit<'a, F> {
        TapeCircuit { tape: &self.tape, publics: self.r1cs.header.publics(), values }
    }
}

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
    /// When the structured reference string has another size than the circuit needs.
    pub fn new(params: &Params<C>, compiled: Compiled<C::ScalarExt>) -> Result<Self, Error> {
        check_params(params, &compiled)?;
        let key = plonk::keygen_vk(params, &compiled.circuit(None)).map_err(|error| prover(&error))?;
        let digest = digest(&key);
        Ok(Self { compiled, key, digest })
    }

    /// The circuit.
    #[must_use]
    pub fn compiled(&self) -> &Compiled<C::ScalarExt> {
        &self.compiled
    }

    /// SHA-256 of the key's rendering, as halo2 itself identifies a key in its transcripts: the library has no byte
    /// encoding for it.
    #[must_use]
    pub fn vk_digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Verifies a proof of these public signals, in circom's order: outputs, then public inputs.
    ///
    /// # Errors
    /// When the proof does not verify, or there are more or fewer signals than the circuit has.
    pub fn verify(&self, params: &Params<C>, publics: &[C::ScalarExt], proof: &[u8]) -> Result<(), Error> {
        check_params(params, &self.compiled)?;
        verify(params, &self.compiled, &self.key, publics, proof)
    }

    /// Verifies a [`ProofFile`](crate::ProofFile).
    ///
    /// # Errors
    /// When it is none, is of another circuit, or does not verify.
    pub fn verify_file(&self, params: &Params<C>, file: &[u8]) -> Result<(), Error> {
        let file = ProofFile::decode(file)?;
        if file.circuit != self.compiled.digest {
            return Err(Error::Refuted("it is of another circuit"));
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
    /// When the structured reference string has another size than the circuit needs.
    pub fn new(params: &Params<C>, compiled: Compiled<C::ScalarExt>) -> Result<Self, Error> {
        let Verifier { compiled, key, digest } = Verifier::new(params, compiled)?;
        let key = plonk::keygen_pk(params, key, &compiled.circuit(None)).map_err(|error| prover(&error))?;
        Ok(Self { compiled, key, digest, names: Names::default() })
    }

    /// Learns what the signals are called.
    pub fn name(&mut self, names: Names) {
        self.names = names;
    }

    /// The circuit.
    #[must_use]
    pub fn compiled(&self) -> &Compiled<C::ScalarExt> {
        &self.compiled
    }

    /// As [`Verifier::vk_digest`].
    #[must_use]
    pub fn vk_digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Checks a witness against the circuit, proves it, and verifies the proof.
    ///
    /// # Errors
    /// [`Error::Unsatisfied`] with the first constraint that does not hold.
    pub fn prove(
        &self,
        params: &Params<C>,
        witness: &Witness<C::ScalarExt>,
        entropy: &[u8; 32],
    ) -> Result<Vec<u8>, Error> {
        check_params(params, &self.compiled)?;
        self.check(witness)?;
        let values = Witness(self.compiled.tape.fill(witness.values()));
        let publics = publics(values.values(), self.compiled.r1cs.header.publics());
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

    /// As [`Verifier::verify`].
    ///
    /// # Errors
    /// As there.
    pub fn verify(&self, params: &Params<C>, publics: &[C::ScalarExt], proof: &[u8]) -> Result<(), Error> {
        check_params(params, &self.compiled)?;
        verify(params, &self.compiled, self.key.get_vk(), publics, proof)
    }

    fn check(&self, witness: &Witness<C::ScalarExt>) -> Result<(), Error> {
        let r1cs = &self.compiled.r1cs;
        if witness.values().len() != r1cs.header.wires as usize {
            let reason = format!(
                "the circuit has {} wires, the witness {} values",
                r1cs.header.wires,
                witness.values().len()
            );
            return Err(Error::Malformed { format: "a witness of this circuit", reason });
        }
        let Some(number) = r1cs.unsatisfied(witness.values()) else { return Ok(()) };
        let constraint = r1cs.constraints().nth(number).expect("it was just looked at");
        let mut signals: Vec<String> = Vec::new();
        for (wire, _) in [constraint.a, constraint.b, constraint.c].into_iter().flatten() {
            if let Some(name) = self.names.of(*wire)
                && signals.len() < NAMED_MAX
                && !signals.iter().any(|known| known == name)
            {
                signals.push(name.to_owned());
            }
        }
        Err(Error::Unsatisfied(Unsatisfied { constraint: number, signals }))
    }
}

fn check_params<C: Side>(params: &Params<C>, compiled: &Compiled<C::ScalarExt>) -> Result<(), Error> {
    if params.k() == compiled.k {
        return Ok(());
    }
    let (has, needs) = (params.k(), compiled.k);
    Err(Error::Unsupported(format!("the reference string is for 2^{has} rows, the circuit needs 2^{needs}")))
}

fn verify<C: Side>(
    params: &Params<C>,
    compiled: &Compiled<C::ScalarExt>,
    key: &VerifyingKey<C>,
    publics: &[C::ScalarExt],
    mut proof: &[u8],
) -> Result<(), Error> {
    let wanted = compiled.r1cs.header.publics();
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

/// Reads a circuit of either prime as a bake would; returns [`Compiled::digest`].
///
/// # Errors
/// When the file is no circuit that can be proven here.
pub fn identify(r1cs: &[u8]) -> Result<[u8; 32], Error> {
    Ok(match crate::r1cs::Header::read(r1cs)?.prime {
        Prime::Pallas => Compiled::<Fp>::read(r1cs)?.digest(),
        Prime::Vesta => Compiled::<Fq>::read(r1cs)?.digest(),
    })
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
        let compiled = Compiled::new(r1cs).expect("it is small");
        let params = Params::<C>::new(compiled.k());
        let prover = Prover::new(&params, compiled).expect("keys");
        let publics = publics(&witness, prover.compiled().r1cs().header.publics()).to_vec();
        let proof = prover.prove(&params, &Witness(witness.clone()), &[3; 32]).expect("it is satisfied");

        // The same key from its file, and only this proof of these signals.
        let key = key_file::encode(&prover.vk_digest(), &prover.compiled().r1cs().write());
        let key = KeyFile::read(&key).expect("our own").prepare().expect("it is the key");
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
        prop_assert!(key.verify(&file(&publics, &[&proof[..], &[0]].concat())).is_err(), "bytes behind it");
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
        fn on_the_other_side_too(circuit in satisfied::<EpAffine>(), at: prop::sample::Index) {
            proves::<EpAffine>(circuit, at)?;
        }
    }
}
