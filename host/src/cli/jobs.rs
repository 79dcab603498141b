//! `snapback jobs`: durable jobs on a running server.

use super::{
    client::{Access, ApiRequest, Client, JSON},
    exit::{Exit, Failure},
    files,
    output::outln,
    progress::printable,
};
use crate::witness::inputs::is_json;
use anyhow::Context;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
};

/// Longest result that is accepted, in bytes.
const REPLY_BYTES_MAX: u64 = 1 << 30;
/// The media type of everything else.
const BYTES: &str = "application/octet-stream";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback jobs submit input.json --circuit membership              print the id of the job
  snapback jobs submit input.json --circuit membership --wait -o proof.json
  snapback jobs submit page.html --method markdown --priority 9 --idempotency-key page-17
  snapback jobs list --state queued
  snapback jobs show 01890a5d-ac96-774b-bcce-b302099a8057
  snapback jobs wait 01890a5d-ac96-774b-bcce-b302099a8057
  snapback jobs result 01890a5d-ac96-774b-bcce-b302099a8057 -o proof.json
  snapback jobs cancel 01890a5d-ac96-774b-bcce-b302099a8057")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

/// Where the server is, and how its answers are shown.
#[derive(clap::Args)]
pub(super) struct Place {
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    #[command(flatten)]
    access: Access,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(clap::Args)]
