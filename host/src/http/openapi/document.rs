//! Puts the operations together to one document, and serves it.
//!
//! Invariant: the document is the same for every caller, and is built once.

use super::{
    admin, calls, circuits, errors, jobs,
    operation::{BEARER, Described, JSON},
    server, watching, webhooks,
};
use crate::http::{error::ApiError, error_shape::Body, off_path::off_path};
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::sync::LazyLock;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Paths,
        extensions::ExtensionsBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
        tag::TagBuilder,
    },
};

const ABOUT: &str = "Runs WebAssembly guests from images. Every reply has the header `x-request-id`; a request may name \
    one itself. Errors have one shape, and `x-error-codes` lists all codes. Where requests need a key, `x-role` is the \
    least role of it; operations without an alternative to the key need one everywhere. Operations on circuits, changes \
    and generations, and those of operators, are on the listener for operators too, where each needs an operator.";

struct Served {
    text: String,
    tag: HeaderValue,
}

static SERVED: LazyLock<Served> = LazyLock::new(|| {
    let text = built().to_json().expect("a document has string keys only");
    let tag = format!("\"{}\"", blake3::hash(text.as_bytes()).to_hex());
    Served { tag: HeaderValue::try_from(tag).expect("hexadecimal digits"), text }
});

/// Returns the document as JSON.
#[must_use]
pub fn text() -> &'static str {
    &SERVED.text
}

/// Answers with the document, unless the client has it.
pub(in crate::http) async fn document(headers: HeaderMap) -> Result<Response, ApiError> {
    // It takes milliseconds to build.
    let Served { text, tag } = off_path(|| LazyLock::force(&SERVED)).await?;
    let tag_header = (header::ETAG, tag.clone());
    if headers.get_all(header::IF_NONE_MATCH).iter().any(|given| given == tag) {
        return Ok((StatusCode::NOT_MODIFIED, [tag_header]).into_response());
    }
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(JSON)), tag_header], text.as_str()).into_response())
}

fn built() -> OpenApi {
    let operations = [
        calls::operations(),
        jobs::operations(),
        webhooks::operations(),
        circuits::operations(),
        admin::operations(),
        server::operations(),
        watching::operations(),
    ];
    let mut paths = Paths::new();
    let mut components = ComponentsBuilder::new().schema(Body::name(), Body::schema()).security_scheme(
        BEARER,
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("A key that `snapback keys create` made, or the token of operators."))
                .build(),
        ),
    );
    for Described { method, path, operation, schemas } in operations.into_iter().flatten() {
        components = components.schemas_from_iter(schemas);
        let item = paths.paths.entry(path.to_owned()).or_default();
        item.merge_operations(PathItem::new(method, operation));
    }
    let tags = [
        ("calls", "Proofs, verifications and other calls of guests."),
        ("jobs", "Calls that outlive their connection."),
        ("webhooks", "What was told about the ends of jobs."),
        ("circuits", "Circuits as data, their changes and generations."),
        ("operators", "For operators alone."),
        ("server", "What the server is, and how it is."),
        ("watching", "The page for people, the last hour, and what happens."),
    ];
    let tags = tags.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build());
    let licence = LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0"));
    let info = InfoBuilder::new()
        .title("Snapback")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(licence.build()));
    let mut document = OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(tags))
        .build();
    document.extensions = Some(ExtensionsBuilder::new().add("x-error-codes", errors::table()).build());
    document
}
