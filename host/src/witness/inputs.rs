//! Inputs of a circuit as snarkjs takes them: `{"x": "7", "siblings": [1, "0x2", ["3"]]}`, also inside
//! `{"inputs": {...}}`.
//!
//! Numbers, decimal and hexadecimal strings, also negative ones, are reduced modulo the prime. Arrays are read in
//! order, whatever their nesting. Values are secrets: a message quotes at most the one that is refused, to its sender.
//!
//! Invariant: the size of the values is bounded by the text from which they are read, and values are overwritten when
//! they are dropped.

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use snapback_circom::{Prime, number};
use std::{cell::Cell, collections::BTreeMap, fmt};
use zeroize::Zeroizing;

/// The key under which clients may put the inputs.
const ENVELOPE: &str = "inputs";
/// JSON numbers with a fraction or an exponent are read as 64-bit floats. Below 2^53 each stands for one integer.
const EXACT_BELOW: f64 = (1u64 << 53) as f64;
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
/// Returns what is wrong; of the values, it names at most the one that is refused.
pub fn read(json: &[u8], prime: Prime, values_max: usize) -> Result<Inputs, String> {
    if json.trim_ascii().is_empty() {
        return Err("the body is empty: send the circuit's input.json".into());
    }
    let room = Room { prime, values_max, values: Cell::new(values_max.saturating_add(SURPLUS_MAX)) };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let read = deserializer.deserialize_map(Signals { room: &room, form: Form::Document });
    let read = read.and_then(|inputs| deserializer.end().map(|()| inputs));
    read.map_err(|error| describe(&error))
}

/// Describes an error by place and kind, since serde's own text may quote a value.
fn describe(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Data => {
            let text = error.to_string();
            // Messages of this file begin with the signal, and say how much of a value they quote.
            if text.starts_with("signal ") {
                return text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).into();
            }
            format!(
                "expected circom's input.json, or {{\"inputs\": ...}} with it inside; see line {line} column {column}"
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

/// Where signals may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The whole document: signals, or nothing but an object of signals under [`ENVELOPE`].
    Document,
    /// Inside the envelope.
    Inside,
}

/// Values by the name of their signal.
struct Signals<'a> {
    room: &'a Room,
    form: Form,
}

