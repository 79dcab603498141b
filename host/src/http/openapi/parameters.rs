//! Parameters that are no field of a type: headers, and what a query says of a job.
//!
//! Invariant: the parameters of jobs are those that `job_terms` takes.

use crate::http::job_terms::FIELDS;
use utoipa::openapi::{
    Object, ObjectBuilder, Required, Type,
    path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
    schema::AdditionalProperties,
};

/// The parameters of calls that may become jobs, of their query and their headers.
pub(super) fn job() -> Vec<Parameter> {
    let fields = FIELDS.map(|name| {
        let (schema, description) = field(name);
        parameter(ParameterIn::Query, name, description, schema)
    });
    let headers = [
        ("Prefer", "`respond-async` asks for a job, as `async=true` does."),
        ("Idempotency-Key", "Two submissions with one key are one job: 1 to 255 visible ASCII characters."),
        (
            "traceparent",
            "The trace that the call belongs to, as W3C Trace Context writes it; a job passes it on.",
        ),
    ];
    let headers = headers.map(|(name, description)| header(name, description));
    fields.into_iter().chain(headers).collect()
}

fn field(name: &str) -> (Object, &'static str) {
    match name {
        "async" => (of(Type::Boolean), "Whether the call becomes a job, which is answered with 202."),
        "priority" => {
            let digits = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(9));
            (digits.build(), "Jobs with a higher one come first; with `async=true`.")
        }
        "delay" => (of(Type::String), "How long the job waits at least, such as `30s`; with `async=true`."),
        "expires_in" => (
            of(Type::String),
            "How long the job may wait, and its result is kept, such as `2h`; with `async=true`.",
        ),
        "image_digest" => {
            (of(Type::String), "The image that the job runs on: 64 hexadecimal digits; with `async=true`.")
        }
        _ => (of(Type::String), "A parameter of jobs; docs/jobs.md describes it. It goes with `async=true`."),
    }
}

/// The header with which a client says what it has.
pub(super) fn if_none_match() -> Parameter {
    header("If-None-Match", "The tag of an earlier answer: if it is still right, the answer is 304.")
}

/// The circuit that the call of a method concerns.
pub(super) fn circuit() -> Parameter {
    let description = "The circuit that the call concerns, for methods that concern one.";
    parameter(ParameterIn::Query, "circuit", description, of(Type::String))
}

/// The options of a method: all other parameters of the query.
pub(super) fn options() -> Parameter {
    let texts = ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(
        AdditionalProperties::from(ObjectBuilder::new().schema_type(Type::String)),
    ));
    let description = "Options of the method, each a parameter of its own, if the media type of its request says \
                       `options=json`.";
    ParameterBuilder::from(parameter(ParameterIn::Query, "options", description, texts.build()))
        .style(Some(ParameterStyle::Form))
        .explode(Some(true))
        .build()
}

fn header(name: &str, description: &str) -> Parameter {
    parameter(ParameterIn::Header, name, description, of(Type::String))
}

fn of(kind: Type) -> Object {
    ObjectBuilder::new().schema_type(kind).build()
}

fn parameter(place: ParameterIn, name: &str, description: &str, schema: Object) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}
