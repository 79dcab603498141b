//! Structured reference strings: generated natively on all cores, stored on disk, and fed to the guest.
//!
//! They result from hashing to the curve alone: everyone who generates one gets the same bytes, so nobody has to be
//! trusted. This module generates the bytes that `Params::new` of halo2 stands for, and reports how far it has come.
//!
//! ```text
//! monomial basis     2^k points, each hashed to the curve
//! Lagrange basis     the inverse discrete Fourier transform of these points
//! ```
//!
//! Invariant: a string equals what halo2 generates. One that was stored is used only if it has the digest that is known: who
//! chooses the points can make proofs of anything.

use super::srs_digests;
use crate::{
    Digest, Error,
    references::{Portion, References},
};
use halo2_proofs::{arithmetic::parallelize, poly::commitment::Params};
use pasta_curves::{
    arithmetic::CurveExt,
    glv::{Decomposed, Table},
    group::{
        Curve as _, Group,
        ff::{Field, PrimeField},
    },
};
use snapback_guest_plonk::{PastaPrime, Side};
use std::time::{Duration, Instant};

/// Points whose tables of multiples share one inversion.
const BATCH: usize = 256;
/// Points that are computed between two looks at the clock.
const BLOCK: usize = 1 << 12;
/// How often progress is reported.
const REPORT_INTERVAL: Duration = Duration::from_millis(250);
/// Domain of the hash to the curve; `halo2_proofs::poly::commitment::Params::new`.
const DOMAIN: &str = "Halo2-Parameters";

/// A reference string, as parameters and as the bytes that are fed to the guest.
pub(super) struct Reference<C: Side> {
    pub(super) params: Params<C>,
    pub(super) bytes: Vec<u8>,
}

impl<C: Side> Reference<C> {
    /// Returns the reference string for 2^k rows.
    pub(super) fn get(references: &References<'_>, k: u32) -> Result<Self, Error> {
        let bytes = get::<C>(references, k)?;
        let params = Params::read(&mut bytes.as_slice()).expect("the known digest is that of points");
        Ok(Self { params, bytes })
    }
}

/// Returns the reference string for 2^k rows on one side of the cycle as `Params::write` of halo2 writes it, and generates
/// it if the store lacks it.
pub(super) fn get<C: Side>(references: &References<'_>, k: u32) -> Result<Vec<u8>, Error> {
    let name = format!("{}-{k}", C::PRIME);
    let prime = PastaPrime::try_from(C::PRIME).expect("a prime of Pasta");
    let digest = srs_digests::of(prime, k);
    let stored = references.store.map(|store| store.find(&name, &digest)).transpose()?.flatten();
    if let Some(bytes) = stored {
        return Ok(bytes);
    }
    let bytes = generate::<C>(k, references.progress);
    // Keys that are made of other points would be refused later, or be worse than refused.
    assert_eq!(
        Digest::of(&bytes),
        digest,
        "the generated reference string {name} is damaged: is the memory sound?"
    );
    if let Some(store) = references.store
        && let Err(error) = store.keep(&name, &digest, &bytes)
    {
        tracing::warn!(%error, "a reference string cannot be stored, and is generated again when it is needed");
    }
    Ok(bytes)
}

/// Generates the bytes of `Params::<C>::new(k)`.
fn generate<C: Side>(k: u32, progress: &dyn Fn(Portion)) -> Vec<u8> {
    let rows = 1_usize << k;
    // A hash, half a product for each layer of the transform, and a product that scales.
    let mut done = Done {
        begun: Instant::now(),
        reported: Duration::ZERO,
        points: 0,
        of: rows * (k as usize + 4) / 2,
        progress,
    };
    let mut points = vec![C::CurveExt::identity(); rows];
    for (block, points) in points.chunks_mut(BLOCK).enumerate() {
        parallelize(points, |points, start| {
            let hash = C::CurveExt::hash_to_curve(DOMAIN);
            for (index, point) in (block * BLOCK + start..).zip(points) {
                let mut message = [0; 5];
                message[1..].copy_from_slice(&(index as u32).to_le_bytes());
                *point = hash(&message);
            }
        });
        done.add(points.len());
    }
    let mut bytes = k.to_le_bytes().to_vec();
    append::<C>(&mut bytes, &points);
    append::<C>(&mut bytes, &inverse_transform::<C>(&points, k, &mut done));
    let hash = C::CurveExt::hash_to_curve(DOMAIN);
    append::<C>(&mut bytes, &[hash(&[1]), hash(&[2])]);
    bytes
}

