//! Circom's `.r1cs`, version 1: constraints `A * B = C` over wires, where wire 0 is the constant one.
//!
//! ```text
//! section 1: field bytes: u32 | prime | wires, public outputs, public inputs, private inputs: u32
//!            | labels: u64 | constraints: u32
//! section 2: each constraint three times: terms: u32 | repeated: wire: u32 | coefficient
//! section 3: each wire's label: u64        sections 4 and 5: custom gates, which are refused
//! ```
//! Source: iden3, "R1CS binary format specification".
//!
//! The order of the wires is: one, public outputs, public inputs, those private inputs that are left, all others.

use crate::{
    Element, Error, FIELD_BYTES, Prime,
    sections::{Reader, Sections},
};

const FORMAT: &str = "an .r1cs file";
const MAGIC: [u8; 4] = *b"r1cs";
const VERSION: u32 = 1;
const HEADER: u32 = 1;
const CONSTRAINTS: u32 = 2;
const LABELS: u32 = 3;
const CUSTOM_GATES: u32 = 4;
const CUSTOM_GATES_USED: u32 = 5;

/// Number of a wire.
pub type Wire = u32;

/// The constant one.
pub const ONE: Wire = 0;

/// Header of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Prime of the field.
    pub prime: Prime,
    /// Number of wires, the constant one included.
    pub wires: u32,
    /// Number of public outputs.
    pub public_outputs: u32,
    /// Number of public inputs.
    pub public_inputs: u32,
    /// Number of private inputs in the source. The compiler may have removed some of them from the wires.
    pub private_inputs: u32,
    /// Number of labels in the source. There are fewer wires than labels if the compiler removed signals.
    pub labels: u64,
    /// Number of constraints.
    pub constraints: u32,
}

impl Header {
    /// Returns the number of public signals, which are the wires from 1 to this number.
    #[must_use]
    pub fn publics(&self) -> u32 {
        self.public_outputs + self.public_inputs
    }

    /// Returns the number of input values that the circuit takes, public and private. It is a claim of the file.
    #[must_use]
    pub fn inputs(&self) -> u64 {
        u64::from(self.public_inputs) + u64::from(self.private_inputs)
    }

    /// Reads the header alone. Its prime decides how the rest is read.
    ///
    /// # Errors
    /// Returns an error if the file does not follow the format, has custom gates, or is over an unknown prime.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let sections = Sections::read(bytes, MAGIC, VERSION, FORMAT)?;
        Self::of(&sections)
    }

    fn of(sections: &Sections<'_>) -> Result<Self, Error> {
        refuse_custom_gates(sections)?;
        let mut reader = sections.get(HEADER)?;
        let field_bytes = reader.u32("field size")?;
        let prime = Prime::of(reader.bytes(u64::from(field_bytes), "prime")?)?;
        let header = Self {
            prime,
            wires: reader.u32("number of wires")?,
            public_outputs: reader.u32("number of public outputs")?,
            public_inputs: reader.u32("number of public inputs")?,
            private_inputs: reader.u32("number of private inputs")?,
            labels: reader.u64("number of labels")?,
            constraints: reader.u32("number of constraints")?,
        };
        reader.end()?;
        // Private inputs that no constraint needs have no wires, but count in the header.
        let publics = u64::from(header.public_outputs) + u64::from(header.public_inputs);
        if publics >= u64::from(header.wires) {
            return Err(reader.error("it has fewer wires than public signals"));
        }
        // The labels are not used, but their length limits the number of wires by the size of the file.
        if sections.get(LABELS)?.left() as u64 != 8 * u64::from(header.wires) {
            return Err(reader.error("section 3 does not have 8 bytes for each wire"));
        }
        Ok(header)
    }
}

fn refuse_custom_gates(sections: &Sections<'_>) -> Result<(), Error> {
    let used = [CUSTOM_GATES, CUSTOM_GATES_USED].into_iter().filter_map(|number| sections.find(number));
    if used.map(|section| section.left()).all(|bytes| bytes <= 4) {
        return Ok(());
    }
    let name = sections.find(CUSTOM_GATES).and_then(|mut list| {
        list.u32("number of gates").ok()?;
        let rest = list.bytes(list.left() as u64, "gates").ok()?;
        let name = rest.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned())
    });
    let name = name.map_or_else(String::new, |name| format!(" (`{name}`)"));
    Err(Error::Unsupported(format!("it uses custom gates{name}, which are not supported")))
}

