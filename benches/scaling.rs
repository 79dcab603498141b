//! How the CPU time of keys and proofs grows with the number of rows: natively, and in a guest.
//!
//! `make bench` runs it twice, the first time with guests that are built with `SNAPBACK_GUEST_LIBRARY=unmodified`, so that
//! the report shows what their arithmetic brings. Native times are those of the second run.

#[path = "../tests/harness/squares.rs"]
mod squares;
mod support;

use halo2_proofs::{
    pasta::{EqAffine, Fp},
    poly::{EvaluationDomain, commitment::Params},
};
use rayon::ThreadPoolBuilder;
use snapback_circom::{Prime, wtns::Witness};
use snapback_guest_plonk::{Compiled, Prover};
use snapback_snapshot::Guest;
use squares::squares;
use std::{env, ops::RangeInclusive, time::Duration};
use support::{counted, median, record, unbaked::Unbaked};

/// Rows of the circuits, as powers of two.
const SIZES: RangeInclusive<u32> = 10..=16;
/// Keys and proofs that are made of each size; the report has their medians.
const ROUNDS: usize = 3;
/// Degree of the constraints of guest/plonk, and polynomials of which its keys have cosets: 14 fixed columns, 9 columns of
/// the permutation, and three that mark the first, the last and the blinding rows.
const DEGREE: u32 = 4;
const COSETS: f64 = 26.0;

/// Returns a circuit that fills most of `2^k` rows, and a witness of it.
fn circuit(k: u32) -> (Vec<u8>, Vec<u8>) {
    let fits = |rounds| Compiled::<Fp>::read(&squares(rounds, 3).0).is_ok_and(|compiled| compiled.k() <= k);
    // The largest circuit of this kind, to a sixteenth.
    let step = 1 << (k - 4);
    let largest = (1..=16).rev().map(|sixteenths| sixteenths * step).find(|rounds| fits(*rounds));
    let found = squares(largest.expect("a sixteenth of the rows is enough for a row each"), 3);
    assert_eq!(Compiled::<Fp>::read(&found.0).expect("a circuit").k(), k);
    found
}

/// Returns the CPU time in which the library makes the cosets of a proving key again from its polynomials.
fn cosets(k: u32) -> f64 {
    let domain = EvaluationDomain::<Fp>::new(DEGREE, k);
    let values: Vec<Fp> = (0..1 << k).map(Fp::from).collect();
    let polynomial = domain.coeff_from_vec(values);
    let one = counted(|| drop(domain.coeff_to_extended(polynomial.clone())));
    COSETS * one.as_secs_f64()
}

fn main() {
    if !env::args().any(|arg| arg == "--bench") {
        return;
    }
    // The guest was chosen when it was built.
    let library = if option_env!("SNAPBACK_GUEST_LIBRARY") == Some("unmodified") { "before" } else { "now" };
    let one_thread = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let unbaked = Unbaked::new(Guest::find("plonk").expect("embedded"));
    for k in SIZES {
        let (r1cs, wtns) = circuit(k);
        let params = Params::<EqAffine>::new(k);
        let mut srs = Vec::new();
        params.write(&mut srs).expect("written");
        let (mut wasm_keys, mut native_keys) = (Vec::new(), Vec::new());
        let (mut wasm, mut native) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let mut live = unbaked.start();
            live.feed("bake_srs", "pallas", &srs);
            wasm_keys.push(live.feed("bake_circuit", "squares", &r1cs));
            let mut prover = None;
            native_keys.push(one_thread.install(|| {
                counted(|| {
                    let compiled = Compiled::read(&r1cs).expect("a circuit");
                    prover = Some(Prover::<EqAffine>::new(&params, compiled).expect("keys"));
                })
            }));
            let prover = prover.expect("made");
            wasm.push(counted(|| drop(live.call("prove", "squares", &wtns))));
            native.push(one_thread.install(|| {
                counted(|| {
                    let wires = prover.compiled().r1cs().header.wires;
                    let witness = Witness::read(&wtns, Prime::Pallas, wires).expect("a witness");
                    drop(prover.prove(&params, &witness, &[1; 32]).expect("a proof"));
                })
            }));
        }
        let seconds = |times: Vec<Duration>| median(times.iter().map(Duration::as_secs_f64).collect());
        let (wasm, native) = (seconds(wasm), seconds(native));
        let (wasm_keys, native_keys) = (seconds(wasm_keys), seconds(native_keys));
        println!("k = {k}: native {native:.3} s, guest {library} {wasm:.3} s, {:.2}", wasm / native);
        record(&format!("scaling_{k}_prove_{library}"), wasm);
        record(&format!("scaling_{k}_keys_{library}"), wasm_keys);
        if library == "now" {
            record(&format!("scaling_{k}_prove_native"), native);
            record(&format!("scaling_{k}_keys_native"), native_keys);
            record(&format!("scaling_{k}_cosets_native"), cosets(k));
        }
    }
}
