//! Finds the image that a request concerns.
//!
//! If several images are served, `?image=NAME` names one. Without it, the request concerns the only image that has the
//! circuit or method in its path.

use super::{App, error::ApiError};
use crate::{
    access::{Caller, Permission},
    circuits::Registry,
    instance::Generation,
    service::Service,
};
use axum::extract::{
    Path, Query,
    rejection::{PathRejection, QueryRejection},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use snapback_abi::METHOD_CIRCUITS;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt::{self, Formatter},
    sync::Arc,
};
use utoipa::IntoParams;

/// Characters of an option's name that an error shows.
const NAME_SHOWN_CHARS: usize = 64;

/// The query of requests that concern one image.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The image, if several have what the path names.
    image: Option<String>,
    /// The circuit that the call of a method concerns, which is in its own query.
    #[serde(skip)]
    pub(super) circuit: String,
}

impl Which {
    /// Selects the image with this name, or any image, for a circuit.
    pub(super) fn new(image: Option<String>, circuit: String) -> Self {
        Self { image, circuit }
    }

    /// Selects the image with this name, or any image.
    pub(super) fn image(image: Option<String>) -> Self {
        Self { image, circuit: String::new() }
    }
}

/// The query of a call of a method: the image and the circuit, and options of the method.
#[derive(Deserialize)]
pub(super) struct MethodQuery {
    image: Option<String>,
    #[serde(default)]
    circuit: String,
    #[serde(flatten, deserialize_with = "once_each")]
    options: BTreeMap<String, String>,
}

/// Reads options, each of which is given once: of two values, a proxy could have seen the other one.
fn once_each<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Options;
    impl<'de> Visitor<'de> for Options {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
            formatter.write_str("options, each once")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut options = BTreeMap::new();
            while let Some((key, value)) = entries.next_entry::<String, String>()? {
                match options.entry(key) {
                    Entry::Vacant(entry) => _ = entry.insert(value),
                    Entry::Occupied(entry) => {
                        let name: String = entry.key().chars().take(NAME_SHOWN_CHARS).collect();
                        return Err(Error::custom(format_args!("{name:?} is given twice")));
                    }
                }
            }
            Ok(options)
        }
    }
    deserializer.deserialize_map(Options)
}

impl MethodQuery {
    /// Returns the selection, and the options.
    pub(super) fn split(self) -> (Which, BTreeMap<String, String>) {
        let Self { image, circuit, options } = self;
        (Which { image, circuit }, options)
    }
}

pub(super) type WhichQuery = Result<Query<Which>, QueryRejection>;
pub(super) type PathText = Result<Path<String>, PathRejection>;

/// Returns the query, or an error if it is malformed.
pub(super) fn which(query: WhichQuery) -> Result<Which, ApiError> {
    query.map(|Query(which)| which).map_err(|error| ApiError::BadQuery(error.body_text()))
}

/// Returns a segment of the path. A segment that is not UTF-8 names nothing that exists.
pub(super) fn segment(segment: PathText) -> Result<String, ApiError> {
    segment.map(|Path(text)| text).map_err(|_| ApiError::NoRoute)
}

/// Returns the service of the image that the query names, or else the only service for which `has` returns true. `what`
/// names the requested thing in errors.
pub(super) fn service<'a>(
    app: &'a App,
    which: &Which,
    what: &str,
    has: impl Fn(&Generation) -> bool,
    absent: impl Fn(String) -> ApiError,
) -> Result<&'a Arc<Service>, ApiError> {
    let services = app.dispatcher.services();
    if let Some(image) = &which.image {
        let service = app.dispatcher.service_named(image);
        let service = service.ok_or_else(|| ApiError::NoSuchImage(image.clone()))?;
        return if has(&service.current()) { Ok(service) } else { Err(absent(what.into())) };
    }
    let fits: Vec<&Arc<Service>> = services.iter().filter(|service| has(&service.current())).collect();
    match fits.as_slice() {
        [one] => Ok(one),
        [] => Err(absent(what.into())),
        several => Err(ApiError::Ambiguous {
            what: what.into(),
            images: several.iter().map(|service| service.name().to_owned()).collect(),
        }),
    }
}

/// Returns the service that has a circuit which the caller sees.
pub(super) fn service_of_circuit<'a>(
    app: &'a App,
    caller: &Caller,
    which: &Which,
    circuit: &str,
) -> Result<&'a Arc<Service>, ApiError> {
    let has = |generation: &Generation| has_circuit(generation, caller, circuit);
    service(app, which, circuit, has, ApiError::NoSuchCircuit)
}

/// Whether a generation has a method that the caller may call. The list of circuits that a guest keeps itself knows no
/// tenants.
pub(super) fn has_method(generation: &Generation, caller: &Caller, method: &str) -> bool {
    let lists_all = method == METHOD_CIRCUITS && generation.has_owners();
    generation.has_method(method) && (!lists_all || caller.may(Permission::Operate))
}

/// Whether a generation has a circuit that the caller sees.
pub(super) fn has_circuit(generation: &Generation, caller: &Caller, circuit: &str) -> bool {
    generation.has_circuit(circuit) && caller.sees(generation.owner(circuit))
}

/// Returns the registry of the image that the query names, or else the only registry.
pub(super) fn registry(app: &App, which: &Which) -> Result<Arc<Registry>, ApiError> {
    if let Some(image) = &which.image {
        let service = app.dispatcher.service_named(image);
        let service = service.ok_or_else(|| ApiError::NoSuchImage(image.clone()))?;
        return app.registries.get(service.id()).cloned().ok_or(ApiError::NoCircuitsAsData);
    }
    let mut all = app.registries.iter();
    match (all.next(), all.next()) {
        (None, _) => Err(ApiError::NoCircuitsAsData),
        (Some(only), None) => Ok(Arc::clone(only)),
        (Some(_), Some(_)) => Err(ApiError::Ambiguous {
            what: "circuits as data".into(),
            images: app.registries.iter().map(|registry| registry.service().name().to_owned()).collect(),
        }),
    }
}
