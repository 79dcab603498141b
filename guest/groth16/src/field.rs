//! The prime fields of BN254, in Montgomery form with four words.
//!
//! An element `a` is stored as `a R`, where `R` is 2^256. Both primes are below `R / 4`, so a product of two numbers below
//! twice the prime is below twice the prime again, and no product needs a subtraction at its end.
//!
//! Source: Montgomery, "Modular multiplication without trial division", 1985; for the omitted subtraction, Walter,
//! "Montgomery exponentiation needs no final subtractions", 1999.
//!
//! Invariant: the words of an element are below twice the prime. Whatever reads the words reduces them first.

use snapback_arithmetic::{
    msm::Coordinate,
    words::{self, is_below},
};
use std::{
    fmt,
    marker::PhantomData,
    ops::{Add, AddAssign, Mul, Neg, Sub},
};

pub use snapback_arithmetic::words::Words;

/// Length of an element in bytes.
pub(crate) const ELEMENT_BYTES: usize = 32;

/// A prime below a fifth of 2^256.
pub trait Modulus: Copy + 'static {
    /// The prime.
    const WORDS: Words;
}

/// The prime of the coordinates.
#[derive(Clone, Copy)]
pub struct Q;

impl Modulus for Q {
    const WORDS: Words =
        [0x3c20_8c16_d87c_fd47, 0x9781_6a91_6871_ca8d, 0xb850_45b6_8181_585d, 0x3064_4e72_e131_a029];
}

/// The prime of the scalars, the order of the curves.
#[derive(Clone, Copy)]
pub struct R;

impl Modulus for R {
    const WORDS: Words =
        [0x43e1_f593_f000_0001, 0x2833_e848_79b9_7091, 0xb850_45b6_8181_585d, 0x3064_4e72_e131_a029];
}

/// A coordinate.
pub type Fq = Element<Q>;
/// A scalar.
pub type Fr = Element<R>;

/// An element of the field with a prime.
#[derive(Clone, Copy)]
pub struct Element<M>(Words, PhantomData<M>);

impl<M: Modulus> Element<M> {
    /// The neutral element of addition.
    pub const ZERO: Self = Self::from_words([0; 4]);
    /// The neutral element of multiplication.
    pub const ONE: Self = Self::from_words(power_of_two::<M>(256));
    const R_SQUARED: Self = Self::from_words(power_of_two::<M>(512));
    pub(crate) const TWICE: Words = words::sum(&M::WORDS, &M::WORDS);
    /// `-1 / p` modulo 2^64.
    const INVERSE: u64 = {
        let (mut inverse, mut step) = (1u64, 0);
        while step < 6 {
            // Newton's iteration doubles the number of correct bits.
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(M::WORDS[0].wrapping_mul(inverse)));
            step += 1;
        }
        inverse.wrapping_neg()
    };

    pub(crate) const fn from_words(words: Words) -> Self {
        Self(words, PhantomData)
    }

    /// Returns the words, which are below twice the prime.
    pub(crate) const fn words(&self) -> &Words {
        &self.0
    }

    /// Returns the element whose Montgomery form is this number, or `None` unless the number is below the prime.
    #[must_use]
    pub fn from_montgomery(bytes: &[u8; ELEMENT_BYTES]) -> Option<Self> {
        let words = words(bytes);
        is_below(&words, &M::WORDS).then_some(Self::from_words(words))
    }

    /// Returns the element that stands for this number, or `None` unless the number is below the prime.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; ELEMENT_BYTES]) -> Option<Self> {
        let words = words(bytes);
        is_below(&words, &M::WORDS).then(|| Self::from_number(words))
    }

    /// Returns the Montgomery form, reduced.
    #[must_use]
    pub fn montgomery(&self) -> Words {
        words::reduce(&self.0, &M::WORDS)
    }

    /// Returns the element that stands for a number, which is reduced if it is not below the prime.
    #[must_use]
    pub const fn from_number(number: Words) -> Self {
        // The second factor may be any number: its words are taken one by one, and the sum stays below the prime and the first
        // factor together.
        Self::R_SQUARED.times(&Self::from_words(number))
    }

    /// Returns the product.
    // Out of line: point additions would become blocks of thousands of instructions, for which Cranelift's register
    // allocator makes worse code.
    #[inline(never)]
    pub(crate) const fn times(&self, other: &Self) -> Self {
        let (a, b, p) = (&self.0, &other.0, &M::WORDS);
        let (mut sum, mut step) = ([0; 4], 0);
        while step < 4 {
            let (low, mut carry) = multiply_add(sum[0], a[0], b[step], 0);
            let factor = low.wrapping_mul(Self::INVERSE);
            let (_, mut reduced) = multiply_add(low, factor, p[0], 0);
            let mut index = 1;
            while index < 4 {
                let (low, high) = multiply_add(sum[index], a[index], b[step], carry);
                carry = high;
                (sum[index - 1], reduced) = multiply_add(low, factor, p[index], reduced);
                index += 1;
            }
            sum[3] = carry + reduced;
            step += 1;
        }
        Self::from_words(sum)
    }

    /// Returns the sum of the products `a b + c d`, with one reduction for both.
    ///
    /// `a` and `c` may be twice the prime, too. Each partial sum is below five times the prime, which fits the words, and the
    /// last one is below three times the prime.
    // Out of line for the same reason.
    #[inline(never)]
    pub(crate) fn sum_of_products([a, c]: [&Words; 2], [b, d]: [&Self; 2]) -> Self {
        const { assert!(M::WORDS[3] < u64::MAX / 5, "five times the prime fits the words") };
        let p = &M::WORDS;
        let mut sum = [0; 4];
        for step in 0..4 {
            let (low, mut carry) = multiply_add(sum[0], a[0], b.0[step], 0);
            let (low, mut second) = multiply_add(low, c[0], d.0[step], 0);
            let factor = low.wrapping_mul(Self::INVERSE);
            let (_, mut reduced) = multiply_add(low, factor, p[0], 0);
            for index in 1..4 {
                let low;
                (low, carry) = multiply_add(sum[index], a[index], b.0[step], carry);
                let (low, high) = multiply_add(low, c[index], d.0[step], second);
                second = high;
                (sum[index - 1], reduced) = multiply_add(low, factor, p[index], reduced);
            }
            sum[3] = carry + second + reduced;
        }
        Self::from_words(words::reduce(&sum, &Self::TWICE))
    }

    /// Returns the number that the element stands for.
    #[must_use]
    pub fn number(&self) -> Words {
        self.number_times([1, 0, 0, 0])
    }

    /// Returns the product of two numbers below the prime, divided by `R`, as the element with this Montgomery form.
    #[must_use]
    pub fn product(number: Words, other: &[u8; ELEMENT_BYTES]) -> Self {
        Self::from_words(number).times(&Self::from_words(words(other)))
    }

    /// Returns the number that the element times another number stands for.
    #[must_use]
    pub fn number_times(&self, factor: Words) -> Words {
        self.times(&Self::from_words(factor)).montgomery()
    }

    /// Returns the element to the power of a number.
    #[must_use]
    pub fn power(&self, exponent: &[u64]) -> Self {
        let bits = exponent.iter().rev().flat_map(|word| (0..64).rev().map(move |bit| word >> bit & 1 == 1));
        bits.fold(Self::ONE, |power, is_set| {
            let square = power.square();
            if is_set { square * *self } else { square }
        })
    }
}

