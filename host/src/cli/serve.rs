//! `snapback serve`

use super::{
    Exit, Failure, ready,
    resolve::{DEFAULT_IMAGE, State, check_memory_limit, own_name},
    settings::SettingArgs,
};
use crate::{
    circuits::{Keeper, Opened},
    config::{CircuitChanges, Config},
    dispatch::{DispatchConfig, Dispatcher},
    generation::{Generation, Service},
    http::{Admin, App, Keepers, Token, serve},
    metrics::Metrics,
    policy::Policy,
    process::ProcessMemory,
    seams::Seams,
    shutdown::{Signals, on_hangup},
};
use anyhow::Context;
use snapback_snapshot::{SealedImage, Ticker, circuits::takes_circuits, engine};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    sync::Arc,
    time::Instant,
};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback serve
  snapback serve zcash ./my_guest.image.wasm --listen 0.0.0.0:9000
  snapback serve orchard=zcash full=8c1f04 --lanes 4 --memory-limit 1GiB")]
pub(super) struct Args {
    /// Images: a guest's name (baked at the first start), a digest or its beginning, or a file; with NAME=
    /// before it, it is served under that name
    #[arg(value_name = "[NAME=]IMAGE", default_value = DEFAULT_IMAGE)]
    images: Vec<String>,
}

