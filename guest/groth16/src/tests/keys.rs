//! Keys, witnesses and proofs are those of snarkjs, and what is none of them is refused.

use super::{
    arithmetic::outside,
    combinations::{beside_the_subgroup, of_small_order},
};
use crate::{
    Error, KeyReader, Outline, ProofFile, ProvingKey, Roots,
    field::bytes,
    groups::{First, Group, Second},
    header::HEADER_BYTES,
    point::Point,
    trial,
};
use proptest::prelude::*;
use std::{fs, path::Path};

fn fixture(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/circom/merkle20");
    fs::read(dir.join(name)).expect("the fixture is there")
}

fn roots(key: &ProvingKey) -> Roots {
    let mut roots = Roots::new();
    roots.extend(key.header().log_domain);
    roots
}

#[test]
fn a_real_circuit_is_proven_and_its_verifying_key_is_the_one_of_snarkjs() {
    let (zkey, witness) = (fixture("merkle20.zkey"), fixture("witness.wtns"));
    let key = KeyReader::read(&zkey).expect("a key");
    let expected = String::from_utf8(fixture("verification_key.json")).expect("JSON is text");
    assert_eq!(key.verifying_key().to_json(), expected.trim_end());

    let roots = roots(&key);
    let proof = key.prove(&roots, &witness, &[7; 32]).expect("the witness satisfies the circuit");
    assert_eq!(key.verify(&proof), Ok(()));
    assert_eq!(ProofFile::decode(&proof.encode()), Ok(proof.clone()));
    assert_eq!(key.prove(&roots, &witness, &[7; 32]).expect("again"), proof, "entropy decides");
    assert_ne!(key.prove(&roots, &witness, &[8; 32]).expect("again").proof, proof.proof);

    let mut other = proof.clone();
    other.publics[0][0] ^= 1;
    assert_eq!(key.verify(&other), Err(Error::Refuted));
    let mut wrong = witness;
    let last = wrong.len() - 32;
    wrong[last] ^= 1;
    assert_eq!(key.prove(&roots, &wrong, &[7; 32]), Err(Error::Unsatisfied));
    let outline = Outline::read(&zkey).expect("a key");
    assert_eq!(outline.check(), Ok(()));
    assert_eq!((outline.constraints, outline.header.publics), (10815, 2));
    assert_eq!(outline.verifying_key, *key.verifying_key());
}

#[test]
fn a_key_can_come_in_pieces_of_any_length() {
    let whole = KeyReader::read(trial::ZKEY).expect("a key");
    let proof = whole.prove(&roots(&whole), trial::WITNESS, &[1; 32]).expect("a proof");
    for len in [1, 2, 3, 11, 12, 13, 63, 64, 65, 700, 4096] {
        let mut reader = KeyReader::new(trial::ZKEY.len() as u64);
        trial::ZKEY.chunks(len).for_each(|piece| reader.feed(piece).expect("a piece"));
        let key = reader.finish().expect("a key");
        assert_eq!(key.prove(&roots(&key), trial::WITNESS, &[1; 32]).expect("a proof"), proof);
    }
}

/// The numbers and contents of sections.
type Sections = Vec<(u32, Vec<u8>)>;

/// The sections of the trial's key, which tests put together in other ways.
fn sections() -> Sections {
    sections_of(trial::ZKEY)
}

fn sections_of(zkey: &[u8]) -> Sections {
    let mut rest = &zkey[12..];
    let mut sections = Vec::new();
    while let [a, b, c, d, len @ ..] = rest {
        let (len, bytes) = len.split_first_chunk().expect("a length");
        let len = usize::try_from(u64::from_le_bytes(*len)).expect("small");
        let (section, others) = bytes.split_at(len);
        sections.push((u32::from_le_bytes([*a, *b, *c, *d]), section.to_vec()));
        rest = others;
    }
    sections
}

