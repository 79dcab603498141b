//! Comparisons with `ark-bn254` and with files of snarkjs.

mod arithmetic;
mod combinations;
mod keys;