pub(super) fn run(args: &Args, config: &Config, settings: SettingArgs) -> anyhow::Result<()> {
    let begun = Instant::now();
    let names = names(&args.images)?;
    // Before anything that takes long: a port in use should not cost a bake.
    let listener = TcpListener::bind(config.listen)
        .with_context(|| format!("cannot listen on {}: set `listen` to another address", config.listen))?;

    let admin = admin(config)?;
    if let Some(image) = config.images.keys().find(|image| !names.iter().any(|(name, _)| name == image)) {
        let message = format!("`image.{image}.*` is set, and no image is served as `{image}`");
        return Err(Failure::error(Exit::Usage, message));
    }

    let state = State::open(config)?;
    let sealed = names
        .iter()
        .map(|(name, image)| Ok((*name, *image, ready::image(&state, image, config)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let dispatch = DispatchConfig {
        lanes: config.lanes,
        queue_depth: config.queue_depth,
        reply_bytes_max: config.reply_bytes_max,
        sample_interval: config.sample_interval,
    };
    let engine = engine(dispatch.instances_max(sealed.len()))?;
    let ticker = Ticker::start(&engine)?;
    let metrics = Arc::new(Metrics::new());
    let mut services = Vec::new();
    let mut opened = BTreeMap::new();
    for (name, text, image) in sealed {
        let mut calculators = BTreeMap::new();
        let image = if takes_circuits(&image.manifest().guest.digest) {
            let (circuits, image) = Opened::open(config, &state.store, name, image)?;
            calculators =
                circuits.calculators(&state.store, &state.cache, &engine, config.circuits.calculators);
            opened.insert(services.len(), circuits);
            image
        } else {
            image
        };
        check_memory_limit(name, &image, config)?;
        let loaded = ready::load(&state, &engine, text, &image, config)?;
        metrics.native_code_loaded(&loaded.origin);
        metrics.image_served(name, &loaded.digest.to_string());
        tracing::info!(name, digest = %loaded.digest, origin = ?loaded.origin, "image");
        scrub(image);
        let generation = Generation::new(loaded).with_context(|| format!("cannot serve `{name}`"))?;
        let generation = generation.with_calculators(calculators);
        services.push(Arc::new(Service::new(name, generation, config.policy_of(name))));
    }
    let Policy { warn, critical, .. } = config.policy;
    let process = ProcessMemory::new(config.process_limit_bytes, warn, critical);
    let dispatcher = Dispatcher::start(dispatch, services, Arc::clone(&metrics), process, Seams::default())?;
    let keepers = opened.into_iter().map(|(service, opened)| {
        Ok((service, Keeper::start(opened, service, &dispatcher, &engine, config)?))
    });
    let of_services = keepers.collect::<anyhow::Result<BTreeMap<_, _>>>()?;
    let take_changes = match config.circuit_changes {
        CircuitChanges::On => true,
        CircuitChanges::Off => false,
        CircuitChanges::Auto => config.listen.ip().is_loopback(),
    };
    let kept: Vec<Arc<Keeper>> = of_services.values().cloned().collect();
    let app = App::new(Arc::clone(&dispatcher), config.http, Keepers { of_services, take_changes });

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.lanes.clamp(1, 4))
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let address = listener.local_addr().context("cannot read the address")?;
    let served = runtime.block_on(async {
        let signals = Signals::listen().context("cannot listen for signals")?;
        on_hangup(move || reload(&settings, &dispatcher)).context("cannot listen for signals")?;
        metrics.ready(begun.elapsed());
        eprintln!("snapback: serving {} on http://{address}", names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "));
        tracing::info!(%address, lanes = config.lanes, ready_us = begun.elapsed().as_micros() as u64, "serving");
        Ok(serve(app, listener, admin, signals, config.drain_deadline).await?)
    });
    kept.iter().for_each(|keeper| keeper.stop());
    // Not waited for: after a second signal a call may still be running.
    runtime.shutdown_background();
    drop(ticker);
    tracing::info!("stopped");
    served
}

/// The listener of the admin routes, if there are any, with its token.
fn admin(config: &Config) -> anyhow::Result<Option<Admin>> {
    let (Some(address), Some(token_file)) = (config.admin_listen, &config.admin_token_file) else {
        return Ok(None);
    };
    let token = Token::read(token_file)
        .with_context(|| format!("`admin.token_file` = {} cannot be used", token_file.display()))?;
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}: set `admin.listen` to another address"))?;
    let address = listener.local_addr().context("cannot read the address")?;
    eprintln!("snapback: admin routes at http://{address}/v1/admin/");
    Ok(Some(Admin { listener, token }))
}

/// Reads the settings again. What images are served by changes at once, what is wrong changes nothing.
fn reload(settings: &SettingArgs, dispatcher: &Dispatcher) {
    let _changing = dispatcher.changing();
    let policies = settings.read().and_then(|config| {
        let policies = dispatcher.services().iter().map(|service| {
            let policy = config.policy_of(service.name());
            policy.check(&service.current()).map_err(anyhow::Error::msg)?;
            Ok(policy)
        });
        policies.collect::<anyhow::Result<Vec<_>>>()
    });
    match policies {
        Ok(policies) => {
            for (service, policy) in policies.into_iter().enumerate() {
                dispatcher.serve_by(service, policy);
            }
            tracing::info!("settings were read again; those of the server itself take a restart");
        }
        Err(error) => tracing::error!(%error, "settings were read again and are not used: nothing changes"),
    }
}

/// Splits `NAME=IMAGE`; without a name, the image's own is taken.
fn names(images: &[String]) -> anyhow::Result<Vec<(&str, &str)>> {
    let mut taken = BTreeSet::new();
    images
        .iter()
        .map(|text| {
            let (name, image) = text.split_once('=').unwrap_or_else(|| (own_name(text), text));
            if !snapback_abi::circuits::is_name(name) {
                return Err(Failure::error(
                    Exit::Usage,
                    format!("`{name}` cannot name an image: a-z A-Z 0-9 . _ -"),
                ));
            }
            if !taken.insert(name) {
                let message =
                    format!("two images are called `{name}`: give one another name with NAME={image}");
                return Err(Failure::error(Exit::Usage, message));
            }
            Ok((name, image))
        })
        .collect()
}

/// Hashes the image once more, off the path: the native code that serves was checked already, and an image
/// that rotted on disk should be known before the next time it is compiled.
fn scrub(image: SealedImage) {
    let scrub = move || {
        if let Err(error) = image.scrub() {
            tracing::error!(%error, "an image on disk is damaged; what is served was checked and is not");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("scrub".into()).spawn(scrub) {
        tracing::warn!(%error, "images on disk are not checked");
    }
}
