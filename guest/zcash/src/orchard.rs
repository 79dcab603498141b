//! The Orchard Action circuit: halo2 over Pasta, without a trusted setup.

use orchard::{
    Proof,
    circuit::{Instance, OrchardCircuitVersion, ProvingKey, VerifyingKey},
    pczt::Bundle,
};
use pczt::{
    Pczt,
    roles::{
        prover::Prover as ProverRole,
        verifier::{OrchardError, Verifier},
    },
};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use snapback_abi::{guest::Failure, reply::Tag};
use std::fmt::Write;

/// Version of the circuit that the network has used since NU6.2.
const VERSION: OrchardCircuitVersion = OrchardCircuitVersion::FixedPostNu6_2;

pub(crate) struct Prover {
    proving_key: ProvingKey,
    verifying_key: VerifyingKey,
    pub(crate) vk_digest: [u8; 32],
}

impl Prover {
    /// Generates the keys, which takes some 10 s of CPU time.
    pub(crate) fn new() -> Self {
        let proving_key = ProvingKey::build(VERSION);
        let verifying_key = proving_key.verifying_key();
        let vk_digest = digest(&verifying_key);
        Self { proving_key, verifying_key, vk_digest }
    }

    pub(crate) fn prove(&self, pczt: Pczt, rng: &mut impl CryptoRng) -> Result<Pczt, Failure> {
        let role = ProverRole::new(pczt.clone());
        if pczt.orchard().actions().is_empty() {
            return Err(Failure::new(Tag::NothingToProve, "the PCZT has no Orchard actions"));
        }
        if !role.requires_orchard_proof() {
            return Err(Failure::new(Tag::NothingToProve, "the PCZT has its Orchard proof already"));
        }
        with_bundle(pczt, check_version)?;
        let proven = role
            .create_orchard_proof(rng, &self.proving_key)
            .map_err(|error| Failure::new(Tag::Unsupported, format!("cannot prove this PCZT: {error:?}")))?
            .finish();
        self.verify(proven.clone()).map_err(|failure| {
            Failure::new(Tag::Internal, format!("the new proof failed its check: {}", failure.message))
        })?;
        Ok(proven)
    }

    pub(crate) fn verify(&self, pczt: Pczt) -> Result<(), Failure> {
        with_bundle(pczt, |bundle| {
            check_version(bundle)?;
            let proof = bundle
                .zkproof()
                .as_ref()
                .ok_or_else(|| Failure::new(Tag::Unsupported, "the PCZT has no Orchard proof to verify"))?;
            if bundle.actions().is_empty() {
                return Err(Failure::new(Tag::Unsupported, "the PCZT has no Orchard actions to verify"));
            }
            // The network accepts proofs of exactly this length; the verifier below ignores bytes after a proof.
            if proof.as_ref().len() != Proof::expected_proof_size(bundle.actions().len()) {
                return Err(Failure::new(
                    Tag::Refuted,
                    "the length of the Orchard proof does not match its actions",
                ));
            }
            let instances = bundle
                .actions()
                .iter()
                .map(|action| {
                    Instance::from_parts(
                        *bundle.anchor(),
                        action.cv_net().clone(),
                        *action.spend().nullifier(),
                        action.spend().rk().clone(),
                        *action.output().cmx(),
                        *bundle.flags(),
                    )
                    .ok_or_else(|| Failure::new(Tag::Refuted, "an action has the identity as its rk"))
                })
                .collect::<Result<Vec<_>, _>>()?;
            proof
                .verify(&self.verifying_key, &instances)
                .map_err(|_| Failure::new(Tag::Refuted, "the Orchard proof does not verify"))
        })
    }
}

/// Parses the Orchard part of a PCZT and passes it to `look`.
fn with_bundle(pczt: Pczt, look: impl FnOnce(&Bundle) -> Result<(), Failure>) -> Result<(), Failure> {
    let seen = Verifier::new(pczt).with_orchard(|bundle| look(bundle).map_err(OrchardError::Custom));
    match seen {
        Ok(_) => Ok(()),
        Err(OrchardError::Custom(failure)) => Err(failure),
        Err(OrchardError::Parse(error)) => {
            Err(Failure::new(Tag::Malformed, format!("the Orchard bundle does not parse: {error:?}")))
        }
        Err(OrchardError::UnsupportedConsensusBranchId) => {
            Err(Failure::new(Tag::Unsupported, "the PCZT's consensus branch is unknown, or has no Orchard"))
        }
        Err(OrchardError::Verify(error)) => {
            Err(Failure::new(Tag::Malformed, format!("the Orchard bundle is inconsistent: {error:?}")))
        }
    }
}

/// Checks the version of the circuit, because the network rejects a proof for another version.
fn check_version(bundle: &Bundle) -> Result<(), Failure> {
    let wanted = bundle.bundle_version().circuit_version();
    if wanted == VERSION {
        Ok(())
    } else {
        Err(Failure::new(
            Tag::Unsupported,
            format!("the PCZT's consensus branch uses circuit {wanted:?}; this image proves {VERSION:?}"),
        ))
    }
}

/// Returns the SHA-256 digest of the `Debug` text of the key. halo2 has no byte encoding of keys, and identifies them
/// by this text in its own transcripts.
fn digest(key: &VerifyingKey) -> [u8; 32] {
    struct Hash(Sha256);
    impl Write for Hash {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.update(text);
            Ok(())
        }
    }
    let mut hash = Hash(Sha256::new());
    write!(hash, "{key:?}").expect("a hash takes any text");
    hash.0.finalize().into()
}
