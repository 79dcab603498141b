//! Public circuits, as their authors wrote them, all in one image: each is added, proven from its inputs, verified by
//! halo2's own verifier, and removed; a wrong witness is refused. `tests/fixtures/corpus/build.sh` builds them.

mod harness;

use halo2_proofs::{
    pasta::{EpAffine, EqAffine},
    poly::commitment::Params,
};
use harness::{
    Server,
    circuits::{done, own_state, put, serve},
    until,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use snapback_circom::{Prime, r1cs::Header};
use snapback_guest_plonk::{Compiled, Side, Verifier};
use snapback_host::witness::{Calculator, CalculatorLimits};
use snapback_snapshot::{
    engine,
    proof_systems::{CircuitFiles, FileKind, ProofSystem, WitnessShape, plonk::Plonk},
};
use std::{collections::BTreeMap, fs, path::Path, time::Duration};
use wasmtime::{Engine, Module};

/// A circuit of the corpus.
struct Circuit {
    name: String,
    r1cs: Vec<u8>,
    wasm: Vec<u8>,
    input: Value,
}

impl Circuit {
    fn all() -> Vec<Self> {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/corpus");
        let mut circuits: Vec<Self> = fs::read_dir(corpus)
            .expect("the corpus")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.is_dir())
            .map(|path| {
                let name = path.file_name().expect("a name").to_str().expect("plain text").to_owned();
                let file = |name: String| {
                    fs::read(path.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"))
                };
                Self {
                    r1cs: file(format!("{name}.r1cs")),
                    wasm: file(format!("{name}.wasm")),
                    input: serde_json::from_slice(&file("input.json".into())).expect("JSON"),
                    name,
                }
            })
            .collect();
        circuits.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(circuits.len() >= 15, "{}", circuits.len());
        circuits
    }

    fn path(&self, what: &str) -> String {
        format!("/v1/circuits/{}{what}", self.name)
    }

    fn add(&self, server: &Server) -> harness::Answer {
        let parts: [(&str, &[u8]); 2] = [("r1cs", &self.r1cs), ("wasm", &self.wasm)];
        put(server, &self.path(""), &parts)
    }

    /// The witness of the inputs, with the value of its first public signal changed.
    fn forged(&self, engine: &Engine) -> Vec<u8> {
        let mut files = CircuitFiles::default();
        files.insert(FileKind::R1CS, self.r1cs.clone());
        let module = Module::new(engine, &self.wasm).expect("a module");
        let shape = WitnessShape::of_r1cs(&files).expect("a circuit");
        let limits = CalculatorLimits { deadline: Duration::from_hours(1), memory_bytes_max: 1 << 28 };
        let calculator = Calculator::new(&module, shape, limits).expect("a calculator");
        let mut witness = calculator.run(self.input.to_string().as_bytes()).expect("a witness").to_vec();
        let wires = Header::read(&self.r1cs).expect("a circuit").wires as usize;
        let first_public = witness.len() - 32 * (wires - 1);
        witness[first_public] ^= 1;
        witness
    }
}

/// The reference strings of one side of the cycle.
struct Natively<C: Side>(BTreeMap<u32, Params<C>>);

impl<C: Side> Natively<C> {
    fn verify(&mut self, r1cs: &[u8], proof: &[u8]) {
        let compiled = Compiled::<C::ScalarExt>::read(r1cs).expect("a circuit");
        let params = self.0.entry(compiled.k()).or_insert_with_key(|k| Params::new(*k));
        let verifier = Verifier::new(params, compiled).expect("a key");
        verifier.verify_file(params, proof).expect("halo2's own verifier accepts the proof");
    }
}

#[test]
fn public_circuits_are_proven_in_one_image_and_survive_a_kill() {
    let circuits = Circuit::all();
    let state = own_state();
    let server = serve(state.path(), &[]);
    for circuit in &circuits {
        let accepted = circuit.add(&server);
        assert_eq!(accepted.status, 202, "{}: {}", circuit.name, accepted.text());
    }
    // Each change that was accepted is on disk, whatever the baker had done by then.
    server.signal(Signal::KILL);
    server.wait();
    let server = serve(state.path(), &[]);
    let served = |server: &Server| {
        let list = server.get("/v1/circuits").json();
        let names = list["circuits"].as_array().expect("circuits").iter().map(|circuit| &circuit["name"]);
        names.map(|name| name.as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    until("every circuit is served", || {
        let served = served(&server);
        circuits.iter().all(|circuit| served.contains(&circuit.name))
    });

    let engine = engine(1).expect("an engine");
    let (mut pallas, mut vesta) =
        (Natively::<EqAffine>(BTreeMap::new()), Natively::<EpAffine>(BTreeMap::new()));
    for circuit in &circuits {
        let name = &circuit.name;
        // The file as circom's tools take it, without anything around it.
        let proven = server.post_json(&circuit.path("/prove"), circuit.input.to_string().as_bytes());
        assert_eq!(proven.status, 200, "{name}: {}", proven.text());
        let json = serde_json::to_vec(&proven.json()).expect("JSON");
        assert_eq!(server.post_json(&circuit.path("/verify"), &json).json()["valid"], true, "{name}");
        let proof = Plonk.proof_from_json(&json, usize::MAX).expect("a proof");
        match Header::read(&circuit.r1cs).expect("a circuit").prime {
            Prime::Pallas => pallas.verify(&circuit.r1cs, &proof),
            Prime::Vesta => vesta.verify(&circuit.r1cs, &proof),
            other => panic!("{name} is over {other}"),
        }
        server.post(&circuit.path("/prove"), &circuit.forged(&engine)).error(422, "refuted");
    }

    let removals: Vec<_> = circuits.iter().map(|circuit| server.delete(&circuit.path(""))).collect();
    for removal in &removals {
        done(&server, removal);
    }
    let served = served(&server);
    assert!(circuits.iter().all(|circuit| !served.contains(&circuit.name)), "{served:?}");
}

/// A developer sees every component in which the assertion is nested, and what the circuit takes although nothing uses
/// it.
#[test]
fn a_failed_assertion_is_traced_to_the_main_component() {
    let state = own_state();
    let server = serve(state.path(), &[]);
    let circuit =
        Circuit::all().into_iter().find(|circuit| circuit.name == "nested_assertion").expect("it is there");
    let sym = harness::fixture("corpus/nested_assertion/nested_assertion.sym");
    let parts: [(&str, &[u8]); 3] = [("r1cs", &circuit.r1cs), ("wasm", &circuit.wasm), ("sym", &sym)];
    done(&server, &put(&server, &circuit.path(""), &parts));
    let prove = |inputs: &Value| server.post_json(&circuit.path("/prove"), inputs.to_string().as_bytes());

    let refused = prove(&json!({ "x": 3, "unused": [1, 2, 3, 4, 10], "factor": 4 })).error(422, "refuted");
    let lines: Vec<&str> = refused.lines().map(str::trim).collect();
    assert_eq!(lines.len(), 3, "{refused}");
    for (line, template) in lines.iter().zip(["Below_0", "Pair_1", "Main_2"]) {
        assert!(line.contains(&format!("Error in template {template} line: ")), "{refused}");
    }
    let missing = prove(&json!({ "x": 3, "factor": 4 })).error(400, "bad_inputs");
    assert!(missing.contains("missing: `unused`"), "{missing}");
}
