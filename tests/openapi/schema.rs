//! Checks values against the schemas of the document: the part of JSON Schema that it uses.
//!
//! Invariant: a keyword that is not known here is an error, and so is a field that the schema does not have.

use serde_json::Value;
use std::collections::BTreeSet;

/// Keywords that say nothing about a value.
const NOTES: [&str; 5] = ["description", "title", "default", "format", "example"];

/// The document.
pub(crate) struct Document(pub(crate) Value);

impl Document {
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            None => schema,
            Some(path) => {
                let found = self.0.pointer(path.trim_start_matches('#'));
                self.resolve(found.unwrap_or_else(|| panic!("{path} is not in the document")))
            }
        }
    }

    /// Checks a value.
    ///
    /// # Errors
    /// Says where the value differs from the schema.
    pub(crate) fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let fields = self.accept(schema, value)?;
        let Some(object) = value.as_object() else { return Ok(()) };
        let unknown: Vec<_> = object.keys().filter(|key| !fields.contains(*key)).collect();
        if unknown.is_empty() { Ok(()) } else { Err(format!("{unknown:?} are not in the schema of {value}")) }
    }

    /// Checks a value, and returns the fields of it that the schema has.
    fn accept(&self, schema: &Value, value: &Value) -> Result<BTreeSet<String>, String> {
        let schema = self.resolve(schema);
        let keywords = schema.as_object().unwrap_or_else(|| panic!("no schema: {schema}"));
        let mut fields = BTreeSet::new();
        let is_map = keywords.get("type").is_some_and(|kind| names(kind).contains(&"object"))
            && !keywords.contains_key("properties")
            || keywords.is_empty();
        if let (true, Some(object)) = (is_map, value.as_object()) {
            fields.extend(object.keys().cloned());
        }
        for (keyword, wanted) in keywords {
            let is_met = match keyword.as_str() {
                note if NOTES.contains(&note) => true,
                "type" => names(wanted).iter().any(|kind| is_a(value, kind)),
                "enum" => wanted.as_array().expect("a list").contains(value),
                "minimum" => value.as_f64().is_none_or(|number| Some(number) >= wanted.as_f64()),
                "maximum" => value.as_f64().is_none_or(|number| Some(number) <= wanted.as_f64()),
                "minItems" => value.as_array().is_none_or(|list| Some(list.len() as u64) >= wanted.as_u64()),
                "maxItems" => value.as_array().is_none_or(|list| Some(list.len() as u64) <= wanted.as_u64()),
                "required" => names(wanted).iter().all(|name| value.get(name).is_some()),
                "items" => {
                    value.as_array().into_iter().flatten().try_for_each(|item| self.check(wanted, item))?;
                    true
                }
                "properties" => {
                    for (name, property) in wanted.as_object().expect("properties") {
                        fields.insert(name.clone());
                        value.get(name).map_or(Ok(()), |field| self.check(property, field))?;
                    }
                    true
                }
                "additionalProperties" if *wanted == true => true,
                "additionalProperties" if *wanted == false => {
                    let named = keywords.get("properties").and_then(Value::as_object);
                    let mut keys = value.as_object().into_iter().flatten().map(|(key, _)| key);
                    keys.all(|key| named.is_some_and(|named| named.contains_key(key)))
                }
                "additionalProperties" => {
                    let named = keywords.get("properties").and_then(Value::as_object);
                    for (name, field) in value.as_object().into_iter().flatten() {
                        if named.is_none_or(|named| !named.contains_key(name)) {
                            fields.insert(name.clone());
                            self.check(wanted, field)?;
                        }
                    }
                    true
                }
                "propertyNames" => true,
                "allOf" => {
                    for part in wanted.as_array().expect("a list") {
                        fields.extend(self.accept(part, value)?);
                    }
                    true
                }
                "oneOf" => {
                    let parts = wanted.as_array().expect("a list");
                    let fits: Vec<_> = parts.iter().filter(|part| self.check(part, value).is_ok()).collect();
                    if let [one] = fits.as_slice() {
                        fields.extend(self.accept(one, value)?);
                    }
                    fits.len() == 1
                }
                "pattern" => wanted.as_str().map(|text| text.trim_matches(['^', '$'])) == value.as_str(),
                other => panic!("teach this test the keyword `{other}` of {schema}"),
            };
            if !is_met {
                return Err(format!("`{keyword}` = {wanted} does not hold for {value}"));
            }
        }
        Ok(fields)
    }

    /// Every media type object below a value.
    pub(crate) fn contents(value: &Value) -> Vec<&Value> {
        let own = value.get("content").and_then(Value::as_object);
        let own = own.into_iter().flat_map(|content| content.values());
        let below: Vec<&Value> = match value {
            Value::Array(list) => list.iter().collect(),
            Value::Object(object) => object.values().collect(),
            _ => Vec::new(),
        };
        own.chain(below.into_iter().flat_map(Self::contents)).collect()
    }
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().map_or_else(
        || list.as_str().into_iter().collect(),
        |list| list.iter().filter_map(Value::as_str).collect(),
    )
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type of JSON: {other}"),
    }
}