fn file(sections: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = b"zkey\x01\0\0\0".to_vec();
    file.extend_from_slice(&u32::try_from(sections.len()).expect("few").to_le_bytes());
    for (number, bytes) in sections {
        file.extend_from_slice(&number.to_le_bytes());
        file.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        file.extend_from_slice(bytes);
    }
    file
}

/// Returns the reason why the trial's key is refused after a change of its sections.
fn refusal(change: impl FnOnce(&mut Sections)) -> String {
    let mut changed = sections();
    change(&mut changed);
    KeyReader::read(&file(&changed)).err().expect("it is refused").to_string()
}

fn section(sections: &mut [(u32, Vec<u8>)], number: u32) -> &mut Vec<u8> {
    let found = sections.iter_mut().find(|(found, _)| *found == number);
    &mut found.expect("the key has it").1
}

#[test]
fn sections_come_in_any_order_and_unknown_ones_are_passed_over() {
    let mut changed = sections();
    changed.reverse();
    changed.insert(3, (77, vec![1; 10_000]));
    assert!(KeyReader::read(&file(&changed)).is_ok());
}

#[test]
fn hostile_keys_are_refused_by_name() {
    let has = |reason: String, part: &str| assert!(reason.contains(part), "{reason}");
    has(refusal(|all| section(all, 1)[0] = 2), "for PLONK");
    has(refusal(|all| section(all, 1)[0] = 10), "for FFLONK");
    let fflonk: Sections = (1..=17).map(|number| (number, vec![10, 0, 0, 0])).collect();
    has(Outline::read(&file(&fflonk)).err().expect("it is refused").to_string(), "for FFLONK");
    has(refusal(|all| section(all, 1)[0] = 9), "unknown protocol, number 9");
    has(refusal(|all| section(all, 2)[4] ^= 1), "over another curve");
    has(refusal(|all| section(all, 2).push(0)), "661 bytes, not 660");
    has(refusal(|all| section(all, 2)[80] = 3), "a domain of 3");
    has(refusal(|all| section(all, 2)[72] = 0), "0 wires and");
    has(refusal(|all| section(all, 2)[84] ^= 1), "alpha1 is not on the curve");
    has(refusal(|all| section(all, 5)[..64].fill(0xff)), "point 0 of section 5");
    has(refusal(|all| section(all, 9)[64] ^= 1), "point 1 of section 9, the points H is not on the curve");
    has(refusal(|all| drop(section(all, 8).drain(..64))), "section 8, the points C has");
    has(refusal(|all| section(all, 3).push(0)), "does not end with a whole point");
    has(refusal(|all| section(all, 4)[0] ^= 1), "coefficients has another length");
    has(refusal(|all| section(all, 4)[4] = 2), "of a matrix other than A and B");
    has(refusal(|all| section(all, 4)[11] = 0x10), "of a constraint or a signal");
    has(refusal(|all| section(all, 4)[16..48].fill(0xff)), "not below the prime");
    has(refusal(|all| all.push((5, Vec::new()))), "section 5, the points A is there twice");
    has(refusal(|all| all.retain(|(number, _)| *number != 9)), "section 9, the points H is missing");
    let set = |all: &mut Sections, wire: usize, point: Point<Second>| {
        let Point { x, y } = point;
        let encoded = [x.re, x.im, y.re, y.im].into_iter().flat_map(|part| bytes(part.montgomery()));
        section(all, 7)[128 * wire..][..128].iter_mut().zip(encoded).for_each(|(to, byte)| *to = byte);
    };
    for point in [outside(), of_small_order(), beside_the_subgroup()] {
        let named = "point 2 of section 7, the points B in G2 is not in the subgroup";
        has(refusal(|all| set(all, 2, point)), named);
        let mut changed = sections();
        set(&mut changed, 2, point);
        let file = file(&changed);
        let refused = Outline::read(&file).and_then(|outline| outline.check()).expect_err("it is refused");
        has(refused.to_string(), "point 2 of the points B in G2 is not in the subgroup");
    }
    assert_eq!(section(&mut sections(), 2).len() as u64, HEADER_BYTES);
}

