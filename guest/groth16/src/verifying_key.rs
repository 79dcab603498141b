//! Verifying keys, and how snarkjs writes them.
//!
//! Source: Groth, "On the size of pairing-based non-interactive arguments", EUROCRYPT 2016; the JSON is that of snarkjs,
//! `zkey_export_verificationkey.js`.
//!
//! Invariant: the points of a key are in their groups.

use crate::{
    Error,
    field::{Words, bytes},
    groups::HALVES,
    pairing::{self, Prepared},
    point::{G1, G2},
    proof::{Proof, ProofFile},
    sum::Sum,
};
use sha2::{Digest, Sha256};
use snapback_arithmetic::msm;
use snapback_circom::number;
use std::fmt::Write;

const ZERO: Words = [0; 4];
const ONE: Words = [1, 0, 0, 0];

/// A verifying key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    /// `alpha` in the first group.
    pub alpha: G1,
    /// `beta` in the second group.
    pub beta: G2,
    /// `gamma` in the second group.
    pub gamma: G2,
    /// `delta` in the second group.
    pub delta: G2,
    /// A point for the constant one, and one for each public signal.
    pub ic: Vec<G1>,
}

/// A verifying key that is prepared for many proofs.
pub struct Verifier {
    key: VerifyingKey,
    prepared: Prepared,
}

impl Verifier {
    /// Prepares a key.
    #[must_use]
    pub fn new(key: VerifyingKey) -> Self {
        let prepared = Prepared::new(&key.alpha, &key.beta, &key.gamma, &key.delta);
        Self { key, prepared }
    }

    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Verifies a proof.
    ///
    /// # Errors
    /// Returns an error if the proof does not verify, or has more or fewer public signals than the circuit.
    pub fn verify(&self, ProofFile { publics, proof }: &ProofFile) -> Result<(), Error> {
        let Self { key, prepared } = self;
        let expected = key.ic.len() - 1;
        if publics.len() != expected {
            let reason = format!("the circuit has {expected} public signals, the proof {}", publics.len());
            return Err(Error::malformed("a proof of this circuit", reason));
        }
        let numbers = std::iter::once(ONE).chain(publics.iter().copied());
        let signals: Sum<_> = msm::sum(&HALVES, key.ic.len(), numbers.zip(key.ic.iter().copied()));
        let Proof { a, b, c } = proof;
        if prepared.holds(a, b, &signals.to_affine(), c) { Ok(()) } else { Err(Error::Refuted) }
    }
}

impl VerifyingKey {
    /// Returns the key as snarkjs writes it: JSON that is indented by single spaces.
    #[must_use]
    pub fn to_json(&self) -> String {
        let [alpha_beta, ic] = [
            list(
                1,
                &pairing::coordinates(&self.alpha, &self.beta)
                    .map(|half| list(2, &half.map(|square| list(3, &square.map(|number| text(&number)))))),
            ),
            list(1, &self.ic.iter().map(|point| first(2, point)).collect::<Vec<_>>()),
        ];
        let fields = [
            ("protocol", "\"groth16\"".into()),
            ("curve", "\"bn128\"".into()),
            ("nPublic", (self.ic.len() - 1).to_string()),
            ("vk_alpha_1", first(1, &self.alpha)),
            ("vk_beta_2", second(1, &self.beta)),
            ("vk_gamma_2", second(1, &self.gamma)),
            ("vk_delta_2", second(1, &self.delta)),
            ("vk_alphabeta_12", alpha_beta),
            ("IC", ic),
        ];
        let mut json = String::from("{");
        for (index, (name, value)) in fields.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(json, "{separator}\n \"{name}\": {value}").expect("memory can be written");
        }
        json + "\n}"
    }

    /// Returns the SHA-256 digest of the key as JSON.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.to_json()).into()
    }
}

/// Returns a JSON list at a depth of indentation.
fn list(depth: usize, items: &[String]) -> String {
    let indent = " ".repeat(depth);
    format!("[\n{indent} {}\n{indent}]", items.join(&format!(",\n{indent} ")))
}

fn text(number: &Words) -> String {
    format!("\"{}\"", number::to_decimal(&bytes(*number)))
}

/// Returns a point of the first group in projective form, as snarkjs writes it.
fn first(depth: usize, point: &G1) -> String {
    let [x, y] = point.numbers();
    let numbers = if point.is_identity() { [ZERO, ONE, ZERO] } else { [x, y, ONE] };
    list(depth, &numbers.map(|number| text(&number)))
}

/// Returns a point of the second group in projective form, as snarkjs writes it.
fn second(depth: usize, point: &G2) -> String {
    let [x, y] = point.numbers();
    let (zero, one) = ([ZERO; 2], [ONE, ZERO]);
    let coordinates = if point.is_identity() { [zero, one, zero] } else { [x, y, one] };
    list(depth, &coordinates.map(|parts| list(depth + 1, &parts.map(|number| text(&number)))))
}
