//! The bake: turns a guest and its inputs into an image in the store and native code in the cache.
//!
//! Invariant: an image is published only after every gate has passed, and equal inputs give equal images.

use crate::{
    Digest, Error, Feature, ImageStore,
    check::check,
    cow,
    engine::{Ticker, engine},
    error::Refusal,
    guests::Guest,
    initialise::{Log, Run},
    inputs::{BakeLimits, ExtraExports, Input},
    manifest::{CircuitId, FORMAT_VERSION, GuestId, ImageKind, InputId, Manifest, MethodInfo, Tools, Trial},
    native::NativeCache,
    native_code,
    proof_systems::{INPUT_REMOVE, ProofSystem, ProofSystems},
    references::{Portion, References},
    trial::{self, TrialCall},
    wizen::{Snapshot, wizen},
};
use snapback_abi::{ABI_VERSION, BAKE_INIT, BAKE_PREFIX};
use std::{fmt, panic, sync::Arc, thread};

/// The stages of a bake, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The guest and its inputs are checked.
    Check,
    /// Reference strings are generated, if circuits need them.
    Reference,
    /// The initialiser runs twice, with different entropy.
    Initialise,
    /// The image is compiled to native code.
    Compile,
    /// The trial call runs, if the bake was given one.
    Trial,
    /// Verifying keys, the trial calls of the proof system and copy-on-write are checked.
    Verify,
    /// The image and its native code are written.
    Publish,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 7] = [
        Self::Check,
        Self::Reference,
        Self::Initialise,
        Self::Compile,
        Self::Trial,
        Self::Verify,
        Self::Publish,
    ];
}

impl Stage {
    /// Returns the position of the stage, counted from 1.
    #[must_use]
    pub fn position(self) -> usize {
        Self::ALL.iter().position(|known| *known == self).map_or(0, |index| index + 1)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "checking the guest",
            Self::Reference => "generating reference strings",
            Self::Initialise => "running the initialiser twice",
            Self::Compile => "compiling the image",
            Self::Trial => "running the trial call",
            Self::Verify => "checking keys and copy-on-write",
            Self::Publish => "publishing the image",
        })
    }
}

/// Receives the progress of a bake.
pub trait Progress: Send + Sync {
    /// Called when a stage begins.
    fn stage(&self, stage: Stage);
    /// Called while a stage runs whose work can be counted.
    fn portion(&self, stage: Stage, portion: Portion);
    /// Called with each line that the guest logs.
    fn log(&self, line: &str);
}

/// Environment of a bake: everything but the guest and its inputs.
#[derive(Clone, Copy)]
pub struct BakeEnvironment<'a> {
    /// Store that receives the image.
    pub store: &'a ImageStore,
    /// Cache that receives the native code.
    pub cache: &'a NativeCache,
    /// Proof systems whose guests take circuits as data.
    pub systems: &'a ProofSystems,
    /// Limits of the bake.
    pub limits: &'a BakeLimits,
}

/// A finished bake.
pub struct Baked {
    /// Digest of the image.
    pub digest: Digest,
    /// Manifest of the image.
    pub manifest: Manifest,
    /// Size of the image in bytes.
    pub image_bytes: u64,
    /// Size of its native code, which includes its initial memory, in bytes.
    pub native_bytes: u64,
    /// Exported functions of the guest that are not methods.
    pub extra_exports: Vec<String>,
}

/// Returns the key of a bake. It covers everything that influences the image, so equal keys give equal images.
fn bake_key(guest: &Guest, inputs: &[Input]) -> Digest {
    let inputs: Vec<InputId> = inputs.iter().map(Input::id).collect();
    let trial = guest.trial.as_ref().map(TrialCall::id);
    let base = guest.base.as_ref().map(|base| base.digest);
    let parts =
        (FORMAT_VERSION, ABI_VERSION, &guest.name, &guest.digest, base, inputs, trial, Tools::current());
    Digest::of(&serde_json::to_vec(&parts).expect("the parts have string keys only"))
}

/// Returns the image of an earlier bake of the same guest with the same inputs, if the store still has it.
#[must_use]
pub fn earlier_bake(
    store: &ImageStore,
    systems: &ProofSystems,
    guest: &Guest,
    inputs: &[Input],
) -> Option<Digest> {
    let system = systems.of_guest(&guest.digest).map(|system| &**system);
    store.baked(&bake_key(guest, inputs), |manifest| is_made_of(manifest, system, guest, inputs))
}

