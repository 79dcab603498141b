//! `snapback ready`: bakes and compiles an image that is about to be served, in a process of its own. The heap of the
//! server would keep the memory that this takes, 160 MB for Orchard, for as long as the server lives.

use super::{
    builds::BuildArgs,
    exit::{AlreadyReported, Exit, Failure},
    resolve::State,
};
use crate::{config::Config, subprocess::Subprocess};
use snapback_snapshot::{LoadedImage, Miss, Origin, SealedImage, Simd, engine, proof_systems::ProofSystems};
use std::{path::PathBuf, process::Stdio};
use wasmtime::Engine;

#[derive(clap::Args)]
pub(super) struct Args {
    /// An embedded guest, a digest, or a file
    image: String,
    #[command(flatten)]
    build: BuildArgs,
}

pub(super) fn run(args: &Args, config: &Config, systems: &ProofSystems) -> anyhow::Result<()> {
    let state = State::open(config, systems)?.with_simd(args.build.simd());
    let file = Some(PathBuf::from(&args.image)).filter(|file| file.is_file());
    state.enter_bake_sandbox(file.into_iter().collect(), config)?;
    let image = state.image(&args.image, config)?;
    if state.cache.can_keep() {
        state.cache.load(&engine(1)?, &image)?;
    }
    Ok(())
}

/// Whether an image was there before this start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// It was.
    Kept,
    /// It was baked, and compiled, for this start.
    Baked,
}

/// Opens an image. An embedded guest that was never baked is baked in a process of its own.
pub(super) fn image(
    state: &State<'_>,
    text: &str,
    config: &Config,
) -> anyhow::Result<(SealedImage, Freshness)> {
    let freshness = if state.unbaked(text).is_some() { Freshness::Baked } else { Freshness::Kept };
    if freshness == Freshness::Baked {
        make(text, text, state.simd, config)?;
    }
    Ok((state.image(text, config)?, freshness))
}

/// Loads an image that the user called `text`. An image without fitting native code is compiled in a process of its
/// own, if the cache can keep the result.
pub(super) fn load(
    state: &State<'_>,
    engine: &Engine,
    text: &str,
    (image, freshness): (&SealedImage, Freshness),
    config: &Config,
) -> anyhow::Result<LoadedImage> {
    let miss = match state.cache.find(engine, image) {
        Ok(loaded) if freshness == Freshness::Kept => return Ok(loaded),
        // Compiled by the bake of this start.
        Ok(loaded) => return Ok(LoadedImage { origin: Origin::Compiled(Miss::Absent), ..loaded }),
        Err(miss) => miss,
    };
    if state.cache.can_keep() {
        let stored = Some(image.digest()).filter(|digest| state.store.contains(digest));
        make(text, &stored.map_or_else(|| text.to_owned(), |digest| digest.to_string()), state.simd, config)?;
    }
    let loaded = state.cache.load(engine, image)?;
    let origin = if loaded.origin == Origin::Cached { Origin::Compiled(miss) } else { loaded.origin };
    Ok(LoadedImage { origin, ..loaded })
}

/// Bakes and compiles in another process, whose progress and errors are shown. If none can be started, this process
/// does it.
fn make(called: &str, image: &str, simd: Option<Simd>, config: &Config) -> anyhow::Result<()> {
    let mut command = Subprocess::new(config).command("ready");
    if let Some(simd) = simd {
        command.args(["--simd", simd.as_str()]);
    }
    let status = match command.args(["--", image]).stdout(Stdio::null()).status() {
        Ok(status) => status,
        Err(error) => {
            tracing::warn!(image = called, %error, "cannot start a process for this image: it is made ready in this one");
            return Ok(());
        }
    };
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(AlreadyReported(u8::try_from(code).unwrap_or(Exit::Failed as u8)).into()),
        None => {
            let message =
                format!("making `{called}` ready ended with {status}: it may have run out of memory");
            Err(Failure::error(Exit::Failed, message))
        }
    }
}
