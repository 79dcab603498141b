//! `snapback serve`

use super::{
    access,
    builds::BuildArgs,
    exit::{Exit, Failure},
    job_engine::{job_clients, job_limits, opening},
    open_files, ready,
    resolve::{DEFAULT_IMAGE, State, check_memory_limit, directory_of, own_name},
    setting_args::SettingArgs,
    stopwatch::Stopwatch,
    tls,
    traces::{Export, Exporting, FLUSH_MAX},
};
use crate::{
    circuits::{Recovery, Registries, Registry, scrub},
    config::{Config, WebhookDelivery},
    dispatch::{Dispatcher, Services},
    http::{
        App, Public, Tls, directories_of, explain, serve,
        signals::{Signals, on_hangup},
    },
    ids::GenerationId,
    instance::Generation,
    jobs::SealingKey,
    memory::process::ProcessMemory,
    policy::Policy,
    sandbox::{Children, Reach, Sandbox},
    seams::Seams,
    telemetry::{Telemetry, setting_changes::Author},
    webhooks::Webhooks,
    worker::{JobHandle, Worker},
};
use anyhow::Context;
use futures_util::future::OptionFuture;
use snapback_snapshot::{SealedImage, Ticker, engine, manifest::ImageKind, proof_systems::ProofSystems};
use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback serve
  snapback serve extract --simd off
  snapback serve zcash ./my_guest.image.wasm --listen 0.0.0.0:9000
  snapback serve orchard=zcash full=8c1f04 --lanes 4 --memory-limit 1GiB")]
pub(super) struct Args {
    /// Images: a guest's name (baked at the first start), a digest or its beginning, or a file; with NAME=
    /// before it, it is served under that name
    #[arg(value_name = "[NAME=]IMAGE", default_value = DEFAULT_IMAGE)]
    images: Vec<String>,
    #[command(flatten)]
    build: BuildArgs,
}

