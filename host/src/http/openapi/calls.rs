//! The operations that call guests.
//!
//! Invariant: an operation here has the types that `http::calls` answers with.

use super::{
    errors::{BODY, CALCULATOR, CALL, IMAGE, JOBS, SUBMISSION, WITNESS},
    jobs::job_example,
    operation::{BYTES, Described, JSON, Op, bytes, object},
    parameters,
};
use crate::http::{calls::Verified, job_view::JobView, listing::Methods, selection::Which};
use serde_json::{Value, json};
use utoipa::openapi::Type;

const TAG: &str = "calls";

pub(super) fn operations() -> Vec<Described> {
    vec![prove(), verify(), witness(), methods(), method()]
}

fn proof_example() -> Value {
    json!({
        "circuit": "8d3c2a1b90f4e5d6c7b8a99887766554433221100ffeeddccbbaa99887766554",
        "public": ["7", "5"],
        "proof": "cHJvb2Y=",
        "signals": { "out": "7", "k": "5" },
        "timings": { "witness_ms": 1.2, "proof_ms": 1320.5 }
    })
}

/// Adds what calls have that may become jobs.
fn may_be_job(op: Op) -> Op {
    let op = parameters::job().into_iter().fold(op, Op::parameter);
    op.json::<JobView>(202, "The job that the call became.", job_example())
        .header(202, "Location", "The path of the job.")
        .fails(&[IMAGE, BODY, CALL, JOBS, SUBMISSION])
}

fn prove() -> Described {
    let op = Op::post("/v1/circuits/{circuit}/prove", TAG, "prove", "Proves with a circuit")
        .note(
            "The body is a `.wtns` file or the inputs as JSON for circuits as data, and the guest's own format, such as \
             a PCZT, for others. The reply is JSON if inputs were sent, or `Accept` names `application/json`.",
        )
        .segment("circuit", Type::String, "The name of the circuit.")
        .query::<Which>()
        .takes(BYTES, "A witness, inputs, or the guest's own format.", bytes())
        .takes(JSON, "A witness, inputs, or the guest's own format.", object(json!({ "x": "3", "k": ["1", "2"] })))
        .replies(200, "The proof.", BYTES, bytes())
        .replies(200, "The proof.", JSON, object(proof_example()))
        .header(200, "server-timing", "How long the call ran on its lane, in milliseconds.");
    may_be_job(op).fails(&[CALCULATOR]).end()
}

fn verify() -> Described {
    let op = Op::post("/v1/circuits/{circuit}/verify", TAG, "verify", "Verifies a proof")
        .note("A proof that does not verify is answered with 422 `refuted`.")
        .segment("circuit", Type::String, "The name of the circuit.")
        .query::<Which>()
        .takes(BYTES, "The proof, as `prove` returned it.", bytes())
        .takes(JSON, "The proof, as `prove` returned it.", object(proof_example()))
        .json::<Verified>(200, "The proof verifies.", json!({ "valid": true }))
        .header(200, "server-timing", "How long the call ran on its lane, in milliseconds.");
    may_be_job(op).end()
}

fn witness() -> Described {
    Op::post("/v1/circuits/{circuit}/witness", TAG, "export_witness", "Computes the witness of inputs")
        .note("Needs `circuits.witness_export = on`.")
        .segment("circuit", Type::String, "The name of the circuit.")
        .query::<Which>()
        .takes(JSON, "The inputs by name.", object(json!({ "x": "3", "k": ["1", "2"] })))
        .replies(200, "The witness, a `.wtns` file.", BYTES, bytes())
        .header(200, "server-timing", "How long the call ran on its lane, in milliseconds.")
        .fails(&[IMAGE, BODY, CALL, CALCULATOR, WITNESS])
        .end()
}

fn methods() -> Described {
    let example = json!({ "methods": [{
        "name": "prove",
        "image": "zcash",
        "request": "application/vnd.zcash.pczt",
        "reply": "application/vnd.zcash.pczt",
        "pure": false
    }] });
    Op::get("/v1/methods", TAG, "list_methods", "Lists the methods of all images")
        .json::<Methods>(200, "The methods.", example)
        .end()
}

fn method() -> Described {
    let op = Op::post("/v1/methods/{method}", TAG, "call_method", "Calls a method of a guest")
        .segment("method", Type::String, "The name of the method.")
        .query::<Which>()
        .parameter(parameters::circuit())
        .parameter(parameters::options())
        .takes(BYTES, "What the method takes; its media type is in the list of methods.", bytes())
        .replies(200, "What the guest replies, with the media type of the method.", BYTES, bytes())
        .header(200, "server-timing", "How long the call ran on its lane, in milliseconds.");
    may_be_job(op).end()
}
