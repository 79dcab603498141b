//! `snapback ready`: bakes and compiles what is about to be served, in a process of its own. The heap of the server would
//! keep what that takes, 160 MB for Orchard, for as long as it lives.

use super::{Exit, Failure, Told, resolve::State};
use crate::{apart::Apart, config::Config};
use snapback_snapshot::{LoadedImage, Origin, SealedImage, engine};
use std::process::Stdio;
use wasmtime::Engine;

#[derive(clap::Args)]
pub(super) struct Args {
    /// An embedded guest, a digest, or a file
    image: String,
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<()> {
    let state = State::open(config)?;
    let image = state.image(&args.image, config)?;
    if state.cache.can_keep() {
        state.cache.load(&engine(1)?, &image)?;
    }
    Ok(())
}

/// Opens an image; an embedded guest that was never baked is baked apart.
pub(super) fn image(state: &State, text: &str, config: &Config) -> anyhow::Result<SealedImage> {
    if state.unbaked(text).is_some() {
        make(text, text, config)?;
    }
    Ok(state.image(text, config)?)
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
    if state.cache.can_keep() {
        let stored = Some(image.digest()).filter(|digest| state.store.path(digest).exists());
        make(text, &stored.map_or_else(|| text.to_owned(), |digest| digest.to_string()), config)?;
    }
    let loaded = state.cache.load(engine, image)?;
    let origin = if loaded.origin == Origin::Cached { Origin::Compiled(miss) } else { loaded.origin };
    Ok(LoadedImage { origin, ..loaded })
}

/// Has it done by another process, of which progress and errors are shown. Where none can be had it is left to this one.
fn make(called: &str, image: &str, config: &Config) -> anyhow::Result<()> {
    let mut command = Apart::new(config).command("ready");
    let status = match command.args(["--", image]).stdout(Stdio::null()).status() {
        Ok(status) => status,
        Err(error) => {
            tracing::warn!(image = called, %error, "no process of its own for this image: it is made ready in this one");
            return Ok(());
        }
    };
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(Told(u8::try_from(code).unwrap_or(Exit::Failed as u8)).into()),
        None => {
            let message =
                format!("making `{called}` ready ended with {status}: it may have run out of memory");
            Err(Failure::error(Exit::Failed, message))
        }
    }
}
