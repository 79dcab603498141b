//! `snapback size`

use super::{
    output::outln,
    progress::printable,
    resolve::{DEFAULT_IMAGE, State, own_name},
};
use crate::{
    config::Config,
    lanes::{Measured, Sizing},
};
use bytesize::ByteSize;
use snapback_snapshot::{engine, proof_systems::ProofSystems};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback size zcash
  snapback size zcash --lanes 8 --swap-policy threshold --memory-limit 1GiB
  snapback size my_guest.image.wasm --json

What the lines mean: docs/operations.md.")]
pub(super) struct Args {
    /// A guest's name, a digest or its beginning, or a file
    #[arg(default_value = DEFAULT_IMAGE)]
    image: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: &Config, systems: &ProofSystems) -> anyhow::Result<()> {
    let state = State::open(config, systems)?;
    let image = state.cache.load(&engine(1)?, &state.existing(&args.image)?)?;
    let policy = config.policies.of(own_name(&args.image), &image.manifest);
    let sizing = Sizing::of(
        &image.manifest,
        image.native_bytes,
        &config.lane_config(),
        &policy,
        config.http.buffered_bytes_max,
    );
    if args.json {
        outln!("{}", serde_json::to_string(&sizing)?);
        return Ok(());
    }
    let line = |name: &str, bytes: u64, why: &str| {
        outln!("{name:<22} {:>11}   {why}", ByteSize(bytes).display().iec().to_string());
    };
    outln!("{} lanes, swap.policy = {}", sizing.lanes, policy.swap);
    line("image", sizing.image_bytes, "mapped from its file, once for all instances");
    let what = match &sizing.measured {
        Measured::Trial { call } => {
            format!("one for each lane; {} wrote that much while baking", printable(call))
        }
        Measured::Limit => "one for each lane, up to memory.limit: no call was tried (`bake --trial`)".into(),
    };
    line("active instances", sizing.active_bytes, &what);
    line("used instances", sizing.retired_bytes, "one for each lane, on its way to be dropped");
    line("standbys", sizing.standby_bytes, "what they cost beside the image");
    line("bodies and replies", sizing.body_bytes, "http.buffered_bytes_max");
    line("the server itself", sizing.server_bytes, "");
    line("memory to give", sizing.give_bytes, "the sum");
    line("most it can take", sizing.most_bytes, "every active and used instance at memory.limit");
    Ok(())
}
