//! Every parser of untrusted bytes, with the properties that its results must have.
//!
//! The fuzz targets and the bounded run in `tests/parsers.rs` share this file.

use halo2_proofs::pasta::{Fp, Fq};
use snapback_abi::{circuits, input::Piece, methods, reply, request::Request};
use snapback_circom::{Prime, r1cs::Header, sym::Names, wtns::Witness};
use snapback_guest_extract::{
    envelope::{Content, Document},
    extract,
};
use snapback_guest_groth16::{self as groth16, KeyReader};
use snapback_guest_plonk::{KeyFile, Outline, ProofFile};
use snapback_host::{
    circuits::{parse_catalogue, write_catalogue},
    http::parse_upload,
    witness::inputs,
};
use snapback_snapshot::{
    Dir,
    manifest::Manifest,
    parse_record,
    proof_systems::{CircuitFiles, FileKind, ProofSystem, groth16::Groth16, plonk::Plonk},
};
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

/// Reads a circuit. A circuit that can be arithmetised has a valid header and one identity.
pub fn r1cs(bytes: &[u8]) {
    if let Ok(digest) = Outline::read(bytes) {
        assert!(Header::read(bytes).is_ok());
        assert_eq!(Outline::read(bytes), Ok(digest));
    }
}

/// Reads a witness: for a circuit with few wires, with the most wires, and with as many as the file has room for.
pub fn wtns(bytes: &[u8]) {
    for wires in [4, u32::MAX, u32::try_from(bytes.len() / 32).unwrap_or(u32::MAX)] {
        let read = [
            Witness::<Fp>::read(bytes, Prime::Pallas, wires).map(drop),
            Witness::<Fq>::read(bytes, Prime::Vesta, wires).map(drop),
        ];
        // An error holds no values, so it is short.
        for error in read.into_iter().filter_map(Result::err) {
            assert!(error.to_string().len() < 512);
        }
    }
}

/// Reads names of signals. No name is empty.
pub fn sym(bytes: &[u8]) {
    if let Ok(names) = Names::read(bytes, 1 << 20) {
        assert!((0..64).filter_map(|wire| names.of(wire)).all(|name| !name.is_empty()));
    }
}

/// Reads inputs as JSON. There are no more values than bytes.
pub fn inputs(bytes: &[u8]) {
    for prime in Prime::ALL {
        if let Ok(inputs) = inputs::read(bytes, prime, 1 << 16) {
            assert!(inputs.values().map(|values| values.len()).sum::<usize>() <= bytes.len());
        }
    }
}

/// Reads a proof in both forms. Encoding a decoded file gives the same bytes, and a proof from JSON gives a valid file.
pub fn proof(bytes: &[u8]) {
    if let Ok(file) = ProofFile::decode(bytes) {
        assert_eq!(file.encode(), bytes);
    }
    if let Ok(file) = Plonk.proof_from_json(bytes, 1 << 20) {
        assert!(ProofFile::decode(&file).is_ok());
    }
}

/// Reads a proving key of snarkjs as a whole and in pieces, and describes its circuit. A key that proves has a consistent
/// description.
pub fn zkey(bytes: &[u8]) {
    let mut reader = KeyReader::new(bytes.len() as u64);
    let fed = bytes.chunks(61).try_for_each(|piece| reader.feed(piece));
    let in_pieces = fed.and_then(|()| reader.finish());
    let whole = KeyReader::read(bytes);
    assert_eq!(whole.is_ok(), in_pieces.is_ok());
    let outline = groth16::Outline::read(bytes);
    if let (Ok(key), Ok(outline)) = (&whole, &outline) {
        assert_eq!(outline.verifying_key, *key.verifying_key());
    }
    let mut files = CircuitFiles::default();
    files.insert(FileKind::new("zkey"), bytes.to_vec());
    assert_eq!(Groth16.describe(&files).is_ok(), outline.is_ok());
}