/// The inverse discrete Fourier transform: points that commit to values as the given ones do to coefficients.
/// Source: Cooley, Tukey, "An Algorithm for the Machine Calculation of Complex Fourier Series", 1965.
fn inverse_transform<C: Side>(points: &[C::CurveExt], k: u32, done: &mut Done<'_>) -> Vec<C::CurveExt> {
    let rows = points.len();
    let root = (k..C::ScalarExt::S).fold(C::ScalarExt::ROOT_OF_UNITY_INV, |root, _| root.square());
    let powers = std::iter::successors(Some(C::ScalarExt::ONE), |power| Some(*power * root));
    let twiddles: Vec<C::ScalarExt> = powers.take(rows / 2).collect();
    let reversed = |index: usize| index.reverse_bits().checked_shr(usize::BITS - k).unwrap_or(0);
    let mut points: Vec<C::CurveExt> = (0..rows).map(|index| points[reversed(index)]).collect();
    let mut products = vec![C::CurveExt::identity(); rows / 2];
    for layer in 0..k {
        let half = 1 << layer;
        // The butterfly of each product joins two points that are `half` apart.
        let low = |product: usize| product / half * 2 * half + product % half;
        multiply::<C>(
            &mut products,
            |product| points[low(product) + half],
            |product| twiddles[product % half * (rows / 2 / half)],
            done,
        );
        let before = std::mem::replace(&mut points, vec![C::CurveExt::identity(); rows]);
        parallelize(&mut points, |points, start| {
            for (index, point) in (start..).zip(points) {
                let product = index / (2 * half) * half + index % half;
                let is_low = index % (2 * half) < half;
                let (at, product) = (before[low(product)], products[product]);
                *point = if is_low { at + product } else { at - product };
            }
        });
    }
    let scale = C::ScalarExt::TWO_INV.pow_vartime([u64::from(k)]);
    let mut scaled = vec![C::CurveExt::identity(); rows];
    multiply::<C>(&mut scaled, |index| points[index], |_| scale, done);
    scaled
}

/// Computes products of points and scalars, which are given by their index.
fn multiply<C: Side>(
    products: &mut [C::CurveExt],
    point: impl Fn(usize) -> C::CurveExt + Sync,
    scalar: impl Fn(usize) -> C::ScalarExt + Sync,
    done: &mut Done<'_>,
) {
    for (block, products) in products.chunks_mut(BLOCK).enumerate() {
        parallelize(products, |products, start| {
            let mut index = block * BLOCK + start;
            for batch in products.chunks_mut(BATCH) {
                let points: Vec<C::CurveExt> = (index..).take(batch.len()).map(&point).collect();
                for (product, table) in batch.iter_mut().zip(Table::batch(&points)) {
                    let scalar = scalar(index);
                    *product = if scalar == C::ScalarExt::ONE {
                        point(index)
                    } else {
                        table.mul_decomposed(&Decomposed::new(&scalar))
                    };
                    index += 1;
                }
            }
        });
        done.add(products.len());
    }
}

/// Appends points in their compressed form.
fn append<C: Side>(bytes: &mut Vec<u8>, points: &[C::CurveExt]) {
    let mut affine = vec![C::identity(); points.len()];
    parallelize(&mut affine, |affine, start| {
        C::CurveExt::batch_normalize(&points[start..][..affine.len()], affine);
    });
    bytes.extend(affine.iter().flat_map(|point| point.to_bytes().as_ref().to_vec()));
}

/// Counts the points that are done.
struct Done<'a> {
    begun: Instant,
    /// When progress was reported last, from the beginning.
    reported: Duration,
    points: usize,
    of: usize,
    progress: &'a dyn Fn(Portion),
}

