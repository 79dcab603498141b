//! Checks proofs with the network's own code, none of which was written for this project.

use super::fixture;
use chacha20::ChaCha20Rng;
use orchard::circuit::{OrchardCircuitVersion, VerifyingKey};
use pczt::{
    Pczt,
    roles::{combiner::Combiner, spend_finalizer::SpendFinalizer, tx_extractor::TransactionExtractor},
};
use rand_core::SeedableRng;
use std::sync::OnceLock;

pub(crate) fn unproven() -> Vec<u8> {
    fixture("orchard2.pczt")
}

/// Combines a proven PCZT with its signed twin and extracts the transaction, which verifies every proof and
/// signature.
pub(crate) fn extract(proven: &[u8]) -> Result<(), String> {
    static KEY: OnceLock<VerifyingKey> = OnceLock::new();
    let key = KEY.get_or_init(|| VerifyingKey::build(OrchardCircuitVersion::FixedPostNu6_2));
    let parse = |bytes: &[u8]| Pczt::parse(bytes).map_err(|error| format!("{error:?}"));
    let combined = Combiner::new(vec![parse(proven)?, parse(&fixture("orchard2.signed.pczt"))?])
        .combine()
        .map_err(|error| format!("{error:?}"))?;
    let finalized = SpendFinalizer::new(combined).finalize_spends().map_err(|error| format!("{error:?}"))?;
    TransactionExtractor::new(finalized)
        .with_orchard(key)
        .extract(ChaCha20Rng::from_seed([1; 32]))
        .map(|_| ())
        .map_err(|error| format!("{error:?}"))
}

/// Flips a bit in the middle of the proof, which follows the part that both PCZTs begin with.
pub(crate) fn with_flipped_proof_byte(proven: &[u8]) -> Vec<u8> {
    let unproven = unproven();
    let start = unproven.iter().zip(proven).take_while(|(a, b)| a == b).count();
    let mut flipped = proven.to_vec();
    flipped[start + (proven.len() - unproven.len()) / 2] ^= 1;
    flipped
}
