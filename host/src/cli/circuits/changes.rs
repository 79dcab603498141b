//! Changes of circuits on a running server: the list, the progress of one, and its cancellation.

use super::place::Place;
use crate::cli::{
    client::ApiRequest,
    exit::{Exit, Failure},
    output::outln,
    progress::printable,
};
use anyhow::Context;
use serde_json::Value;
use std::io::{BufRead, BufReader};

/// Lists the changes that the server remembers.
pub(super) fn list(place: &Place) -> anyhow::Result<()> {
    let request = ApiRequest { method: "GET", path: &["v1", "changes"], ..ApiRequest::default() };
    let list = place.send(request, &[])?;
    if place.json {
        outln!("{list}");
        return Ok(());
    }
    for change in list["changes"].as_array().context("not a list of changes")? {
        let what = change["change"].as_object().and_then(|kinds| kinds.iter().next());
        let what = what.map_or_else(
            || change["change"].as_str().unwrap_or_default().to_owned(),
            |(kind, of)| format!("{kind} {}", of["name"].as_str().unwrap_or_default()),
        );
        let state = change["state"].as_str().unwrap_or_default();
        let detail = match state {
            "done" => format!("generation {}", change["generation"]),
            "failed" => change["reason"].as_str().unwrap_or_default().to_owned(),
            _ => change["stage"].as_str().unwrap_or_default().to_owned(),
        };
        let [what, state, detail] = [what, state.to_owned(), detail].map(|text| printable(&text));
        outln!("{:>4} {state:<9} {what:<32} {detail}", change["id"]);
    }
    Ok(())
}

/// Cancels a change.
pub(super) fn cancel(place: &Place, change: u64) -> anyhow::Result<()> {
    let id = change.to_string();
    let path = ["v1", "changes", &id];
    let answer = place.send(ApiRequest { method: "DELETE", path: &path, ..ApiRequest::default() }, &[])?;
    if place.json {
        outln!("{answer}");
    } else {
        outln!("change {change} is cancelled");
    }
    Ok(())
}

/// Shows a change until it ends.
pub(super) fn follow(place: &Place, change: &Value, done: &str) -> anyhow::Result<()> {
    let Some(id) = change["id"].as_u64() else {
        if place.json {
            outln!("{change}");
        } else {
            outln!("{done} already: nothing changed");
        }
        return Ok(());
    };
    let id = id.to_string();
    let path = ["v1", "changes", &id, "events"];
    let image = place.image.as_deref().map(|image| ("image", image));
    let events = ApiRequest { method: "GET", path: &path, query: image.as_slice(), ..ApiRequest::default() };
    let response = place.client()?.open(&events).context("the server does not report the change")?;
    let mut last = change.clone();
    for line in BufReader::new(response.into_body().into_reader()).lines() {
        let line = line.context("the server stopped; the change goes on at its next start")?;
        let Some(data) = line.strip_prefix("data: ") else { continue };
        last = serde_json::from_str(data).context("not a change")?;
        let stage = last["stage"].as_str().or(last["state"].as_str()).unwrap_or_default();
        let left = last["left_s"].as_u64().filter(|left| *left > 0);
        let left = left.map_or_else(String::new, |left| format!(", about {left} s left"));
        eprintln!("[{:>3} %] {}{left}", last["percent"], printable(stage));
    }
    if place.json {
        outln!("{last}");
    }
    match last["state"].as_str() {
        Some("done") => {
            if !place.json {
                outln!("{done}, in generation {}", last["generation"]);
            }
            Ok(())
        }
        Some("cancelled") => Err(Failure::error(Exit::Bake, "the change was cancelled")),
        Some("failed") => Err(Failure::error(Exit::Bake, last["reason"].as_str().unwrap_or_default())),
        _ => {
            let message = "the server stopped; the change goes on at its next start";
            Err(Failure::error(Exit::Unavailable, message))
        }
    }
}
