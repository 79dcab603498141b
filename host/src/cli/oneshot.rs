//! `snapback prove` and `snapback verify`: one call, here or on a server.

use super::{
    Exit, Failure,
    client::{Ask, Client},
    files,
    resolve::{DEFAULT_IMAGE, State, check_memory_limit},
};
use crate::{
    circuits::ProofJson,
    config::Config,
    entropy::Entropy,
    generation::Generation,
    instance::{Call, Fault, Instance},
    witness::inputs::is_json,
};
use serde_json::json;
use snapback_abi::{METHOD_PROVE, METHOD_VERIFY, reply::Tag};
use snapback_guest_plonk as plonk;
use snapback_snapshot::{SealedImage, Ticker, circuits::verify_with_key, engine};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(clap::Args)]
struct Where {
    /// Image to use: a guest's name, a digest or its beginning, or a file [default: zcash]; with --server, the name that it is served under
    #[arg(long)]
    image: Option<String>,
    /// Circuit of that image; may be left out where it has only one
    #[arg(long)]
    circuit: Option<String>,
    /// Use this server and no image here
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback prove orchard2.pczt -o proven.pczt
  snapback prove - --server http://127.0.0.1:8080 < orchard2.pczt > proven.pczt
  snapback prove inputs.json --circuit x5chain --server http://127.0.0.1:8080    {\"inputs\": {...}}")]
pub(super) struct ProveArgs {
    /// The statement with its witness, such as a PCZT or a .wtns; - reads standard input
    input: PathBuf,
    /// Write the result here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback verify proven.pczt
  snapback verify proven.pczt --json --server http://127.0.0.1:8080
  snapback verify x5chain.proof --vk x5chain.vk             no image, no server")]
pub(super) struct VerifyArgs {
    /// The statement with its proof; - reads standard input
    input: PathBuf,
    /// Verify with this verifying key and nothing else; `snapback circuits key` fetches it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image", "server", "circuit"])]
    vk: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

pub(super) fn prove(args: &ProveArgs, config: &Config) -> anyhow::Result<()> {
    let input = files::read(&args.input)?;
    let proven = call(&args.place, METHOD_PROVE, &input, config)?;
    files::write(args.output.as_deref(), &proven)
}

pub(super) fn verify(args: &VerifyArgs, config: &Config) -> anyhow::Result<()> {
    let input = files::read(&args.input)?;
    let verified = match &args.vk {
        Some(key) => with_key(key, &args.input, &input).map(Some),
        None => call(&args.place, METHOD_VERIFY, &input, config).map(|_| None),
    };
    if args.json {
        println!("{}", as_json(&verified));
    }
    let proof = verified?;
    if !args.json {
        println!("valid");
        for (index, value) in proof.iter().flat_map(|proof| &proof.public).enumerate() {
            println!("public signal {index}: {value}");
        }
    }
    Ok(())
}

/// What a machine reads: also of a proof that does not verify.
fn as_json(verified: &anyhow::Result<Option<ProofJson>>) -> serde_json::Value {
    match verified {
        Ok(Some(ProofJson { circuit, public, .. })) => {
            json!({ "valid": true, "circuit": circuit, "public": public })
        }
        Ok(None) => json!({ "valid": true }),
        Err(error) => {
            let is_refuted = super::exit_of(error) == Exit::Refuted;
            let valid = if is_refuted { json!(false) } else { json!(null) };
            json!({ "valid": valid, "reason": super::describe(error) })
        }
    }
}

/// Verifies with a key's file alone; returns what was proven.
fn with_key(key: &Path, path: &Path, proof: &[u8]) -> anyhow::Result<ProofJson> {
    let refuse =
        |path: &Path, reason: String| Failure::error(Exit::Call, format!("{}: {reason}", path.display()));
    let key_file = files::read(key)?;
    plonk::KeyFile::read(&key_file).map_err(|error| refuse(key, format!("not a verifying key: {error}")))?;
    let binary;
    let proof = if is_json(proof) {
        binary = ProofJson::read(proof).map_err(|error| refuse(path, error))?;
        &binary
    } else {
        proof
    };
    let read = ProofJson::of(proof).map_err(|error| refuse(path, error.to_string()))?;
    verify_with_key(&key_file, proof).map_err(|error| match error {
        plonk::Error::Refuted(_) => Failure::error(Exit::Refuted, format!("{}: {error}", path.display())),
        error => refuse(path, error.to_string()),
    })?;
    Ok(read)
}

fn call(place: &Where, method: &'static str, body: &[u8], config: &Config) -> anyhow::Result<Vec<u8>> {
    match &place.server {
        Some(server) => remote(server, place, method, body, config),
        None => local(place, method, body, config),
    }
}

/// The circuit that is meant: the one that was named, or the only one there is.
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

fn local(place: &Where, method: &'static str, body: &[u8], config: &Config) -> anyhow::Result<Vec<u8>> {
    let state = State::open(config)?;
    let image = place.image.as_deref().unwrap_or(DEFAULT_IMAGE);
    let sealed = state.image(image, config)?;
    check_memory_limit(image, &sealed, config)?;
    let circuit = circuit_of(place.circuit.as_deref(), circuits(&sealed))?;
    let engine = engine(1)?;
    let _ticker = Ticker::start(&engine)?;
    let generation = Arc::new(Generation::new(state.cache.load(&engine, &sealed)?)?);
    let policy = config.policy_of(image);
    let mut instance = Instance::of(&generation, policy.memory_limit_bytes)?;
    let call = Call {
        method,
        circuit,
        body,
        entropy: Entropy::fresh(),
        deadline: policy.deadline_of(method),
        reply_bytes_max: config.reply_bytes_max,
    };
    let reply = instance.call(&call).map_err(|fault| match fault {
        Fault::NoSuchMethod => Failure::error(Exit::Usage, format!("`{image}` has no method `{method}`")),
        fault => Failure::error(Exit::Call, fault.to_string()),
    })?;
    let exit = match reply.tag {
        Tag::Ok => return Ok(reply.body),
        Tag::Refuted => Exit::Refuted,
        _ => Exit::Call,
    };
    Err(Failure::error(exit, String::from_utf8_lossy(&reply.body)))
}

fn remote(
    server: &str,
    place: &Where,
    method: &'static str,
    body: &[u8],
    config: &Config,
) -> anyhow::Result<Vec<u8>> {
    let client = Client::new(server, None, config.reply_bytes_max)?;
    let image = place.image.as_deref();
    let list;
    let circuit = match &place.circuit {
        Some(circuit) => circuit,
        None => {
            list = client.ask_json(&Ask { method: "GET", path: &["v1", "circuits"], ..Ask::default() })?;
            let there = list["circuits"].as_array().into_iter().flatten();
            let there = there.filter(|circuit| image.is_none_or(|image| circuit["image"] == image));
            circuit_of(None, there.filter_map(|circuit| circuit["name"].as_str()))?
        }
    };
    client.ask(&Ask {
        method: "POST",
        path: &["v1", "circuits", circuit, method],
        query: image.map(|image| ("image", image)).as_slice(),
        content_type: is_json(body).then_some("application/json"),
        body,
    })
}
