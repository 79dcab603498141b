//! `snapback ready`: bakes and compiles what is about to be served, in a process of its own. The heap of the server would
//! keep what that takes, 160 MB for Orchard, for as long as it lives.

use super::{Exit, Failure, Told, resolve::State};
use crate::{
    apart::{Apart, follow_parent},
    config::Config,
};
use anyhow::Context;
use snapback_snapshot::{LoadedImage, Origin, SealedImage, engine};
use std::process::Stdio;
use wasmtime::Engine;

#[derive(clap::Args)]
pub(super) struct Args {
    /// An embedded guest, a digest, or a file
    image: String,
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<()> {
    follow_parent()?;
    let state = State::open(config)?;
    let image = state.image(&args.image, config)?;
    state.cache.load(&engine(1)?, &image)?;
    Ok(())
}

/// Opens an image; an embedded guest that was never baked is baked apart.
pub(super) fn image(state: &State, text: &str, config: &Config) -> anyhow::Result<SealedImage> {
    if state.unbaked(text).is_some() {
        make(text, config)?;
    }
    Ok(state.existing(text)?)
}

/// Loads an image that was called `text`. Without native code that fits it is compiled apart, if the cache can keep that.
pub(super) fn load(
    state: &State,
    engine: &Engine,
    text: &str,
    image: &SealedImage,
    config: &Config,
) -> anyhow::Result<LoadedImage> {
    let miss = match state.cache.find(engine, image) {
        Ok(loaded) => return Ok(loaded),
        Err(miss) => miss,
    };
    if !state.cache.is_writable() {
        return Ok(state.cache.load(engine, image)?);
    }
    let digest = image.digest();
    if state.store.path(&digest).exists() {
        make(&digest.to_string(), config)?
    } else {
        make(text, config)?
    }
    let loaded = state.cache.load(engine, image)?;
    let origin = if loaded.origin == Origin::Cached { Origin::Compiled(miss) } else { loaded.origin };
    Ok(LoadedImage { origin, ..loaded })
}

/// Has it done by another process, of which progress and errors are shown.
fn make(image: &str, config: &Config) -> anyhow::Result<()> {
    let mut command = Apart::new(config).command("ready");
    let status = command.args(["--", image]).stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start the bake of `{image}`"))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(Told(u8::try_from(code).unwrap_or(Exit::Failed as u8)).into()),
        None => Err(Failure::error(Exit::Bake, format!("the bake of `{image}` ended with {status}"))),
    }
}
