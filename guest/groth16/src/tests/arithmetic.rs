//! Arithmetic is that of `ark-bn254`.

use crate::{
    G1, G2, NotInGroup, Roots,
    domain::reversed,
    field::{Element, Fq, Fr, Modulus, bytes},
    groups::{First, Group, HALVES, Second},
    loose::{Loose, Reduced},
    point::Point,
    quadratic::Fq2,
    sum::Sum,
};
use ark_bn254::{G1Projective, G2Projective};
use ark_ec::{AffineRepr, CurveGroup, PrimeGroup};
use ark_ff::{BigInt, Field, PrimeField};
use proptest::prelude::*;
use snapback_arithmetic::{
    msm::{self, Coordinate},
    words::{Words, difference},
};

/// Numbers of 256 bits, many of them at the edges of words.
fn number() -> impl Strategy<Value = Words> {
    let word = || prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()];
    [word(), word(), word(), word()]
}

fn scalar(number: Words) -> ark_bn254::Fr {
    ark_bn254::Fr::from_le_bytes_mod_order(&bytes(number))
}

/// Compares the operations of a field with those of the library.
fn agrees<M: Modulus, F: PrimeField<BigInt = BigInt<4>>>(a: Words, b: Words) {
    let theirs = |number: Words| F::from_le_bytes_mod_order(&bytes(number));
    let (ours, other) = (Element::<M>::from_number(a), Element::<M>::from_number(b));
    let (library, library_other) = (theirs(a), theirs(b));
    let is = |element: Element<M>, expected: F| assert_eq!(element.number(), expected.into_bigint().0);
    is(ours, library);
    is(ours * other, library * library_other);
    is(ours + other, library + library_other);
    is(ours - other, library - library_other);
    is(-ours, -library);
    is(ours.square(), library.square());
    is(ours.double(), library.double());
    assert_eq!(ours.invert().map(|inverse| inverse.number()), library.inverse().map(|it| it.into_bigint().0));
    assert_eq!(ours == other, library == library_other);
    assert_eq!(ours.is_zero(), library == F::ZERO);
    let twice =
        [ours, other].map(|element| *element.words()).map(|words| difference(&Element::<M>::TWICE, &words));
    let sums = [
        Element::sum_of_products([ours.words(), other.words()], [&other, &ours]),
        Element::sum_of_products([&twice[0], &twice[1]], [&ours, &other]),
        Element::sum_of_products([&Element::<M>::TWICE; 2], [&ours, &other]),
    ];
    is(sums[0], library * library_other + library_other * library);
    is(sums[1], -(library.square() + library_other.square()));
    is(sums[2], F::ZERO);
    let products = [Loose::difference(&other, &ours), Loose::sum(&other, &ours)];
    let products = products.map(|loose| Reduced::of(ours).times(&loose));
    is(products[0], library * (library_other - library));
    is(products[1], library * (library_other + library));
    for element in products.into_iter().chain(sums).chain([ours * other, ours + other, ours - other]) {
        // The words are below twice the prime.
        assert!(Element::<M>::from_montgomery(&bytes(element.montgomery())).is_some());
    }
    // The same element with other words.
    assert_eq!(ours - other + other, ours);
    assert_eq!(Element::<M>::from_montgomery(&bytes(ours.montgomery())), Some(ours));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]
    #[test]
    fn fields_are_those_of_the_library(a in number(), b in number()) {
        agrees::<crate::field::Q, ark_bn254::Fq>(a, b);
        agrees::<crate::field::R, ark_bn254::Fr>(a, b);
    }

    #[test]
    fn the_extension_is_that_of_the_library(a in number(), b in number(), c in number(), d in number()) {
        let ours = |re, im| Fq2 { re: Fq::from_number(re), im: Fq::from_number(im) };
        let theirs = |re, im| ark_bn254::Fq2::new(
            ark_bn254::Fq::from_le_bytes_mod_order(&bytes(re)),
            ark_bn254::Fq::from_le_bytes_mod_order(&bytes(im)),
        );
        let numbers = |element: Fq2| [element.re.number(), element.im.number()];
        let library = |element: ark_bn254::Fq2| [element.c0, element.c1].map(|part| part.into_bigint().0);
        let (x, y, z, w) = (ours(a, b), ours(c, d), theirs(a, b), theirs(c, d));
        prop_assert_eq!(numbers(x * y), library(z * w));
        prop_assert_eq!(numbers(x.square()), library(z.square()));
        prop_assert_eq!(numbers(x - y), library(z - w));
        prop_assert_eq!(x.invert().map(numbers), z.inverse().map(library));
    }
}

/// Numbers of the coordinates of a point of the library; zeros for the identity.
fn first_numbers(point: G1Projective) -> [Words; 2] {
    let coordinates = point.into_affine().xy();
    coordinates.map_or([[0; 4]; 2], |(x, y)| [x, y].map(|part| part.into_bigint().0))
}

