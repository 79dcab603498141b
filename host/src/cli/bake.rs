//! `snapback bake`

use super::{
    Exit, Failure,
    resolve::{State, is_path},
};
use crate::config::Config;
use anyhow::Context;
use snapback_snapshot::{Guest, Input, TrialCall};
use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback bake zcash
  snapback bake zcash --input sapling_spend=sapling-spend.params \\
      --input sapling_output=sapling-output.params
  snapback bake ./my_guest.wasm --input table=table.bin --trial sum=numbers.json \\
      -o my_guest.image.wasm --json")]
pub(super) struct Args {
    /// An embedded guest (zcash, fixtures) or the path of a .wasm
    guest: String,
    /// An input of the guest, fed to its method bake_NAME; may be repeated
    #[arg(long = "input", value_name = "NAME=FILE", value_parser = parse_input)]
    inputs: Vec<(String, PathBuf)>,
    /// A call to try before the image is kept; what memory it takes is written into the manifest
    #[arg(long, value_name = "METHOD[/CIRCUIT]=FILE", value_parser = parse_input)]
    trial: Option<(String, PathBuf)>,
    /// Write the image to this file as well
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

fn parse_input(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.into(), file.into())),
        _ => Err("a name, `=` and a file are expected".into()),
    }
}

pub(super) fn run(args: &Args, config: &Config) -> anyhow::Result<()> {
    let state = State::open(config)?;
    let mut guest = find(&args.guest)?;
    if let Some((name, file)) = &args.trial {
        guest.to_mut().trial = Some(TrialCall::read(name, file)?);
    }
    let inputs = args
        .inputs
        .iter()
        .map(|(name, file)| Input::read(name, file, &config.bake))
        .collect::<Result<Vec<_>, _>>()?;
    let baked = state.bake(&guest, &inputs, config)?;
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
            "manifest": baked.manifest,
        });
        println!("{json}");
    } else {
        println!("{}", baked.digest);
    }
    Ok(())
}

fn find(text: &str) -> anyhow::Result<Cow<'static, Guest>> {
    if let Some(guest) = Guest::find(text) {
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
