//! The two services: extraction from documents with the leaks that parsers have, and a prover that leaks 10 MB a proof.
//!
//! Invariant: replies are checked against native code that does not run the guest: extraction by the guest's own
//! sources, proofs by the verifier of `ark-groth16`.

use crate::{ark, corpus, guests, support::fixture};
use serde_json::Value;
use snapback_guest_extract::{
    envelope::{Document, Options},
    extract::extract,
    reply::to_json,
};
use snapback_snapshot::{
    Guest, Input,
    proof_systems::{ProofSystem, groth16::Groth16},
};

/// Different documents.
const DOCUMENTS: usize = 64;

/// A service that leaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Documents,
    Proofs,
}

impl Load {
    pub(crate) const ALL: [Self; 2] = [Self::Documents, Self::Proofs];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Proofs => "proofs",
        }
    }

    pub(crate) fn find(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|load| load.key() == key)
    }

    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Documents => "leak_extract",
            Self::Proofs => "leak_prove",
        }
    }

    pub(crate) fn circuit(self) -> &'static str {
        match self {
            Self::Documents => "",
            Self::Proofs => "mimc",
        }
    }

    /// Returns what the initialiser takes.
    pub(crate) fn inputs(self) -> Vec<Input> {
        match self {
            Self::Documents => Vec::new(),
            Self::Proofs => vec![Input::new("zkey/mimc", fixture("groth16/mimc/mimc.zkey"))],
        }
    }

    /// Returns the guest, which the build compiles beside the embedded ones.
    pub(crate) fn guest(self) -> Guest {
        let name = match self {
            Self::Documents => "leaking_extract",
            Self::Proofs => "leaking_groth16",
        };
        Guest::read(&guests::compiled(name)).expect("readable")
    }

    pub(crate) fn calls(self) -> Calls {
        match self {
            Self::Documents => {
                let bodies: Vec<Vec<u8>> = (0..DOCUMENTS).map(corpus::document).collect();
                let reply = |body: &Vec<u8>| {
                    let document = Document::new(body, Options::default()).expect("a document");
                    to_json(&extract(&document).expect("a reply")).expect("short")
                };
                let check = Check::Equal(bodies.iter().map(reply).collect());
                Calls { bodies, check }
            }
            Self::Proofs => {
                let key = fixture("groth16/mimc/verification_key.json");
                let check = Check::Verify(serde_json::from_slice(&key).expect("JSON"));
                Calls { bodies: vec![fixture("groth16/mimc/witness.wtns")], check }
            }
        }
    }
}

/// The calls of a load, one after the other and from the start again.
pub(crate) struct Calls {
    bodies: Vec<Vec<u8>>,
    check: Check,
}

enum Check {
    /// Replies are those that native code gives.
    Equal(Vec<Vec<u8>>),
    /// Replies are proofs that this key verifies.
    Verify(Value),
}

impl Calls {
    pub(crate) fn body(&self, number: usize) -> &[u8] {
        &self.bodies[number % self.bodies.len()]
    }

    /// Checks a reply.
    ///
    /// # Panics
    /// Panics if it is wrong.
    pub(crate) fn check(&self, number: usize, reply: &[u8]) {
        match &self.check {
            Check::Equal(replies) => assert!(replies[number % replies.len()] == reply, "a wrong reply"),
            Check::Verify(key) => {
                let json = Groth16.proof_to_json(reply).expect("a proof");
                assert!(ark::verifies(key, &json["proof"], &json["publicSignals"]), "a wrong proof");
            }
        }
    }
}