impl<M: Modulus> Coordinate for Element<M> {
    const ZERO: Self = Self::ZERO;
    const ONE: Self = Self::ONE;

    fn square(&self) -> Self {
        *self * *self
    }

    fn double(&self) -> Self {
        *self + *self
    }

    fn is_zero(&self) -> bool {
        self.0 == [0; 4] || self.0 == M::WORDS
    }

    fn invert(&self) -> Option<Self> {
        // The prime is odd and larger than two, so nothing is borrowed.
        let mut exponent = M::WORDS;
        exponent[0] -= 2;
        (!self.is_zero()).then(|| self.power(&exponent))
    }
}

impl<M: Modulus> Mul for Element<M> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        self.times(&other)
    }
}

impl<M: Modulus> Add for Element<M> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::from_words(words::add(&self.0, &other.0, &Self::TWICE))
    }
}

impl<M: Modulus> Sub for Element<M> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::from_words(words::subtract(&self.0, &other.0, &Self::TWICE))
    }
}

impl<M: Modulus> AddAssign for Element<M> {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl<M: Modulus> Neg for Element<M> {
    type Output = Self;

    fn neg(self) -> Self {
        Self::ZERO - self
    }
}

impl<M: Modulus> PartialEq for Element<M> {
    fn eq(&self, other: &Self) -> bool {
        self.montgomery() == other.montgomery()
    }
}

impl<M: Modulus> Eq for Element<M> {}

impl<M: Modulus> Default for Element<M> {
    fn default() -> Self {
        Self::ZERO
    }
}

impl<M: Modulus> zeroize::DefaultIsZeroes for Element<M> {}

impl snapback_circom::Element for Fr {
    fn modulus() -> [u8; ELEMENT_BYTES] {
        bytes(R::WORDS)
    }

    fn zero() -> Self {
        Self::ZERO
    }

    fn from_le(number: [u8; ELEMENT_BYTES]) -> Option<Self> {
        Self::from_bytes(&number)
    }

    fn to_le(self) -> [u8; ELEMENT_BYTES] {
        bytes(self.number())
    }
}

impl<M: Modulus> fmt::Debug for Element<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x?}", self.number())
    }
}

/// Returns the words of a number in bytes, the lowest first.
#[must_use]
pub fn words(bytes: &[u8; ELEMENT_BYTES]) -> Words {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// Returns the bytes of a number, the lowest first.
#[must_use]
pub fn bytes(words: Words) -> [u8; ELEMENT_BYTES] {
    let mut bytes = [0; ELEMENT_BYTES];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    bytes
}

/// Returns `sum + a b + carry`, and its upper word.
#[inline(always)]
const fn multiply_add(sum: u64, a: u64, b: u64, carry: u64) -> (u64, u64) {
    let wide = a as u128 * b as u128 + sum as u128 + carry as u128;
    (wide as u64, (wide >> 64) as u64)
}

/// Returns a power of two, reduced.
const fn power_of_two<M: Modulus>(exponent: u32) -> Words {
    let (mut power, mut step) = ([1, 0, 0, 0], 0);
    while step < exponent {
        power = words::add(&power, &power, &M::WORDS);
        step += 1;
    }
    power
}