#[test]
fn keys_that_are_cut_or_lie_about_lengths_are_refused() {
    for len in 0..trial::ZKEY.len() {
        assert!(KeyReader::read(&trial::ZKEY[..len]).is_err(), "{len}");
    }
    let mut long = trial::ZKEY.to_vec();
    long.push(0);
    assert!(KeyReader::read(&long).is_err());
    let mut lies = trial::ZKEY.to_vec();
    // The length of the first section.
    lies[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(KeyReader::read(&lies).err().expect("refused").to_string().contains("longer than the rest"));
}

#[test]
fn headers_that_lie_about_sizes_take_no_memory_and_points_are_checked_before_they_are_paired() {
    let check = |change: &dyn Fn(&mut Sections)| {
        let mut changed = sections();
        change(&mut changed);
        let file = file(&changed);
        Outline::read(&file).and_then(|outline| outline.check()).expect_err("it is refused").to_string()
    };
    let has = |reason: String, part: &str| assert!(reason.contains(part), "{reason}");
    // The header has the number of wires at 72 and the size of the domain at 80.
    has(check(&|all| section(all, 2)[72..76].fill(0xff)), "does not have 4294967295 points");
    has(check(&|all| section(all, 2)[80..84].copy_from_slice(&(1u32 << 27).to_le_bytes())), "section 9");
    has(
        check(&|all| {
            let points = section(all, 7);
            points[..128].fill(0);
            points[..32].copy_from_slice(&bytes(crate::Fq::ONE.montgomery()));
        }),
        "point 0 of the points B in G2 is not on the curve",
    );
    has(check(&|all| section(all, 4)[8..12].fill(0xff)), "of a constraint");
    has(check(&|all| section(all, 4)[16..48].fill(0xff)), "not below the prime");
}

#[test]
fn keys_whose_points_are_of_different_ceremonies_are_not_consistent() {
    let check_of = |zkey: &[u8], change: &dyn Fn(&mut Sections)| {
        let mut changed = sections_of(zkey);
        change(&mut changed);
        let file = file(&changed);
        Outline::read(&file)
            .and_then(|outline| outline.check())
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    let check = |change: &dyn Fn(&mut Sections)| check_of(trial::ZKEY, change);
    assert_eq!(check(&|_| {}), "");
    let generator: Vec<u8> = {
        let Point { x, y } = First::generator();
        [x, y].iter().flat_map(|part| bytes(part.montgomery())).collect()
    };
    let has = |reason: String, part: &str| assert!(reason.contains(part), "{reason}");
    // The header: 84 bytes, then alpha1, beta1, beta2, gamma2, delta1.
    has(check(&|all| section(all, 2)[148..212].copy_from_slice(&generator)), "beta1 and beta2");
    has(check(&|all| section(all, 2)[468..532].copy_from_slice(&generator)), "delta1 and delta2");
    has(check(&|all| section(all, 6)[64..128].copy_from_slice(&generator)), "the points B in G1 and G2");
    // A circuit in which only one signal is a right side does not show it.
    let zkey = fixture("merkle20.zkey");
    let wrong = check_of(&zkey, &|all| section(all, 9)[..64].copy_from_slice(&generator));
    has(wrong, "the points H, the points B");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_change_of_a_byte_is_refused_or_gives_a_key(at in 0..trial::ZKEY.len(), byte: u8) {
        let mut changed = trial::ZKEY.to_vec();
        changed[at] = byte;
        let _ = KeyReader::read(&changed).map(|key| key.prove(&roots(&key), trial::WITNESS, &[1; 32]));
        let _ = Outline::read(&changed).and_then(|outline| outline.check());
    }

    #[test]
    fn any_bytes_are_a_proof_or_an_error(file: Vec<u8>) {
        if let Ok(proof) = ProofFile::decode(&file) {
            prop_assert_eq!(proof.encode(), file);
        }
    }
}
