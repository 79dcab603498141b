//! `snapback circuits list`

use super::place::Place;
use crate::cli::{client::ApiRequest, output::outln, progress::printable};
use anyhow::Context;
use bytesize::ByteSize;
use serde_json::Value;
use std::time::{Duration, UNIX_EPOCH};

pub(super) fn run(place: &Place) -> anyhow::Result<()> {
    let mut list =
        place.send(ApiRequest { method: "GET", path: &["v1", "circuits"], ..ApiRequest::default() }, &[])?;
    let circuits = list["circuits"].as_array_mut().context("not a list of circuits")?;
    circuits.retain(|circuit| place.image.as_ref().is_none_or(|image| circuit["image"] == **image));
    if place.json {
        outln!("{list}");
        return Ok(());
    }
    for circuit in circuits {
        show(circuit);
    }
    Ok(())
}

/// Writes a line for the circuit, and one for everything that the server knows of it.
fn show(circuit: &Value) {
    let text = |key: &str| circuit[key].as_str().map(printable);
    let number = |key: &str| circuit[key].as_u64();
    let bytes = ByteSize(number("image_bytes").unwrap_or_default()).display().iec().to_string();
    outln!("{:<24} {} ({bytes})", text("name").unwrap_or_default(), text("image").unwrap_or_default());
    let line = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            outln!("    {what:<8} {value}");
        }
    };
    let shape = || {
        let (prime, k) = (text("prime")?, number("k")?);
        Some(format!("{prime}, k = {k}, {} constraints, {} wires", number("constraints")?, number("wires")?))
    };
    line("shape", shape());
    let names = |key: &str| -> Vec<String> {
        circuit[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(printable).collect()
    };
    let (public, inputs) = (names("public"), names("inputs"));
    let is_public =
        |input: &&String| public.iter().any(|name| name == *input || name.starts_with(&format!("{input}[")));
    let private: Vec<&str> = inputs.iter().filter(|input| !is_public(input)).map(String::as_str).collect();
    let counted = |count: Option<u64>, names: String| {
        let count = count?;
        Some(if names.is_empty() { count.to_string() } else { format!("{count}: {names}") })
    };
    let publics = number("outputs").and_then(|outputs| Some(outputs + number("public_inputs")?));
    let publics = publics.or(number("publics"));
    line("public", counted(publics, public.join(", ")));
    line("private", counted(number("private_inputs"), private.join(", ")));
    line("circuit", text("circuit"));
    line("key", text("vk_digest"));
    line("added", added(&circuit["added"]));
}

/// When a circuit was added, and by whom.
fn added(added: &Value) -> Option<String> {
    let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(added["at"].as_u64()?));
    let by = added["by"].as_str().map(|by| format!(" by {}", printable(by)));
    Some(format!("{at}{}", by.unwrap_or_default()))
}
