//! What is fuzzed: every parser of what comes from outside, with what has to hold of whatever it takes.
//!
//! Shared by the fuzz targets and by the bounded run in `tests/parsers.rs`.

use halo2_proofs::pasta::{Fp, Fq};
use snapback_guest_plonk::{KeyFile, Prime, ProofFile, identify, r1cs::Header, sym::Names, wtns::Witness};
use snapback_host::{circuits::ProofJson, witness::inputs};

/// A circuit: what is read is arithmetised, and has one identity.
pub fn r1cs(bytes: &[u8]) {
    if let Ok(digest) = identify(bytes) {
        assert!(Header::read(bytes).is_ok());
        assert_eq!(identify(bytes), Ok(digest));
    }
}

/// A witness, of a circuit with few wires and of one with as many as the file claims.
pub fn wtns(bytes: &[u8]) {
    for wires in [4, u32::MAX, u32::try_from(bytes.len() / 32).unwrap_or(u32::MAX)] {
        let read = [
            Witness::<Fp>::read(bytes, Prime::Pallas, wires).map(drop),
            Witness::<Fq>::read(bytes, Prime::Vesta, wires).map(drop),
        ];
        // An error names no value; its length says so.
        for error in read.into_iter().filter_map(Result::err) {
            assert!(error.to_string().len() < 512);
        }
    }
}

/// Names of signals.
pub fn sym(bytes: &[u8]) {
    if let Ok(names) = Names::read(bytes, 1 << 20) {
        assert!((0..64).filter_map(|wire| names.of(wire)).all(|name| !name.is_empty()));
    }
}

/// Inputs as JSON.
pub fn inputs(bytes: &[u8]) {
    for prime in Prime::ALL {
        if let Ok(inputs) = inputs::read(bytes, prime, 1 << 16) {
            assert!(inputs.values().map(|values| values.len()).sum::<usize>() <= bytes.len());
        }
    }
}

/// A proof in both forms.
pub fn proof(bytes: &[u8]) {
    if let Ok(file) = ProofFile::decode(bytes) {
        assert_eq!(file.encode(), bytes);
    }
    if let Ok(file) = ProofJson::read(bytes) {
        assert!(ProofFile::decode(&file).is_ok());
    }
}

/// A verifying key.
pub fn key(bytes: &[u8]) {
    // Reading computes nothing: preparing would.
    let _ = KeyFile::read(bytes);
}