/// Whether an image says of itself that this guest and these inputs, and nothing else, are in it.
fn is_made_of(
    manifest: &Manifest,
    system: Option<&dyn ProofSystem>,
    guest: &Guest,
    inputs: &[Input],
) -> bool {
    let asked: Vec<InputId> = inputs.iter().map(Input::id).collect();
    let of_base = |input| guest.base.as_ref().is_some_and(|base| base.manifest.inputs.contains(input));
    // A proof system adds reference strings, which are no files of circuits.
    let is_reference = |input: &InputId| {
        system.is_some_and(|system| {
            !system.files().iter().any(|file| file.input.is_some_and(|name| name == input.name))
        })
    };
    manifest.guest.name == guest.name
        && manifest.guest.digest == guest.digest
        && manifest.base == guest.base.as_ref().map(|base| base.digest)
        && manifest.tools == Tools::current()
        && asked.iter().all(|input| input.name == INPUT_REMOVE || manifest.inputs.contains(input))
        && manifest.inputs.iter().all(|input| asked.contains(input) || of_base(input) || is_reference(input))
}

/// Bakes a guest. [`earlier_bake`] returns the image of an earlier bake with the same inputs.
///
/// # Errors
/// Returns an error if an input is wrong, the guest is refused or fails, or the store cannot be written.
pub fn bake(
    environment: BakeEnvironment<'_>,
    guest: &Guest,
    inputs: &[Input],
    progress: &Arc<dyn Progress>,
) -> Result<Baked, Error> {
    let BakeEnvironment { store, cache, systems, limits } = environment;
    progress.stage(Stage::Check);
    let system = systems.of_guest(&guest.digest);
    let base = guest.base.as_ref().map(|base| &base.manifest);
    if system.is_none() && base.is_some_and(|base| matches!(base.kind, ImageKind::Circuits { .. })) {
        return Err(Refusal::OldBase.into());
    }
    let checked = check(&guest.wasm, limits.memory_bytes_max)?;
    if limits.extra_exports == ExtraExports::Refuse && !checked.extra_exports.is_empty() {
        return Err(Refusal::ExtraExports(checked.extra_exports).into());
    }
    let plan = system.map(|system| {
        progress.stage(Stage::Reference);
        let report = |portion| progress.portion(Stage::Reference, portion);
        let references = References { store: Some(store.references()), progress: &report };
        system.plan_bake(&references, base, inputs)
    });
    let plan = plan.transpose()?;
    let references = plan.as_ref().map(|plan| plan.references()).unwrap_or_default();
    let fed = &[&references[..], inputs].concat()[..];
    check_inputs(&references, inputs, &checked.bake_methods)?;

    progress.stage(Stage::Initialise);
    // The pool has room for the two concurrent runs and for the instance that probes copy-on-write.
    let engine = engine(3)?;
    let _ticker = Ticker::start(&engine)?;
    let log: Log = {
        let progress = Arc::clone(progress);
        Arc::new(move |line| progress.log(line))
    };
    let run = Run { guest: &guest.wasm, checked: &checked, inputs: fed, limits };
    let (snapshot, are_checked) = thread::scope(|scope| {
        let check = scope.spawn(|| plan.as_ref().map_or(Ok(()), |plan| plan.check()));
        let snapshot = wizen(&engine, &run, &log);
        (snapshot, check.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
    });
    // What both refuse is reported in the words of the native implementation, which does not depend on the guest.
    are_checked?;
    let snapshot = snapshot?;
    let snapshot_bytes = snapshot.module.len() as u64;
    if snapshot_bytes > limits.image_bytes_max {
        return Err(Refusal::TooLarge { bytes: snapshot_bytes, bytes_max: limits.image_bytes_max }.into());
    }

    // The manifest is embedded later, since it does not influence the code.
    progress.stage(Stage::Compile);
    let native = native_code::compile(&engine, &snapshot.module)?;
    let module = native_code::load_bytes(&engine, &native)?;
    let trial = guest.trial.as_ref().map(|call| {
        progress.stage(Stage::Trial);
        trial::run(&module, call, limits)
    });
    let (trial, reply) = trial.transpose()?.unzip();
    progress.stage(Stage::Verify);
    let system = system.map(|system| &**system);
    let manifest =
        describe(guest, system, (&references, inputs), (checked.methods, checked.features), &snapshot, trial);
    if let Some(plan) = plan {
        let mut proofs: Vec<(TrialCall, Vec<u8>)> = guest.trial.clone().zip(reply).into_iter().collect();
        for call in plan.trials() {
            let (_, reply) = trial::run(&module, &call, limits)?;
            proofs.push((call, reply));
        }
        plan.gate(&manifest.circuits, &proofs)?;
    }
    if !cow::probe(&module).map_err(Error::engine("make an instance of the image"))?.holds() {
        return Err(Refusal::NoCopyOnWrite { bytes: snapshot.memory_bytes }.into());
    }

    if !manifest.fits() {
        return Err(Refusal::TooManyInputs { inputs: manifest.inputs.len() }.into());
    }
    progress.stage(Stage::Publish);
    let image = manifest.embed(&snapshot.module);
    drop(snapshot);
    let image_bytes = image.len() as u64;
    let digest = store.publish(&image)?;
    store.remember_bake(&bake_key(guest, inputs), &digest)?;
    if let Err(error) = cache.keep(&engine, digest, &manifest, &native) {
        tracing::warn!(%error, "native code cannot be stored (see `state_dir`, `native.key_file`): every start compiles the image");
    }
    let native_bytes = native.len() as u64;
    Ok(Baked { digest, manifest, image_bytes, native_bytes, extra_exports: checked.extra_exports })
}

/// Checks that every input is given once, and that the guest takes it. Several reference strings may share one label.
fn check_inputs(references: &[Input], inputs: &[Input], bake_methods: &[String]) -> Result<(), Error> {
    for (index, input) in references.iter().chain(inputs).enumerate() {
        let refuse = |reason| Err(Error::Input { name: input.label(), reason });
        let same = |earlier: &Input| earlier.name == input.name && earlier.of == input.of;
        if index.checked_sub(references.len()).is_some_and(|index| inputs[..index].iter().any(same)) {
            return refuse("it is given twice".into());
        }
        let method = format!("{BAKE_PREFIX}{}", input.name);
        if method == BAKE_INIT || !bake_methods.contains(&method) {
            let known: Vec<&str> = bake_methods
                .iter()
                .filter(|method| *method != BAKE_INIT)
                .filter_map(|method| method.strip_prefix(BAKE_PREFIX))
                .collect();
            return refuse(match known.as_slice() {
                [] => "the guest takes no inputs".into(),
                known => format!("the guest takes no such input; it takes: {}", known.join(", ")),
            });
        }
    }
    Ok(())
}

fn describe(
    guest: &Guest,
    system: Option<&dyn ProofSystem>,
    (references, inputs): (&[Input], &[Input]),
    (methods, features): (Vec<MethodInfo>, Vec<Feature>),
    snapshot: &Snapshot,
    trial: Option<Trial>,
) -> Manifest {
    // The manifest lists the inputs that the image holds, not the history of its bakes, which would grow without limit.
    let circuit_inputs: Vec<&str> =
        system.iter().flat_map(|system| system.files()).filter_map(|file| file.input).collect();
    let replaces = |input: &Input, earlier: &InputId| {
        let is_removed = input.name == INPUT_REMOVE && circuit_inputs.contains(&&*earlier.name);
        (is_removed || input.name == earlier.name) && input.of == earlier.of
    };
    let base_inputs = guest.base.iter().flat_map(|base| &base.manifest.inputs);
    let base_inputs =
        base_inputs.filter(|earlier| !inputs.iter().any(|input| replaces(input, earlier))).cloned();
    let inputs = references.iter().chain(inputs).filter(|input| input.name != INPUT_REMOVE);
    Manifest {
        format_version: FORMAT_VERSION,
        abi_version: ABI_VERSION,
        kind: system.map_or(ImageKind::Service, |system| ImageKind::Circuits {
            proof_system: system.id().to_owned(),
        }),
        guest: GuestId { name: guest.name.clone().into_owned(), digest: guest.digest },
        features,
        base: guest.base.as_ref().map(|base| base.digest),
        inputs: base_inputs.chain(inputs.map(Input::id)).collect(),
        circuits: snapshot
            .circuits
            .iter()
            .map(|(name, digest)| CircuitId { name: name.clone(), vk_digest: Digest::from_bytes(*digest) })
            .collect(),
        methods,
        memory_bytes: snapshot.memory_bytes,
        trial,
        tools: Tools::current(),
    }
}
