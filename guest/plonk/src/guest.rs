//! The guest: takes reference strings and circuits while it is baked, and returns proofs while it serves.
//!
//! ```text
//! bake_srs/<prime>      a reference string, once for each size       bake_circuit/<name>   an .r1cs; makes its keys
//! bake_sym/<name>       the names of a circuit's signals             bake_remove/<name>    removes a circuit
//! ```
//!
//! Invariant: the state does not change while the guest serves.

use crate::{Compiled, Error, PastaPrime, ProofFile, Prover, Side, key_file, keys::elements};
use ff::PrimeField;
use halo2_proofs::{
    arithmetic::best_multiexp,
    pasta::{EpAffine, EqAffine},
    poly::commitment::Params,
};
use snapback_abi::{
    circuits::{self, Circuit, is_name},
    guest::{Answer, Failure, collect},
    reply::Tag,
    request::Request,
};
use snapback_arithmetic::self_check;
use snapback_circom::{Prime, r1cs::Header, sym::Names, wtns::Witness};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use zeroize::Zeroize;

snapback_abi::export! {
    circuits => circuits,
    prove => prove,
    verify => verify(pure),
    verifying_key => verifying_key,
    bake_srs => bake_srs,
    bake_circuit => bake_circuit,
    bake_sym => bake_sym,
    bake_remove => bake_remove,
    bake_init => bake_init,
}

/// The state that an image holds.
struct State {
    piece_buffer: Vec<u8>,
    pallas: CurveSide<EqAffine>,
    vesta: CurveSide<EpAffine>,
}

/// Reference strings, by size, and circuits, by name, on one side of the Pasta cycle.
struct CurveSide<C: Side> {
    params: BTreeMap<u32, Params<C>>,
    provers: BTreeMap<String, Prover<C>>,
}

static STATE: Mutex<State> =
    Mutex::new(State { piece_buffer: Vec::new(), pallas: CurveSide::new(), vesta: CurveSide::new() });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let tag = match &error {
            Error::Malformed { .. } => Tag::Malformed,
            Error::Unsupported(_) => Tag::Unsupported,
            Error::Unsatisfied(_) | Error::Refuted(_) => Tag::Refuted,
            Error::Prover(_) => Tag::Internal,
        };
        Self::new(tag, error.to_string())
    }
}

/// Evaluates an expression with the state of the side that a prime belongs to.
macro_rules! on_side {
    ($state:expr, $prime:expr, $half:ident => $body:expr) => {
        match $prime {
            PastaPrime::Pallas => {
                let $half = &mut $state.pallas;
                $body
            }
            PastaPrime::Vesta => {
                let $half = &mut $state.vesta;
                $body
            }
        }
    };
}

impl State {
    /// Returns the prime of a circuit.
    fn prime_of(&self, circuit: &str) -> Result<PastaPrime, Failure> {
        if self.pallas.provers.contains_key(circuit) {
            return Ok(PastaPrime::Pallas);
        }
        if self.vesta.provers.contains_key(circuit) {
            return Ok(PastaPrime::Vesta);
        }
        let message = match circuit {
            "" => "the call names no circuit",
            _ => "this image holds no circuit of that name",
        };
        Err(Failure::new(Tag::UnknownCircuit, message))
    }

    /// Collects a piece of an input. Returns the whole input after its last piece.
    fn collect(&mut self, request: &Request<'_>) -> Result<Option<Whole>, Failure> {
        Ok(collect(&mut self.piece_buffer, request.body)?.map(Whole))
    }
}

/// A whole input. Its freed buffer stays in the image, and costs nothing there if it holds zeros.
struct Whole(Vec<u8>);

impl Drop for Whole {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<C: Side> CurveSide<C> {
    const fn new() -> Self {
        Self { params: BTreeMap::new(), provers: BTreeMap::new() }
    }

