//! Keys, proofs and public signals as snarkjs writes them.
//!
//! ```text
//! verification_key.json   {"protocol": "groth16", "curve": "bn128", "vk_alpha_1": [x, y, "1"], ..., "IC": [...]}
//! proof.json              {"protocol": "groth16", "curve": "bn128", "pi_a": [...], "pi_b": [...], "pi_c": [...]}
//! public.json             ["7", ...]
//! with both               {"proof": proof.json, "publicSignals": public.json}
//! ```
//! Numbers are decimal digits in quotes, points are in projective form.
//!
//! Source: snarkjs, `groth16_prove.js`, `zkey_export_verificationkey.js` and `zkey_export_soliditycalldata.js`.
//!
//! Invariant: what was read is in its group and below its prime, and lists are read only up to their limit.

use super::super::{JsonObject, object};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, SeqAccess, Visitor},
};
use serde_json::{Value, error::Category, json, value::RawValue};
use snapback_circom::{Prime, number};
use snapback_guest_groth16::{self as groth16, G1, G2, NotInGroup, Proof, ProofFile, VerifyingKey, bytes};
use std::{borrow::Cow, fmt};

const PROTOCOL: &str = "groth16";
const CURVE: &str = "bn128";
/// Most public signals of a verifying key that is read without a circuit.
pub(super) const PUBLICS_MAX: usize = 1 << 22;
/// Longest part of a message that is serde's, in characters.
const MESSAGE_CHARS_MAX: usize = 200;

/// A number: decimal digits in quotes.
struct Number([u8; 32]);
/// A point of the first group.
#[derive(Deserialize)]
struct First([Number; 3]);
/// A point of the second group.
#[derive(Deserialize)]
struct Second([[Number; 2]; 3]);

#[derive(Deserialize)]
struct Protocol<'a> {
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(borrow, default)]
    curve: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct KeyText<'a> {
    vk_alpha_1: First,
    vk_beta_2: Second,
    vk_gamma_2: Second,
    vk_delta_2: Second,
    #[serde(rename = "IC", borrow)]
    ic: &'a RawValue,
}

#[derive(Deserialize)]
struct ProofText {
    pi_a: First,
    pi_b: Second,
    pi_c: First,
}

#[derive(Deserialize)]
struct ProvenText<'a> {
    #[serde(borrow)]
    proof: &'a RawValue,
    #[serde(rename = "publicSignals", borrow)]
    public_signals: &'a RawValue,
}

/// Returns whether these bytes look like a verifying key that snarkjs wrote, of whatever protocol.
pub(super) fn is_key(bytes: &[u8]) -> bool {
    object::read::<Protocol<'_>>(bytes).is_ok()
}

/// Reads a `verification_key.json` with at most `publics_max` public signals.
pub(super) fn verifying_key(text: &[u8], publics_max: usize) -> Result<VerifyingKey, String> {
    const WHAT: &str = "a verification_key.json";
    check_protocol(text, WHAT)?;
    let key: KeyText<'_> = object::read(text).map_err(|error| malformed(WHAT, &error))?;
    let mut list = serde_json::Deserializer::from_str(key.ic.get());
    let ic = List::<First> { max: publics_max + 1, what: "points IC", item: std::marker::PhantomData };
    let ic = ic.deserialize(&mut list).map_err(|error| malformed(WHAT, &error))?;
    if ic.is_empty() {
        return Err(format!("not {WHAT}: it has no points IC"));
    }
    let refuse = |name: &'static str| move |reason: NotInGroup| format!("not {WHAT}: {name} {reason}");
    Ok(VerifyingKey {
        alpha: key.vk_alpha_1.point().map_err(refuse("vk_alpha_1"))?,
        beta: key.vk_beta_2.point().map_err(refuse("vk_beta_2"))?,
        gamma: key.vk_gamma_2.point().map_err(refuse("vk_gamma_2"))?,
        delta: key.vk_delta_2.point().map_err(refuse("vk_delta_2"))?,
        ic: ic.iter().map(First::point).collect::<Result<_, _>>().map_err(refuse("a point of IC"))?,
    })
}