/// A sum of wires times coefficients.
pub type Terms<F> = [(Wire, F)];

/// A circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct R1cs<F> {
    /// Header of the circuit.
    pub header: Header,
    terms: Vec<(Wire, F)>,
    /// End of each linear combination in `terms`. A constraint has three combinations.
    ends: Vec<u32>,
}

/// A constraint: the first combination times the second equals the third.
#[derive(Clone, Copy)]
pub struct Constraint<'a, F> {
    /// First factor.
    pub a: &'a Terms<F>,
    /// Second factor.
    pub b: &'a Terms<F>,
    /// Product.
    pub c: &'a Terms<F>,
}

impl<F: Element> R1cs<F> {
    /// Reads a circuit.
    ///
    /// # Errors
    /// Returns an error if the file does not follow the format, has custom gates, or is over another field.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let sections = Sections::read(bytes, MAGIC, VERSION, FORMAT)?;
        let header = Header::of(&sections)?;
        let mut reader = sections.get(CONSTRAINTS)?;
        if header.prime.modulus() != F::modulus() {
            return Err(Error::Unsupported(format!("it is over the prime {}", header.prime)));
        }
        let mut terms = Vec::new();
        let mut ends = Vec::new();
        for _ in 0..header.constraints {
            for _ in 0..3 {
                read_terms(&mut reader, header.wires, &mut terms)?;
                let end = u32::try_from(terms.len()).map_err(|_| reader.error("it has too many terms"))?;
                ends.push(end);
            }
        }
        reader.end()?;
        terms.shrink_to_fit();
        ends.shrink_to_fit();
        Ok(Self { header, terms, ends })
    }

    /// Returns the constraints, in the order of the file.
    pub fn constraints(&self) -> impl Iterator<Item = Constraint<'_, F>> {
        let mut from = 0;
        let mut combinations = self.ends.iter().map(move |end| {
            let terms = &self.terms[from as usize..*end as usize];
            from = *end;
            terms
        });
        std::iter::from_fn(move || {
            Some(Constraint { a: combinations.next()?, b: combinations.next()?, c: combinations.next()? })
        })
    }

    /// Returns the number of the first constraint that the witness does not satisfy, counted from 0.
    ///
    /// # Panics
    /// Panics if the witness has fewer values than the circuit has wires.
    #[must_use]
    pub fn unsatisfied(&self, witness: &[F]) -> Option<usize> {
        let value = |terms: &Terms<F>| {
            let products = terms.iter().map(|(wire, coefficient)| *coefficient * witness[*wire as usize]);
            products.fold(F::zero(), |sum, product| sum + product)
        };
        self.constraints().position(|Constraint { a, b, c }| value(a) * value(b) != value(c))
    }

    /// Encodes the circuit as a file in which all labels are zero, so that files that differ in labels give the same
    /// bytes.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let Header { prime, wires, public_outputs, public_inputs, private_inputs, labels, constraints } =
            self.header;
        let mut header = Vec::new();
        header.extend_from_slice(&(FIELD_BYTES as u32).to_le_bytes());
        header.extend_from_slice(&prime.modulus());
        for count in [wires, public_outputs, public_inputs, private_inputs] {
            header.extend_from_slice(&count.to_le_bytes());
        }
        header.extend_from_slice(&labels.to_le_bytes());
        header.extend_from_slice(&constraints.to_le_bytes());

        let mut body = Vec::with_capacity(self.terms.len() * (4 + FIELD_BYTES) + self.ends.len() * 4);
        for Constraint { a, b, c } in self.constraints() {
            for terms in [a, b, c] {
                body.extend_from_slice(&(terms.len() as u32).to_le_bytes());
                for (wire, coefficient) in terms {
                    body.extend_from_slice(&wire.to_le_bytes());
                    body.extend_from_slice(&coefficient.to_le());
                }
            }
        }
        let labels = vec![0; 8 * wires as usize];

        let mut file = Vec::with_capacity(header.len() + body.len() + labels.len() + 64);
        file.extend_from_slice(&MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&3u32.to_le_bytes());
        for (number, bytes) in [(HEADER, header), (CONSTRAINTS, body), (LABELS, labels)] {
            file.extend_from_slice(&number.to_le_bytes());
            file.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            file.extend_from_slice(&bytes);
        }
        file
    }

    /// Builds a circuit from its constraints, for tests and tools.
    ///
    /// # Panics
    /// Panics if a constraint has a wire beyond the header's, or there are more constraints than fit the format.
    #[must_use]
    pub fn from_constraints(mut header: Header, constraints: &[[Vec<(Wire, F)>; 3]]) -> Self {
        header.constraints = u32::try_from(constraints.len()).expect("fits the format");
        let (mut terms, mut ends) = (Vec::new(), Vec::new());
        for combination in constraints.iter().flatten() {
            assert!(
                combination.iter().all(|(wire, _)| *wire < header.wires),
                "it refers to a wire beyond the last"
            );
            terms.extend_from_slice(combination);
            ends.push(u32::try_from(terms.len()).expect("fits the format"));
        }
        Self { header, terms, ends }
    }
}

