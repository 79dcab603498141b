//! Reads a `.zkey` piece by piece, and keeps what proving needs.
//!
//! ```text
//! "zkey" | version: u32 | sections: u32 | repeated: number: u32 | length: u64 | bytes
//! ```
//! A section is a list of records of one size: points, or coefficients. A record is used as soon as its last byte is there,
//! so at most one is held, besides the header. Sections can come in any order, and counts are compared at the end.
//!
//! Source: snarkjs, `zkey_utils.js` and iden3's `binfileutils`.
//!
//! Invariant: memory is taken for records that the rest of the file has room for, and for no others.

use crate::{
    Error,
    coefficients::{Coefficient, Coefficients},
    combination,
    groups::{First, Group, Second},
    header::{FORMAT, HEADER_BYTES, Header, MAGIC, VERSION, check_protocol},
    key::{ProvingKey, Query},
    point::{G1, NotInGroup, Point},
    section::{COEFFICIENT_BYTES, SKIPPED_BYTES, Section},
    verifying_key::VerifyingKey,
};
use snapback_circom::sections::SECTIONS_MAX;
use std::collections::BTreeSet;

const PREAMBLE_BYTES: usize = 12;
const SECTION_HEADER_BYTES: usize = 12;

/// What the next bytes are.
#[derive(Clone, Copy)]
enum State {
    Preamble,
    SectionHeader,
    /// The number of coefficients, with which their section begins.
    Count {
        left: u64,
    },
    Records {
        section: Section,
        /// Bytes of the section that were not read yet.
        left: u64,
    },
}

/// Reads a file.
pub struct KeyReader {
    state: State,
    /// Bytes of the file that were not taken yet.
    left: u64,
    sections_left: u32,
    seen: BTreeSet<Section>,
    /// The beginning of a record whose end is in the next piece.
    record: Vec<u8>,
    header: Option<Header>,
    ic: Vec<G1>,
    coefficients: Coefficients,
    a: Query<First>,
    b1: Query<First>,
    /// Points of the curve, which are found in the subgroup when all are there.
    b2: Query<Second>,
    c: Query<First>,
    h: Vec<G1>,
}

impl KeyReader {
    /// Begins to read a file of this many bytes.
    #[must_use]
    pub fn new(file_bytes: u64) -> Self {
        Self {
            state: State::Preamble,
            left: file_bytes,
            sections_left: 0,
            seen: BTreeSet::new(),
            record: Vec::with_capacity(SKIPPED_BYTES),
            header: None,
            ic: Vec::new(),
            coefficients: Coefficients::default(),
            a: Query::default(),
            b1: Query::default(),
            b2: Query::default(),
            c: Query::default(),
            h: Vec::new(),
        }
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// Returns an error if this is not the proving key of a circuit for Groth16 over BN254.
    pub fn read(file: &[u8]) -> Result<ProvingKey, Error> {
        let mut reader = Self::new(file.len() as u64);
        reader.feed(file)?;
        reader.finish()
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// Returns an error if they do not follow the format, or hold a point that is not in its group.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        loop {
            let wanted = self.wanted();
            if self.record.is_empty() && bytes.len() >= wanted && wanted > 0 {
                let (record, rest) = bytes.split_at(wanted);
                bytes = rest;
                self.take(record)?;
                continue;
            }
            let (head, rest) = bytes.split_at(bytes.len().min(wanted - self.record.len()));
            self.record.extend_from_slice(head);
            bytes = rest;
            if self.record.len() < wanted || wanted == 0 {
                break;
            }
            let record = std::mem::take(&mut self.record);
            self.take(&record)?;
            self.record = record;
            self.record.clear();
        }
        if bytes.is_empty() {
            return Ok(());
        }
        Err(Error::malformed(FORMAT, format!("{} bytes follow its last section", self.left)))
    }

