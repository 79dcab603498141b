//! Proving keys, and the proofs that are made with them.
//!
//! ```text
//! coefficients, witness -> values of both sides -> quotient (domain) -> sums of points (msm) -> proof -> verified
//! ```
//!
//! Sources: Groth, "On the size of pairing-based non-interactive arguments", EUROCRYPT 2016; the quotient is taken at the
//! odd coset, as snarkjs does in `groth16_prove.js`, whose keys have points for it.
//!
//! Invariant: a proof leaves only if it verifies.

use crate::{
    Error,
    coefficients::Coefficients,
    domain::{Roots, reversed},
    field::{Fr, Words, words},
    groups::{First, Group, HALVES, Second},
    header::Header,
    point::{G1, Point},
    proof::{Proof, ProofFile},
    sum::Sum,
    verifying_key::{Verifier, VerifyingKey},
};
use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use snapback_arithmetic::msm::{self, Coordinate};
use snapback_circom::{Prime, wtns};
use zeroize::{Zeroize, Zeroizing};

/// Points of a group, each for a wire. Those that are the identity add nothing, and are left out.
pub(crate) struct Query<G: Group> {
    wires: Vec<u32>,
    points: Vec<Point<G>>,
    /// Number of points with those that were left out.
    count: u32,
}

impl<G: Group> Default for Query<G> {
    fn default() -> Self {
        Self { wires: Vec::new(), points: Vec::new(), count: 0 }
    }
}

impl<G: Group> Query<G> {
    pub(crate) fn reserve(&mut self, count: usize) {
        self.wires.reserve_exact(count);
        self.points.reserve_exact(count);
    }

    pub(crate) fn add(&mut self, point: Point<G>) {
        if !point.is_identity() {
            self.wires.push(self.count);
            self.points.push(point);
        }
        self.count += 1;
    }

    /// Number of points with those that were left out.
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// The points that were not left out.
    pub(crate) fn points(&self) -> &[Point<G>] {
        &self.points
    }

    /// Returns the wire of one of [`Self::points`].
    pub(crate) fn wire(&self, index: usize) -> usize {
        self.wires[index] as usize
    }

    /// Releases memory that was reserved for points that were left out.
    fn end(&mut self) {
        self.wires.shrink_to_fit();
        self.points.shrink_to_fit();
    }

    /// Returns the sum of the points, each times the value of its wire.
    fn sum(&self, values: &[[u8; 32]]) -> Sum<G> {
        msm::sum(&HALVES, self.used(values), self.terms(values))
    }

    /// Returns the number of points whose wire is not zero.
    fn used(&self, values: &[[u8; 32]]) -> usize {
        self.wires.iter().filter(|wire| values[**wire as usize] != [0; 32]).count()
    }

    /// Returns each point with the value of its wire.
    fn terms(&self, values: &[[u8; 32]]) -> impl Iterator<Item = (Words, Point<G>)> {
        let numbers = self.wires.iter().map(|wire| words(&values[*wire as usize]));
        numbers.zip(self.points.iter().copied())
    }
}

/// A proving key, with its verifying key.
pub struct ProvingKey {
    header: Header,
    verifier: Verifier,
    coefficients: Coefficients,
    a: Query<First>,
    b1: Query<First>,
    b2: Query<Second>,
    /// Points of the private wires only.
    c: Query<First>,
    /// Points of the coset, in bit-reversed order.
    h: Vec<G1>,
}

impl ProvingKey {
    pub(crate) fn new(
        header: Header,
        vk: VerifyingKey,
        mut coefficients: Coefficients,
        [mut a, mut b1, mut c]: [Query<First>; 3],
        mut b2: Query<Second>,
        mut h: Vec<G1>,
    ) -> Self {
        coefficients.end();
        [&mut a, &mut b1, &mut c].into_iter().for_each(Query::end);
        b2.end();
        for index in 0..header.domain() {
            let other = reversed(index, header.log_domain);
            if index < other {
                h.swap(index as usize, other as usize);
            }
        }
        Self { header, verifier: Verifier::new(vk), coefficients, a, b1, b2, c, h }
    }