pub(super) fn run(
    args: &Args,
    config: &Config,
    settings: SettingArgs,
    systems: &ProofSystems,
) -> anyhow::Result<()> {
    let mut stopwatch = Stopwatch::start();
    let names = names(&args.images)?;
    let simd = args.build.among(names.iter().map(|(_, image)| *image))?;
    open_files::allow(config.http.connections_max);
    // The port is bound first, so that no bake runs in vain if the port is in use.
    let listener = TcpListener::bind(config.listen)
        .with_context(|| format!("cannot listen on {}: set `listen` to another address", config.listen))?;

    let tls = tls::open(config)?;
    let token = access::token(config)?;
    let admin = access::admin(config)?;
    let keys = access::keys(config, token.as_ref())?;
    if let Some(image) = config.policies.images().find(|image| !names.iter().any(|(name, _)| name == image)) {
        let message = format!("`image.{image}.*` is set, and no image is served as `{image}`");
        return Err(Failure::error(Exit::Usage, message));
    }

    let state = State::open(config, systems)?.with_simd(simd);
    // The key is read before the sandbox is entered, which closes its directory.
    let job_clients = job_clients(config);
    let tenants = keys.job_limits();
    let job_key = job_clients.map(|_| SealingKey::load(&config.jobs.key_file, &config.state_dir));
    let webhooks = (job_clients.is_some() && config.webhooks.delivery == WebhookDelivery::On)
        .then(|| Webhooks::load(&config.webhooks, &config.state_dir))
        .transpose()?;
    let export = Export::load(config)?;
    let mut reach = reach(&state, &names, settings.file().as_deref(), config, webhooks.as_ref());
    if let Some(export) = &export {
        reach.read.extend(export.files());
        reach.outgoing = reach.outgoing.and(export.outgoing());
    }
    let sandbox = Sandbox::enter(config.sandbox, &reach)?;
    tracing::info!(landlock = ?sandbox.landlock, "sandbox");
    let sealed = names
        .iter()
        .map(|(name, image)| Ok((*name, *image, ready::image(&state, image, config)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let files_us = stopwatch.lap_us();
    let lane_config = config.lane_config();
    let engine = engine(lane_config.instances_max(sealed.len()))?;
    let ticker = Ticker::start(&engine)?;
    let engine_us = stopwatch.lap_us();
    let mut telemetry = Telemetry::default();
    let metrics = Arc::clone(&telemetry.metrics);
    let exporting = Exporting::start(export, &metrics)?;
    telemetry.traces = exporting.traces.clone();
    if let Some(tls) = &tls {
        tls::report(tls, &metrics);
    }
    let mut services = Services::default();
    let (mut recovered, mut images) = (Vec::new(), Vec::new());
    let (mut checking, mut mapping) = (Duration::ZERO, Duration::ZERO);
    for (name, text, (image, freshness)) in sealed {
        let mut recovery = None;
        let image = match systems.of_image(image.manifest()) {
            Some(system) => {
                let (circuits, image) = Recovery::open(config, &state.store, name, image, system)?;
                recovery = Some(circuits);
                image
            }
            None => image,
        };
        check_kind(name, &image)?;
        check_memory_limit(name, &image, config)?;
        let loaded = ready::load(&state, &engine, text, (&image, freshness), config)?;
        metrics.native_code_loaded(&loaded);
        metrics.image_served(name, &loaded);
        let simd = loaded.manifest.simd().as_str();
        tracing::info!(name, digest = %loaded.digest, simd, origin = ?loaded.origin, check = %loaded.check, "image");
        checking += loaded.times.check;
        mapping += loaded.times.map;
        images.push(image);
        let id = recovery.as_ref().map_or(GenerationId::FIRST, Recovery::active);
        let generation = Generation::new(id, loaded).with_context(|| format!("cannot serve `{name}`"))?;
        let calculators = recovery.as_ref().map(|recovery| {
            recovery.calculators(&state.store, &state.cache, &engine, config.circuits.calculators)
        });
        let owners = recovery.as_ref().map(Recovery::owners).unwrap_or_default();
        let generation = generation.with_calculators(calculators.unwrap_or_default()).with_owners(owners);
        let policy = config.policies.of(name, &generation.image().manifest);
        let service = services.add(name, generation, policy);
        recovered.extend(recovery.map(|recovery| (service, recovery)));
    }
    let images_us = stopwatch.lap_us();
    let Policy { warn, critical, .. } = *config.policies.all();
    let process = ProcessMemory::new(config.process_limit_bytes, warn, critical);
    let dispatcher = Dispatcher::start(lane_config, services, telemetry, process, Seams::default())?;
    let registries = recovered
        .into_iter()
        .map(|(service, recovery)| Ok(Registry::start(recovery, service, &dispatcher, &engine, config)?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let lanes_us = stopwatch.lap_us();
    let all_registries = Arc::new(Registries::new(&dispatcher, registries.iter().cloned()));
    let jobs = job_clients.map_or_else(JobHandle::off, JobHandle::opening);
    let worker = Worker {
        jobs: Arc::clone(&jobs),
        dispatcher: Arc::clone(&dispatcher),
        registries: Arc::clone(&all_registries),
        explain,
        running_max: config.jobs.running_max.unwrap_or(config.lanes.saturating_sub(1).max(1)),
        lease: job_limits(config).lease,
        sharing: config.jobs.sharing,
    };
    let app = App::new(
        Arc::clone(&dispatcher),
        config.http.clone(),
        all_registries,
        access::gate(config, Arc::clone(&keys), token, &metrics)?,
        Arc::clone(&jobs),
        webhooks.as_ref().map(|webhooks| webhooks.callbacks.clone()),
        sandbox,
    );

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.lanes.clamp(1, 4))
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let address = listener.local_addr().context("cannot read the address")?;
    let served = runtime.block_on(async {
        let signals = Signals::listen().context("cannot listen for signals")?;
        let reloaded = tls.clone();
        on_hangup(move || reload(&settings, &dispatcher, reloaded.as_deref()))
            .context("cannot listen for signals")?;
        metrics.server_ready(stopwatch.elapsed(), config.cold_start_target);
        let scheme = if tls.is_some() { "https" } else { "http" };
        eprintln!(
            "snapback: serving {} on {scheme}://{address}",
            names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
        );
        tracing::info!(
            %address,
            lanes = config.lanes,
            files_us,
            engine_us,
            images_us,
            // These two are parts of `images_us`.
            check_us = checking.as_micros() as u64,
            map_us = mapping.as_micros() as u64,
            lanes_us,
            listener_us = stopwatch.lap_us(),
            ready_us = stopwatch.elapsed().as_micros() as u64,
            "serving"
        );
        scrub(images, state.cache.take_confirmations());
        tokio::spawn(access::follow(keys));
        let worker = job_key.map(|key| {
            let works = worker.run(opening(config, tenants, key), app.draining());
            let tells = webhooks.map(|webhooks| {
                webhooks.run(async move { jobs.engine().await.ok() }, Arc::clone(&metrics), app.draining())
            });
            tokio::spawn(async {
                tokio::join!(works, OptionFuture::from(tells));
            })
        });
        let public = Public { listener, tls };
        Ok(serve(app, public, admin, worker, signals, config.drain_deadline).await?)
    });
    registries.iter().for_each(|registry| registry.stop());
    // This does not wait, because a call may still be running after a second signal.
    runtime.shutdown_background();
    // A second signal cuts this short, too.
    exporting.stop(if served.is_ok() { FLUSH_MAX } else { Duration::ZERO });
    drop(ticker);
    tracing::info!("stopped");
    served
}

/// What a server needs to reach once its listeners are bound.
fn reach(
    state: &State<'_>,
    names: &[(&str, &str)],
    settings: Option<&Path>,
    config: &Config,
    webhooks: Option<&Webhooks>,
) -> Reach {
    // Creates the directory of native code and the key, if they are missing.
    let _ = state.cache.can_keep();
    let images = names.iter().map(|(_, image)| PathBuf::from(image)).filter(|image| image.is_file());
    // An editor replaces the file of settings, so its directory is granted: SIGHUP reads the new one.
    let settings = settings.map(|file| directory_of(file).unwrap_or_else(|| ".".into()));
    let tls = config.tls.files().map(|files| directories_of(&files)).unwrap_or_default();
    // `snapback keys` replaces its file too.
    let keys = access::directory(config);
    Reach {
        read: images
            .chain(settings)
            .chain(tls)
            .chain([config.key_file.clone()])
            .chain(keys)
            .chain(webhooks.into_iter().flat_map(Webhooks::files))
            .collect(),
        write: vec![config.state_dir.clone()],
        list: directory_of(&config.key_file).into_iter().collect(),
        children: Children::OfThisProgram,
        outgoing: webhooks.map(Webhooks::outgoing).unwrap_or_default(),
    }
}

/// Reads the settings and the files of TLS again. Policies change at once; an error changes nothing.
fn reload(settings: &SettingArgs, dispatcher: &Dispatcher, tls: Option<&Tls>) {
    if let Some(tls) = tls {
        tls::reload(tls, dispatcher.metrics());
    }
    let _policies = dispatcher.lock_policies();
    let policies = settings.read().and_then(|config| {
        let policies = dispatcher.services().iter().map(|service| {
            let generation = service.current();
            let manifest = &generation.image().manifest;
            let policy = config.policies.of(service.name(), manifest);
            policy
                .check(manifest.memory_bytes, dispatcher.config().standby_max)
                .map_err(anyhow::Error::msg)?;
            Ok((service, policy))
        });
        policies.collect::<anyhow::Result<Vec<_>>>()
    });
    match policies {
        Ok(policies) => {
            for (service, policy) in policies {
                dispatcher.set_policy(service, policy, &Author::Reload);
            }
            tracing::info!("the settings were read again; those of the server itself need a restart");
        }
        Err(error) => {
            tracing::error!(%error, "the settings were read again and have an error: nothing changes")
        }
    }
}

/// Refuses an image that belongs to a circuit and cannot be served.
fn check_kind(name: &str, image: &SealedImage) -> anyhow::Result<()> {
    match image.manifest().kind {
        ImageKind::Service | ImageKind::Circuits { .. } => Ok(()),
        ImageKind::Calculator => {
            let message = format!("`{name}` is a witness calculator, which cannot be served");
            Err(Failure::error(Exit::Usage, message))
        }
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
