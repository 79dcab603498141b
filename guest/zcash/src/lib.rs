//! A Zcash prover: takes a PCZT without proofs, and returns the same PCZT with its proofs.
//!
//! `bake_init` generates the keys, and the image holds them: zcash/halo2 cannot serialise a proving key, so a memory
//! snapshot is the only way to keep one. There are two circuits: `orchard`, always, and `sapling`, if its parameters
//! were fed before `bake_init` (`bake_sapling_spend`, `bake_sapling_output`).
//!
//! Invariant: this guest returns a proof only after it has verified it.

mod orchard;
mod sapling;

use chacha20::ChaCha20Rng;
use halo2_proofs::{arithmetic::best_multiexp, pasta::EqAffine};
use pczt::Pczt;
use rand_core::SeedableRng;
use snapback_abi::{
    circuits::{self, Circuit},
    guest::{Answer, Failure, collect},
    reply::Tag,
    request::Request,
};
use snapback_arithmetic::self_check;
use std::sync::{Mutex, OnceLock, PoisonError};

snapback_abi::export! {
    circuits => circuits,
    prove => prove,
    verify => verify(pure),
    bake_sapling_spend => bake_sapling_spend,
    bake_sapling_output => bake_sapling_output,
    bake_init => bake_init,
}

/// Name of the Orchard Action circuit.
pub const ORCHARD: &str = "orchard";
/// Name under which the Sapling Spend and Output circuits are proven together.
pub const SAPLING: &str = "sapling";

struct Provers {
    orchard: orchard::Prover,
    sapling: Option<sapling::Prover>,
}

static PROVERS: OnceLock<Provers> = OnceLock::new();

#[derive(Default)]
struct Inputs {
    piece_buffer: Vec<u8>,
    spend: Option<sapling::SpendKey>,
    output: Option<sapling::OutputKey>,
}

static INPUTS: Mutex<Inputs> = Mutex::new(Inputs { piece_buffer: Vec::new(), spend: None, output: None });

/// Takes a piece of the Sapling Spend parameters.
///
/// # Errors
/// Returns a failure if the pieces are out of order, or the whole input is not the file of the ceremony.
pub fn bake_sapling_spend(request: Request<'_>) -> Answer {
    let mut inputs = INPUTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = collect(&mut inputs.piece_buffer, request.body)? {
        inputs.spend = Some(sapling::SpendKey::read(bytes)?);
    }
    Ok(Vec::new())
}

/// Takes a piece of the Sapling Output parameters.
///
/// # Errors
/// Returns a failure if the pieces are out of order, or the whole input is not the file of the ceremony.
pub fn bake_sapling_output(request: Request<'_>) -> Answer {
    let mut inputs = INPUTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = collect(&mut inputs.piece_buffer, request.body)? {
        inputs.output = Some(sapling::OutputKey::read(bytes)?);
    }
    Ok(Vec::new())
}

/// Generates every key that the methods need.
///
/// # Errors
/// Returns a failure if only one of the two Sapling inputs was fed, the guest is baked already, or it computes other
/// results than the library.
pub fn bake_init(_: Request<'_>) -> Answer {
    self_check::check::<EqAffine>(best_multiexp)
        .map_err(|mismatch| Failure::new(Tag::Internal, mismatch.to_string()))?;
    let inputs = std::mem::take(&mut *INPUTS.lock().unwrap_or_else(PoisonError::into_inner));
    let sapling = match (inputs.spend, inputs.output) {
        (Some(spend), Some(output)) => Some(sapling::Prover::new(spend, output)),
        (None, None) => None,
        (Some(_), None) => return Err(lacks("sapling_output")),
        (None, Some(_)) => return Err(lacks("sapling_spend")),
    };
    PROVERS
        .set(Provers { orchard: orchard::Prover::new(), sapling })
        .map_err(|_| Failure::new(Tag::Unsupported, "this guest is baked already"))?;
    Ok(Vec::new())
}

fn lacks(input: &str) -> Failure {
    Failure::new(Tag::Malformed, format!("Sapling needs both inputs: {input} is missing"))
}

/// Lists the circuits of this image with the digests of their verifying keys.
///
/// # Errors
/// Returns a failure before `bake_init`.
pub fn circuits(_: Request<'_>) -> Answer {
    let provers = provers()?;
    let mut list = vec![Circuit { name: ORCHARD, vk_digest: provers.orchard.vk_digest }];
    if let Some(sapling) = &provers.sapling {
        list.push(Circuit { name: SAPLING, vk_digest: sapling.vk_digest });
    }
    Ok(circuits::encode(&list))
}

/// Proves one circuit's part of a PCZT, verifies the proof, and returns the PCZT with it.
///
/// # Errors
/// Returns a failure with one of the tags in [`Tag`]. Messages name fields of the PCZT, never their values.
pub fn prove(request: Request<'_>) -> Answer {
    let provers = provers()?;
    let mut rng = ChaCha20Rng::from_seed(*request.entropy);
    let proven = match part(provers, request.circuit)? {
        Part::Orchard(prover) => prover.prove(parse(request.body)?, &mut rng)?,
        Part::Sapling(prover) => prover.prove(parse(request.body)?, &mut rng)?,
    };
    proven
        .serialize()
        .map_err(|error| Failure::new(Tag::Internal, format!("the proven PCZT cannot be encoded: {error:?}")))
}

/// Verifies the proofs of one circuit's part of a PCZT, and returns an empty reply.
///
/// # Errors
/// Returns [`Tag::Refuted`] if a proof does not verify, and [`Tag::Unsupported`] if a proof is missing.
pub fn verify(request: Request<'_>) -> Answer {
    let pczt = parse(request.body)?;
    match part(provers()?, request.circuit)? {
        Part::Orchard(prover) => prover.verify(pczt)?,
        Part::Sapling(prover) => prover.verify(pczt)?,
    }
    Ok(Vec::new())
}

enum Part<'a> {
    Orchard(&'a orchard::Prover),
    Sapling(&'a sapling::Prover),
}

fn part<'a>(provers: &'a Provers, circuit: &str) -> Result<Part<'a>, Failure> {
    match (circuit, &provers.sapling) {
        (ORCHARD, _) => Ok(Part::Orchard(&provers.orchard)),
        (SAPLING, Some(sapling)) => Ok(Part::Sapling(sapling)),
        (SAPLING, None) => {
            Err(Failure::new(Tag::UnknownCircuit, "this image was baked without the Sapling parameters"))
        }
        _ => Err(Failure::new(
            Tag::UnknownCircuit,
            "this image proves `orchard`, and `sapling` if it was baked with its parameters",
        )),
    }
}

fn provers() -> Result<&'static Provers, Failure> {
    PROVERS.get().ok_or_else(|| Failure::new(Tag::Unsupported, "this guest is not baked yet"))
}

fn parse(body: &[u8]) -> Result<Pczt, Failure> {
    Pczt::parse(body).map_err(|error| Failure::new(Tag::Malformed, format!("not a readable PCZT: {error:?}")))
}