fn second_numbers(point: G2Projective) -> [[Words; 2]; 2] {
    let coordinates = point.into_affine().xy();
    let numbers = |part: ark_bn254::Fq2| [part.c0, part.c1].map(|part| part.into_bigint().0);
    coordinates.map_or([[[0; 4]; 2]; 2], |(x, y)| [x, y].map(numbers))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn sums_are_those_of_the_library(
        terms in prop::collection::vec((prop_oneof![Just([0; 4]), Just([1, 0, 0, 0]), number()], number()), 0..200),
    ) {
        let terms: Vec<(Words, Words)> = terms
            .into_iter()
            .map(|(logarithm, factor)| (logarithm, scalar(factor).into_bigint().0))
            .collect();
        let logarithm: ark_bn254::Fr = terms.iter().map(|(log, factor)| scalar(*log) * scalar(*factor)).sum();
        let first: Sum<First> = sum(&terms);
        prop_assert_eq!(first.to_affine().numbers(), first_numbers(G1Projective::generator() * logarithm));
        let second: Sum<Second> = sum(&terms);
        prop_assert_eq!(second.to_affine().numbers(), second_numbers(G2Projective::generator() * logarithm));
    }

    #[test]
    fn the_coset_has_the_values_of_the_polynomial(
        log_domain in 0..8u32, larger in 0..3u32, seed in number(),
    ) {
        let mut roots = Roots::new();
        // Roots for a smaller domain stay when there are more.
        roots.extend(log_domain);
        roots.extend(log_domain + larger);
        let size = 1u32 << log_domain;
        let coefficients: Vec<Fr> = (0..size)
            .map(|index| Fr::from_number(seed).power(&[u64::from(index) + 1]) + Fr::from_number([1, 0, 0, 0]))
            .collect();
        let root = (0..28 - log_domain - 1).fold(unity(), |root, _| root.square());
        let value = |point: Fr| coefficients.iter().rev().fold(Fr::ZERO, |sum, part| sum * point + *part);
        let at = |exponent: u32| value(root.power(&[u64::from(exponent)]));
        let mut values: Vec<Fr> = (0..size).map(|index| at(2 * reversed(index, log_domain))).collect();
        roots.to_coset(&mut values);
        let factor = Fr::from_number([u64::from(size), 0, 0, 0]);
        let expected: Vec<Fr> =
            (0..size).map(|index| at(2 * reversed(index, log_domain) + 1) * factor).collect();
        prop_assert_eq!(values, expected);
    }
}

/// The root of unity of the order 2^28, by the library. Circom's tools have the same generator, 5.
fn unity() -> Fr {
    let words = <ark_bn254::Fr as PrimeField>::MODULUS.0;
    let high = |index: usize| words.get(index + 1).copied().unwrap_or(0);
    let exponent: Words = std::array::from_fn(|index| words[index] >> 28 | high(index) << 36);
    let root = ark_bn254::Fr::from(5u64).pow(exponent);
    assert_eq!(root.pow([1 << 27]), -ark_bn254::Fr::ONE, "its order is 2^28");
    Fr::from_number(root.into_bigint().0)
}

fn sum<G: Group>(terms: &[(Words, Words)]) -> Sum<G> {
    let points: Vec<Point<G>> = terms.iter().map(|(log, _)| G::generator().times(log).to_affine()).collect();
    msm::sum(&HALVES, terms.len(), terms.iter().map(|(_, factor)| *factor).zip(points))
}

#[test]
fn the_endomorphism_multiplies_by_the_constant_for_which_scalars_are_split() {
    fn check<G: Group>() {
        let lambda = [0x8b17_ea66_b99c_90dd, 0x5bfc_4108_8d8d_aaa7, 0xb3c4_d79d_41a9_1758, 0];
        let generator = G::generator();
        let image = Point::<G> { x: generator.x * G::ZETA, y: generator.y };
        assert!(Sum::from(image).equals(&generator.times(&lambda)));
        let order = <crate::field::R as Modulus>::WORDS;
        assert!(generator.times(&order).to_affine().is_identity());
    }
    check::<First>();
    check::<Second>();
}

/// A point of the second curve that is not in the subgroup.
pub(super) fn outside() -> Point<Second> {
    let point = (1u64..).find_map(|x| {
        let x = ark_bn254::Fq2::new(x.into(), 1u64.into());
        ark_bn254::G2Affine::get_point_from_x_unchecked(x, false)
            .filter(|point| !point.is_in_correct_subgroup_assuming_on_curve())
    });
    let point = point.expect("most points are not in the subgroup");
    let part = |part: ark_bn254::Fq| Fq::from_number(part.into_bigint().0);
    let coordinate = |pair: ark_bn254::Fq2| Fq2 { re: part(pair.c0), im: part(pair.c1) };
    Point { x: coordinate(point.x), y: coordinate(point.y) }
}

#[test]
fn points_outside_of_their_groups_are_refused() {
    let encode =
        |point: &G2| point.numbers().as_flattened().iter().copied().flat_map(bytes).collect::<Vec<u8>>();
    assert_eq!(G2::from_numbers(&encode(&outside())), Err(NotInGroup::Subgroup));
    let mut point = Second::generator();
    assert_eq!(G2::from_numbers(&encode(&point)), Ok(point));
    point.y = point.y + Fq2::ONE;
    assert_eq!(G2::from_numbers(&encode(&point)), Err(NotInGroup::Curve));
    assert_eq!(G1::from_numbers(&[0xff; 64]), Err(NotInGroup::Coordinate));
    assert_eq!(G1::from_numbers(&[0; 63]), Err(NotInGroup::Coordinate));
    assert_eq!(G1::from_numbers(&[0; 64]).map(|point| point.is_identity()), Ok(true));
}