    /// Reads a reference string.
    fn learn(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let malformed =
            |reason: &str| Failure::new(Tag::Malformed, format!("not a reference string: {reason}"));
        let k = bytes.first_chunk().map(|k| u32::from_le_bytes(*k)).filter(|k| *k <= crate::K_MAX);
        let k = k.ok_or_else(|| malformed("it is too short, or has too many rows"))?;
        if bytes.len() != crate::reference_bytes(k) {
            return Err(malformed("its length does not match its number of rows"));
        }
        let params = Params::read(&mut &*bytes).map_err(|_| malformed("it holds an invalid point"))?;
        self.params.insert(k, params);
        Ok(())
    }

    /// Adds a circuit and generates its keys.
    fn add(&mut self, name: &str, r1cs: &[u8]) -> Result<(), Failure> {
        let compiled = Compiled::read(r1cs)?;
        let k = compiled.k();
        let params = self.params.get(&k).ok_or_else(|| {
            let message = format!("the circuit needs a reference string for 2^{k} rows over {}", C::PRIME);
            Failure::new(Tag::Unsupported, message)
        })?;
        self.provers.insert(name.to_owned(), Prover::new(params, compiled)?);
        Ok(())
    }

    fn of(&self, circuit: &str) -> (&Params<C>, &Prover<C>) {
        let prover = self.provers.get(circuit).expect("the circuit is on this side");
        let params = self.params.get(&prover.compiled().k()).expect("reference strings stay");
        (params, prover)
    }

    fn prove(&self, request: &Request<'_>) -> Answer {
        let (params, prover) = self.of(request.circuit);
        let header = &prover.compiled().r1cs().header;
        let witness = Witness::read(request.body, header.prime, header.wires).map_err(Error::from)?;
        let proof = prover.prove(params, &witness, request.entropy)?;
        let publics = &witness.values()[1..=header.publics() as usize];
        let publics = publics.iter().map(PrimeField::to_repr).collect();
        Ok(ProofFile { circuit: prover.compiled().digest(), publics, proof: &proof }.encode())
    }

    fn verify(&self, request: &Request<'_>) -> Answer {
        let (params, prover) = self.of(request.circuit);
        let file = ProofFile::decode(request.body)?;
        if file.circuit != prover.compiled().digest() {
            return Err(Failure::new(Tag::Refuted, "the proof belongs to another circuit"));
        }
        prover.verify(params, &elements(&file.publics)?, file.proof)?;
        Ok(Vec::new())
    }

    fn verifying_key(&self, circuit: &str) -> Vec<u8> {
        let (_, prover) = self.of(circuit);
        key_file::encode(&prover.vk_digest(), &prover.compiled().r1cs().write())
    }

    fn list(&self) -> impl Iterator<Item = Circuit<'_>> {
        let shown = self.provers.iter().filter(|(name, _)| !name.starts_with('.'));
        shown.map(|(name, prover)| Circuit { name, vk_digest: prover.vk_digest() })
    }
}

/// Takes a piece of a reference string for the prime that the envelope names.
///
/// # Errors
/// Returns a failure if the prime is not known, or the whole input is not a reference string.
pub fn bake_srs(request: Request<'_>) -> Answer {
    let mut state = state();
    let prime = Prime::find(request.circuit).and_then(|prime| PastaPrime::try_from(prime).ok());
    let prime = prime.ok_or_else(|| {
        Failure::new(Tag::Malformed, "a reference string needs the name of its prime: pallas or vesta")
    })?;
    if let Some(whole) = state.collect(&request)? {
        on_side!(state, prime, half => half.learn(&whole.0)?);
    }
    Ok(Vec::new())
}

