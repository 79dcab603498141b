//! Sums and differences of numbers of four words, modulo a number.
//!
//! WebAssembly has no flags: each carry from one word to the next takes instructions of its own, but two words can be added
//! at once. So numbers are added in halves of 128 bits, with one carry between them, which is computed from the upper bits:
//! it is their majority, with that of the sum inverted. Guests use this file in place of the additions of `pasta_curves`,
//! too, so it needs nothing but `core`.
//!
//! Source: Warren, "Hacker's Delight", 2nd edition, 2012, section 2-16, for the carry.
//!
//! Invariant: a modulus is at most 2^255, so the upper bit of the difference of two numbers below it is its sign.

/// A number of four words, the lowest first.
pub type Words = [u64; 4];

/// Adds two numbers below the modulus.
#[inline(always)]
#[must_use]
pub const fn add(a: &Words, b: &Words, modulus: &Words) -> Words {
    reduce(&sum(a, b), modulus)
}

/// Subtracts two numbers below the modulus.
#[inline(always)]
#[must_use]
pub const fn subtract(a: &Words, b: &Words, modulus: &Words) -> Words {
    let difference = difference(a, b);
    let mask = sign(&difference);
    let [m0, m1, m2, m3] = *modulus;
    sum(&difference, &[m0 & mask, m1 & mask, m2 & mask, m3 & mask])
}

/// Reduces a number below twice the modulus.
#[inline(always)]
#[must_use]
pub const fn reduce(a: &Words, modulus: &Words) -> Words {
    let difference = difference(a, modulus);
    let mask = sign(&difference);
    let (mut reduced, mut index) = ([0; 4], 0);
    while index < 4 {
        reduced[index] = difference[index] ^ mask & (difference[index] ^ a[index]);
        index += 1;
    }
    reduced
}

/// Adds modulo 2^256.
#[inline(always)]
#[must_use]
pub const fn sum(a: &Words, b: &Words) -> Words {
    let low = low(a).wrapping_add(low(b));
    let carry = majority(a[1], b[1], !upper(low));
    let high = high(a).wrapping_add(high(b)).wrapping_add(carry);
    [low as u64, upper(low), high as u64, upper(high)]
}

/// Subtracts modulo 2^256.
#[inline(always)]
#[must_use]
pub const fn difference(a: &Words, b: &Words) -> Words {
    let low = low(a).wrapping_sub(low(b));
    let borrow = majority(!a[1], b[1], upper(low));
    let high = high(a).wrapping_sub(high(b)).wrapping_sub(borrow);
    [low as u64, upper(low), high as u64, upper(high)]
}

/// Returns whether a number is below another.
#[inline(always)]
#[must_use]
pub const fn is_below(a: &Words, b: &Words) -> bool {
    majority(!a[3], b[3], difference(a, b)[3]) == 1
}

/// Returns ones if the upper bit is set, and zeros otherwise.
#[inline(always)]
const fn sign(a: &Words) -> u64 {
    (a[3].cast_signed() >> 63).cast_unsigned()
}

/// Returns the upper bit that most of the words have.
#[inline(always)]
const fn majority(a: u64, b: u64, c: u64) -> u128 {
    ((a & b | (a | b) & c) >> 63) as u128
}

#[inline(always)]
const fn low(a: &Words) -> u128 {
    a[0] as u128 | (a[1] as u128) << 64
}

#[inline(always)]
const fn high(a: &Words) -> u128 {
    a[2] as u128 | (a[3] as u128) << 64
}

#[inline(always)]
const fn upper(a: u128) -> u64 {
    (a >> 64) as u64
}

#[cfg(test)]
mod tests;
