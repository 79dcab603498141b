//! The operations on webhooks.
//!
//! Invariant: an operation here has the types that `http::webhooks` answers with.

use super::{
    errors::{DELIVERY, JOBS, WEBHOOKS},
    operation::{Described, Op},
};
use crate::http::webhooks::{DeliveryView, ListQuery, Page};
use serde_json::{Value, json};
use utoipa::openapi::Type;

const TAG: &str = "webhooks";
const ID: &str = "The id of the job, which is the `webhook-id` too.";

pub(super) fn operations() -> Vec<Described> {
    vec![list(), show(), resend()]
}

fn example() -> Value {
    json!({
        "id": "019acb12-3c4d-7e5f-8a6b-7c8d9e0f1a2b",
        "state": "dead",
        "job_state": "succeeded",
        "origin": "https://hooks.example",
        "attempts": 10,
        "finished": "2026-11-27T14:40:02.456Z",
        "reason": "the receiver answered 500"
    })
}

fn list() -> Described {
    Op::get(
        "/v1/webhooks/deliveries",
        TAG,
        "list_webhooks",
        "Lists the webhooks of the caller's tenant, newest first",
    )
    .query::<ListQuery>()
    .json::<Page>(200, "A page of webhooks.", json!({ "deliveries": [example()], "next": null }))
    .fails(&[JOBS])
    .end()
}

fn show() -> Described {
    Op::get("/v1/webhooks/deliveries/{id}", TAG, "show_webhook", "Returns the webhook of a job")
        .segment("id", Type::String, ID)
        .json::<DeliveryView>(200, "The webhook.", example())
        .fails(&[JOBS, DELIVERY])
        .end()
}

fn resend() -> Described {
    Op::post("/v1/webhooks/deliveries/{id}/resend", TAG, "resend_webhook", "Sends a webhook again")
        .segment("id", Type::String, ID)
        .json::<DeliveryView>(200, "The webhook.", example())
        .fails(&[JOBS, DELIVERY, WEBHOOKS])
        .end()
}
