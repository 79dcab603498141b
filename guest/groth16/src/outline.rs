//! What a `.zkey` is, without its points, and whether its points are consistent.
//!
//! Not everything can be told from a key alone: that the points A, C and IC belong to the constraints, and H to delta, takes
//! a proof, or the transcript of the ceremony.
//!
//! Invariant: a point is found to be on its curve before it is added, and in its group before it is paired.

use crate::{
    Error,
    coefficients::{Coefficient, Coefficients},
    combination::{Combination, outside_of, total},
    domain::{Roots, highest, reversed},
    field::{Fr, bytes, words},
    groups::{First, Group, HALVES, Second},
    header::{FORMAT, Header, MAGIC, VERSION, check_protocol},
    pairing,
    point::{G1, G2, NotInGroup, Point},
    section::COEFFICIENT_BYTES,
    sum::Sum,
    verifying_key::VerifyingKey,
};
use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use snapback_arithmetic::msm::{self, Coordinate};
use snapback_circom::sections::Sections;

/// What a `.zkey` is.
pub struct Outline<'a> {
    /// The header.
    pub header: Header,
    /// Number of constraints.
    pub constraints: u32,
    /// The verifying key.
    pub verifying_key: VerifyingKey,
    file: &'a [u8],
    sections: Sections<'a>,
}

/// Reads the header of a `.zkey`.
///
/// # Errors
/// Returns an error if the file is not a proving key for Groth16 over BN254.
pub fn read_header(file: &[u8]) -> Result<Header, Error> {
    header(&Sections::read(file, MAGIC, VERSION, FORMAT)?)
}

fn header(sections: &Sections<'_>) -> Result<Header, Error> {
    check_protocol(sections.get(1)?.u32("protocol")?)?;
    let mut section = sections.get(2)?;
    Header::read(section.bytes(section.left() as u64, "header")?)
}

impl<'a> Outline<'a> {
    /// Reads the sections that say what the circuit is.
    ///
    /// # Errors
    /// Returns an error if the file is not a proving key for Groth16 over BN254, or one of these sections is malformed.
    pub fn read(file: &'a [u8]) -> Result<Self, Error> {
        let sections = Sections::read(file, MAGIC, VERSION, FORMAT)?;
        let header = header(&sections)?;
        check_lengths(&sections, &header)?;
        let mut ic = sections.get(3)?;
        let mut points = Vec::new();
        for index in 0..=header.publics {
            let point = Point::from_montgomery(ic.bytes(G1::BYTES as u64, "points IC")?);
            points
                .push(point.map_err(|reason| Error::point(FORMAT, &format!("point {index} of IC"), reason))?);
        }
        ic.end()?;
        let mut rows = 0;
        for record in coefficients(&sections)? {
            rows = rows.max(Coefficient::read(record)?.row.saturating_add(1));
        }
        if rows > header.domain() {
            let reason = "a coefficient is of a constraint that the circuit does not have";
            return Err(Error::malformed(FORMAT, reason));
        }
        // The last rows are those of the constant one and of the public signals.
        let constraints = rows.saturating_sub(header.publics + 1);
        let verifying_key = VerifyingKey {
            alpha: header.alpha,
            beta: header.beta,
            gamma: header.gamma,
            delta: header.delta,
            ic: points,
        };
        Ok(Self { header, constraints, verifying_key, file, sections })
    }