/// Takes a piece of the circuit that the envelope names, and generates its keys after the last piece.
///
/// # Errors
/// Returns a failure if the name is not valid or in use, the whole input is not a circuit, or its reference string was
/// not fed before.
pub fn bake_circuit(request: Request<'_>) -> Answer {
    let mut state = state();
    let name = request.circuit;
    if !is_name(name) {
        return Err(Failure::new(Tag::Malformed, "a circuit needs a name: `circuit/NAME=FILE`"));
    }
    if state.prime_of(name).is_ok() {
        return Err(Failure::new(Tag::Malformed, format!("the image has a circuit `{name}` already")));
    }
    if let Some(whole) = state.collect(&request)? {
        let prime = PastaPrime::try_from(Header::read(&whole.0).map_err(Error::from)?.prime)?;
        on_side!(state, prime, half => half.add(name, &whole.0)?);
    }
    Ok(Vec::new())
}

/// Takes a piece of the names of a circuit's signals, a `.sym` file.
///
/// # Errors
/// Returns a failure if the image has no such circuit, or the whole input is not a list of names.
pub fn bake_sym(request: Request<'_>) -> Answer {
    let mut state = state();
    let prime = state.prime_of(request.circuit)?;
    if let Some(whole) = state.collect(&request)? {
        on_side!(state, prime, half => {
            let prover = half.provers.get_mut(request.circuit).expect("the circuit is on this side");
            let names = Names::read(&whole.0, prover.compiled().r1cs().header.wires).map_err(Error::from)?;
            prover.name(names);
        });
    }
    Ok(Vec::new())
}

/// Removes a circuit. Reference strings stay, because the next circuit will need one.
///
/// # Errors
/// Returns a failure if the image has no such circuit.
pub fn bake_remove(request: Request<'_>) -> Answer {
    let mut state = state();
    let prime = state.prime_of(request.circuit)?;
    on_side!(state, prime, half => half.provers.remove(request.circuit).map(drop));
    Ok(Vec::new())
}

/// Ends a bake.
///
/// # Errors
/// Returns a failure if an input was not fed to its end, or this guest computes other results than the library.
pub fn bake_init(_: Request<'_>) -> Answer {
    self_check::check::<EqAffine>(best_multiexp)
        .and_then(|()| self_check::check::<EpAffine>(best_multiexp))
        .map_err(|mismatch| Failure::new(Tag::Internal, mismatch.to_string()))?;
    if state().piece_buffer.is_empty() {
        Ok(Vec::new())
    } else {
        Err(Failure::new(Tag::Malformed, "an input was not fed to its end"))
    }
}

/// Lists the circuits of this image with the digests of their verifying keys, except for those of the bake itself,
/// whose names begin with a dot.
///
/// # Errors
/// Does not fail.
pub fn circuits(_: Request<'_>) -> Answer {
    let state = state();
    Ok(circuits::encode(&state.pallas.list().chain(state.vesta.list()).collect::<Vec<_>>()))
}

/// Takes a witness, a `.wtns` file, and returns a [`ProofFile`].
///
/// # Errors
/// Returns [`Tag::Refuted`] with the first constraint that the witness does not satisfy, and a failure if the image has
/// no such circuit or the witness does not fit it.
pub fn prove(request: Request<'_>) -> Answer {
    let mut state = state();
    let prime = state.prime_of(request.circuit)?;
    on_side!(state, prime, half => half.prove(&request))
}

/// Verifies a [`ProofFile`], and returns an empty reply.
///
/// # Errors
/// Returns [`Tag::Refuted`] if the proof does not verify, and a failure if the image has no such circuit or the file is
/// malformed.
pub fn verify(request: Request<'_>) -> Answer {
    let mut state = state();
    let prime = state.prime_of(request.circuit)?;
    on_side!(state, prime, half => half.verify(&request))
}

/// Returns the verifying key of a circuit, for [`KeyFile`](crate::KeyFile).
///
/// # Errors
/// Returns a failure if the image has no such circuit.
pub fn verifying_key(request: Request<'_>) -> Answer {
    let mut state = state();
    let prime = state.prime_of(request.circuit)?;
    on_side!(state, prime, half => Ok(half.verifying_key(request.circuit)))
}
