//! Numbers as people write them: decimal and hexadecimal digits, modulo a prime of circom's.
//!
//! Invariant: a result is always below the prime. Numbers may be secrets, so nothing here reports one in an error.

use crate::{FIELD_BYTES, Prime};

/// Longest number that is read, in digits: many times the length of any prime.
const DIGITS_MAX: usize = 1024;

/// A number below 2^320: five little-endian words, the product of a field element and a digit.
type Wide = [u64; 5];

/// Reads an integer in decimal digits or, after `0x`, hexadecimal digits; either may follow a minus sign. The result is
/// reduced modulo the prime and little-endian. Returns `None` for anything else.
#[must_use]
pub fn parse(text: &str, prime: Prime) -> Option<[u8; FIELD_BYTES]> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None => (10, digits),
    };
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    let modulus = wide(prime);
    let mut value = Wide::default();
    for digit in digits.chars() {
        value = times_plus(value, radix, digit.to_digit(radix)?);
        // The value is below the product of radix and prime, so the loop ends after a few steps.
        while let Some(less) = minus(value, modulus) {
            value = less;
        }
    }
    let value = if is_negative { negate(value, modulus) } else { value };
    Some(bytes(value))
}

/// Reduces an integer modulo the prime. The result is little-endian.
#[must_use]
pub fn from_u64(value: u64, prime: Prime) -> [u8; FIELD_BYTES] {
    bytes(reduce(value, wide(prime)))
}

/// Reduces an integer, which may be negative, modulo the prime. The result is little-endian.
#[must_use]
pub fn from_i64(value: i64, prime: Prime) -> [u8; FIELD_BYTES] {
    let modulus = wide(prime);
    let magnitude = reduce(value.unsigned_abs(), modulus);
    bytes(if value < 0 { negate(magnitude, modulus) } else { magnitude })
}

/// Writes a little-endian number in decimal digits.
#[must_use]
pub fn to_decimal(number: &[u8; FIELD_BYTES]) -> String {
    const CHUNK: u64 = 10_000_000_000_000_000_000;
    let mut words: [u64; 4] = std::array::from_fn(|word| {
        u64::from_le_bytes(number[8 * word..][..8].try_into().expect("eight bytes"))
    });
    let mut chunks = Vec::new();
    while words != [0; 4] {
        let mut rest = 0u128;
        for word in words.iter_mut().rev() {
            let value = rest << 64 | u128::from(*word);
            *word = u64::try_from(value / u128::from(CHUNK)).expect("below 2^64, as the rest is below CHUNK");
            rest = value % u128::from(CHUNK);
        }
        chunks.push(rest);
    }
    let mut text = chunks.pop().unwrap_or(0).to_string();
    chunks.iter().rev().for_each(|chunk| text.push_str(&format!("{chunk:019}")));
    text
}

fn wide(prime: Prime) -> Wide {
    let [a, b, c, d] = prime.words();
    [a, b, c, d, 0]
}

fn reduce(value: u64, modulus: Wide) -> Wide {
    let mut value = [value, 0, 0, 0, 0];
    while let Some(less) = minus(value, modulus) {
        value = less;
    }
    value
}

fn times_plus(value: Wide, factor: u32, summand: u32) -> Wide {
    let mut carry = u128::from(summand);
    value.map(|word| {
        let product = u128::from(word) * u128::from(factor) + carry;
        carry = product >> 64;
        product as u64
    })
}

/// Subtracts; returns `None` if the result would be negative.
fn minus(value: Wide, subtrahend: Wide) -> Option<Wide> {
    let mut result = Wide::default();
    let mut borrow = false;
    for (place, (a, b)) in result.iter_mut().zip(value.into_iter().zip(subtrahend)) {
        let (difference, first) = a.overflowing_sub(b);
        let (difference, second) = difference.overflowing_sub(u64::from(borrow));
        (*place, borrow) = (difference, first || second);
    }
    (!borrow).then_some(result)
}

fn negate(value: Wide, modulus: Wide) -> Wide {
    if value == Wide::default() {
        value
    } else {
        minus(modulus, value).expect("the value is below the prime")
    }
}

fn bytes(value: Wide) -> [u8; FIELD_BYTES] {
    let mut bytes = [0; FIELD_BYTES];
    for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(value) {
        *place = word.to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use ff::{Field, PrimeField};
    use pasta_curves::{Fp, Fq};
    use proptest::prelude::*;

    /// Returns the value of the same digits according to a field library.
    fn oracle<F: PrimeField<Repr = [u8; 32]>>(digits: &str, radix: u32) -> [u8; 32] {
        let base = F::from(u64::from(radix));
        let value = digits.chars().fold(F::ZERO, |value, digit| {
            value * base + F::from(u64::from(digit.to_digit(radix).expect("a digit")))
        });
        value.to_repr()
    }

    proptest! {
        #[test]
        fn numbers_agree_with_a_field_library(decimal in "[0-9]{1,200}", hexadecimal in "[0-9a-fA-F]{1,150}") {
            prop_assert_eq!(parse(&decimal, Prime::Pallas), Some(oracle::<Fp>(&decimal, 10)));
            prop_assert_eq!(parse(&decimal, Prime::Vesta), Some(oracle::<Fq>(&decimal, 10)));
            let text = format!("0x{hexadecimal}");
            prop_assert_eq!(parse(&text, Prime::Pallas), Some(oracle::<Fp>(&hexadecimal, 16)));
            let negative = format!("-{decimal}");
            let value = Fp::from_repr(oracle::<Fp>(&decimal, 10)).expect("below the prime");
            prop_assert_eq!(parse(&negative, Prime::Pallas), Some((-value).to_repr()));
        }

        #[test]
        fn results_are_below_the_prime(decimal in "[0-9]{1,300}", prime in prop::sample::select(&Prime::ALL[..])) {
            let value = parse(&decimal, prime).expect("a number");
            // A second reading changes nothing, because the result is reduced already.
            prop_assert_eq!(parse(&to_decimal(&value), prime), Some(value));
        }

        #[test]
        fn what_is_written_is_read_again(number: u128) {
            let mut bytes = [0; 32];
            bytes[..16].copy_from_slice(&number.to_le_bytes());
            prop_assert_eq!(to_decimal(&bytes), number.to_string());
            prop_assert_eq!(parse(&number.to_string(), Prime::Bn128), Some(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}", prime in prop::sample::select(&Prime::ALL[..])) {
            let _ = parse(&text, prime);
        }
    }

    #[test]
    fn text_that_is_not_an_integer_is_refused() {
        for text in ["", "-", "0x", "1.5", "1e3", "12a", "--1", "0xg", " 1", "+1"] {
            assert_eq!(parse(text, Prime::Pallas), None, "{text}");
        }
        assert_eq!(parse(&"1".repeat(DIGITS_MAX + 1), Prime::Pallas), None);
    }

    #[test]
    fn small_integers_are_reduced() {
        assert_eq!(from_i64(-3, Prime::Pallas), (-Fp::from(3)).to_repr());
        assert_eq!(from_i64(0, Prime::Pallas), Fp::ZERO.to_repr());
        assert_eq!(from_i64(i64::MIN, Prime::Pallas), (-Fp::from(1 << 63)).to_repr());
        let goldilocks = u64::MAX;
        assert_eq!(from_u64(goldilocks, Prime::Goldilocks)[..8], 0xffff_fffe_u64.to_le_bytes());
    }
}