fn read_terms<F: Element>(
    reader: &mut Reader<'_>,
    wires: u32,
    terms: &mut Vec<(Wire, F)>,
) -> Result<(), Error> {
    let count = reader.u32("number of terms")?;
    for _ in 0..count {
        let wire = reader.u32("wire")?;
        if wire >= wires {
            return Err(reader.error(format!("it refers to wire {wire} of {wires}")));
        }
        terms.push((wire, reader.element("coefficient")?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pasta_curves::Fp;
    use proptest::prelude::*;

    /// Circuits of random constraints, without known witnesses.
    fn circuit() -> impl Strategy<Value = R1cs<Fp>> {
        const WIRES: u32 = 20;
        let terms = || prop::collection::vec((0..WIRES, any::<u64>().prop_map(Fp::from)), 0..6);
        prop::collection::vec([terms(), terms(), terms()], 0..8).prop_map(|constraints| {
            let header = Header {
                prime: Prime::Pallas,
                wires: WIRES,
                public_outputs: 1,
                public_inputs: 2,
                private_inputs: 3,
                labels: u64::from(WIRES),
                constraints: 0,
            };
            R1cs::from_constraints(header, &constraints)
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(circuit in circuit()) {
            let file = circuit.write();
            prop_assert!(R1cs::<Fp>::read(&file).expect("a valid file") == circuit);
        }

        #[test]
        fn a_file_cut_anywhere_is_an_error(circuit in circuit(), cut: prop::sample::Index) {
            let file = circuit.write();
            prop_assert!(R1cs::<Fp>::read(&file[..cut.index(file.len())]).is_err());
        }

        #[test]
        fn a_file_with_any_byte_changed_is_read_or_refused(
            circuit in circuit(), at: prop::sample::Index, byte: u8,
        ) {
            let mut file = circuit.write();
            let at = at.index(file.len());
            file[at] = byte;
            if let Ok(read) = R1cs::<Fp>::read(&file) {
                prop_assert!(R1cs::<Fp>::read(&read.write()).is_ok());
            }
        }
    }

    #[test]
    fn private_inputs_without_wires_are_none_of_the_wires() {
        let header = |public_inputs| Header {
            prime: Prime::Pallas,
            wires: 4,
            public_outputs: 1,
            public_inputs,
            private_inputs: u32::MAX,
            labels: 20,
            constraints: 0,
        };
        let file = |header| R1cs::<Fp>::from_constraints(header, &[]).write();
        assert_eq!(Header::read(&file(header(2))), Ok(header(2)));
        let error = Header::read(&file(header(3))).expect_err("refused").to_string();
        assert!(error.contains("fewer wires than public signals"), "{error}");
    }

    #[test]
    fn custom_gates_are_refused_by_name() {
        let mut file = Vec::new();
        file.extend_from_slice(&MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&1u32.to_le_bytes());
        let gates = [&1u32.to_le_bytes()[..], b"Cubed\0", &0u32.to_le_bytes()].concat();
        file.extend_from_slice(&CUSTOM_GATES.to_le_bytes());
        file.extend_from_slice(&(gates.len() as u64).to_le_bytes());
        file.extend_from_slice(&gates);
        let error = Header::read(&file).expect_err("refused");
        assert!(matches!(&error, Error::Unsupported(message) if message.contains("`Cubed`")), "{error}");
    }
}
