//! The smallest proof system: a circuit is a number, a witness is a square root of it modulo [`PRIME`], and the proof
//! is the root itself, so it hides nothing.
//!
//! It exists for the tests, as a second implementation of the whole interface for proof systems.

use snapback_abi::{
    circuits::{self, Circuit, is_name},
    guest::{Answer, Failure, collect},
    reply::Tag,
    request::Request,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

snapback_abi::export! {
    circuits => circuits,
    prove => prove("text/plain" -> "text/plain"),
    verify => verify("text/plain" -> "text/plain", pure),
    verifying_key => verifying_key,
    bake_number => bake_number,
    bake_remove => bake_remove,
    bake_init => bake_init,
}

/// The modulus, a prime of 61 bits. Products need wide arithmetic, which every prover has to use.
pub const PRIME: u64 = (1 << 61) - 1;

struct State {
    piece_buffer: Vec<u8>,
    numbers: BTreeMap<String, u64>,
}

static STATE: Mutex<State> = Mutex::new(State { piece_buffer: Vec::new(), numbers: BTreeMap::new() });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a number in decimal digits. Returns `None` if it is not a number below [`PRIME`].
#[must_use]
pub fn number(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok()?.trim().parse().ok().filter(|number| *number < PRIME)
}

/// Returns whether `root` squared is `number`, modulo [`PRIME`].
#[must_use]
pub fn is_root(root: u64, number: u64) -> bool {
    (u128::from(root) * u128::from(root)) % u128::from(PRIME) == u128::from(number)
}

/// Returns the digest of the verifying key of a number: the number itself, little-endian.
#[must_use]
pub fn vk_digest(number: u64) -> [u8; 32] {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    digest
}

fn number_of(circuit: &str) -> Result<u64, Failure> {
    let unknown = || Failure::new(Tag::UnknownCircuit, "this image holds no circuit of that name");
    state().numbers.get(circuit).copied().ok_or_else(unknown)
}

fn malformed(what: &str) -> Failure {
    Failure::new(Tag::Malformed, what)
}

/// Takes a piece of a number.
///
/// # Errors
/// Returns a failure if the circuit has no valid name, or the whole input is not a number.
pub fn bake_number(request: Request<'_>) -> Answer {
    let mut state = state();
    if !is_name(request.circuit) {
        return Err(malformed("a number needs a name: `number/NAME=FILE`"));
    }
    if let Some(whole) = collect(&mut state.piece_buffer, request.body)? {
        let number = number(&whole).ok_or_else(|| malformed("not a number"))?;
        state.numbers.insert(request.circuit.to_owned(), number);
    }
    Ok(Vec::new())
}

/// Removes a circuit.
///
/// # Errors
/// Returns a failure if the image has no such circuit.
pub fn bake_remove(request: Request<'_>) -> Answer {
    number_of(request.circuit)?;
    state().numbers.remove(request.circuit);
    Ok(Vec::new())
}

/// Ends a bake.
///
/// # Errors
/// Does not fail.
pub fn bake_init(_: Request<'_>) -> Answer {
    Ok(Vec::new())
}

/// Lists the circuits, except those whose names begin with a dot.
///
/// # Errors
/// Does not fail.
pub fn circuits(_: Request<'_>) -> Answer {
    let state = state();
    let shown = state.numbers.iter().filter(|(name, _)| !name.starts_with('.'));
    let list: Vec<_> = shown.map(|(name, number)| Circuit { name, vk_digest: vk_digest(*number) }).collect();
    Ok(circuits::encode(&list))
}

/// Takes a witness, and returns it as the proof.
///
/// # Errors
/// Returns [`Tag::Refuted`] if the witness is not a root of the circuit's number.
pub fn prove(request: Request<'_>) -> Answer {
    verify(request)?;
    Ok(request.body.to_vec())
}

/// Verifies a proof, and returns an empty reply.
///
/// # Errors
/// Returns [`Tag::Refuted`] if the proof does not verify.
pub fn verify(request: Request<'_>) -> Answer {
    let number_of_circuit = number_of(request.circuit)?;
    let root = number(request.body).ok_or_else(|| malformed("not a number"))?;
    if is_root(root, number_of_circuit) {
        Ok(Vec::new())
    } else {
        Err(Failure::new(Tag::Refuted, "it is not a root"))
    }
}

/// Returns the verifying key of a circuit.
///
/// # Errors
/// Returns a failure if the image has no such circuit.
pub fn verifying_key(request: Request<'_>) -> Answer {
    Ok(format!("toy key {}", number_of(request.circuit)?).into_bytes())
}
