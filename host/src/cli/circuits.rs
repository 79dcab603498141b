//! `snapback circuits`: circuits as data, on a server that runs.

use super::{Exit, Failure};
use anyhow::Context;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback circuits add x5chain --r1cs x5chain.r1cs --wasm x5chain.wasm --sym x5chain.sym
  snapback circuits list --server http://127.0.0.1:8080
  snapback circuits key x5chain -o x5chain.vk
  snapback circuits remove x5chain --json
  snapback circuits activate 3                      back to an earlier generation")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Args)]
struct Place {
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// The image, where several take circuits
    #[arg(long)]
    image: Option<String>,
    /// File with the token of the admin routes, where `--server` is those
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Add a circuit, and wait until it is served.
    Add {
        /// Its name
        name: String,
        /// The circuit, as `circom --r1cs` writes it
        #[arg(long, value_name = "FILE")]
        r1cs: PathBuf,
        /// Its witness calculator, as `circom --wasm` writes it
        #[arg(long, value_name = "FILE")]
        wasm: Option<PathBuf>,
        /// What its signals are called, as `circom --sym` writes it: for messages
        #[arg(long, value_name = "FILE")]
        sym: Option<PathBuf>,
        /// Put it in the place of another circuit of that name
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Remove a circuit, and wait until it is gone.
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// List the circuits.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Fetch the verifying key of a circuit.
    Key {
        /// Its name
        name: String,
        /// Write it here
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Serve an earlier generation again.
    Activate {
        /// Its number
        generation: u64,
        #[command(flatten)]
        place: Place,
    },
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::Add { name, r1cs, wasm, sym, replace, place } => {
            let mut form = Form::new();
            let optional = [("wasm", wasm), ("sym", sym)];
            let optional = optional.iter().filter_map(|(part, file)| Some((*part, file.as_ref()?)));
            for (part, file) in [("r1cs", r1cs)].into_iter().chain(optional) {
                form.file(part, file)?;
            }
            let server = Server::of(place)?;
            let replace = if *replace { &[("replace", "true")][..] } else { &[] };
            let request = server.request("PUT", &format!("/v1/circuits/{name}"), replace);
            let answer = server.run(request.header("content-type", form.content_type()), form.end())?;
            server.follow(&json(&answer)?)
        }
        Action::Remove { name, place } => {
            let server = Server::of(place)?;
            let request = server.request("DELETE", &format!("/v1/circuits/{name}"), &[]);
            server.follow(&json(&server.run(request, Vec::new())?)?)
        }
        Action::List { place } => {
            let server = Server::of(place)?;
            let answer = json(&server.run(server.request("GET", "/v1/circuits", &[]), Vec::new())?)?;
            if place.json {
                println!("{answer}");
                return Ok(());
            }
            for circuit in answer["circuits"].as_array().into_iter().flatten() {
                let text = |key: &str| circuit[key].as_str().unwrap_or_default().to_owned();
                println!("{:<24} {:<12} key {}", text("name"), text("image"), text("vk_digest"));
            }
            Ok(())
        }
        Action::Key { name, output, place } => {
            let server = Server::of(place)?;
            let query = [("circuit", name.as_str())];
            let key = server.run(server.request("POST", "/v1/methods/verifying_key", &query), Vec::new())?;
            fs::write(output, key).with_context(|| format!("cannot write {}", output.display()))
        }
        Action::Activate { generation, place } => {
            let server = Server::of(place)?;
            let path = format!("/v1/generations/{generation}/activate");
            let answer = json(&server.run(server.request("POST", &path, &[]), Vec::new())?)?;
            if place.json {
                println!("{answer}")
            } else {
                println!("generation {generation} is served")
            }
            Ok(())
        }
    }
}

/// A body of files.
struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    fn new() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system gives entropy");
        let boundary = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { boundary, body: Vec::new() }
    }

    fn file(&mut self, part: &str, file: &Path) -> anyhow::Result<()> {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let Self { boundary, body } = self;
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{part}\"\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&bytes);
        body.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    fn end(mut self) -> Vec<u8> {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        self.body
    }
}

/// A server, and what every request to it carries.
struct Server<'a> {
    place: &'a Place,
    agent: ureq::Agent,
    token: Option<String>,
}

impl<'a> Server<'a> {
    fn of(place: &'a Place) -> anyhow::Result<Self> {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let token = match &place.token_file {
            Some(file) => {
                Some(fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?)
            }
            None => None,
        };
        Ok(Self { place, agent, token })
    }

    fn request(&self, method: &str, path: &str, query: &[(&str, &str)]) -> ureq::http::request::Builder {
        let image = self.place.image.as_deref().map(|image| ("image", image));
        let query: Vec<String> =
            query.iter().copied().chain(image).map(|(key, value)| format!("{key}={value}")).collect();
        let sign = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{sign}{}", self.place.server.trim_end_matches('/'), query.join("&"));
        let request = ureq::http::Request::builder().method(method).uri(url);
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {}", token.trim())),
            None => request,
        }
    }

    /// The body of a success.
    fn run(&self, request: ureq::http::request::Builder, body: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let request = request.body(body).context("not a name, or not a server's address")?;
        let response = self.agent.run(request);
        let mut response = response.with_context(|| format!("cannot reach {}", self.place.server))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec();
        let body = body.context("the reply broke off")?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let said = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        let message = match (said["message"].as_str(), said["code"].as_str()) {
            (Some(message), Some(code)) => format!("{message} ({code})"),
            _ => format!("{} answered {status}, and is no Snapback", self.place.server),
        };
        let exit = match status {
            429 | 503 => Exit::Unavailable,
            400..500 => Exit::Call,
            _ => Exit::Failed,
        };
        Err(Failure::error(exit, message))
    }

    /// Shows a job until it ends.
    fn follow(&self, job: &Value) -> anyhow::Result<()> {
        let Some(id) = job["id"].as_u64() else {
            if self.place.json {
                println!("{job}")
            } else {
                println!("it is so already")
            }
            return Ok(());
        };
        let request = self.request("GET", &format!("/v1/jobs/{id}/events"), &[]);
        let request = request.body(()).context("not a server's address")?;
        let response = self.agent.run(request).context("the server does not tell of the job")?;
        let mut last = job.clone();
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            let line = line.context("the server stopped; the job goes on at its next start")?;
            let Some(told) = line.strip_prefix("data: ") else { continue };
            last = serde_json::from_str(told).context("not a job")?;
            let stage = last["stage"].as_str().or(last["state"].as_str()).unwrap_or_default();
            eprintln!("[{:>3} %] {}", last["percent"], super::progress::printable(stage));
        }
        if self.place.json {
            println!("{last}");
        }
        match last["state"].as_str() {
            Some("done") => Ok(()),
            Some("failed") => {
                let reason = last["reason"].as_str().unwrap_or_default().to_owned();
                Err(Failure::error(Exit::Bake, reason))
            }
            _ => Err(Failure::error(
                Exit::Unavailable,
                "the server stopped; the job goes on at its next start",
            )),
        }
    }
}

fn json(bytes: &[u8]) -> anyhow::Result<Value> {
    serde_json::from_slice(bytes).context("not a reply of Snapback's")
}
