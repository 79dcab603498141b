//! `snapback circuits`: circuits as data, on a running server.

use super::{
    client::{ApiRequest, Client},
    exit::{Exit, Failure},
    files,
    output::outln,
    progress::printable,
};
use anyhow::Context;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

/// Longest reply that is accepted, in bytes: a verifying key is as long as its circuit.
const REPLY_BYTES_MAX: u64 = 1 << 30;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback circuits add x5chain --r1cs x5chain.r1cs --wasm x5chain.wasm --sym x5chain.sym
  snapback circuits list --server http://127.0.0.1:8080
  snapback circuits key x5chain -o x5chain.vk
  snapback circuits remove x5chain --json
  snapback circuits changes
  snapback circuits generations
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
    /// The image, if several take circuits
    #[arg(long)]
    image: Option<String>,
    /// File with the token of the admin routes, if `--server` is their address
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
        r1cs: Option<PathBuf>,
        /// Its witness calculator, as `circom --wasm` writes it
        #[arg(long, value_name = "FILE")]
        wasm: Option<PathBuf>,
        /// Names of its signals for messages, as `circom --sym` writes them
        #[arg(long, value_name = "FILE")]
        sym: Option<PathBuf>,
        /// A file of another kind, for proof systems that have other kinds; may be repeated
        #[arg(long = "file", value_name = "KIND=FILE", value_parser = parse_file)]
        files: Vec<(String, PathBuf)>,
        /// Replace another circuit of that name; only these files are kept
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
        /// Write the key to this file; - writes to standard output
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// List the generations that are kept.
    Generations {
        #[command(flatten)]
        place: Place,
    },
    /// List the changes that are remembered, with their states
    Changes {
        #[command(flatten)]
        place: Place,
    },
    /// Serve an earlier generation again
    Activate {
        /// Its number
        generation: u64,
        #[command(flatten)]
        place: Place,
    },
}

fn parse_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((kind, file)) if !kind.is_empty() && !file.is_empty() => Ok((kind.into(), file.into())),
        _ => Err("a kind, `=` and a file are expected".into()),
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::Add { name, r1cs, wasm, sym, files, replace, place } => {
            let mut form = MultipartForm::new();
            let named = [("r1cs", r1cs), ("wasm", wasm), ("sym", sym)];
            let named = named.iter().filter_map(|(part, file)| Some((*part, file.as_ref()?)));
            for (part, file) in named.chain(files.iter().map(|(part, file)| (part.as_str(), file))) {
                form.file(part, file)?;
            }
            let replace = if *replace { &[("replace", "true")][..] } else { &[] };
            let request = ApiRequest {
                method: "PUT",
                path: &["v1", "circuits", name],
                content_type: Some(&form.content_type()),
                body: &form.end(),
                ..ApiRequest::default()
            };
            follow(place, &place.send(request, replace)?, &format!("`{name}` is served"))
        }
        Action::Remove { name, place } => {
            let request =
                ApiRequest { method: "DELETE", path: &["v1", "circuits", name], ..ApiRequest::default() };
            follow(place, &place.send(request, &[])?, &format!("`{name}` is gone"))
        }
        Action::List { place } => {
            let mut list = place.send(
                ApiRequest { method: "GET", path: &["v1", "circuits"], ..ApiRequest::default() },
                &[],
            )?;
            let circuits = list["circuits"].as_array_mut().context("not a list of circuits")?;
            circuits.retain(|circuit| place.image.as_ref().is_none_or(|image| circuit["image"] == **image));
            if place.json {
                outln!("{list}");
                return Ok(());
            }
            for circuit in circuits {
                let text = |key: &str| printable(circuit[key].as_str().unwrap_or_default());
                outln!("{:<24} {:<12} key {}", text("name"), text("image"), text("vk_digest"));
            }
            Ok(())
        }
        Action::Key { name, output, place } => {
            let client = place.client()?;
            let image = place.image.as_deref().map(|image| ("image", image));
            let query: Vec<_> = [("circuit", name.as_str())].into_iter().chain(image).collect();
            let path = ["v1", "methods", "verifying_key"];
            let key = client.send(&ApiRequest {
                method: "POST",
                path: &path,
                query: &query,
                ..ApiRequest::default()
            })?;
            files::write(Some(output), &key)
        }
        Action::Generations { place } => {
            let request = ApiRequest { method: "GET", path: &["v1", "generations"], ..ApiRequest::default() };
            let list = place.send(request, &[])?;
            if place.json {
                outln!("{list}");
                return Ok(());
            }
            for generation in list["generations"].as_array().context("not a list of generations")? {
                let circuits = generation["circuits"].as_object().into_iter().flatten();
                let names: Vec<&str> = circuits.map(|(name, _)| name.as_str()).collect();
                let mark = if generation["id"] == list["active"] { "active" } else { "" };
                outln!("{:>4} {mark:<6} {}", generation["id"], printable(&names.join(",")));
            }
            Ok(())
        }
        Action::Changes { place } => changes(place),
        Action::Activate { generation, place } => {
            let id = generation.to_string();
            let path = ["v1", "generations", &id, "activate"];
            let answer =
                place.send(ApiRequest { method: "POST", path: &path, ..ApiRequest::default() }, &[])?;
            if place.json {
                outln!("{answer}");
            } else {
                outln!("generation {generation} is served");
            }
            Ok(())
        }
    }
}

/// Lists the changes that the server remembers.
fn changes(place: &Place) -> anyhow::Result<()> {
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
        outln!("{:>4} {state:<8} {what:<32} {detail}", change["id"]);
    }
    Ok(())
}

impl Place {
    fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.server, self.token_file.as_deref(), REPLY_BYTES_MAX)
    }

    /// Sends a request about the selected image, and returns the answer.
    fn send(&self, request: ApiRequest<'_>, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        // The list of circuits covers all images.
        let is_list = request.path == ["v1", "circuits"];
        let image = self.image.as_deref().filter(|_| !is_list).map(|image| ("image", image));
        let query: Vec<_> = query.iter().copied().chain(image).collect();
        self.client()?.send_json(&ApiRequest { query: &query, ..request })
    }
}

/// A multipart body of files.
struct MultipartForm {
    boundary: String,
    body: Vec<u8>,
}

impl MultipartForm {
    fn new() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system provides entropy");
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

/// Shows a change until it ends.
fn follow(place: &Place, change: &Value, done: &str) -> anyhow::Result<()> {
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
        Some("failed") => Err(Failure::error(Exit::Bake, last["reason"].as_str().unwrap_or_default())),
        _ => {
            let message = "the server stopped; the change goes on at its next start";
            Err(Failure::error(Exit::Unavailable, message))
        }
    }
}
