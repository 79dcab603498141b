//! `snapback circuits`: circuits as data, on a server that runs.

use super::{
    Exit, Failure,
    client::{Ask, Client},
    files,
    progress::printable,
};
use anyhow::Context;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

/// Longest reply: a verifying key is as long as its circuit.
const REPLY_BYTES_MAX: u64 = 1 << 30;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback circuits add x5chain --r1cs x5chain.r1cs --wasm x5chain.wasm --sym x5chain.sym
  snapback circuits list --server http://127.0.0.1:8080
  snapback circuits key x5chain -o x5chain.vk
  snapback circuits remove x5chain --json
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
        /// Put it in the place of another circuit of that name, with these files and no others
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
        /// Write it here; - writes standard output
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
            let replace = if *replace { &[("replace", "true")][..] } else { &[] };
            let ask = Ask {
                method: "PUT",
                path: &["v1", "circuits", name],
                content_type: Some(&form.content_type()),
                body: &form.end(),
                ..Ask::default()
            };
            follow(place, &place.ask(ask, replace)?, &format!("`{name}` is served"))
        }
        Action::Remove { name, place } => {
            let ask = Ask { method: "DELETE", path: &["v1", "circuits", name], ..Ask::default() };
            follow(place, &place.ask(ask, &[])?, &format!("`{name}` is gone"))
        }
        Action::List { place } => {
            let mut list =
                place.ask(Ask { method: "GET", path: &["v1", "circuits"], ..Ask::default() }, &[])?;
            let circuits = list["circuits"].as_array_mut().context("not a list of circuits")?;
            circuits.retain(|circuit| place.image.as_ref().is_none_or(|image| circuit["image"] == **image));
            if place.json {
                println!("{list}");
                return Ok(());
            }
            for circuit in circuits {
                let text = |key: &str| printable(circuit[key].as_str().unwrap_or_default());
                println!("{:<24} {:<12} key {}", text("name"), text("image"), text("vk_digest"));
            }
            Ok(())
        }
        Action::Key { name, output, place } => {
            let client = place.client()?;
            let image = place.image.as_deref().map(|image| ("image", image));
            let query: Vec<_> = [("circuit", name.as_str())].into_iter().chain(image).collect();
            let path = ["v1", "methods", "verifying_key"];
            let key = client.ask(&Ask { method: "POST", path: &path, query: &query, ..Ask::default() })?;
            files::write(Some(output), &key)
        }
        Action::Generations { place } => {
            let ask = Ask { method: "GET", path: &["v1", "generations"], ..Ask::default() };
            let list = place.ask(ask, &[])?;
            if place.json {
                println!("{list}");
                return Ok(());
            }
            for generation in list["generations"].as_array().context("not a list of generations")? {
                let circuits = generation["circuits"].as_object().into_iter().flatten();
                let names: Vec<&str> = circuits.map(|(name, _)| name.as_str()).collect();
                let mark = if generation["id"] == list["active"] { "active" } else { "" };
                println!("{:>4} {mark:<6} {}", generation["id"], printable(&names.join(",")));
            }
            Ok(())
        }
        Action::Activate { generation, place } => {
            let id = generation.to_string();
            let path = ["v1", "generations", &id, "activate"];
            let answer = place.ask(Ask { method: "POST", path: &path, ..Ask::default() }, &[])?;
            if place.json {
                println!("{answer}");
            } else {
                println!("generation {generation} is served");
            }
            Ok(())
        }
    }
}

impl Place {
    fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.server, self.token_file.as_deref(), REPLY_BYTES_MAX)
    }

    /// The answer to a request about the image that is meant.
    fn ask(&self, ask: Ask<'_>, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        // What lists all images takes no image.
        let is_list = ask.path == ["v1", "circuits"];
        let image = self.image.as_deref().filter(|_| !is_list).map(|image| ("image", image));
        let query: Vec<_> = query.iter().copied().chain(image).collect();
        self.client()?.ask_json(&Ask { query: &query, ..ask })
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

/// Shows a job until it ends.
fn follow(place: &Place, job: &Value, done: &str) -> anyhow::Result<()> {
    let Some(id) = job["id"].as_u64() else {
        if place.json {
            println!("{job}");
        } else {
            println!("{done} already: nothing changed");
        }
        return Ok(());
    };
    let id = id.to_string();
    let path = ["v1", "jobs", &id, "events"];
    let image = place.image.as_deref().map(|image| ("image", image));
    let events = Ask { method: "GET", path: &path, query: image.as_slice(), ..Ask::default() };
    let response = place.client()?.open(&events).context("the server does not tell of the job")?;
    let mut last = job.clone();
    for line in BufReader::new(response.into_body().into_reader()).lines() {
        let line = line.context("the server stopped; the job goes on at its next start")?;
        let Some(told) = line.strip_prefix("data: ") else { continue };
        last = serde_json::from_str(told).context("not a job")?;
        let stage = last["stage"].as_str().or(last["state"].as_str()).unwrap_or_default();
        eprintln!("[{:>3} %] {}", last["percent"], printable(stage));
    }
    if place.json {
        println!("{last}");
    }
    match last["state"].as_str() {
        Some("done") => {
            if !place.json {
                println!("{done}, in generation {}", last["generation"]);
            }
            Ok(())
        }
        Some("failed") => Err(Failure::error(Exit::Bake, last["reason"].as_str().unwrap_or_default())),
        _ => {
            let message = "the server stopped; the job goes on at its next start";
            Err(Failure::error(Exit::Unavailable, message))
        }
    }
}
