//! `snapback prove` and `snapback verify`: one call, here or on a server.

use super::{
    client::{Access, ApiRequest, Client, JSON},
    exit::{Exit, Failure, describe, exit_of},
    files, here,
    output::outln,
    progress::Counted,
    resolve::{DEFAULT_IMAGE, State},
    snarkjs,
};
use crate::{config::Config, witness::inputs::is_json};
use anyhow::Context;
use serde_json::{Map, Value, json};
use snapback_abi::{METHOD_PROVE, METHOD_VERIFY};
use snapback_snapshot::{
    ImageStore, Portion, References, SealedImage,
    proof_systems::{ProofSystems, VerifyError},
};
use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

/// Names of the public signals in proofs as JSON.
const PUBLIC: [&str; 2] = ["public", "publicSignals"];
/// The server that takes JSON if none is named.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

#[derive(clap::Args)]
struct Where {
    /// Image to use: a guest's name, a digest or its beginning, or a file [default: zcash]; with --server, the name
    /// that it is served under
    #[arg(long)]
    image: Option<String>,
    /// Circuit of that image; needed if it has several
    #[arg(long)]
    circuit: Option<String>,
    /// Send the call to this server instead of running it here; JSON needs one [default for JSON without --image:
    /// http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    #[command(flatten)]
    access: Access,
}

