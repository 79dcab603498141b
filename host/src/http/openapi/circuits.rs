//! The operations on circuits, their changes and generations.
//!
//! Invariant: an operation here has the types that `http::circuits`, `changes` and `generations` answer with.

use super::{
    errors::{ACTIVATION, CANCELLATION, CHANGE, CHANGING, IMAGE, REGISTRY, REMOVAL, UPLOAD},
    operation::{Described, Op},
};
use crate::http::{
    changes::{ChangeView, Changes},
    circuits::{How, Unchanged},
    generations::{Activated, Generations},
    listing::Circuits,
    selection::Which,
};
use axum::http::Method;
use serde_json::{Value, json};
use utoipa::openapi::{
    Content, ContentBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type, schema::AdditionalProperties,
};

const TAG: &str = "circuits";
const NAME: &str = "The name of the circuit.";
const DIGEST: &str = "8d3c2a1b90f4e5d6c7b8a99887766554433221100ffeeddccbbaa99887766554";

pub(super) fn operations() -> Vec<Described> {
    vec![list(), add(), remove(), changes(), change(), cancel(), change_events(), generations(), activate()]
}

fn change_example() -> Value {
    json!({
        "id": 4,
        "image": "plonk",
        "change": { "add": { "name": "x5chain", "entry": { "circuit": DIGEST, "files": { "r1cs": DIGEST } } } },
        "state": "waiting",
        "percent": 0
    })
}

fn list() -> Described {
    let example = json!({ "circuits": [{
        "name": "x5chain",
        "circuit": DIGEST,
        "vk_digest": DIGEST,
        "image": "plonk",
        "image_digest": DIGEST,
        "image_bytes": 12_582_912,
        "prime": "pallas",
        "k": 10,
        "constraints": 600,
        "wires": 602,
        "outputs": 1,
        "public_inputs": 0,
        "private_inputs": 1,
        "public": ["out"],
        "inputs": ["x"],
        "added": { "at": 1_795_000_000 }
    }] });
    Op::get("/v1/circuits", TAG, "list_circuits", "Lists the circuits of all images that the caller sees")
        .json::<Circuits>(200, "The circuits.", example)
        .fails(&[&["lost"]])
        .end()
}

/// The files of a circuit, one part each.
fn files() -> Content {
    let file = || {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .build()
    };
    let schema = ["r1cs", "zkey", "wasm", "vk", "sym"]
        .into_iter()
        .fold(ObjectBuilder::new().schema_type(Type::Object), |schema, part| schema.property(part, file()))
        .additional_properties(Some(AdditionalProperties::<utoipa::openapi::Schema>::FreeForm(false)));
    ContentBuilder::new().schema(Some(schema)).build()
}

fn add() -> Described {
    Op::new(Method::PUT, "/v1/circuits/{circuit}", TAG, "put_circuit", "Adds a circuit, or replaces it")
        .note(
            "The parts that an image takes depend on its proof system: `r1cs`, `wasm` and `sym` for plonk; `zkey`, \
             `wasm`, `vk`, `r1cs` and `sym` for groth16.",
        )
        .segment("circuit", Type::String, NAME)
        .query::<How>()
        .takes("multipart/form-data", "The files of the circuit, one part each.", files())
        .json::<Unchanged>(200, "Nothing has to change.", json!({ "state": "unchanged", "generation": 3 }))
        .json::<ChangeView>(202, "The change, which is on disk.", change_example())
        .header(202, "Location", "The path of the change.")
        .fails(&[REGISTRY, IMAGE, CHANGING, UPLOAD])
        .end()
}

fn remove() -> Described {
    Op::delete("/v1/circuits/{circuit}", TAG, "remove_circuit", "Removes a circuit")
        .segment("circuit", Type::String, NAME)
        .query::<Which>()
        .json::<ChangeView>(202, "The change, which is on disk.", change_example())
        .header(202, "Location", "The path of the change.")
        .fails(&[REGISTRY, IMAGE, CHANGING, REMOVAL])
        .end()
}

fn changes() -> Described {
    Op::get("/v1/changes", TAG, "list_changes", "Lists the changes that wait, and the last 64 that ended")
        .query::<Which>()
        .json::<Changes>(200, "The changes.", json!({ "changes": [change_example()] }))
        .fails(&[REGISTRY, IMAGE])
        .end()
}

fn change() -> Described {
    Op::get("/v1/changes/{id}", TAG, "show_change", "Returns a change")
        .segment("id", Type::Integer, "The number of the change.")
        .query::<Which>()
        .json::<ChangeView>(200, "The change.", change_example())
        .fails(&[REGISTRY, IMAGE, CHANGE])
        .end()
}

fn cancel() -> Described {
    Op::delete("/v1/changes/{id}", TAG, "cancel_change", "Cancels a change that waits or is being baked")
        .segment("id", Type::Integer, "The number of the change.")
        .query::<Which>()
        .json::<ChangeView>(200, "The change.", change_example())
        .fails(&[REGISTRY, IMAGE, CHANGING, CHANGE, CANCELLATION])
        .end()
}

fn change_events() -> Described {
    let example = format!("event: change\ndata: {}\n\n", change_example());
    Op::get("/v1/changes/{id}/events", TAG, "change_events", "Follows a change until it ends")
        .segment("id", Type::Integer, "The number of the change.")
        .query::<Which>()
        .events("Events named `change`, each with the change as JSON.", &example)
        .fails(&[REGISTRY, IMAGE, CHANGE])
        .end()
}

fn generations() -> Described {
    let example = json!({ "image": "plonk", "active": 3, "generations": [{
        "id": 3,
        "image": DIGEST,
        "created": 1_795_000_000,
        "circuits": { "x5chain": { "circuit": DIGEST, "files": { "r1cs": DIGEST } } },
        "disk_bytes": 25_165_824
    }] });
    Op::get("/v1/generations", TAG, "list_generations", "Lists the generations that are kept")
        .query::<Which>()
        .json::<Generations>(200, "The generations.", example)
        .fails(&[REGISTRY, IMAGE])
        .end()
}

fn activate() -> Described {
    Op::post("/v1/generations/{id}/activate", TAG, "activate_generation", "Serves a generation that is kept")
        .segment("id", Type::Integer, "The number of the generation.")
        .query::<Which>()
        .json::<Activated>(200, "It is served.", json!({ "active": 2 }))
        .fails(&[REGISTRY, IMAGE, CHANGING, ACTIVATION])
        .end()
}
