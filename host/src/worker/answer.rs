//! What a client reads of a call that has ended, as the outcome of a job.
//!
//! Invariant: a job's result is the bytes that the synchronous call would have answered with.

use crate::{
    circuits::{ProofTimes, Registry},
    instance::Fault,
    jobs::{Identical, InputKind, JobFailure, JobRecord, Outcome},
    lanes,
    service::Service,
};
use snapback_abi::{METHOD_VERIFY, reply::Tag};
use snapback_snapshot::call::Reply;
use zeroize::Zeroizing;

/// Names why a call returned no result, as clients of synchronous calls see it.
pub type Explain = fn(Result<&Reply, &Fault>) -> JobFailure;

const JSON: &str = "application/json";

/// What a job needs to know for its answer.
pub(super) struct Question<'a> {
    pub(super) job: &'a JobRecord,
    pub(super) kind: InputKind,
    pub(super) service: &'a Service,
    /// Digest of the image that the call ran on.
    pub(super) image: String,
    /// The circuits of the service, if it takes them as data.
    pub(super) registry: Option<&'a Registry>,
    pub(super) explain: Explain,
    /// Whether identical work may have the result too.
    pub(super) identical: Identical,
}

/// Returns the outcome of a job whose call has ended.
pub(super) fn outcome(question: Question<'_>, ended: lanes::Outcome) -> Outcome {
    let Question { job, kind, service, image, registry, explain, identical } = question;
    let lanes::Outcome { result, took, witness_took } = ended;
    let reply = match result {
        Ok(reply) if reply.tag == Tag::Ok => reply,
        Ok(refusal) => {
            let JobFailure { code, message } = explain(Ok(&refusal));
            return Outcome::Failed { code, message, image: Some(image) };
        }
        Err(fault) => {
            let JobFailure { code, message } = explain(Err(&fault));
            return if may_pass(&fault) {
                Outcome::Retry { code, message }
            } else {
                Outcome::Failed { code, message, image: Some(image) }
            };
        }
    };
    let circuit = job.circuit.as_deref();
    let (bytes, media_type) = match (circuit, registry) {
        (Some(_), _) if job.method == METHOD_VERIFY => {
            (Zeroizing::new(br#"{"valid":true}"#.to_vec()), JSON.to_owned())
        }
        (Some(circuit), Some(registry)) if kind == InputKind::Inputs => {
            match registry.proof_json(circuit, &reply.body, ProofTimes { call: took, witness: witness_took })
            {
                Ok(json) => (json, JSON.to_owned()),
                Err(error) => {
                    let unreadable = format!("the guest's proof cannot be read: {error}").into_bytes();
                    let reply = Reply { tag: Tag::Internal, body: Zeroizing::new(unreadable) };
                    let JobFailure { code, message } = explain(Ok(&reply));
                    return Outcome::Failed { code, message, image: Some(image) };
                }
            }
        }
        _ => (reply.body, service.current().reply_type(&job.method).to_owned()),
    };
    Outcome::Succeeded { bytes, media_type: Some(media_type), image, identical }
}

/// Whether the call may end otherwise when it is made again. The guest's own answers, and what its code does with its
/// input, do not change.
fn may_pass(fault: &Fault) -> bool {
    matches!(fault, Fault::Engine(_) | Fault::Stalled(_))
}