    /// Returns the length of the next record; zero after the last one.
    fn wanted(&self) -> usize {
        match self.state {
            State::Preamble => PREAMBLE_BYTES,
            State::SectionHeader if self.sections_left == 0 => 0,
            State::SectionHeader => SECTION_HEADER_BYTES,
            State::Count { .. } => 4,
            State::Records { section: section @ Section::Other(_), left } => {
                section.record_bytes().min(usize::try_from(left).unwrap_or(usize::MAX))
            }
            State::Records { section, .. } => section.record_bytes(),
        }
    }

    fn take(&mut self, record: &[u8]) -> Result<(), Error> {
        self.left = self
            .left
            .checked_sub(record.len() as u64)
            .ok_or_else(|| Error::malformed(FORMAT, "it is longer than announced"))?;
        match self.state {
            State::Preamble => self.preamble(record),
            State::SectionHeader => self.begin(record),
            State::Count { left } => self.count(number(record, 0), left),
            State::Records { section, left } => {
                self.record(section, record)?;
                self.go_on(section, left - record.len() as u64);
                Ok(())
            }
        }
    }

    fn preamble(&mut self, record: &[u8]) -> Result<(), Error> {
        if !record.starts_with(&MAGIC) {
            return Err(Error::malformed(FORMAT, "it begins with other bytes"));
        }
        let (version, sections) = (number(record, 4), number(record, 8));
        if version != VERSION {
            return Err(Error::Unsupported(format!(
                "the .zkey has version {version} of the format, not {VERSION}"
            )));
        }
        if sections > SECTIONS_MAX {
            return Err(Error::malformed(
                FORMAT,
                format!("it has {sections} sections, more than {SECTIONS_MAX}"),
            ));
        }
        self.sections_left = sections;
        self.state = State::SectionHeader;
        Ok(())
    }

    /// Begins a section.
    fn begin(&mut self, record: &[u8]) -> Result<(), Error> {
        let section = Section::of(number(record, 0));
        let len = u64::from(number(record, 4)) | u64::from(number(record, 8)) << 32;
        let malformed = |reason: &str| Err(Error::malformed(FORMAT, format!("{} {reason}", section.name())));
        if len > self.left {
            return malformed("is longer than the rest of the file");
        }
        if !self.seen.insert(section) {
            return malformed("is there twice");
        }
        let record_bytes = section.record_bytes() as u64;
        match section {
            Section::Coefficients if len < 4 || (len - 4) % record_bytes != 0 => {
                return malformed("is not a list of coefficients");
            }
            Section::Coefficients | Section::Other(_) => {}
            // The header of another protocol, or over another curve, has another length.
            Section::Header if len != record_bytes => return Err(self.other_header(len)),
            Section::Protocol if len != record_bytes => return malformed("has another length"),
            _ if len % record_bytes != 0 => return malformed("does not end with a whole point"),
            _ => {}
        }
        let count = usize::try_from(len / record_bytes).unwrap_or(usize::MAX);
        match section {
            Section::Ic => self.ic.reserve_exact(count),
            Section::A => self.a.reserve(count),
            Section::B1 => self.b1.reserve(count),
            Section::B2 => self.b2.reserve(count),
            Section::C => self.c.reserve(count),
            Section::H => self.h.reserve_exact(count),
            _ => {}
        }
        if section == Section::Coefficients {
            self.state = State::Count { left: len - 4 };
        } else {
            self.go_on(section, len);
        }
        Ok(())
    }

    fn other_header(&self, len: u64) -> Error {
        let reason = "only Groth16 over BN254 is supported, the curve that circom and snarkjs call bn128 and use unless \
                      told otherwise";
        Error::Unsupported(format!("the header of the .zkey has {len} bytes, not {HEADER_BYTES}: {reason}"))
    }

    fn count(&mut self, count: u32, left: u64) -> Result<(), Error> {
        if u64::from(count) * COEFFICIENT_BYTES as u64 != left {
            return Err(Error::malformed(
                FORMAT,
                format!("its section of {count} coefficients has another length"),
            ));
        }
        self.coefficients.reserve(count as usize);
        self.go_on(Section::Coefficients, left);
        Ok(())
    }