/// Returns a proof with its public signals as JSON.
pub(super) fn proof(ProofFile { publics, proof }: &ProofFile) -> JsonObject {
    let proof = json!({
        "protocol": PROTOCOL,
        "curve": CURVE,
        "pi_a": first(&proof.a),
        "pi_b": second(&proof.b),
        "pi_c": first(&proof.c),
    });
    let publics: Vec<Value> = publics.iter().map(|public| digits(&bytes(*public))).collect();
    [("proof".to_owned(), proof), ("publicSignals".to_owned(), publics.into())].into_iter().collect()
}

/// Reads a proof with its public signals as a [`ProofFile`] of at most `bytes_max` bytes; ignores other fields, such as
/// `timings`.
pub(super) fn read_proof(text: &[u8], bytes_max: usize) -> Result<Vec<u8>, String> {
    const WHAT: &str = "a proof with its public signals";
    let proven: ProvenText<'_> = object::read(text).map_err(|error| {
        let both = "expected {\"proof\": proof.json, \"publicSignals\": public.json}";
        format!("{}; {both}", malformed(WHAT, &error))
    })?;
    check_protocol(proven.proof.get().as_bytes(), "a proof")?;
    let proof: ProofText =
        object::read(proven.proof.get().as_bytes()).map_err(|error| malformed("a proof", &error))?;
    let refuse = |name: &'static str| move |reason: NotInGroup| format!("not a proof: {name} {reason}");
    let proof = Proof {
        a: proof.pi_a.point().map_err(refuse("pi_a"))?,
        b: proof.pi_b.point().map_err(refuse("pi_b"))?,
        c: proof.pi_c.point().map_err(refuse("pi_c"))?,
    };
    let max = bytes_max.saturating_sub(groth16::PROOF_BYTES) / 32;
    let list = List::<Number> { max, what: "public signals", item: std::marker::PhantomData };
    let publics = list.deserialize(&mut serde_json::Deserializer::from_str(proven.public_signals.get()));
    let publics = publics.map_err(|error| malformed("public signals", &error))?;
    let order = Prime::Bn128.modulus();
    if publics.iter().any(|Number(public)| public.iter().rev().ge(order.iter().rev())) {
        return Err("a public signal is not below the prime".into());
    }
    let file =
        ProofFile { publics: publics.iter().map(|Number(public)| groth16::words(public)).collect(), proof };
    let file = file.encode();
    if file.len() > bytes_max { Err(format!("the proof is longer than {bytes_max} bytes")) } else { Ok(file) }
}

/// Returns the JSON of a proof with its public signals from both files.
///
/// # Errors
/// Returns an error if one of them is not JSON.
pub fn merge(proof: &[u8], public: &[u8]) -> Result<Vec<u8>, String> {
    let raw = |text, what: &'static str| {
        serde_json::from_slice::<&RawValue>(text).map_err(move |error| malformed(what, &error))
    };
    let (proof, public) = (raw(proof, "a proof")?, raw(public, "public signals")?);
    Ok(format!("{{\"proof\": {proof}, \"publicSignals\": {public}}}").into_bytes())
}

/// Returns the arguments with which the Solidity verifier of snarkjs is called, as snarkjs prints them. The proof is a
/// [`ProofFile`].
///
/// # Errors
/// Returns an error if the bytes are not a proof.
pub fn calldata(file: &[u8]) -> Result<String, String> {
    let ProofFile { publics, proof: Proof { a, b, c } } =
        ProofFile::decode(file).map_err(|error| error.to_string())?;
    let hex = |number: [u64; 4]| {
        let [low, second, third, high] = number;
        format!("\"0x{high:016x}{third:016x}{second:016x}{low:016x}\"")
    };
    let first = |point: G1| {
        let [x, y] = point.numbers();
        format!("[{}, {}]", hex(x), hex(y))
    };
    // Contracts have the imaginary part first.
    let [[x_re, x_im], [y_re, y_im]] = b.numbers();
    let b = format!("[[{}, {}],[{}, {}]]", hex(x_im), hex(x_re), hex(y_im), hex(y_re));
    let publics: Vec<String> = publics.into_iter().map(hex).collect();
    Ok(format!("{},{b},{},[{}]", first(a), first(c), publics.join(",")))
}