/// Reads keys, proofs and public signals as snarkjs writes them. A proof that was read gives the same proof again.
pub fn snarkjs(bytes: &[u8]) {
    if let Ok(file) = Groth16.proof_from_json(bytes, 1 << 16) {
        assert!(file.len() <= 1 << 16);
        let json = Groth16.proof_to_json(&file).expect("it was read");
        let text = serde_json::to_vec(&json).expect("it has string keys only");
        assert_eq!(Groth16.proof_from_json(&text, 1 << 16), Ok(file));
    }
    if let Ok(file) = groth16::ProofFile::decode(bytes) {
        assert_eq!(file.encode(), bytes);
    }
    assert!(!Groth16.reads_key(bytes) || bytes.contains(&b'{'));
}

/// Reads a verifying key.
pub fn key(bytes: &[u8]) {
    // Only the reading is fuzzed: it computes nothing, while preparing the key for use would.
    let _ = KeyFile::read(bytes);
}

/// Reads what host and guest send each other. What can be written again is the same bytes.
pub fn abi(bytes: &[u8]) {
    if let Ok(request) = Request::decode(bytes) {
        assert_eq!([&Request::header(request.entropy, request.circuit), request.body].concat(), bytes);
    }
    if let Ok(piece) = Piece::decode(bytes) {
        assert_eq!(piece.encode(), bytes);
        assert!(piece.offset + piece.bytes.len() as u64 <= piece.total);
    }
    if let Ok(circuits) = circuits::decode(bytes) {
        assert!(circuits.iter().all(|circuit| circuits::is_name(circuit.name)));
        assert_eq!(circuits::encode(&circuits), bytes);
    }
    if let Ok((_, body)) = reply::decode(bytes) {
        assert!(bytes.ends_with(body));
    }
    for method in methods::decode(bytes).flatten() {
        assert!(methods::is_media_type(method.reply));
    }
}

/// Reads the manifest of an image, and takes it off.
pub fn image(bytes: &[u8]) {
    if let (Ok(_), Ok(module)) = (Manifest::read(bytes), Manifest::strip(bytes)) {
        assert!(module.len() < bytes.len());
    }
}

/// Reads a catalogue. A catalogue that was read is the same once it was written and read again.
pub fn catalogue(bytes: &[u8]) {
    if let Ok(catalogue) = parse_catalogue(bytes) {
        assert_eq!(parse_catalogue(&write_catalogue(&catalogue)), Ok(catalogue));
    }
}

/// Reads an upload of a circuit, whose boundary is the letter `x`. The files are no longer than the body, and no longer
/// than the limit.
pub fn upload(bytes: &[u8]) {
    const BYTES_MAX: usize = 1 << 10;
    static DIR: LazyLock<(TempDir, Arc<Dir>)> = LazyLock::new(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let opened = Dir::open(dir.path()).expect("it is there");
        (dir, Arc::new(opened))
    });
    let dir = &DIR.1;
    if let Ok(upload) = parse_upload(bytes, "x", Plonk.files(), BYTES_MAX as u64, dir) {
        let len: usize = upload.files().iter().map(|(_, file)| file.len()).sum();
        assert!(len <= bytes.len().min(BYTES_MAX));
    }
    assert!(dir.names().expect("a list").is_empty());
}

/// Reads the record of a bake, which is a digest in hexadecimal digits and nothing else but white space around it.
pub fn record(bytes: &[u8]) {
    if let Some(digest) = parse_record(bytes) {
        let text = std::str::from_utf8(bytes).expect("digits");
        assert!(text.trim().eq_ignore_ascii_case(&digest.to_string()));
    }
}

/// Reads a page as a call does, options included. The same page gives the same reply again.
pub fn page(bytes: &[u8]) {
    let Ok(document) = Document::decode(bytes) else { return };
    let text = extract::text(&document);
    assert_eq!(text, extract::text(&document));
    if let Ok(reply) = extract::extract(&document)
        && document.content != Some(Content::Page)
    {
        assert_eq!(text.as_deref(), Ok(&*reply.text));
    }
    let _ = extract::markdown(&document);
    let _ = extract::links_of(&document);
}
