//! The guest: takes keys while it is baked, and returns proofs while it serves.
//!
//! ```text
//! bake_zkey/<name>     a proving key, a .zkey          bake_remove/<name>    removes a circuit
//! bake_r1cs/<name>     its constraints, an .r1cs       bake_sym/<name>       the names of its signals
//! ```
//!
//! Invariant: the state does not change while the guest serves.

use crate::{Error, Fr, KeyReader, ProofFile, ProvingKey, Roots};
use sha2::{Digest, Sha256};
use snapback_abi::{
    circuits::{self, Circuit, is_name},
    guest::{Answer, Failure, collect},
    input::Piece,
    reply::Tag,
    request::Request,
};
use snapback_circom::{Prime, Unsatisfied, r1cs::R1cs, sym::Names, wtns::Witness};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use zeroize::Zeroize;

snapback_abi::export! {
    circuits => circuits,
    prove => prove,
    verify => verify(pure),
    verifying_key => verifying_key("application/octet-stream" -> "application/json"),
    bake_zkey => bake_zkey,
    bake_r1cs => bake_r1cs,
    bake_sym => bake_sym,
    bake_remove => bake_remove,
    bake_init => bake_init,
}

/// The state that an image holds.
struct State {
    /// The key that is being fed, and how many of its bytes were.
    reading: Option<(KeyReader, u64)>,
    /// The pieces of another input.
    piece_buffer: Vec<u8>,
    roots: Roots,
    circuits: BTreeMap<String, Prover>,
}

struct Prover {
    key: ProvingKey,
    /// The verifying key as JSON.
    vk: String,
    vk_digest: [u8; 32],
    /// The constraints as a file, if they are known; they are read when a witness does not satisfy them.
    r1cs: Option<Vec<u8>>,
    names: Names,
}

static STATE: Mutex<State> = Mutex::new(State {
    reading: None,
    piece_buffer: Vec::new(),
    roots: Roots::new(),
    circuits: BTreeMap::new(),
});

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let tag = match &error {
            Error::Malformed { .. } => Tag::Malformed,
            Error::Unsupported(_) => Tag::Unsupported,
            Error::Constraint(_) | Error::Unsatisfied | Error::Refuted => Tag::Refuted,
        };
        Self::new(tag, error.to_string())
    }
}

impl State {
    fn of(&self, circuit: &str) -> Result<&Prover, Failure> {
        let message = match circuit {
            "" => "the call names no circuit",
            _ => "this image holds no circuit of that name",
        };
        self.circuits.get(circuit).ok_or_else(|| Failure::new(Tag::UnknownCircuit, message))
    }

    /// Returns a circuit that is there.
    fn circuit(&mut self, name: &str) -> &mut Prover {
        self.circuits.get_mut(name).expect("the circuit was found before")
    }
}

/// Takes a piece of the proving key of the circuit that the envelope names.
///
/// # Errors
/// Returns a failure if the name is not valid or in use, or this is not a proving key for Groth16 over BN254.
pub fn bake_zkey(request: Request<'_>) -> Answer {
    let malformed = |message: String| Failure::new(Tag::Malformed, message);
    let mut state = state();
    let name = request.circuit;
    if !is_name(name) {
        return Err(malformed("a key needs a name: `zkey/NAME=FILE`".into()));
    }
    if state.circuits.contains_key(name) {
        return Err(malformed(format!("the image has a circuit `{name}` already")));
    }
    let piece = Piece::decode(request.body).map_err(|error| malformed(format!("the piece {error}")))?;
    let (mut reader, offset) = match state.reading.take() {
        Some(reading) if piece.offset != 0 => reading,
        _ => (KeyReader::new(piece.total), 0),
    };
    if piece.offset != offset {
        return Err(malformed(format!("expected the piece at offset {offset}")));
    }
    reader.feed(piece.bytes)?;
    if !piece.is_last() {
        state.reading = Some((reader, offset + piece.bytes.len() as u64));
        return Ok(Vec::new());
    }
    let key = reader.finish()?;
    state.roots.extend(key.header().log_domain);
    let vk = key.verifying_key().to_json();
    let vk_digest = Sha256::digest(&vk).into();
    state
        .circuits
        .insert(name.to_owned(), Prover { key, vk, vk_digest, r1cs: None, names: Names::default() });
    Ok(Vec::new())
}