struct SubmitArgs {
    /// The request; - reads standard input
    file: PathBuf,
    /// Prove with this circuit
    #[arg(long, required_unless_present = "method")]
    circuit: Option<String>,
    /// Call this method, instead of `prove`
    #[arg(long)]
    method: Option<String>,
    /// The image, if several have the circuit or the method
    #[arg(long)]
    image: Option<String>,
    /// Precedence among the jobs: 0 to 9
    #[arg(long, value_name = "N")]
    priority: Option<u8>,
    /// Do not begin before this time has passed, such as 10m
    #[arg(long, value_name = "TIME")]
    delay: Option<String>,
    /// Expire if the job still waits after this time, such as 2h
    #[arg(long, value_name = "TIME")]
    expires_in: Option<String>,
    /// Text that makes a second submission the same job
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// URL that is told about the end of the job
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
    /// Wait for the end of the job, and write its result
    #[arg(long)]
    wait: bool,
    /// Write the result to this file instead of standard output
    #[arg(short, long, value_name = "FILE", requires = "wait")]
    output: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Submit a call as a job, and print its id once it is on the server's disk
    Submit(SubmitArgs),
    /// List the jobs, newest first
    List {
        /// Those in this state: queued, claimed, succeeded, failed, quarantined, cancelled or expired
        #[arg(long)]
        state: Option<String>,
        /// Those with this circuit
        #[arg(long)]
        circuit: Option<String>,
        /// At most this many
        #[arg(long, default_value = "50")]
        limit: u32,
        /// Where an earlier page says that the next one begins
        #[arg(long)]
        cursor: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Show a job
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Wait for the end of a job
    Wait {
        /// Its id
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Fetch the result of a job
    Result {
        /// Its id
        id: String,
        /// Write the result to this file instead of standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Cancel a job, also while it runs
    Cancel {
        /// Its id
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::Submit(args) => {
            let SubmitArgs { place, wait, output, .. } = args;
            let job = submit(args)?;
            let id = job["id"].as_str().context("the server does not say which job it is")?;
            if !wait {
                if place.json {
                    outln!("{job}")
                } else {
                    outln!("{id}")
                }
                return Ok(());
            }
            follow(place, id)?;
            files::write(output.as_deref(), &result(place, id)?)
        }
        Action::List { state, circuit, limit, cursor, place } => {
            let limit = limit.to_string();
            let filters = [("state", state), ("circuit", circuit), ("cursor", cursor)];
            let filters = filters.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
            let query: Vec<_> = filters.chain([("limit", limit.as_str())]).collect();
            let list = place.client()?.send_json(&ApiRequest {
                method: "GET",
                path: &["v1", "jobs"],
                query: &query,
                ..ApiRequest::default()
            })?;
            if place.json {
                outln!("{list}");
                return Ok(());
            }
            list["jobs"].as_array().context("not a list of jobs")?.iter().for_each(print_line);
            if let Some(next) = list["next"].as_str() {
                eprintln!("there are more: --cursor {}", printable(next));
            }
            Ok(())
        }
        Action::Show { id, place } => place.show(&place.of("GET", &["v1", "jobs", id])?),
        Action::Cancel { id, place } => place.show(&place.of("DELETE", &["v1", "jobs", id])?),
        Action::Wait { id, place } => {
            let job = follow(place, id)?;
            if place.json {
                outln!("{job}")
            } else {
                print_line(&job)
            }
            Ok(())
        }
        Action::Result { id, output, place } => files::write(output.as_deref(), &result(place, id)?),
    }
}

fn submit(args: &SubmitArgs) -> anyhow::Result<Value> {
    let SubmitArgs {
        file,
        circuit,
        method,
        image,
        priority,
        delay,
        expires_in,
        idempotency_key,
        callback_url,
        place,
        ..
    } = args;
    let body = files::read(file)?;
    let priority = priority.map(|priority| priority.to_string());
    let terms = [
        ("image", image),
        ("priority", &priority),
        ("delay", delay),
        ("expires_in", expires_in),
        ("callback_url", callback_url),
    ];
    let terms = terms.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
    let mut query: Vec<_> = [("async", "true")].into_iter().chain(terms).collect();
    let path = match (method.as_deref(), circuit.as_deref()) {
        (None | Some("prove"), Some(circuit)) => ["v1", "circuits", circuit, "prove"].to_vec(),
        (Some("verify"), Some(circuit)) => ["v1", "circuits", circuit, "verify"].to_vec(),
        (method, circuit) => {
            query.extend(circuit.map(|circuit| ("circuit", circuit)));
            ["v1", "methods", method.unwrap_or_default()].to_vec()
        }
    };
    place.client()?.send_json(&ApiRequest {
        method: "POST",
        path: &path,
        query: &query,
        content_type: Some(if is_json(&body) { JSON } else { BYTES }),
        idempotency_key: idempotency_key.as_deref(),
        body: &body,
        ..ApiRequest::default()
    })
}

impl Place {
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.server, &self.access, REPLY_BYTES_MAX)
    }

    pub(super) fn of(&self, method: &'static str, path: &[&str]) -> anyhow::Result<Value> {
        self.client()?.send_json(&ApiRequest { method, path, ..ApiRequest::default() })
    }

    pub(super) fn show(&self, job: &Value) -> anyhow::Result<()> {
        if self.json {
            outln!("{job}");
            return Ok(());
        }
        for (key, value) in job.as_object().context("not a job")? {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            outln!("{key:<16} {}", printable(&text));
        }
        Ok(())
    }
}

fn result(place: &Place, id: &str) -> anyhow::Result<Vec<u8>> {
    let path = ["v1", "jobs", id, "result"];
    place.client()?.send(&ApiRequest { method: "GET", path: &path, ..ApiRequest::default() })
}

fn print_line(job: &Value) {
    let text = |key: &str| printable(job[key].as_str().unwrap_or_default());
    let what = [text("image"), text("method"), text("circuit")];
    let what = what.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ");
    outln!("{} {:<11} {} {what}{}", text("id"), text("state"), text("submitted"), failure_of(job));
}

/// Why a job failed, after a line about it.
fn failure_of(job: &Value) -> String {
    match job["error"]["message"].as_str() {
        Some(message) => {
            let code = job["error"]["code"].as_str().unwrap_or_default();
            format!(": {} ({})", printable(message), printable(code))
        }
        None => String::new(),
    }
}

/// Shows a job until it ends; returns it if it succeeded.
fn follow(place: &Place, id: &str) -> anyhow::Result<Value> {
    let path = ["v1", "jobs", id, "events"];
    let request = ApiRequest { method: "GET", path: &path, ..ApiRequest::default() };
    let response = place.client()?.open(&request)?;
    let mut last = Value::Null;
    for line in BufReader::new(response.into_body().into_reader()).lines() {
        let Ok(line) = line else { break };
        let Some(data) = line.strip_prefix("data: ") else { continue };
        last = serde_json::from_str(data).context("not a job")?;
        let state = last["state"].as_str().unwrap_or_default();
        let place = last["place"].as_u64().map_or_else(String::new, |place| format!(", {place} before it"));
        let end = last["expected_end"].as_str();
        let end = end.map_or_else(String::new, |end| format!(", its end is expected at {}", printable(end)));
        eprintln!("job {}: {}{place}{end}", printable(id), printable(state));
    }
    match last["state"].as_str() {
        Some("succeeded") => Ok(last),
        Some(state @ ("failed" | "quarantined" | "cancelled" | "expired")) => {
            let message = format!("the job is {state}{}", failure_of(&last));
            Err(Failure::error(Exit::Call, message))
        }
        _ => {
            let message =
                format!("the server stopped; the job goes on at its next start: snapback jobs wait {id}");
            Err(Failure::error(Exit::Unavailable, message))
        }
    }
}
