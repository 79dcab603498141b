//! One operation of the document, put together from the handler's own types.
//!
//! Invariant: what an operation needs of its callers is what `routes` says, and it has every code that follows from that,
//! from its path, its query and its body.

use super::errors::{self, EVERY, Group};
use crate::http::routes::{Needs, needs};
use axum::http::Method;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::{
    IntoParams, ToSchema,
    openapi::{
        Content, ContentBuilder, HttpMethod, KnownFormat, ObjectBuilder, Ref, RefOr, Required, Response,
        ResponseBuilder, ResponsesBuilder, Schema, SchemaFormat, SecurityRequirement, Type,
        extensions::ExtensionsBuilder,
        header::HeaderBuilder,
        path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{AdditionalProperties, SchemaType},
    },
};

/// Name of the security scheme.
pub(super) const BEARER: &str = "bearer";
pub(super) const JSON: &str = "application/json";
pub(super) const BYTES: &str = "application/octet-stream";
pub(super) const TEXT: &str = "text/plain";
pub(super) const EVENTS: &str = "text/event-stream";

/// Schemas by name.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// An operation that is being described.
pub(super) struct Op {
    method: Method,
    path: &'static str,
    operation: OperationBuilder,
    body: Option<RequestBodyBuilder>,
    replies: BTreeMap<u16, Response>,
    codes: BTreeSet<&'static str>,
    schemas: Schemas,
}

/// An operation of the document.
pub(super) struct Described {
    pub(super) method: HttpMethod,
    pub(super) path: &'static str,
    pub(super) operation: Operation,
    pub(super) schemas: Schemas,
}

impl Op {
    /// Begins an operation: its tag, the name that clients give to it, and what it does.
    pub(super) fn new(method: Method, path: &'static str, tag: &str, id: &str, summary: &str) -> Self {
        let operation = OperationBuilder::new().tag(tag).operation_id(Some(id)).summary(Some(summary));
        let (body, replies, codes) = (None, BTreeMap::new(), BTreeSet::new());
        Self { method, path, operation, body, replies, codes, schemas: Vec::new() }
    }

    pub(super) fn get(path: &'static str, tag: &str, id: &str, summary: &str) -> Self {
        Self::new(Method::GET, path, tag, id, summary)
    }

    pub(super) fn post(path: &'static str, tag: &str, id: &str, summary: &str) -> Self {
        Self::new(Method::POST, path, tag, id, summary)
    }

    pub(super) fn delete(path: &'static str, tag: &str, id: &str, summary: &str) -> Self {
        Self::new(Method::DELETE, path, tag, id, summary)
    }

    /// Says more than the summary does.
    pub(super) fn note(mut self, text: &str) -> Self {
        self.operation = self.operation.description(Some(text));
        self
    }