impl Done<'_> {
    fn add(&mut self, points: usize) {
        self.points += points;
        let took = self.begun.elapsed();
        if self.points == self.of || took - self.reported >= REPORT_INTERVAL {
            self.reported = took;
            (self.progress)(Portion { done: self.points as u64, of: self.of as u64, took });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dir, references::ReferenceStore};
    use halo2_proofs::pasta::{EpAffine, EqAffine};
    use snapback_guest_plonk::K_MAX;
    use std::cell::RefCell;

    fn written<C: Side>(k: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        Params::<C>::new(k).write(&mut bytes).expect("writing to a vector does not fail");
        bytes
    }

    #[test]
    fn a_generated_string_is_the_one_of_halo2() {
        for k in 0..=9 {
            assert_eq!(generate::<EqAffine>(k, &|_| {}), written::<EqAffine>(k), "{k}");
            assert_eq!(generate::<EpAffine>(k, &|_| {}), written::<EpAffine>(k), "{k}");
        }
        // More than one block.
        assert_eq!(generate::<EpAffine>(13, &|_| {}), written::<EpAffine>(13));
    }

    #[test]
    fn progress_grows_to_the_whole() {
        for k in [0, 1, 7, 13] {
            let portions = RefCell::new(Vec::new());
            generate::<EqAffine>(k, &|portion| portions.borrow_mut().push(portion));
            let portions = portions.into_inner();
            assert!(portions.is_sorted_by_key(|portion| portion.done));
            let last = portions.last().expect("some progress");
            assert_eq!(last.done, last.of, "{k}");
        }
    }

    fn with_store(test: impl FnOnce(&ReferenceStore, &References<'_>)) {
        let state = tempfile::tempdir().expect("a directory");
        let store = Dir::open(state.path()).and_then(|state| ReferenceStore::open(&state)).expect("a store");
        test(&store, &References { store: Some(&store), progress: &|_| {} });
    }

    #[test]
    fn a_stored_string_equals_a_generated_one() {
        with_store(|store, references| {
            let made = get::<EqAffine>(references, 4).expect("generated");
            assert_eq!(store.find("pallas-4", &Digest::of(&made)).expect("read").as_ref(), Some(&made));
            assert_eq!(get::<EqAffine>(references, 4).expect("read"), made);
        });
    }

    fn assert_known(sizes: std::ops::RangeInclusive<u32>) {
        for k in sizes {
            let pallas = Digest::of(&generate::<EqAffine>(k, &|_| {}));
            assert_eq!(pallas, srs_digests::of(PastaPrime::Pallas, k), "{k}");
            let vesta = Digest::of(&generate::<EpAffine>(k, &|_| {}));
            assert_eq!(vesta, srs_digests::of(PastaPrime::Vesta, k), "{k}");
        }
    }

    #[test]
    fn known_digests_are_those_of_generated_strings() {
        assert_known(0..=11);
    }

    #[test]
    #[ignore = "takes minutes: `cargo test --release --package snapback-snapshot -- --ignored known`"]
    fn known_digests_are_those_of_large_strings() {
        assert_known(12..=K_MAX);
    }

    /// Points that somebody else has chosen, in a state directory that comes from elsewhere.
    #[test]
    fn another_string_is_not_used() {
        let made = generate::<EqAffine>(4, &|_| {});
        let mut chosen = made.clone();
        let (first, second) = chosen[4..].split_at_mut(32);
        first.swap_with_slice(&mut second[..32]);
        assert!(Params::<EqAffine>::read(&mut chosen.as_slice()).is_ok());
        for digest in [Digest::of(&chosen), Digest::of(&made)] {
            with_store(|store, references| {
                store.keep("pallas-4", &digest, &chosen).expect("written");
                assert_eq!(get::<EqAffine>(references, 4).expect("generated"), made);
                assert_eq!(store.find("pallas-4", &Digest::of(&made)).expect("read").as_ref(), Some(&made));
            });
        }
    }
}
