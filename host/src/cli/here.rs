//! One call of an image in this process, without a server.
//!
//! Invariant: the instance is fresh, and ends with the call.

use super::{
    exit::{Exit, Failure},
    resolve::{State, check_memory_limit},
};
use crate::{
    config::Config,
    ids::GenerationId,
    instance::{Call, Entropy, Fault, Generation, Instance},
};
use snapback_abi::reply::Tag;
use snapback_snapshot::{SealedImage, Simd, Ticker, engine, proof_systems::ProofSystems};
use std::sync::Arc;

/// Calls a method of an image, in the build that was asked for if the guest has two, and returns the body of the reply.
/// `circuit` chooses the circuit.
pub(super) fn call(
    (image, simd): (&str, Option<Simd>),
    method: &str,
    circuit: impl FnOnce(&SealedImage) -> anyhow::Result<String>,
    body: &[u8],
    config: &Config,
    systems: &ProofSystems,
) -> anyhow::Result<Vec<u8>> {
    let state = State::open(config, systems)?.with_simd(simd);
    let sealed = state.image(image, config)?;
    check_memory_limit(image, &sealed, config)?;
    let circuit = circuit(&sealed)?;
    let engine = engine(1)?;
    let _ticker = Ticker::start(&engine)?;
    let generation = Arc::new(Generation::new(GenerationId::FIRST, state.cache.load(&engine, &sealed)?)?);
    let policy = config.policies.of(image, sealed.manifest());
    let mut instance = Instance::instantiate(&generation, policy.memory_limit_bytes)?;
    let call = Call {
        method,
        circuit: &circuit,
        body,
        entropy: Entropy::fresh(),
        deadline: policy.deadline_of(method),
        reply_bytes_max: config.reply_bytes_max,
        stop: None,
    };
    let mut reply = instance.call(&call).map_err(|fault| match fault {
        Fault::NoSuchMethod => Failure::error(Exit::Usage, format!("`{image}` has no method `{method}`")),
        fault => Failure::error(Exit::Call, fault.to_string()),
    })?;
    let exit = match reply.tag {
        Tag::Ok => return Ok(std::mem::take(&mut *reply.body)),
        Tag::Refuted => Exit::Refuted,
        _ => Exit::Call,
    };
    Err(Failure::error(exit, String::from_utf8_lossy(&reply.body)))
}
