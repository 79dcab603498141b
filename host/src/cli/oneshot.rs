//! `snapback prove` and `snapback verify`: one call, here or on a server.

use super::{
    Exit, Failure,
    resolve::{DEFAULT_IMAGE, State, check_memory_limit},
};
use crate::{
    circuits::ProofJson,
    config::Config,
    entropy::Entropy,
    generation::Generation,
    instance::{Call, Fault, Instance},
};
use anyhow::Context;
use serde::Deserialize;
use snapback_abi::{METHOD_PROVE, METHOD_VERIFY, reply::Tag};
use snapback_guest_plonk as plonk;
use snapback_snapshot::{Ticker, circuits::verify_with_key, engine};
use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::Arc,
};
use zeroize::Zeroizing;

#[derive(clap::Args)]
struct Where {
    /// Image to use: a guest's name, a digest or its beginning, or a file
    #[arg(long, default_value = DEFAULT_IMAGE)]
    image: String,
    /// Circuit of that image
    #[arg(long, default_value = "orchard")]
    circuit: String,
    /// Use this server and no image here
    #[arg(long, value_name = "URL", conflicts_with = "image")]
    server: Option<String>,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback prove orchard2.pczt -o proven.pczt
  snapback prove - --server http://127.0.0.1:8080 < orchard2.pczt > proven.pczt")]
pub(super) struct ProveArgs {
    /// The statement with its witness, such as a PCZT; - reads standard input
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
    /// Verify with this verifying key and nothing else; the image's method verifying_key gives it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["image", "server", "circuit"])]
    vk: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

pub(super) fn prove(args: &ProveArgs, config: &Config) -> anyhow::Result<()> {
    let input = read(&args.input)?;
    let proven = call(&args.place, METHOD_PROVE, &input, config)?;
    match &args.output {
        // What a wallet proves holds its secrets: the file is its owner's.
        Some(path) => fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(&proven))
            .with_context(|| format!("cannot write {}", path.display())),
        None => io::stdout().write_all(&proven).context("cannot write the result"),
    }
}

pub(super) fn verify(args: &VerifyArgs, config: &Config) -> anyhow::Result<()> {
    let input = read(&args.input)?;
    match &args.vk {
        Some(key) => with_key(&read(key)?, &input)?,
        None => call(&args.place, METHOD_VERIFY, &input, config).map(drop)?,
    }
    if args.json {
        println!("{}", serde_json::json!({ "valid": true }));
    } else {
        println!("valid");
    }
    Ok(())
}

fn with_key(key: &[u8], proof: &[u8]) -> anyhow::Result<()> {
    let read;
    let proof = if proof.first() == Some(&b'{') {
        read = ProofJson::read(proof).map_err(|error| Failure::error(Exit::Call, error))?;
        &read
    } else {
        proof
    };
    verify_with_key(key, proof).map_err(|error| {
        let exit = if matches!(error, plonk::Error::Refuted(_)) { Exit::Refuted } else { Exit::Call };
        Failure::error(exit, error.to_string())
    })
}

fn read(path: &PathBuf) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if path.as_os_str() == "-" {
        io::stdin().read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes)
}

fn call(place: &Where, method: &str, body: &[u8], config: &Config) -> anyhow::Result<Vec<u8>> {
    match &place.server {
        Some(server) => remote(server, &place.circuit, method, body, config),
        None => local(place, method, body, config),
    }
}

fn local(place: &Where, method: &str, body: &[u8], config: &Config) -> anyhow::Result<Vec<u8>> {
    let state = State::open(config)?;
    let sealed = state.image(&place.image, config)?;
    check_memory_limit(&place.image, &sealed, config)?;
    let engine = engine(1)?;
    let _ticker = Ticker::start(&engine)?;
    let generation = Arc::new(Generation::new(state.cache.load(&engine, &sealed)?)?);
    let policy = config.policy_of(&place.image);
    let mut instance = Instance::of(&generation, policy.memory_limit_bytes)?;
    let call = Call {
        method,
        circuit: &place.circuit,
        body,
        entropy: Entropy::fresh(),
        deadline: policy.deadline_of(method),
        reply_bytes_max: config.reply_bytes_max,
    };
    let reply = instance.call(&call).map_err(|fault| match fault {
        Fault::NoSuchMethod => {
            Failure::error(Exit::Usage, format!("`{}` has no method `{method}`", place.image))
        }
        fault => Failure::error(Exit::Call, fault.to_string()),
    })?;
    let exit = match reply.tag {
        Tag::Ok => return Ok(reply.body),
        Tag::Refuted => Exit::Refuted,
        _ => Exit::Call,
    };
    Err(Failure::error(exit, String::from_utf8_lossy(&reply.body)))
}

/// The server's one shape of an error.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    message: String,
    request_id: String,
}

fn remote(
    server: &str,
    circuit: &str,
    method: &str,
    body: &[u8],
    config: &Config,
) -> anyhow::Result<Vec<u8>> {
    let url = format!("{}/v1/circuits/{circuit}/{method}", server.trim_end_matches('/'));
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent.post(&url).send(body).with_context(|| format!("cannot reach {server}"))?;
    let status = response.status().as_u16();
    let limit = config.reply_bytes_max;
    let bytes =
        response.body_mut().with_config().limit(limit).read_to_vec().map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(bytes_max) => {
                let message = format!("the reply is longer than `call.reply_bytes_max` = {bytes_max} bytes");
                Failure::error(Exit::Call, message)
            }
            error => anyhow::Error::new(error).context("the reply broke off"),
        })?;
    if status == 200 {
        return Ok(bytes);
    }
    let exit = match status {
        429 | 503 => Exit::Unavailable,
        _ => Exit::Call,
    };
    let Ok(Refusal { code, message, request_id }) = serde_json::from_slice(&bytes) else {
        return Err(Failure::error(Exit::Failed, format!("{server} answered {status}, and is no Snapback")));
    };
    let exit = if code == "refuted" { Exit::Refuted } else { exit };
    Err(Failure::error(exit, format!("{message} ({code}, request {request_id})")))
}