impl<'de> Visitor<'de> for Signals<'_> {
    type Value = Inputs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("signals by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Inputs, A::Error> {
        let Self { room, form } = self;
        let mut inputs = Inputs::new();
        while let Some(name) = map.next_key::<String>()? {
            if inputs.len() >= room.values_max.saturating_add(SURPLUS_MAX) {
                return Err(A::Error::custom("signal names: there are too many"));
            }
            let mut values = Zeroizing::new(Vec::new());
            // A circuit may have a signal of this name, but the value of a signal is no object.
            let may_wrap = form == Form::Document && inputs.is_empty() && name == ENVELOPE;
            let mut wrapped = None;
            let object = may_wrap.then_some(&mut wrapped);
            map.next_value_seed(Values { into: &mut values, signal: &name, room, depth: 0, object })?;
            if let Some(inputs) = wrapped {
                return match map.next_key::<IgnoredAny>()? {
                    None => Ok(inputs),
                    Some(_) => Err(A::Error::custom("only inputs are expected")),
                };
            }
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
struct Values<'a, 'b> {
    into: &'a mut Zeroizing<Vec<[u8; 32]>>,
    signal: &'a str,
    room: &'a Room,
    depth: usize,
    /// Where signals go that stand in place of the value, if they may.
    object: Option<&'b mut Option<Inputs>>,
}

impl Values<'_, '_> {
    fn take<E: Error>(self, value: [u8; 32]) -> Result<(), E> {
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

    /// Refuses a value. Only the client who sent the value reads the message.
    fn refuse<E: Error>(&self, reason: fmt::Arguments<'_>) -> E {
        let signal = printable(self.signal);
        match self.depth {
            0 => E::custom(format_args!("signal `{signal}`: {reason}")),
            _ => E::custom(format_args!("signal `{signal}`, value {}: {reason}", self.into.len())),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Values<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer, a string, or an array of such")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.visit_u64(u64::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        let value = number::from_u64(value, self.room.prime);
        self.take(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        let value = number::from_i64(value, self.room.prime);
        self.take(value)
    }

    /// Takes `2.0` and `1e3`, as long as a number of this form is exact.
    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if value.fract() != 0.0 {
            Err(self.refuse(format_args!("{value:?} is no integer")))
        } else if value.abs() < EXACT_BELOW {
            self.visit_i64(value as i64)
        } else {
            Err(self.refuse(format_args!(
                "{value:?} may have been rounded: send a number of this size as a string"
            )))
        }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Err(self.refuse(format_args!("null is no integer")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match number::parse(text, self.room.prime) {
            Some(value) => self.take(value),
            None => Err(self.refuse(format_args!("\"{}\" is no integer", printable(text)))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.object {
            Some(object) => {
                *object = Some(Signals { room: self.room, form: Form::Inside }.visit_map(map)?);
                Ok(())
            }
            None => Err(self.refuse(format_args!("an object is no integer"))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.depth == DEPTH_MAX {
            let signal = printable(self.signal);
            return Err(A::Error::custom(format_args!(
                "signal `{signal}` has arrays in more than {DEPTH_MAX} levels"
            )));
        }
        let Self { into, signal, room, depth, .. } = self;
        loop {
            let below = Values { into: &mut *into, signal, room, depth: depth + 1, object: None };
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
        assert_eq!(
            values("[0.0, 1e3, -0.0, 12.5e1, 9007199254740991.0]"),
            Ok(reprs(&[0, 1000, 0, 125, (1 << 53) - 1]))
        );
        assert_eq!(values(r#"["1", [2, ["0x10", true]], []]"#), Ok(reprs(&[1, 2, 16, 1])));
        assert_eq!(values(r#"["-1", -1]"#), Ok(vec![(-Fp::ONE).to_repr(); 2]));
        // The modulus itself is zero.
        let modulus = "0x40000000000000000000000000000000224698fc094cf91b992d30ed00000001";
        assert_eq!(values(&format!("{modulus:?}")), Ok(reprs(&[0])));
    }

    #[test]
    fn a_value_that_is_not_an_integer_is_named_with_its_place() {
        for (bad, message) in [
            ("1.5", "signal `x`: 1.5 is no integer"),
            ("[1, [2, 1e-3]]", "signal `x`, value 2: 0.001 is no integer"),
            ("[\"12a\"]", "signal `x`, value 0: \"12a\" is no integer"),
            (r#""""#, "signal `x`: \"\" is no integer"),
            ("[7, null]", "signal `x`, value 1: null is no integer"),
            ("{}", "signal `x`: an object is no integer"),
            (r#""0x""#, "signal `x`: \"0x\" is no integer"),
            (r#""--1""#, "signal `x`: \"--1\" is no integer"),
            ("1e30", "signal `x`: 1e30 may have been rounded: send a number of this size as a string"),
        ] {
            assert_eq!(values(bad).expect_err(bad), message);
        }
        for rounded in ["18446744073709551616", "9007199254740992.0", "9007199254740993.0", "-1e16"] {
            assert!(values(rounded).expect_err(rounded).contains("rounded"));
        }
        assert!(values(&format!("\"{}\"", "x".repeat(5000))).expect_err("letters").len() < 200);
        assert!(
            values(&format!("{}0{}", "[".repeat(40), "]".repeat(40))).expect_err("deep").contains("levels")
        );
        let twice = read(br#"{"x": 1, "x": 2}"#, Prime::Vesta, 8).expect_err("twice");
        assert!(twice.contains("comes twice"), "{twice}");
    }

    #[test]
    fn inputs_come_as_circom_writes_them_or_in_an_envelope() {
        let read = |json: &str| read(json.as_bytes(), Prime::Pallas, 8);
        let plain = read(r#"{"x": 1, "inputs": [2]}"#).expect("inputs");
        assert_eq!((plain["x"].to_vec(), plain["inputs"].to_vec()), (reprs(&[1]), reprs(&[2])));
        assert_eq!(read(r#"{"inputs": {"x": 1, "inputs": [2]}}"#), Ok(plain));
        assert_eq!(
            read(r#"{"inputs": [2]}"#).expect("a signal of this name")["inputs"].to_vec(),
            reprs(&[2])
        );
        assert_eq!(read("{}"), Ok(Inputs::new()));
        for bad in
            ["", "[]", "7", r#"{"inputs": {}, "x": 1}"#, r#"{"x": 1, "inputs": {}}"#, r#"{"x": {"x": 1}}"#]
        {
            read(bad).expect_err(bad);
        }
        let inside = read(r#"{"inputs": {"inputs": {"x": 1}}}"#).expect_err("twice inside");
        assert_eq!(inside, "signal `inputs`: an object is no integer");
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
