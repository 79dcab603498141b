//! A bounded run of the fuzz targets, on files of every format in which bytes are changed, cut or repeated and lengths
//! are wrong. No parser panics, and no parser allocates more than a multiple of its input.

#[path = "fuzz/targets.rs"]
#[expect(unreachable_pub, reason = "it is the library of the fuzz targets")]
mod targets;

mod harness;

use cap::Cap;
use harness::{run_ok, snapback, state_with};
use proptest::{prelude::*, sample::Index, test_runner::TestRunner};
use snapback_abi::{
    circuits::{self, Circuit},
    input::Piece,
    options,
    request::Request,
};
use snapback_guest_groth16 as groth16;
use snapback_host::circuits::parse_catalogue;
use snapback_snapshot::{
    Digest,
    manifest::Manifest,
    proof_systems::{ProofSystem, groth16::Groth16, plonk::Plonk},
};
use std::{alloc::System, fs};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Memory that a parser may use beside a multiple of its input, in bytes.
const BYTES_MAX: usize = 1 << 20;
const MULTIPLE_MAX: usize = 64;
/// The same multiple for pages: a tag of three bytes is a node in several trees.
const PAGE_MULTIPLE_MAX: usize = 1 << 10;

/// One change of a file.
#[derive(Clone, Debug)]
enum Change {
    Byte(Index, u8),
    /// Replaces four bytes, which may be a length, with this number.
    Word(Index, u32),
    Cut(Index),
    Repeat(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let words = prop::sample::select(vec![0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX]);
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (any::<Index>(), words).prop_map(|(at, word)| Change::Word(at, word)),
        any::<Index>().prop_map(Change::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Repeat(from, to)),
    ]
}

fn changed(mut file: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if file.is_empty() {
            break;
        }
        match change {
            Change::Byte(at, byte) => {
                let at = at.index(file.len());
                file[at] = *byte;
            }
            Change::Word(at, word) => {
                let at = at.index(file.len());
                let end = file.len().min(at + 4);
                file[at..end].copy_from_slice(&word.to_le_bytes()[..end - at]);
            }
            Change::Cut(at) => file.truncate(at.index(file.len())),
            Change::Repeat(from, to) => {
                let (from, to) = (from.index(file.len()), to.index(file.len()));
                let piece = file[from.min(to)..from.max(to)].to_vec();
                file.extend_from_slice(&piece[..piece.len().min(4096)]);
            }
        }
    }
    file
}

/// Runs a target on many changed files. The process aborts if the target uses more memory than the limits above allow.
fn survives(target: fn(&[u8]), seeds: &[Vec<u8>], cases: u32) {
    survives_within(MULTIPLE_MAX, target, seeds, cases);
}