fn check_protocol(text: &[u8], what: &str) -> Result<(), String> {
    let Protocol { protocol, curve } = object::read(text).map_err(|error| malformed(what, &error))?;
    if protocol != PROTOCOL {
        let known = ["plonk", "fflonk"].into_iter().find(|known| *known == protocol);
        return Err(format!(
            "it is for {}, and only {PROTOCOL} is supported",
            known.unwrap_or("another protocol")
        ));
    }
    match curve {
        Some(curve) if curve != CURVE => {
            Err(format!("the curve is {curve:?}, and only {CURVE:?} is supported"))
        }
        _ => Ok(()),
    }
}

fn malformed(what: &str, error: &serde_json::Error) -> String {
    match error.classify() {
        // Neither keys nor proofs are secret, so serde's message, which names the missing field, may be shown. It may
        // quote a text of any length.
        Category::Data => {
            let message: String = error.to_string().chars().take(MESSAGE_CHARS_MAX).collect();
            format!("not {what}: {message}")
        }
        _ => format!("not {what}: invalid JSON at line {} column {}", error.line(), error.column()),
    }
}

fn digits(number: &[u8; 32]) -> Value {
    number::to_decimal(number).into()
}

fn first(point: &G1) -> Value {
    if point.is_identity() {
        return json!(["0", "1", "0"]);
    }
    let [x, y] = point.numbers().map(|number| digits(&bytes(number)));
    json!([x, y, "1"])
}

fn second(point: &G2) -> Value {
    if point.is_identity() {
        return json!([["0", "0"], ["1", "0"], ["0", "0"]]);
    }
    let [x, y] = point.numbers().map(|parts| parts.map(|number| digits(&bytes(number))));
    json!([x, y, ["1", "0"]])
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        // The prime of the coordinates is larger than that of the signals, which are compared with theirs later.
        let number = number::parse(&text, Prime::Grumpkin)
            // A number that is not below the prime, or is written in another way, converts back to another text.
            .filter(|number| number::to_decimal(number) == *text);
        number.map(Self).ok_or_else(|| de::Error::custom("a number is not decimal digits, or too large"))
    }
}

const ZERO: [u8; 32] = [0; 32];

fn is(number: &Number, expected: u8) -> bool {
    number.0[0] == expected && number.0[1..] == ZERO[1..]
}

impl First {
    fn point(&self) -> Result<G1, NotInGroup> {
        let Self([x, y, z]) = self;
        let bytes = match () {
            () if is(z, 0) => [ZERO; 2],
            () if is(z, 1) => [x.0, y.0],
            () => return Err(NotInGroup::Coordinate),
        };
        G1::from_numbers(bytes.as_flattened())
    }
}

impl Second {
    fn point(&self) -> Result<G2, NotInGroup> {
        let Self([[x_re, x_im], [y_re, y_im], [z_re, z_im]]) = self;
        let bytes = match () {
            () if is(z_re, 0) && is(z_im, 0) => [ZERO; 4],
            () if is(z_re, 1) && is(z_im, 0) => [x_re.0, x_im.0, y_re.0, y_im.0],
            () => return Err(NotInGroup::Coordinate),
        };
        G2::from_numbers(bytes.as_flattened())
    }
}

/// Reads a list one by one, at most `max` items of it, so that JSON never takes more memory than its numbers.
struct List<T> {
    max: usize,
    what: &'static str,
    item: std::marker::PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for List<T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {}", self.what)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == self.max {
                return Err(de::Error::custom(format_args!("it has more than {} {}", self.max, self.what)));
            }
            items.push(item);
        }
        Ok(items)
    }
}
