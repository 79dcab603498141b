//! Circom's `.sym`: the names that wires have in the source, one line for each signal.
//!
//! ```text
//! label,wire,component,name        wire -1: the signal was optimised away
//! ```

use crate::{
    Error,
    r1cs::{Header, Wire},
};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

const FORMAT: &str = "a .sym file";
/// Longest name that is accepted, in bytes.
const NAME_BYTES_MAX: usize = 512;
/// The component whose inputs are those of the circuit.
const MAIN: &str = "main.";

/// One line of the file.
struct Line<'a> {
    label: u64,
    /// `None` if the signal was optimised away.
    wire: Option<Wire>,
    name: &'a str,
}

/// Reads the lines of a circuit with `wires` wires.
fn lines(bytes: &[u8], wires: u32) -> Result<impl Iterator<Item = Result<Line<'_>, Error>>, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed(0, "the file is not UTF-8"))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    Ok(lines.map(move |(number, line)| {
        let mut fields = line.splitn(4, ',');
        let (Some(label), Some(wire), Some(_), Some(name)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(malformed(number, "expected label,wire,component,name"));
        };
        let label = label.parse().map_err(|_| malformed(number, "its label is not a number"))?;
        let wire: i64 = wire.parse().map_err(|_| malformed(number, "its wire is not a number"))?;
        let wire = match wire {
            -1 => None,
            wire => {
                let wire = Wire::try_from(wire).ok().filter(|wire| *wire < wires);
                Some(wire.ok_or_else(|| malformed(number, "the circuit has no such wire"))?)
            }
        };
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
            return Err(malformed(number, "its name is empty, too long or not readable"));
        }
        Ok(Line { label, wire, name })
    }))
}

fn malformed(line: usize, reason: &str) -> Error {
    Error::Malformed { format: FORMAT, reason: format!("line {}: {reason}", line + 1) }
}

/// Reads the names of a circuit's inputs, without indices. Inputs that were optimised away are among them, since they
/// have to be sent all the same.
///
/// # Errors
/// Returns an error if a line does not follow the format, or names a wire that the circuit lacks.
pub fn input_names(bytes: &[u8], header: &Header) -> Result<BTreeSet<String>, Error> {
    // The compiler gives the first labels to the signals of the main component: outputs, inputs, all others.
    let outputs = u64::from(header.public_outputs);
    let inputs = outputs + 1..=outputs + header.inputs();
    let mut names = BTreeSet::new();
    for line in lines(bytes, header.wires)? {
        let Line { label, name, .. } = line?;
        if let Some(name) = name.strip_prefix(MAIN).filter(|_| inputs.contains(&label)) {
            names.insert(name.split_once('[').map_or(name, |(signal, _)| signal).to_owned());
        }
    }
    Ok(names)
}

/// Reads the names of a circuit's public signals with their indices, in the order of their wires: outputs, then public
/// inputs. Returns no names if one has none, or two have the same.
///
/// # Errors
/// Returns an error if a line does not follow the format, or names a wire that the circuit lacks.
pub fn public_names(bytes: &[u8], header: &Header) -> Result<Vec<String>, Error> {
    let mut names: BTreeMap<Wire, String> = BTreeMap::new();
    for line in lines(bytes, header.wires)? {
        let Line { wire, name, .. } = line?;
        // A wire may have further names: those of signals of other components that equal it.
        if let Some(wire) = wire.filter(|wire| (1..=header.publics()).contains(wire))
            && let Some(name) = name.strip_prefix(MAIN)
        {
            names.entry(wire).or_insert_with(|| name.to_owned());
        }
    }
    let different: BTreeSet<&String> = names.values().collect();
    let is_complete = different.len() as u64 == u64::from(header.publics());
    Ok(if is_complete { names.into_values().collect() } else { Vec::new() })
}

/// The names of the wires of a circuit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    text: String,
    /// Offset and length of the name of each wire in `text`.
    places: BTreeMap<Wire, (u32, u32)>,
}

impl Names {
    /// Reads the names of a circuit with `wires` wires. If a wire has several names, the first one counts.
    ///
    /// # Errors
    /// Returns an error if a line does not follow the format, or names a wire that the circuit lacks.
    pub fn read(bytes: &[u8], wires: u32) -> Result<Self, Error> {
        let mut names = Self::default();
        for (number, line) in lines(bytes, wires)?.enumerate() {
            let Line { wire: Some(wire), name, .. } = line? else { continue };
            let place = |at: usize| u32::try_from(at).map_err(|_| malformed(number, "too many names"));
            let (begin, len) = (place(names.text.len())?, place(name.len())?);
            if let Entry::Vacant(entry) = names.places.entry(wire) {
                entry.insert((begin, len));
                names.text.push_str(name);
            }
        }
        names.text.shrink_to_fit();
        Ok(names)
    }

    /// Returns the name of a wire, if it has one.
    #[must_use]
    pub fn of(&self, wire: Wire) -> Option<&str> {
        let (begin, len) = self.places.get(&wire)?;
        self.text.get(*begin as usize..(*begin + *len) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wires_have_the_first_of_their_names() {
        let names = Names::read(b"1,1,0,main.out\n2,-1,0,main.gone\n3,1,0,main.other\n4,2,0,main.x[3]\n", 3)
            .expect("readable");
        assert_eq!((names.of(1), names.of(2), names.of(0)), (Some("main.out"), Some("main.x[3]"), None));
    }

    #[test]
    fn public_signals_have_names_in_the_order_of_their_wires() {
        let header = Header {
            prime: crate::Prime::Pallas,
            wires: 5,
            public_outputs: 2,
            public_inputs: 1,
            private_inputs: 1,
            labels: 6,
            constraints: 1,
        };
        let sym = b"1,1,1,main.out[0]\n2,2,1,main.out[1]\n3,3,1,main.k\n4,4,1,main.x\n5,1,0,main.inner.y\n";
        assert_eq!(public_names(sym, &header).expect("readable"), ["out[0]", "out[1]", "k"]);
        let some = b"1,1,1,main.out[0]\n2,2,1,main.out[1]\n";
        assert!(public_names(some, &header).expect("readable").is_empty(), "one has no name");
        let same = b"1,1,1,main.out\n2,2,1,main.out\n3,3,1,main.k\n";
        assert!(public_names(same, &header).expect("readable").is_empty(), "two have the same");
    }

    #[test]
    fn inputs_that_were_optimised_away_have_names_too() {
        let header = Header {
            prime: crate::Prime::Pallas,
            wires: 4,
            public_outputs: 1,
            public_inputs: 1,
            private_inputs: 3,
            labels: 8,
            constraints: 1,
        };
        let sym = b"1,1,1,main.out\n2,2,1,main.p\n3,-1,1,main.gone[0]\n4,-1,1,main.gone[1]\n5,3,1,main.x\n\
                    6,-1,1,main.inner\n7,-1,0,main.k.y\n";
        let names = input_names(sym, &header).expect("readable");
        assert!(names.iter().eq(["gone", "p", "x"]), "{names:?}");
    }

    #[test]
    fn malformed_lines_are_named_by_number() {
        for (text, wanted) in [
            ("1,1,0,a\n1,9,0,b", "line 2: the circuit has no such wire"),
            ("1,x,0,a", "line 1: its wire is not a number"),
            ("x,1,0,a", "line 1: its label is not a number"),
            ("1,1", "line 1: expected"),
            ("1,1,0,", "line 1: its name is empty"),
            ("1,-2,0,a", "line 1: the circuit has no such wire"),
        ] {
            let error = Names::read(text.as_bytes(), 3).expect_err(text).to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
