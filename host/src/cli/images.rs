//! `snapback images`

use super::{
    exit::{Exit, Failure},
    output::outln,
    progress::printable,
    resolve::State,
};
use crate::{circuits::named_by_any, config::Config};
use anyhow::Context;
use bytesize::ByteSize;
use clap::Subcommand;
use snapback_snapshot::{Digest, Stored, proof_systems::ProofSystems};
use std::collections::BTreeSet;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback images
  snapback images --json
  snapback images remove 8c1f04")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Action {
    /// List the images in the store
    List,
    /// Remove images, with their native code
    Remove {
        /// Digests or their beginnings
        #[arg(required = true)]
        images: Vec<String>,
        /// Also remove images that the circuits of a server need
        #[arg(long)]
        force: bool,
    },
}

pub(super) fn run(args: &Args, config: &Config, systems: &ProofSystems) -> anyhow::Result<()> {
    let state = State::open(config, systems)?;
    match &args.action {
        None | Some(Action::List) => list(&state, args.json),
        Some(Action::Remove { images, force }) => {
            let digests = images
                .iter()
                .map(|text| text.parse::<Digest>().or_else(|_| state.store.resolve(text)))
                .collect::<Result<Vec<_>, _>>()?;
            let needed = if *force {
                BTreeSet::new()
            } else {
                named_by_any(&config.state_dir)
                    .context("cannot read what the circuits of servers need (--force does not ask)")?
            };
            if let Some(digest) = digests.iter().find(|digest| needed.contains(digest)) {
                let message = format!(
                    "a server's circuits need {digest} (`snapback circuits generations`): --force removes it all the same"
                );
                return Err(Failure::error(Exit::Usage, message));
            }
            for digest in &digests {
                state.cache.remove(digest)?;
                state.store.remove(digest)?;
                if !args.json {
                    outln!("{digest}");
                }
            }
            if args.json {
                outln!("{}", serde_json::json!({ "removed": digests }));
            }
            Ok(())
        }
    }
}

fn list(state: &State, json: bool) -> anyhow::Result<()> {
    let images = state.store.list()?;
    if json {
        let images: Vec<_> = images
            .iter()
            .map(|Stored { digest, bytes, manifest }| match manifest {
                Ok(manifest) => serde_json::json!({ "digest": digest, "bytes": bytes, "manifest": manifest }),
                Err(error) => {
                    serde_json::json!({ "digest": digest, "bytes": bytes, "error": error.to_string() })
                }
            })
            .collect();
        outln!("{}", serde_json::Value::from(images));
        return Ok(());
    }
    for Stored { digest, bytes, manifest } in &images {
        let size = ByteSize(*bytes).display().iec();
        match manifest {
            Ok(manifest) => {
                let circuits: Vec<&str> =
                    manifest.circuits.iter().map(|circuit| circuit.name.as_str()).collect();
                outln!(
                    "{digest}  {size:>10}  {}  {}",
                    printable(&manifest.guest.name),
                    printable(&circuits.join(","))
                );
            }
            Err(error) => outln!("{digest}  {size:>10}  {error}"),
        }
    }
    if images.iter().any(|image| image.manifest.is_err()) {
        return Err(Failure::error(Exit::Failed, "some images are damaged"));
    }
    Ok(())
}