    /// Returns the header of the key.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the verifying key.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        self.verifier.key()
    }

    /// Verifies a proof.
    ///
    /// # Errors
    /// Returns an error if the proof does not verify, or has more or fewer public signals than the circuit.
    pub fn verify(&self, proof: &ProofFile) -> Result<(), Error> {
        self.verifier.verify(proof)
    }

    /// Proves with a witness, a `.wtns` file. Entropy must not be used for another proof.
    ///
    /// # Errors
    /// Returns an error if the file is not a witness of a circuit of this size, or does not satisfy the circuit.
    pub fn prove(&self, roots: &Roots, witness: &[u8], entropy: &[u8; 32]) -> Result<ProofFile, Error> {
        let values = wtns::values(witness, Prime::Bn128, self.header.wires)?;
        let mut random = ChaCha20Rng::from_seed(*entropy);
        let (r, s) = (Zeroizing::new(scalar(&mut random)), Zeroizing::new(scalar(&mut random)));
        let proof = self.blinded(roots, values, &r, &s);
        let publics = values[1..=self.header.publics as usize].iter().map(words).collect();
        let file = ProofFile { publics, proof };
        match self.verify(&file) {
            Ok(()) => Ok(file),
            Err(Error::Refuted) => Err(Error::Unsatisfied),
            Err(error) => Err(error),
        }
    }

    fn blinded(&self, roots: &Roots, values: &[[u8; 32]], r: &Fr, s: &Fr) -> Proof {
        let Header { alpha, beta, beta_first, delta, delta_first, publics, .. } = self.header;
        let (a, b) = (self.a.sum(values), self.b2.sum(values));
        let a = combine(a, [(Fr::ONE, alpha), (*r, delta_first)]).to_affine();
        let b = combine(b, [(Fr::ONE, beta), (*s, delta)]).to_affine();
        let b_first = combine(self.b1.sum(values), [(Fr::ONE, beta_first), (*s, delta_first)]).to_affine();

        let mut quotient = self.quotient(roots, values);
        let private = &values[publics as usize + 1..];
        // One sum of all takes less time than two.
        let terms = self.c.terms(private).chain(quotient.iter().copied().zip(self.h.iter().copied()));
        let c = msm::sum(&HALVES, self.c.used(private) + quotient.len(), terms);
        quotient.zeroize();
        let c = combine(c, [(*s, a), (*r, b_first), (-(*r * *s), delta_first)]).to_affine();
        Proof { a, b, c }
    }

    /// Returns the numbers of the product of both sides minus the third, at the coset. Divided by the vanishing polynomial,
    /// which is the same number everywhere there and is part of the points, it is the quotient.
    fn quotient(&self, roots: &Roots, values: &[[u8; 32]]) -> Vec<Words> {
        let [mut a, mut b] = self.coefficients.sides(values, self.header.log_domain).map(Zeroizing::new);
        // A transform multiplies by the size of the domain, so the product of two has one factor more than the third.
        let size = Fr::from_number([u64::from(self.header.domain()), 0, 0, 0]);
        let mut c: Zeroizing<Vec<Fr>> =
            Zeroizing::new(a.iter().zip(&*b).map(|(a, b)| *a * *b * size).collect());
        [&mut a, &mut b, &mut c].into_iter().for_each(|side| roots.to_coset(side));
        let scale = size.square().invert().expect("a domain is smaller than the prime").number();
        let differences = a.iter().zip(&*b).zip(&*c).map(|((a, b), c)| *a * *b - *c);
        differences.map(|difference| difference.number_times(scale)).collect()
    }
}

/// Adds some points, each times its scalar.
fn combine<G: Group, const N: usize>(sum: Sum<G>, terms: [(Fr, Point<G>); N]) -> Sum<G> {
    let numbers = terms.map(|(scalar, point)| (scalar.number(), point));
    sum + msm::sum(&HALVES, N, numbers.into_iter())
}

/// Returns a scalar that is as good as uniform: a number of 512 bits, reduced.
fn scalar(random: &mut ChaCha20Rng) -> Fr {
    let mut words: Zeroizing<[u64; 8]> = Zeroizing::new([0; 8]);
    words.iter_mut().for_each(|word| *word = random.next_u64());
    let [low, high] =
        [&words[..4], &words[4..]].map(|half| Fr::from_number(half.try_into().expect("four words")));
    // 2^256 is the Montgomery form of one, as a number.
    low + high * Fr::from_number(Fr::ONE.montgomery())
}