/// Takes a piece of the constraints of a circuit. With them, the first one that a witness does not satisfy is named.
///
/// # Errors
/// Returns a failure if the image has no such circuit, or the whole input does not belong to its key.
pub fn bake_r1cs(request: Request<'_>) -> Answer {
    let mut state = state();
    let header = state.of(request.circuit)?.key.header().clone();
    if let Some(whole) = collect(&mut state.piece_buffer, request.body)? {
        let r1cs = R1cs::<Fr>::read(&whole).map_err(Error::from)?.header;
        if r1cs.wires != header.wires || r1cs.publics() != header.publics {
            return Err(Failure::new(Tag::Malformed, "the constraints belong to another key"));
        }
        state.circuit(request.circuit).r1cs = Some(whole);
    }
    Ok(Vec::new())
}

/// Takes a piece of the names of a circuit's signals, a `.sym` file.
///
/// # Errors
/// Returns a failure if the image has no such circuit, or the whole input is not a list of names.
pub fn bake_sym(request: Request<'_>) -> Answer {
    let mut state = state();
    let wires = state.of(request.circuit)?.key.header().wires;
    if let Some(mut whole) = collect(&mut state.piece_buffer, request.body)? {
        state.circuit(request.circuit).names = Names::read(&whole, wires).map_err(Error::from)?;
        // The freed buffer stays in the image, and costs nothing there if it holds zeros.
        whole.zeroize();
    }
    Ok(Vec::new())
}

/// Removes a circuit.
///
/// # Errors
/// Returns a failure if the image has no such circuit.
pub fn bake_remove(request: Request<'_>) -> Answer {
    let mut state = state();
    state.of(request.circuit)?;
    state.circuits.remove(request.circuit);
    Ok(Vec::new())
}

/// Ends a bake.
///
/// # Errors
/// Returns a failure if an input was not fed to its end.
pub fn bake_init(_: Request<'_>) -> Answer {
    let state = state();
    if state.reading.is_none() && state.piece_buffer.is_empty() {
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
    let shown = state.circuits.iter().filter(|(name, _)| !name.starts_with('.'));
    let list: Vec<_> = shown.map(|(name, prover)| Circuit { name, vk_digest: prover.vk_digest }).collect();
    Ok(circuits::encode(&list))
}

/// Takes a witness, a `.wtns` file, and returns a [`ProofFile`].
///
/// # Errors
/// Returns [`Tag::Refuted`] if the witness does not satisfy the circuit, and a failure if the image has no such circuit or
/// the witness does not fit it.
pub fn prove(request: Request<'_>) -> Answer {
    let state = state();
    let prover = state.of(request.circuit)?;
    match prover.key.prove(&state.roots, request.body, request.entropy) {
        Err(Error::Unsatisfied) => Err(prover.unsatisfied(request.body).into()),
        proven => Ok(proven?.encode()),
    }
}

impl Prover {
    /// Returns why a proof of this witness does not verify.
    fn unsatisfied(&self, witness: &[u8]) -> Error {
        let named = self.r1cs.as_ref().and_then(|r1cs| {
            let r1cs = R1cs::<Fr>::read(r1cs).ok()?;
            let witness = Witness::read(witness, Prime::Bn128, r1cs.header.wires).ok()?;
            Unsatisfied::find(&r1cs, &self.names, witness.values())
        });
        named.map_or(Error::Unsatisfied, Error::Constraint)
    }
}

/// Verifies a [`ProofFile`], and returns an empty reply.
///
/// # Errors
/// Returns [`Tag::Refuted`] if the proof does not verify, and a failure if the image has no such circuit or the file is
/// malformed.
pub fn verify(request: Request<'_>) -> Answer {
    let state = state();
    let prover = state.of(request.circuit)?;
    prover.key.verify(&ProofFile::decode(request.body)?)?;
    Ok(Vec::new())
}

/// Returns the verifying key of a circuit as JSON, as snarkjs writes it.
///
/// # Errors
/// Returns a failure if the image has no such circuit.
pub fn verifying_key(request: Request<'_>) -> Answer {
    Ok(state().of(request.circuit)?.vk.clone().into_bytes())
}
