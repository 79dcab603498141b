//! `snapback inspect`

use super::{builds::BuildArgs, output::outln, progress::printable, resolve::State};
use crate::config::Config;
use bytesize::ByteSize;
use snapback_snapshot::{CopyOnWrite, LoadedImage, engine, manifest::ImageKind, proof_systems::ProofSystems};
use std::time::SystemTime;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback inspect zcash
  snapback inspect extract --simd off
  snapback inspect 8c1f04 --json")]
pub(super) struct Args {
    /// A guest's name, a digest or its beginning, or a file
    image: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    build: BuildArgs,
}

pub(super) fn run(args: &Args, config: &Config, systems: &ProofSystems) -> anyhow::Result<()> {
    let simd = args.build.among([args.image.as_str()])?;
    let state = State::open(config, systems)?.with_simd(simd);
    let sealed = state.existing(&args.image)?;
    sealed.scrub()?;
    let image_bytes = sealed.bytes()?;
    let loaded = state.cache.load(&engine(1)?, &sealed)?;
    // A start may have trusted the identity of the file; whoever inspects an image wants it read.
    for native in state.cache.take_confirmations() {
        native.run(SystemTime::now())?;
    }
    let copy_on_write = loaded.copy_on_write()?;
    if args.json {
        let mapped = match copy_on_write {
            CopyOnWrite::Mapped { bytes } => bytes,
            CopyOnWrite::Nothing | CopyOnWrite::Copied => 0,
        };
        let json = serde_json::json!({
            "digest": loaded.digest,
            "image_bytes": image_bytes,
            "native_bytes": loaded.native_bytes,
            "simd": loaded.manifest.simd(),
            "native_check": loaded.check.name(),
            "native_check_reason": loaded.check.why_full().map(ToString::to_string),
            "copy_on_write": { "holds": copy_on_write.holds(), "mapped_bytes": mapped },
            "manifest": loaded.manifest,
        });
        outln!("{json}");
    } else {
        print(&loaded, image_bytes, copy_on_write);
    }
    Ok(())
}

fn print(image: &LoadedImage, image_bytes: u64, copy_on_write: CopyOnWrite) {
    let size = |bytes| ByteSize(bytes).display().iec();
    let manifest = &image.manifest;
    outln!("image          {}", image.digest);
    outln!("  size         {}, native code and memory {}", size(image_bytes), size(image.native_bytes));
    outln!("  check        {}", image.check);
    outln!("guest          {} {}", printable(&manifest.guest.name), manifest.guest.digest);
    for input in &manifest.inputs {
        outln!("input          {} {} {}", printable(&input.name), size(input.bytes), input.digest);
    }
    for circuit in &manifest.circuits {
        outln!("circuit        {} {}", printable(&circuit.name), circuit.vk_digest);
    }
    let kind = match &manifest.kind {
        ImageKind::Service => "service".to_owned(),
        ImageKind::Circuits { proof_system } => format!("circuits as data, proven with {proof_system}"),
        ImageKind::Calculator => "witness calculator".to_owned(),
    };
    outln!("kind           {}", printable(&kind));
    let features: Vec<String> = manifest.features.iter().map(ToString::to_string).collect();
    outln!("features       {} (SIMD {})", features.join(", "), manifest.simd().as_str());
    for method in &manifest.methods {
        let name = printable(&method.name);
        outln!("method         {name}: {} -> {}", printable(&method.request), printable(&method.reply));
    }
    outln!("memory         {} in a fresh instance", size(manifest.memory_bytes));
    if let Some(trial) = &manifest.trial {
        let name = [trial.method.as_str(), &trial.circuit].join("/");
        outln!("trial          {} of {}", printable(name.trim_end_matches('/')), size(trial.input_bytes));
        outln!(
            "  memory       {} at most, {} of it written, {} more with each call",
            size(trial.peak_bytes),
            size(trial.dirty_bytes),
            size(trial.growth_bytes)
        );
    }
    match copy_on_write {
        CopyOnWrite::Mapped { bytes } => outln!("copy-on-write  holds: {} mapped", size(bytes)),
        CopyOnWrite::Nothing => outln!("copy-on-write  holds: nothing to map"),
        CopyOnWrite::Copied => outln!("copy-on-write  LOST: every instance copies its memory"),
    }
    let tools = &manifest.tools;
    outln!("made by        snapback {}, wasmtime {}, wizer {}", tools.snapback, tools.wasmtime, tools.wizer);
}
