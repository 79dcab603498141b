//! `snapback circuits`: circuits as data, on a running server.
//!
//! ```text
//! place     the server and image that a command is about
//! form      the files of a circuit, as a multipart body
//! changes   changes that wait, are baked, or have ended
//! list      the circuits of a server
//! info      a circuit in a file: what it is, and what it will take
//! trial     a proof by a circuit that was added, verified
//! ```

mod changes;
mod form;
mod info;
mod list;
mod place;
mod trial;

use super::{client::ApiRequest, files, output::outln, progress::printable};
use anyhow::Context;
use bytesize::ByteSize;
use form::MultipartForm;
use place::Place;
use snapback_snapshot::proof_systems::ProofSystems;
use std::path::PathBuf;
use trial::Trial;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback circuits info x5chain.r1cs --sym x5chain.sym
  snapback circuits estimate x5chain.r1cs           what it will take, before it is added
  snapback circuits add x5chain --r1cs x5chain.r1cs --wasm x5chain.wasm --sym x5chain.sym
  snapback circuits add membership --zkey merkle20.zkey --wasm merkle20.wasm --vk verification_key.json
  snapback circuits add membership --zkey merkle20.zkey --wasm merkle20.wasm --trial input.json
  snapback circuits list --server http://127.0.0.1:8080
  snapback circuits key x5chain -o x5chain.vk
  snapback circuits remove x5chain --json
  snapback circuits changes
  snapback circuits cancel 7
  snapback circuits generations
  snapback circuits activate 3                      back to an earlier generation")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
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
        /// Its proving key for Groth16, as `snarkjs groth16 setup` and `snarkjs zkey contribute` write it
        #[arg(long, value_name = "FILE")]
        zkey: Option<PathBuf>,
        /// The verifying key that has to belong to the proving key, as `snarkjs zkey export verificationkey` writes it
        #[arg(long, value_name = "FILE", requires = "zkey")]
        vk: Option<PathBuf>,
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
        /// Once it is served, prove the statement in this file (input.json or a .wtns), and verify the proof; if the
        /// statement or the proof is refused, a circuit that is new is removed again
        #[arg(long, value_name = "FILE")]
        trial: Option<PathBuf>,
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
    /// Describe a circuit in a file
    Info(info::Args),
    /// Say what a circuit in a file will take: rows, image, memory, time
    Estimate(info::Args),
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
    /// Cancel a change that is not done, also while it is baked
    Cancel {
        /// Its number
        change: u64,
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

pub(super) fn run(args: &Args, systems: &ProofSystems) -> anyhow::Result<()> {
    match &args.action {
        Action::Add { name, r1cs, zkey, vk, wasm, sym, files, replace, trial, place } => {
            let mut form = MultipartForm::new();
            let named = [("r1cs", r1cs), ("zkey", zkey), ("vk", vk), ("wasm", wasm), ("sym", sym)];
            let named = named.iter().filter_map(|(part, file)| Some((*part, file.as_ref()?)));
            for (part, file) in named.chain(files.iter().map(|(part, file)| (part.as_str(), file))) {
                form.file(part, file)?;
            }
            // Read first, so that a path that is wrong is found before anything changes.
            let trial = trial.as_deref().map(|file| Trial::read(place, name, file)).transpose()?;
            let replace = if *replace { &[("replace", "true")][..] } else { &[] };
            let request = ApiRequest {
                method: "PUT",
                path: &["v1", "circuits", name],
                content_type: Some(&form.content_type()),
                ..ApiRequest::default()
            };
            changes::follow(place, &place.upload(request, replace, form)?, &format!("`{name}` is served"))?;
            trial.map_or(Ok(()), |trial| trial.run(place, name, systems))
        }
        Action::Remove { name, place } => {
            let request =
                ApiRequest { method: "DELETE", path: &["v1", "circuits", name], ..ApiRequest::default() };
            changes::follow(place, &place.send(request, &[])?, &format!("`{name}` is gone"))
        }
        Action::List { place } => list::run(place),
        Action::Info(args) => info::info(args, systems),
        Action::Estimate(args) => info::estimate(args, systems),
        Action::Key { name, output, place } => files::write(Some(output), &place.verifying_key(name)?),
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
                let bytes = ByteSize(generation["disk_bytes"].as_u64().unwrap_or_default()).display().iec();
                let names = printable(&names.join(","));
                outln!("{:>4} {mark:<6} {:>10} {names}", generation["id"], bytes.to_string());
            }
            Ok(())
        }
        Action::Changes { place } => changes::list(place),
        Action::Cancel { change, place } => changes::cancel(place, *change),
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