impl Where {
    fn image(&self) -> &str {
        self.image.as_deref().unwrap_or(DEFAULT_IMAGE)
    }
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback prove orchard2.pczt -o proven.pczt
  snapback prove - --server http://127.0.0.1:8080 < orchard2.pczt > proven.pczt
  snapback prove input.json --circuit x5chain --server http://127.0.0.1:8080
  snapback prove input.json --circuit membership --proof proof.json --public public.json")]
pub(super) struct ProveArgs {
    /// The statement with its witness, such as a PCZT, a .wtns, or circom's input.json; - reads standard input
    input: PathBuf,
    /// Write the result here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    snarkjs: snarkjs::Outputs,
    #[command(flatten)]
    place: Where,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback verify proven.pczt
  snapback verify proven.pczt --json --server http://127.0.0.1:8080
  snapback verify x5chain.proof --vk x5chain.vk             no image, no server
  snapback verify proof.json --public public.json --vk verification_key.json")]
pub(super) struct VerifyArgs {
    /// The statement with its proof; - reads standard input
    input: PathBuf,
    /// Verify with this verifying key and nothing else; `snapback circuits key` fetches it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image", "server", "circuit"])]
    vk: Option<PathBuf>,
    /// The public signals, if they are in a file of their own, as snarkjs writes them
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

pub(super) fn prove(args: &ProveArgs, config: &Config, systems: &ProofSystems) -> anyhow::Result<()> {
    let input = files::read(&args.input)?;
    // Of a witness, a server returns a binary proof unless it is asked for JSON.
    let accept = args.snarkjs.are_named().then_some(JSON);
    let proven = call(&args.place, METHOD_PROVE, &input, accept, config, systems)?;
    if args.snarkjs.are_named() {
        return args.snarkjs.write(&proof_json(&args.place, &proven, config, systems)?);
    }
    files::write(args.output.as_deref(), &proven)
}

pub(super) fn verify(args: &VerifyArgs, config: &Config, systems: &ProofSystems) -> anyhow::Result<()> {
    let input = snarkjs::read(&args.input, args.public.as_deref())?;
    let verified = match &args.vk {
        Some(key) => with_key(key, (&args.input, &input), config, systems).map(Some),
        None => call(&args.place, METHOD_VERIFY, &input, None, config, systems).map(|_| None),
    };
    if args.json {
        outln!("{}", as_json(&verified));
    }
    let proof = verified?;
    if !args.json {
        outln!("valid");
        let public = |proof: &'_ Map<String, Value>| {
            PUBLIC.iter().find_map(|key| proof.get(*key)?.as_array().cloned()).unwrap_or_default()
        };
        let public = proof.as_ref().map(public).unwrap_or_default().into_iter();
        for (index, value) in public.enumerate() {
            outln!("public signal {index}: {}", value.as_str().unwrap_or_default());
        }
    }
    Ok(())
}

/// Returns a proof as JSON: a server's reply is JSON already, and an image here says by its system how to convert it.
fn proof_json(
    place: &Where,
    proven: &[u8],
    config: &Config,
    systems: &ProofSystems,
) -> anyhow::Result<Value> {
    if is_json(proven) {
        return serde_json::from_slice(proven).context("the reply is not JSON");
    }
    let sealed = State::open(config, systems)?.image(place.image(), config)?;
    let system = systems.of_image(sealed.manifest());
    let system = system.context("the image has no circuits as data, so its proofs have no JSON")?;
    Ok(system.proof_to_json(proven)?.into())
}

/// The result as JSON, also for a proof that does not verify.
fn as_json(verified: &anyhow::Result<Option<Map<String, Value>>>) -> Value {
    match verified {
        Ok(proof) => {
            let mut json = proof.clone().unwrap_or_default();
            json.remove("proof");
            json.insert("valid".into(), json!(true));
            json.into()
        }
        Err(error) => {
            let is_refuted = exit_of(error) == Exit::Refuted;
            let valid = if is_refuted { json!(false) } else { json!(null) };
            json!({ "valid": valid, "reason": describe(error) })
        }
    }
}

/// Verifies a proof with nothing but the file of a verifying key, and returns the proof as JSON. What takes long to
/// generate is kept in the state directory, if there is one.
fn with_key(
    key: &Path,
    (path, proof): (&Path, &[u8]),
    config: &Config,
    systems: &ProofSystems,
) -> anyhow::Result<Map<String, Value>> {
    let refuse =
        |path: &Path, reason: String| Failure::error(Exit::Call, format!("{}: {reason}", path.display()));
    let key_file = files::read(key)?;
    let system = systems.of_key(&key_file);
    let system =
        system.ok_or_else(|| refuse(key, "not a verifying key: no proof system has its format".into()))?;
    let binary;
    let proof = if is_json(proof) {
        binary =
            system.proof_from_json(proof, usize::MAX).map_err(|error| refuse(path, error.to_string()))?;
        &binary
    } else {
        proof
    };
    let read = system.proof_to_json(proof).map_err(|error| refuse(path, error.to_string()))?;
    let store = ImageStore::open(&config.state_dir).ok();
    let shown = Counted::new("generating the reference string of the key, once");
    let took = Cell::new(None);
    let progress = |portion: Portion| {
        shown.show(portion);
        took.set(Some(portion.took));
    };
    let references = References { store: store.as_ref().map(ImageStore::references), progress: &progress };
    let verified = system.verify(&references, &key_file, proof);
    if let (Some(took), Some(_)) = (took.get(), &store) {
        let (seconds, dir) = (took.as_secs_f64(), config.state_dir.display());
        eprintln!(
            "generated the reference string in {seconds:.1} s; it is kept in {dir}, if that can be written"
        );
    }
    verified.map_err(|error| match error {
        VerifyError::Key(_) => refuse(key, error.to_string()),
        VerifyError::References(_) => Failure::error(Exit::Failed, error.to_string()),
        VerifyError::Proof(_) => refuse(path, error.to_string()),
        VerifyError::Refuted(_) => Failure::error(Exit::Refuted, format!("{}: {error}", path.display())),
    })?;
    Ok(read)
}

fn call(
    place: &Where,
    method: &'static str,
    body: &[u8],
    accept: Option<&str>,
    config: &Config,
    systems: &ProofSystems,
) -> anyhow::Result<Vec<u8>> {
    match &place.server {
        Some(server) => remote(server, place, method, body, accept, config),
        // JSON is converted by a server, which has the calculators.
        None if place.image.is_none() && is_json(body) => {
            remote(DEFAULT_SERVER, place, method, body, accept, config)
        }
        None => {
            let circuit = |image: &SealedImage| {
                circuit_of(place.circuit.as_deref(), circuits(image)).map(str::to_owned)
            };
            here::call((place.image(), None), method, circuit, body, config, systems)
        }
    }
}

/// Returns the circuit that was named, or the only one there is.
fn circuit_of<'a>(
    named: Option<&'a str>,
    mut there: impl Iterator<Item = &'a str>,
) -> anyhow::Result<&'a str> {
    if let Some(named) = named {
        return Ok(named);
    }
    match (there.next(), there.next()) {
        (Some(only), None) => Ok(only),
        (Some(first), Some(second)) => {
            let rest: Vec<&str> = there.collect();
            let names = [&[first, second], rest.as_slice()].concat().join(", ");
            Err(Failure::error(Exit::Usage, format!("give --circuit, one of {names}")))
        }
        (None, _) => Err(Failure::error(Exit::Usage, "there is no circuit")),
    }
}

fn circuits(image: &SealedImage) -> impl Iterator<Item = &str> {
    image.manifest().circuits.iter().map(|circuit| circuit.name.as_str())
}

fn remote(
    server: &str,
    place: &Where,
    method: &'static str,
    body: &[u8],
    accept: Option<&str>,
    config: &Config,
) -> anyhow::Result<Vec<u8>> {
    let client = Client::new(server, &place.access, config.reply_bytes_max)?;
    let image = place.image.as_deref();
    let list;
    let circuit = match &place.circuit {
        Some(circuit) => circuit,
        None => {
            list = client.send_json(&ApiRequest {
                method: "GET",
                path: &["v1", "circuits"],
                ..ApiRequest::default()
            })?;
            let there = list["circuits"].as_array().into_iter().flatten();
            let there = there.filter(|circuit| image.is_none_or(|image| circuit["image"] == image));
            circuit_of(None, there.filter_map(|circuit| circuit["name"].as_str()))?
        }
    };
    client.send(&ApiRequest {
        method: "POST",
        path: &["v1", "circuits", circuit, method],
        query: image.map(|image| ("image", image)).as_slice(),
        content_type: is_json(body).then_some(JSON),
        accept,
        body,
        ..ApiRequest::default()
    })
}
