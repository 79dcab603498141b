//! `snapback bake`

use super::{
    builds::BuildArgs,
    exit::{Exit, Failure},
    output::outln,
    progress::{Bar, Lines, Watched, printable},
    resolve::{State, is_path},
};
use crate::{config::Config, subprocess::step_back};
use anyhow::Context;
use snapback_snapshot::{
    BakeLimits, ExtraExports, Guest, Input, TrialCall,
    proof_systems::{INPUT_REMOVE, ProofSystems},
};
use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback bake zcash
  snapback bake extract --simd off
  snapback bake zcash --input sapling_spend=sapling-spend.params \\
      --input sapling_output=sapling-output.params
  snapback bake plonk --input circuit/x5chain=x5chain.r1cs --input sym/x5chain=x5chain.sym \\
      --trial prove/x5chain=witness.wtns
  snapback bake --base 8c1f04 --input circuit/merkle20=merkle20.r1cs --remove x5chain
  snapback bake ./my_guest.wasm --input table=table.bin --trial sum=numbers.json \\
      -o my_guest.image.wasm --json")]
pub(super) struct Args {
    /// An embedded guest (zcash, plonk, groth16, extract, fixtures) or the path of a .wasm
    #[arg(required_unless_present = "base", conflicts_with = "base")]
    guest: Option<String>,
    /// Start from this image and everything in it, instead of from a guest
    #[arg(long, value_name = "IMAGE", conflicts_with = "simd")]
    base: Option<String>,
    #[command(flatten)]
    build: BuildArgs,
    /// An input of the guest, fed to its method bake_NAME; may be repeated
    #[arg(long = "input", value_name = "NAME[/OF]=FILE", value_parser = parse_input)]
    inputs: Vec<(String, PathBuf)>,
    /// Remove a circuit of the base; may be repeated
    #[arg(long = "remove", value_name = "CIRCUIT", requires = "base")]
    removed: Vec<String>,
    /// A call to try before the image is kept; the manifest records how much memory it takes
    #[arg(long, value_name = "METHOD[/CIRCUIT]=FILE", value_parser = parse_input)]
    trial: Option<(String, PathBuf)>,
    /// Write the image to this file as well
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Refuse a guest that exports functions that are not methods
    #[arg(long)]
    strict: bool,
    /// Leave the processors to others, and print each stage as a line of JSON
    #[arg(long, hide = true, requires = "json")]
    background: bool,
}

fn parse_input(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.into(), file.into())),
        _ => Err("a name, `=` and a file are expected".into()),
    }
}

pub(super) fn run(args: &Args, config: &Config, systems: &ProofSystems) -> anyhow::Result<()> {
    if args.background {
        step_back()?;
    }
    let state = State::open(config, systems)?;
    if args.background {
        state.enter_bake_sandbox(args.inputs.iter().map(|(_, file)| file.clone()).collect(), config)?;
    }
    let mut guest = match (&args.base, &args.guest) {
        (Some(base), _) => Cow::Owned(Guest::of_image(&state.existing(base)?)?),
        (None, guest) => find(guest.as_deref().unwrap_or_default(), &args.build)?,
    };
    if let Some((name, file)) = &args.trial {
        guest.to_mut().trial = Some(TrialCall::read(name, file)?);
    }
    // A circuit that is removed makes room for another of the same name.
    let removed =
        args.removed.iter().map(|name| Ok(Input::new(&format!("{INPUT_REMOVE}/{name}"), Vec::new())));
    let inputs = args.inputs.iter().map(|(name, file)| Input::read(name, file, &config.bake));
    let inputs = removed.chain(inputs).collect::<Result<Vec<_>, _>>()?;
    let progress: Arc<dyn Watched> = if args.background { Arc::new(Lines) } else { Bar::start(&guest.name) };
    let extra_exports = if args.strict { ExtraExports::Refuse } else { ExtraExports::Report };
    let limits = BakeLimits { extra_exports, ..config.bake };
    let baked = state.bake_watched(&guest, &inputs, &limits, &progress)?;
    if !baked.extra_exports.is_empty() {
        let names = printable(&baked.extra_exports.join(", "));
        eprintln!(
            "snapback: these exports are not methods, and nobody can call them: {names} (--strict refuses them)"
        );
    }
    let stored = state.store.path(&baked.digest);
    if let Some(output) = &args.output {
        fs::copy(&stored, output).with_context(|| format!("cannot write {}", output.display()))?;
    }
    if args.json {
        let json = serde_json::json!({
            "digest": baked.digest,
            "path": args.output.as_ref().unwrap_or(&stored),
            "image_bytes": baked.image_bytes,
            "native_bytes": baked.native_bytes,
            "extra_exports": baked.extra_exports,
            "manifest": baked.manifest,
        });
        outln!("{json}");
    } else {
        outln!("{}", baked.digest);
    }
    Ok(())
}

fn find(text: &str, build: &BuildArgs) -> anyhow::Result<Cow<'static, Guest>> {
    let asked = build.among([text])?.and_then(|simd| Guest::build(text, simd));
    if let Some(guest) = asked.or_else(|| Guest::find(text)) {
        return Ok(Cow::Borrowed(guest));
    }
    if is_path(text) {
        return Ok(Cow::Owned(Guest::read(Path::new(text))?));
    }
    let known: Vec<String> =
        Guest::all().iter().map(|guest| format!("{} ({})", guest.name, guest.about)).collect();
    let message =
        format!("no guest is called `{text}`; give the path of a .wasm, or one of: {}", known.join(", "));
    Err(Failure::error(Exit::Usage, message))
}