    /// Checks, by pairings, that beta, delta and the points B have the same logarithms in both groups, and that the points H
    /// were made for the same secret as the points B and their coefficients. Random combinations, which are derived from the
    /// file, take the place of single points.
    ///
    /// # Errors
    /// Returns an error if the key is not consistent.
    pub fn check(&self) -> Result<(), Error> {
        let Header { beta, beta_first, delta, delta_first, wires, log_domain, .. } = self.header;
        let refuse =
            |what: &str| Err(Error::malformed(FORMAT, format!("{what} do not belong to each other")));
        let (one, other) = (First::generator(), Second::generator());
        if !pairing::is_one(&[(beta_first, other), (-one, beta)]) {
            return refuse("beta1 and beta2");
        }
        if !pairing::is_one(&[(delta_first, other), (-one, delta)]) {
            return refuse("delta1 and delta2");
        }
        let mut random = ChaCha20Rng::from_seed(Sha256::digest(self.file).into());
        let combination = Combination::draw(&mut random, wires as usize);
        let b_second = self.points::<Second>(7, wires, "points B in G2")?;
        let rows = combination.sums(&b_second);
        if let Some(index) = outside_of(&b_second, &rows) {
            return Err(outside_its_group(index, "points B in G2", NotInGroup::Subgroup));
        }
        let b_first = self.points::<First>(6, wires, "points B in G1")?;
        let all = total(&rows);
        let first = total(&combination.sums(&b_first)).to_affine();
        if !pairing::is_one(&[(first, other), (-one, all.to_affine())]) {
            return refuse("the points B in G1 and G2");
        }

        // A ceremony that is just large enough for the circuit leaves the highest power out of the points H, which no proof
        // needs. So what is compared is without it: a wire that has it takes it out of the others.
        let coefficients = self.coefficients()?;
        let tops = coefficients.right_of(&numbers(highest(log_domain)), wires);
        let pivot = tops.iter().position(|top| !top.is_zero());
        let without = |mut weights: Vec<Fr>, sum: Sum<Second>| {
            let Some(pivot) = pivot else { return (weights, sum.to_affine()) };
            let top = weights.iter().zip(&tops).fold(Fr::ZERO, |sum, (weight, top)| sum + *weight * *top);
            weights.iter_mut().for_each(|weight| *weight = *weight * tops[pivot]);
            weights[pivot] = weights[pivot] - top;
            let sum = sum.to_affine().times(&tops[pivot].number()) + (-b_second[pivot]).times(&top.number());
            (weights, sum.to_affine())
        };
        let (weights, all) = without(combination.weights(), all);
        // What is compared with the sum of a row, which stands for the secret, is drawn with the digits of all rows. If some
        // point H is wrong, then with the other twelve rows one of 2^120 weights hides it. All rows are the identity only if
        // everything is, but for chance.
        let rows = rows.iter().enumerate().map(|(row, sum)| without(combination.row(row), *sum));
        let Some((of_row, row)) = rows.into_iter().find(|(_, row)| !row.is_identity()) else {
            return Ok(());
        };
        let h = self.points::<First>(9, self.header.domain(), "points H")?;
        let mut roots = Roots::new();
        roots.extend(log_domain);
        let times_vanishing = |weights: Vec<Fr>| {
            let [_, mut values] = coefficients.sides(&numbers(weights), log_domain);
            roots.to_coset(&mut values);
            let ordered = (0..self.header.domain()).map(|index| h[reversed(index, log_domain) as usize]);
            sum(&ordered.collect::<Vec<_>>(), &numbers(values))
        };
        let (left, right) = (times_vanishing(weights), times_vanishing(of_row));
        if !pairing::is_one(&[(left, row), (-right, all)]) {
            return refuse("the points H, the points B and the coefficients");
        }
        Ok(())
    }

    /// Reads the points of a section, each of which has to be on its curve.
    fn points<G: Group>(&self, section: u32, count: u32, name: &str) -> Result<Vec<Point<G>>, Error> {
        let mut reader = self.sections.get(section)?;
        let mut points = Vec::new();
        for index in 0..count {
            let point = Point::on_curve(reader.bytes(Point::<G>::BYTES as u64, name)?);
            points.push(point.map_err(|reason| outside_its_group(index as usize, name, reason))?);
        }
        reader.end()?;
        Ok(points)
    }

    fn coefficients(&self) -> Result<Coefficients, Error> {
        let mut all = Coefficients::default();
        for record in coefficients(&self.sections)? {
            all.add(Coefficient::read(record)?);
        }
        let [rows, signals] = all.bounds();
        if rows > self.header.domain() || signals > self.header.wires {
            let reason = "a coefficient is of a constraint or a signal that the circuit does not have";
            return Err(Error::malformed(FORMAT, reason));
        }
        Ok(all)
    }
}

/// Returns the sum of the points, each times its weight.
fn sum<G: Group>(points: &[Point<G>], weights: &[[u8; 32]]) -> Point<G> {
    let terms = weights.iter().map(words).zip(points.iter().copied());
    let sum: Sum<G> = msm::sum(&HALVES, points.len(), terms);
    sum.to_affine()
}

/// Returns the numbers that the elements stand for.
fn numbers(elements: impl IntoIterator<Item = Fr>) -> Vec<[u8; 32]> {
    elements.into_iter().map(|element| bytes(element.number())).collect()
}

/// Returns the error for a point that is not in its group.
fn outside_its_group(index: usize, name: &str, reason: NotInGroup) -> Error {
    Error::point(FORMAT, &format!("point {index} of the {name}"), reason)
}

/// Checks that the sections of points have the lengths that the header says, so that nothing is allocated for points that
/// are not there.
fn check_lengths(sections: &Sections<'_>, header: &Header) -> Result<(), Error> {
    let private = header.wires - header.publics - 1;
    let expected = [
        (5, G1::BYTES, header.wires),
        (6, G1::BYTES, header.wires),
        (7, G2::BYTES, header.wires),
        (8, G1::BYTES, private),
        (9, G1::BYTES, header.domain()),
    ];
    for (section, bytes, count) in expected {
        if sections.get(section)?.left() as u64 != bytes as u64 * u64::from(count) {
            let reason = format!("its section {section} does not have {count} points");
            return Err(Error::malformed(FORMAT, reason));
        }
    }
    Ok(())
}

/// Returns the records of the coefficients.
fn coefficients<'a>(
    sections: &Sections<'a>,
) -> Result<impl Iterator<Item = &'a [u8; COEFFICIENT_BYTES]> + use<'a>, Error> {
    let mut section = sections.get(4)?;
    let count = section.u32("number of coefficients")?;
    let (records, rest) = section.bytes(section.left() as u64, "coefficients")?.as_chunks();
    if records.len() as u64 != u64::from(count) || !rest.is_empty() {
        return Err(Error::malformed(
            FORMAT,
            format!("its section of {count} coefficients has another length"),
        ));
    }
    Ok(records.iter())
}