    /// Goes on with a section of which this many bytes are left.
    fn go_on(&mut self, section: Section, left: u64) {
        if left > 0 {
            self.state = State::Records { section, left };
        } else {
            self.sections_left -= 1;
            self.state = State::SectionHeader;
        }
    }

    fn record(&mut self, section: Section, record: &[u8]) -> Result<(), Error> {
        match section {
            Section::Protocol => check_protocol(number(record, 0))?,
            Section::Header => self.header = Some(Header::read(record)?),
            Section::Ic => self.ic.push(point(record, section, self.ic.len())?),
            Section::H => self.h.push(point(record, section, self.h.len())?),
            Section::A => self.a.add(point(record, section, self.a.len())?),
            Section::B1 => self.b1.add(point(record, section, self.b1.len())?),
            Section::B2 => self.b2.add(point(record, section, self.b2.len())?),
            Section::C => self.c.add(point(record, section, self.c.len())?),
            Section::Coefficients => self.coefficient(record)?,
            Section::Other(_) => {}
        }
        Ok(())
    }

    fn coefficient(&mut self, record: &[u8]) -> Result<(), Error> {
        let record = record.first_chunk().expect("a record has its length");
        self.coefficients.add(Coefficient::read(record)?);
        Ok(())
    }

    /// Returns the key, after the last byte.
    ///
    /// # Errors
    /// Returns an error if the file ended early, or its sections do not fit each other.
    pub fn finish(self) -> Result<ProvingKey, Error> {
        let malformed = |reason: String| Err(Error::malformed(FORMAT, reason));
        if self.wanted() != 0 {
            return malformed("it ends early".into());
        }
        if let Some(missing) = Section::NEEDED.iter().find(|section| !self.seen.contains(section)) {
            return malformed(format!("{} is missing", missing.name()));
        }
        let header = self.header.expect("it was seen");
        let (wires, publics) = (header.wires as usize, header.publics as usize);
        let counts = [
            (Section::Ic, self.ic.len(), publics + 1),
            (Section::A, self.a.len(), wires),
            (Section::B1, self.b1.len(), wires),
            (Section::B2, self.b2.len(), wires),
            (Section::C, self.c.len(), wires - publics - 1),
            (Section::H, self.h.len(), header.domain() as usize),
        ];
        for (section, found, expected) in counts {
            if found != expected {
                return malformed(format!("{} has {found} points, not {expected}", section.name()));
            }
        }
        let [rows, signals] = self.coefficients.bounds();
        if rows > header.domain() || signals > header.wires {
            return malformed(
                "a coefficient is of a constraint or a signal that the circuit does not have".into(),
            );
        }
        if let Some(outside) = combination::find_outside(self.b2.points()) {
            return Err(refused(Section::B2, self.b2.wire(outside), NotInGroup::Subgroup));
        }
        let vk = VerifyingKey {
            alpha: header.alpha,
            beta: header.beta,
            gamma: header.gamma,
            delta: header.delta,
            ic: self.ic,
        };
        Ok(ProvingKey::new(header, vk, self.coefficients, [self.a, self.b1, self.c], self.b2, self.h))
    }
}

/// Reads a number of 32 bits at an offset of a record.
fn number(record: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(*record[offset..].first_chunk().expect("a record has its length"))
}

/// Reads a point of a curve, which of the first one is in its group.
fn point<G: Group>(record: &[u8], section: Section, index: usize) -> Result<Point<G>, Error> {
    Point::on_curve(record).map_err(|reason| refused(section, index, reason))
}

/// Returns the error for a point that is not in its group.
fn refused(section: Section, index: usize, reason: NotInGroup) -> Error {
    Error::point(FORMAT, &format!("point {index} of {}", section.name()), reason)
}
