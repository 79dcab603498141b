//! Inputs of a circuit as snarkjs takes them: `{"inputs": {"x": "7", "siblings": [1, "0x2", ["3"]]}}`.
//!
//! Numbers, decimal and hexadecimal strings, also negative ones, are reduced modulo the prime. Arrays are read in
//! order, whatever their nesting. Values are secrets, so messages name signals only.
//!
//! Invariant: the size of the values is bounded by the text from which they are read, and values are overwritten when
//! they are dropped.

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use snapback_circom::{Prime, number};
use std::{cell::Cell, collections::BTreeMap, fmt};
use zeroize::Zeroizing;

/// Deepest nesting of arrays.
const DEPTH_MAX: usize = 32;
/// Values and signals beyond those of the circuit that are still read, so that an error can name the surplus signal.
const SURPLUS_MAX: usize = 1024;

/// The values of input signals, each little-endian and below the prime.
pub type Inputs = BTreeMap<String, Zeroizing<Vec<[u8; 32]>>>;

/// Whether a body is JSON. No witness, proof or statement in binary begins like it.
#[must_use]
pub fn is_json(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{')
}

/// Reads the inputs of a circuit over `prime` with `values_max` input values. Far more values than that are not kept.
///
/// # Errors
/// Returns what is wrong, without any value.
pub fn read(json: &[u8], prime: Prime, values_max: usize) -> Result<Inputs, String> {
    if json.trim_ascii().is_empty() {
        return Err(r#"the body is empty: send {"inputs": {...}}"#.into());
    }
    let room = Room { prime, values_max, values: Cell::new(values_max.saturating_add(SURPLUS_MAX)) };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let read = Envelope(&room).deserialize(&mut deserializer);
    let read = read.and_then(|inputs| deserializer.end().map(|()| inputs));
    read.map_err(|error| describe(&error))
}

/// Describes an error by place and kind, since serde's own text may quote a value.
fn describe(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Data => {
            let text = error.to_string();
            // Messages of this file begin with the signal, and quote no value.
            if text.starts_with("signal ") {
                return text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).into();
            }
            format!(
                r#"expected {{"inputs": {{...}}}}, with circom's input.json inside; see line {line} column {column}"#
            )
        }
        _ => format!("not JSON at line {line} column {column}"),
    }
}

/// The field, and how many values are still read.
struct Room {
    prime: Prime,
    values_max: usize,
    values: Cell<usize>,
}

/// `{"inputs": {...}}` and nothing else.
struct Envelope<'a>(&'a Room);

impl<'de> DeserializeSeed<'de> for Envelope<'_> {
    type Value = Inputs;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Inputs, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Envelope<'_> {
    type Value = Inputs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("inputs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Inputs, A::Error> {
        let Some("inputs") = map.next_key::<String>()?.as_deref() else {
            return Err(A::Error::missing_field("inputs"));
        };
        let inputs = map.next_value_seed(Signals(self.0))?;
        match map.next_key::<String>()? {
            None => Ok(inputs),
            Some(_) => Err(A::Error::custom("only inputs are expected")),
        }
    }
}

/// Values by the name of their signal.
struct Signals<'a>(&'a Room);

impl<'de> DeserializeSeed<'de> for Signals<'_> {
    type Value = Inputs;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Inputs, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Signals<'_> {
    type Value = Inputs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("signals by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Inputs, A::Error> {
        let Self(room) = self;
        let mut inputs = Inputs::new();
        while let Some(name) = map.next_key::<String>()? {
            if inputs.len() >= room.values_max.saturating_add(SURPLUS_MAX) {
                return Err(A::Error::custom("signal names: there are too many"));
            }
            let mut values = Zeroizing::new(Vec::new());
            let seed = Values { into: &mut values, signal: &name, room, depth: 0 };
            map.next_value_seed(seed)?;
            if inputs.insert(name.clone(), values).is_some() {
                return Err(A::Error::custom(format_args!("signal `{}` comes twice", printable(&name))));
            }
        }
        Ok(inputs)
    }
}

/// A name as a message may hold it: short, and without control characters.
pub(super) fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// A number, or an array of such.
struct Values<'a> {
    into: &'a mut Zeroizing<Vec<[u8; 32]>>,
    signal: &'a str,
    room: &'a Room,
    depth: usize,
}