fn survives_within(multiple_max: usize, target: fn(&[u8]), seeds: &[Vec<u8>], cases: u32) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let strategy = (any::<Index>(), prop::collection::vec(change(), 0..6));
    let run = TestRunner::new(config).run(&strategy, |(seed, changes)| {
        let file = changed(seeds[seed.index(seeds.len())].clone(), &changes);
        let most = ALLOCATOR.allocated() + BYTES_MAX + multiple_max * file.len();
        ALLOCATOR.set_limit(most).expect("a limit above the allocated bytes");
        target(&file);
        ALLOCATOR.set_limit(usize::MAX).expect("no limit");
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
}

fn trial() -> (Vec<u8>, Vec<u8>) {
    snapback_guest_plonk::trial::<halo2_proofs::pasta::EqAffine>()
}

fn proof_file() -> Vec<u8> {
    let publics = vec![[3; 32], [4; 32]];
    snapback_guest_plonk::ProofFile { circuit: [7; 32], publics, proof: &[9; 100] }.encode()
}

/// One of everything that host and guest send each other.
fn abi_files() -> Vec<Vec<u8>> {
    let circuit = Circuit { name: "x5chain", vk_digest: [8; 32] };
    let piece = Piece { offset: 4, total: 16, bytes: b"a piece" };
    let methods = b"sum\tapplication/json\ttext/plain\nprove\tapplication/json\tapplication/json\n";
    vec![
        [Request::header(&[9; 32], "x5chain").as_slice(), b"body"].concat(),
        piece.encode(),
        circuits::encode(&[circuit, Circuit { name: "merkle20", ..circuit }]),
        b"\0a reply".to_vec(),
        methods.to_vec(),
    ]
}

/// The beginning of an image, with its manifest.
fn image_head() -> Vec<u8> {
    let digest = run_ok(snapback().args(["bake", "fixtures", "--state-dir"]).arg(state_with("fixtures")));
    let path = state_with("fixtures").join("images").join(format!("{}.wasm", digest.trim()));
    let mut image = fs::read(path).expect("it was baked");
    assert!(Manifest::read(image.as_slice()).is_ok());
    image.truncate(16 << 10);
    image
}

/// A catalogue with a generation, a circuit and a change of each state.
fn catalogue_file() -> Vec<u8> {
    let [a, b] = ["a", "b"].map(|digit| digit.repeat(64));
    let entry = format!(r#"{{"circuit":"{b}","files":{{"r1cs":"{a}"}}}}"#);
    let generation =
        format!(r#"{{"id":1,"image":"{a}","created":1700000000,"circuits":{{"x5chain":{entry}}}}}"#);
    let change = |id, state| {
        format!(
            r#"{{"id":{id},"kind":{{"add":{{"name":"c","entry":{entry}}}}},"sender":"::1","bytes":7,"state":{state}}}"#
        )
    };
    let states = [
        r#"{"state":"waiting"}"#,
        r#"{"state":"done","generation":1}"#,
        r#"{"state":"failed","reason":"r"}"#,
    ];
    let changes: Vec<String> = (1..).zip(states).map(|(id, state)| change(id, state)).collect();
    let changes = changes.join(",");
    let catalogue = format!(
        r#"{{"format_version":3,"from":"{a}","active":1,"next_generation":2,"next_change":4,"generations":[{generation}],"baked":["{b}"],"changes":[{changes}]}}"#
    );
    let file = format!(r#"{{"sha256":"{}","catalogue":{catalogue}}}"#, Digest::of(catalogue.as_bytes()));
    parse_catalogue(file.as_bytes()).expect("a valid catalogue");
    file.into_bytes()
}

/// An upload of both files of a circuit, in the form in which clients send it.
fn upload_body() -> Vec<u8> {
    let part = |kind: &str, file: &str| {
        format!(
            "--x\r\nContent-Disposition: form-data; name=\"{kind}\"; filename=\"{kind}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n{file}\r\n"
        )
    };
    [part("r1cs", "r1cs\x01"), part("wasm", "\0asm"), "--x--\r\n".to_owned()].concat().into_bytes()
}

/// A verifying key, and a proof in both forms.
fn snarkjs_files() -> Vec<Vec<u8>> {
    let key = groth16::KeyReader::read(groth16::trial::ZKEY).expect("a key");
    let mut roots = groth16::Roots::new();
    roots.extend(key.header().log_domain);
    let proof = key.prove(&roots, groth16::trial::WITNESS, &[1; 32]).expect("a proof").encode();
    let json = serde_json::to_vec(&Groth16.proof_to_json(&proof).expect("a proof")).expect("JSON");
    vec![key.verifying_key().to_json().into_bytes(), json, proof]
}

/// A page, alone and after options.
fn pages() -> Vec<Vec<u8>> {
    let page = include_bytes!("../guest/extract/src/sample.html");
    let options = options::encode(br#"{"url":"https://example.org/","content":"page"}"#);
    vec![page.to_vec(), [&options, page.as_slice()].concat()]
}

/// One test runs the parsers one after another, because they share the allocator and its limit.
#[test]
fn no_parser_panics_or_uses_more_than_a_multiple_of_its_input() {
    let (r1cs, wtns) = trial();
    survives(targets::r1cs, std::slice::from_ref(&r1cs), 20_000);
    survives(targets::wtns, &[wtns], 20_000);
    survives(targets::sym, &[b"1,1,0,main.out\n2,-1,0,main.x[3]\n3,2,1,main.c.k\n".to_vec()], 20_000);
    let inputs = [
        br#"{"inputs": {"x": "7", "k": [1, -2, ["0xff", true]]}}"#.to_vec(),
        br#"{"inputs": {"leaf": "28948022309329048855892746252171976963363056481941560715954676764349967630337"}}"#
            .to_vec(),
        [b"{\"inputs\": {\"x\": ".as_slice(), &[b'['; 2000]].concat(),
    ];
    survives(targets::inputs, &inputs, 20_000);
    let json = serde_json::to_vec(&Plonk.proof_to_json(&proof_file()).expect("a proof"));
    survives(targets::proof, &[proof_file(), json.expect("JSON")], 20_000);
    survives(targets::abi, &abi_files(), 20_000);
    survives(targets::image, &[image_head()], 20_000);
    survives(targets::catalogue, &[catalogue_file()], 20_000);
    survives(targets::upload, &[upload_body()], 20_000);
    survives(targets::record, &[[b'a'; 64].to_vec(), [&[b'0'; 64], b"\n".as_slice()].concat()], 20_000);
    let key = [b"sbvk\x01\0\0\0".as_slice(), &[7; 32], &r1cs].concat();
    survives(targets::key, &[key], 20_000);
    survives(targets::zkey, &[groth16::trial::ZKEY.to_vec()], 5_000);
    survives(targets::snarkjs, &snarkjs_files(), 20_000);
    survives_within(PAGE_MULTIPLE_MAX, targets::page, &pages(), 2_000);
}
