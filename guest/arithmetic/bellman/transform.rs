//! Fourier transforms for Groth16's quotient, in the form that `bellman` uses.
//!
//! The transform of the library computes a root for each of its additions, which takes as many multiplications as the
//! additions themselves.
//!
//! Invariant: the interface is that of the function `serial_fft` of `bellman`, and so are the results.

mod fft;

use super::Group;
use ff::PrimeField;

/// Replaces `2^log_n` coefficients by the values at the powers of `omega`.
pub(super) fn serial_fft<S: PrimeField, T: Group<S>>(a: &mut [T], omega: &S, log_n: u32) {
    fft::transform(a, a.len(), omega, log_n, &|low, high, root| {
        if let Some(root) = root {
            high.group_mul_assign(root);
        }
        let product = *high;
        *high = *low;
        high.group_sub_assign(&product);
        low.group_add_assign(&product);
    });
}