impl Values<'_> {
    fn take<E: Error>(self, value: Option<[u8; 32]>) -> Result<(), E> {
        let value = value.ok_or_else(|| self.bad::<E>())?;
        let Room { values_max, values, .. } = self.room;
        let left = values.get().checked_sub(1).ok_or_else(|| {
            let signal = printable(self.signal);
            E::custom(format_args!(
                "signal `{signal}` has more values than all of the circuit's {values_max}"
            ))
        })?;
        values.set(left);
        if self.into.len() == self.into.capacity() {
            // A vector that grows by itself would leave a copy of its secrets behind.
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * self.into.len() + 1));
            larger.extend_from_slice(self.into);
            *self.into = larger;
        }
        self.into.push(value);
        Ok(())
    }

    fn bad<E: Error>(&self) -> E {
        let signal = printable(self.signal);
        E::custom(format_args!(
            "signal `{signal}` has a value that is no integer, or a number beyond 2^64: send that as a string"
        ))
    }
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer, a string, or an array of such")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.visit_u64(u64::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        let value = number::from_u64(value, self.room.prime);
        self.take(Some(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        let value = number::from_i64(value, self.room.prime);
        self.take(Some(value))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.take(None)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.take(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let value = number::parse(text, self.room.prime);
        self.take(value)
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.bad())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.depth == DEPTH_MAX {
            let signal = printable(self.signal);
            return Err(A::Error::custom(format_args!(
                "signal `{signal}` has arrays in more than {DEPTH_MAX} levels"
            )));
        }
        let Self { into, signal, room, depth } = self;
        loop {
            let below = Values { into: &mut *into, signal, room, depth: depth + 1 };
            if seq.next_element_seed(below)?.is_none() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ff::{Field, PrimeField};
    use halo2_proofs::pasta::Fp;
    use proptest::prelude::*;

    fn values(json: &str) -> Result<Vec<[u8; 32]>, String> {
        let json = format!(r#"{{"inputs": {{"x": {json}}}}}"#);
        read(json.as_bytes(), Prime::Pallas, 8).map(|inputs| inputs["x"].to_vec())
    }

    fn reprs(numbers: &[u64]) -> Vec<[u8; 32]> {
        numbers.iter().map(|number| Fp::from(*number).to_repr()).collect()
    }

    #[test]
    fn numbers_strings_and_nested_arrays_are_taken_in_order() {
        assert_eq!(values("7"), Ok(reprs(&[7])));
        assert_eq!(values(r#"["1", [2, ["0x10", true]], []]"#), Ok(reprs(&[1, 2, 16, 1])));
        assert_eq!(values(r#"["-1", -1]"#), Ok(vec![(-Fp::ONE).to_repr(); 2]));
        // The modulus itself is zero.
        let modulus = "0x40000000000000000000000000000000224698fc094cf91b992d30ed00000001";
        assert_eq!(values(&format!("{modulus:?}")), Ok(reprs(&[0])));
    }

    #[test]
    fn a_value_that_is_not_an_integer_is_refused_and_not_repeated() {
        for bad in
            ["1.5", "1e30", "18446744073709551616", r#""12a""#, r#""""#, "null", "{}", r#""0x""#, r#""--1""#]
        {
            let error = values(bad).expect_err(bad);
            assert!(error.contains("signal `x`") && !error.contains("12a"), "{error}");
        }
        assert!(
            values(&format!("{}{}", "[".repeat(40), "]".repeat(40))).expect_err("deep").contains("levels")
        );
        let twice = read(br#"{"inputs": {"x": 1, "x": 2}}"#, Prime::Vesta, 8).expect_err("twice");
        assert!(twice.contains("comes twice"), "{twice}");
        for none in ["", "[]", "{}", r#"{"x": 1}"#, r#"{"inputs": "SECRET"}"#, r#"{"inputs": {}, "more": 1}"#]
        {
            let error = read(none.as_bytes(), Prime::Pallas, 8).expect_err(none);
            assert!(!error.contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn more_values_than_the_circuit_has_are_not_kept() {
        let many = format!("[{}0]", "0,".repeat(2000));
        assert!(values(&many).expect_err("many").contains("more values"));
        let names: String = (0..2000).map(|name| format!("\"{name}\": [],")).collect();
        let json = format!("{{\"inputs\": {{{names} \"x\": []}}}}");
        assert!(read(json.as_bytes(), Prime::Pallas, 8).expect_err("many").contains("too many"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = read(text.as_bytes(), Prime::Pallas, 8);
            let _ = values(&text);
        }

        #[test]
        fn every_number_is_read_as_it_was_written(number: u64) {
            let wanted = Ok(reprs(&[number]));
            prop_assert_eq!(values(&number.to_string()), wanted.clone());
            prop_assert_eq!(values(&format!("\"{number}\"")), wanted.clone());
            prop_assert_eq!(values(&format!("\"{number:#x}\"")), wanted);
        }
    }
}