    /// Adds a segment of the path.
    pub(super) fn segment(mut self, name: &str, kind: Type, description: &str) -> Self {
        self.codes.insert("no_route");
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(ObjectBuilder::new().schema_type(kind)));
        self.parameter(parameter.build())
    }

    /// Adds the parameters of a query.
    pub(super) fn query<T: IntoParams>(mut self) -> Self {
        self.codes.insert("bad_query");
        for mut parameter in T::into_params(|| Some(ParameterIn::Query)) {
            parameter.schema = parameter.schema.map(not_null);
            self = self.parameter(parameter);
        }
        self
    }

    /// Adds a parameter.
    pub(super) fn parameter(mut self, parameter: Parameter) -> Self {
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// Adds a body of this media type.
    pub(super) fn takes(mut self, media_type: &str, description: &str, content: Content) -> Self {
        let body =
            self.body.take().unwrap_or_else(|| RequestBodyBuilder::new().required(Some(Required::True)));
        self.body = Some(body.description(Some(description)).content(media_type, content));
        self
    }

    /// Adds a body of JSON.
    pub(super) fn takes_json<T: ToSchema>(mut self, description: &str, example: Value) -> Self {
        let content = self.typed::<T>(example);
        self.takes(JSON, description, content)
    }

    /// Adds a reply.
    pub(super) fn replies(
        mut self,
        status: u16,
        description: &str,
        media_type: &str,
        content: Content,
    ) -> Self {
        let reply = self.replies.entry(status).or_default();
        description.clone_into(&mut reply.description);
        reply.content.insert(media_type.to_owned(), content.into());
        self
    }

    /// Adds a reply of JSON.
    pub(super) fn json<T: ToSchema>(mut self, status: u16, description: &str, example: Value) -> Self {
        let first = self.schemas.len();
        let content = self.typed::<T>(example);
        self.schemas[first..].iter_mut().for_each(|(_, schema)| open(schema));
        self.replies(status, description, JSON, content)
    }

    /// Adds a reply of text, with an example.
    pub(super) fn text(self, status: u16, description: &str, media_type: &str, example: &str) -> Self {
        let schema = ObjectBuilder::new().schema_type(Type::String);
        let content = ContentBuilder::new().schema(Some(schema)).example(Some(example.into()));
        self.replies(status, description, media_type, content.build())
    }

    /// Adds a reply of events.
    pub(super) fn events(self, description: &str, example: &str) -> Self {
        self.text(200, description, EVENTS, example)
    }

    /// Adds a reply without a body.
    pub(super) fn empty(mut self, status: u16, description: &str) -> Self {
        self.replies.insert(status, ResponseBuilder::new().description(description).build());
        self
    }

    /// Adds a header to a reply that was added.
    pub(super) fn header(mut self, status: u16, name: &str, description: &str) -> Self {
        let schema = ObjectBuilder::new().schema_type(Type::String);
        let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
        self.replies.entry(status).or_default().headers.insert(name.to_owned(), header.into());
        self
    }

    /// Adds groups of codes.
    pub(super) fn fails(mut self, groups: &[Group]) -> Self {
        self.codes.extend(groups.iter().copied().flatten());
        self
    }

    /// Ends the description of an operation that is answered wherever the host, its connections and its keys stand.
    pub(super) fn probe(self) -> Described {
        self.build(&[])
    }

    /// Ends the description.
    pub(super) fn end(self) -> Described {
        self.build(EVERY)
    }

    fn typed<T: ToSchema>(&mut self, example: Value) -> Content {
        let name = T::name().into_owned();
        T::schemas(&mut self.schemas);
        self.schemas.push((name.clone(), T::schema()));
        ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).example(Some(example)).build()
    }

    fn build(self, every: Group) -> Described {
        let Self { method, path, operation, body, mut replies, mut codes, mut schemas } = self;
        let needs = needs(Some(path), &method);
        codes.extend(every);
        codes.extend(codes_of(needs, &method));
        for (status, response) in errors::responses(&codes) {
            replies.insert(status, response);
        }
        let replies = replies.into_iter().map(|(status, reply)| (status.to_string(), reply));
        let responses = ResponsesBuilder::new().responses_from_iter(replies).build();
        let with_key = || SecurityRequirement::new(BEARER, Vec::<String>::new());
        let (security, role) = match needs {
            Needs::Nothing => (Vec::new(), None),
            Needs::Key(permission) => {
                (vec![SecurityRequirement::default(), with_key()], Some(permission.least_role()))
            }
            Needs::Operator => (vec![with_key()], Some(crate::access::Role::Operator)),
        };
        let extensions = role.map(|role| ExtensionsBuilder::new().add("x-role", role.as_str()).build());
        let operation = operation
            .request_body(body.map(RequestBodyBuilder::build))
            .responses(responses)
            .securities(Some(security))
            .extensions(extensions)
            .build();
        schemas.dedup_by(|a, b| a.0 == b.0);
        Described { method: http_method(&method), path, operation, schemas }
    }
}

/// The codes that follow from what a route needs, and from its method.
fn codes_of(needs: Needs, method: &Method) -> Vec<&'static str> {
    let reads = *method == Method::GET;
    let mut codes = Vec::new();
    if !reads {
        codes.push("foreign_origin");
    }
    let role = match needs {
        Needs::Nothing => return codes,
        Needs::Key(permission) => permission.least_role(),
        Needs::Operator => crate::access::Role::Operator,
    };
    codes.push("unauthorised");
    if role != crate::access::Role::Prover {
        codes.push("forbidden");
    }
    if !reads && role != crate::access::Role::Operator {
        codes.push("quota_exceeded");
    }
    codes
}

fn http_method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "GET" => HttpMethod::Get,
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "DELETE" => HttpMethod::Delete,
        "PATCH" => HttpMethod::Patch,
        other => unreachable!("no route takes {other}"),
    }
}

/// The content of bytes that have no schema.
pub(super) fn bytes() -> Content {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
    ContentBuilder::new().schema(Some(schema)).build()
}

/// The content of any JSON object.
pub(super) fn object(example: Value) -> Content {
    let schema = ObjectBuilder::new().schema_type(Type::Object).build();
    ContentBuilder::new().schema(Some(schema)).example(Some(example)).build()
}

/// Lets objects of a schema have further fields. Types that refuse them when they are read may have more in a later
/// version when they are answered.
fn open(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            if matches!(object.additional_properties.as_deref(), Some(AdditionalProperties::FreeForm(false)))
            {
                object.additional_properties = None;
            }
            object.properties.values_mut().for_each(open);
        }
        RefOr::T(Schema::OneOf(parts)) => parts.items.iter_mut().for_each(open),
        RefOr::T(Schema::AllOf(parts)) => parts.items.iter_mut().for_each(open),
        _ => {}
    }
}

/// Returns the schema of a parameter without `null`, which no query can have.
fn not_null(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            if let SchemaType::Array(types) = &object.schema_type
                && let Some(kind) = types.iter().find(|kind| **kind != Type::Null)
            {
                object.schema_type = SchemaType::Type(kind.clone());
            }
            RefOr::T(Schema::Object(object))
        }
        RefOr::T(Schema::OneOf(one_of)) => {
            let mut others = one_of.items.iter().filter(|item| matches!(item, RefOr::Ref(_)));
            match others.next() {
                Some(only) => only.clone(),
                None => RefOr::T(Schema::OneOf(one_of)),
            }
        }
        other => other,
    }
}
