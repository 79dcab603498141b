//! The bake: guest and inputs in, image in the store and native code in the cache out.
//!
//! Invariant: an image is published only after every gate has passed, and equal inputs give equal images.

use crate::{
    Digest, Error, ImageStore,
    check::check,
    circuits::{self, Circuits, takes_circuits},
    cow,
    engine::{Ticker, engine},
    error::Refusal,
    guests::Guest,
    inputs::{BakeLimits, Input},
    manifest::{CircuitId, FORMAT_VERSION, GuestId, InputId, Manifest, Tools, Trial},
    native::{self, NativeCache},
    trial::{self, TrialCall},
    wizen::{Log, Run, Wizened, wizen},
};
use snapback_abi::{ABI_VERSION, BAKE_INIT, BAKE_PREFIX, ENTROPY_LEN};
use std::{fmt, sync::Arc, thread};

/// The stages of a bake, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The guest and its inputs are checked.
    Check,
    /// Reference strings are made, if circuits need them.
    Reference,
    /// The initialiser runs, twice, with different entropy.
    Initialise,
    /// The image is compiled to native code.
    Compile,
    /// A call is tried, if the bake was given one.
    Trial,
    /// Copy-on-write is checked.
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
    /// Its number, from 1.
    #[must_use]
    pub fn position(self) -> usize {
        Self::ALL.iter().position(|known| *known == self).map_or(0, |index| index + 1)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "checking the guest",
            Self::Reference => "making reference strings",
            Self::Initialise => "running the initialiser, twice",
            Self::Compile => "compiling the image",
            Self::Trial => "trying a call",
            Self::Verify => "checking keys and copy-on-write",
            Self::Publish => "publishing the image",
        })
    }
}

/// Whoever watches a bake.
pub trait Progress: Send + Sync {
    /// A stage begins.
    fn stage(&self, stage: Stage);
    /// The guest logged a line.
    fn log(&self, line: &str);
}

/// A finished bake.
pub struct Baked {
    /// Name of the image.
    pub digest: Digest,
    /// What the image says of itself.
    pub manifest: Manifest,
    /// Size of the image.
    pub image_bytes: u64,
    /// Size of its native code with the memory in it.
    pub native_bytes: u64,
}

/// Names a bake by what goes into it: equal keys give equal images.
#[must_use]
pub fn bake_key(guest: &Guest, inputs: &[Input]) -> Digest {
    let inputs: Vec<InputId> = inputs.iter().map(Input::id).collect();
    let trial = guest.trial.as_ref().map(TrialCall::id);
    let base = guest.base.as_ref().map(|base| base.digest);
    let parts =
        (FORMAT_VERSION, ABI_VERSION, &guest.name, &guest.digest, base, inputs, trial, Tools::current());
    Digest::of(&serde_json::to_vec(&parts).expect("no maps with odd keys"))
}

/// Bakes a guest. Whether it was baked with the same inputs before, [`ImageStore::baked`] knows.
///
/// # Errors
/// When an input is wrong, the guest is refused or fails, or the store cannot be written.
pub fn bake(
    store: &ImageStore,
    cache: &NativeCache,
    guest: &Guest,
    inputs: &[Input],
    limits: &BakeLimits,
    progress: &Arc<dyn Progress>,
) -> Result<Baked, Error> {
    progress.stage(Stage::Check);
    if guest.base.is_some() && circuits::is_of_another_version(guest) {
        return Err(Refusal::OldBase.into());
    }
    let checked = check(&guest.wasm, limits.memory_bytes_max)?;
    let circuits = if takes_circuits(&guest.digest) {
        progress.stage(Stage::Reference);
        let base = guest.base.as_ref().map(|base| &base.manifest);
        Some(Circuits::read(store.srs(), base, inputs)?)
    } else {
        None
    };
    let references = circuits.as_ref().map(Circuits::reference_inputs).unwrap_or_default();
    let fed = &[&references[..], inputs].concat()[..];
    check_inputs(fed, &checked.bake_methods)?;

    progress.stage(Stage::Initialise);
    // Two runs at once, and the instance that copy-on-write is probed with.
    let engine = engine(3)?;
    let _ticker = Ticker::start(&engine)?;
    let log: Log = {
        let progress = Arc::clone(progress);
        Arc::new(move |line| progress.log(line))
    };
    let run = |entropy: [u8; ENTROPY_LEN], log: Log| {
        let run = Run { guest: &guest.wasm, checked: &checked, inputs: fed, entropy, limits, log };
        wizen(&engine, &run)
    };
    // Any two values serve: the question is only whether the image depends on them.
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(|| run([0xa5; ENTROPY_LEN], Arc::new(|_| {})));
        let first = run([0x3c; ENTROPY_LEN], log);
        (first, second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let wizened = first?;
    if wizened != second? {
        return Err(Refusal::BakedEntropy.into());
    }
    let snapshot_bytes = wizened.snapshot.len() as u64;
    if snapshot_bytes > limits.image_bytes_max {
        return Err(Refusal::TooLarge { bytes: snapshot_bytes, bytes_max: limits.image_bytes_max }.into());
    }

    // The manifest comes later, and has no part in the code.
    progress.stage(Stage::Compile);
    let native = native::compile(&engine, &wizened.snapshot)?;
    let module = native::load_bytes(&engine, &native)?;
    let trial = guest.trial.as_ref().map(|call| {
        progress.stage(Stage::Trial);
        trial::run(&module, call, limits)
    });
    let (trial, reply) = trial.transpose()?.unzip();
    progress.stage(Stage::Verify);
    let manifest = describe(guest, fed, checked.methods, &wizened, trial);
    if let Some(circuits) = circuits {
        let mut proofs: Vec<(TrialCall, Vec<u8>)> = guest.trial.clone().zip(reply).into_iter().collect();
        for call in circuits.trials() {
            let (_, reply) = trial::run(&module, &call, limits)?;
            proofs.push((call, reply));
        }
        circuits.gate(&manifest.circuits, &proofs)?;
    }
    if !cow::probe(&module).map_err(Error::engine("make an instance of the image"))?.holds() {
        return Err(Refusal::NoCopyOnWrite { bytes: wizened.memory_bytes }.into());
    }

    if !manifest.fits() {
        return Err(Refusal::TooManyInputs { inputs: manifest.inputs.len() }.into());
    }
    progress.stage(Stage::Publish);
    let image = manifest.embed(&wizened.snapshot);
    drop(wizened);
    let image_bytes = image.len() as u64;
    let digest = store.publish(&image)?;
    store.remember_bake(&bake_key(guest, inputs), &digest)?;
    if let Err(error) = cache.keep(&engine, digest, &manifest, &native) {
        tracing::warn!(%error, "native code cannot be kept (see `state_dir`, `native.key_file`): every start compiles the image");
    }
    Ok(Baked { digest, manifest, image_bytes, native_bytes: native.len() as u64 })
}

fn check_inputs(inputs: &[Input], bake_methods: &[String]) -> Result<(), Error> {
    for (index, input) in inputs.iter().enumerate() {
        let refuse = |reason| Err(Error::Input { name: input.label(), reason });
        let same = |earlier: &Input| earlier.name == input.name && earlier.of == input.of;
        if inputs[..index].iter().any(same) && input.name != circuits::INPUT_SRS {
            return refuse("given twice".into());
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
    inputs: &[Input],
    methods: Vec<String>,
    wizened: &Wizened,
    trial: Option<Trial>,
) -> Manifest {
    // What it holds, not how it came to that: a history would grow with every change.
    let is_over = |there: &InputId| {
        inputs.iter().any(|input| match input.name.as_str() {
            circuits::INPUT_SRS => false,
            circuits::INPUT_REMOVE => {
                [circuits::INPUT_CIRCUIT, circuits::INPUT_SYM].contains(&&*there.name) && there.of == input.of
            }
            name => there.name == name && there.of == input.of,
        })
    };
    let base_inputs = guest.base.iter().flat_map(|base| &base.manifest.inputs);
    let base_inputs = base_inputs.filter(|input| !is_over(input)).cloned();
    let inputs = inputs.iter().filter(|input| input.name != circuits::INPUT_REMOVE);
    Manifest {
        format_version: FORMAT_VERSION,
        abi_version: ABI_VERSION,
        guest: GuestId { name: guest.name.clone().into_owned(), digest: guest.digest },
        base: guest.base.as_ref().map(|base| base.digest),
        inputs: base_inputs.chain(inputs.map(Input::id)).collect(),
        circuits: wizened
            .circuits
            .iter()
            .map(|(name, digest)| CircuitId { name: name.clone(), vk_digest: Digest::from_bytes(*digest) })
            .collect(),
        methods,
        memory_bytes: wizened.memory_bytes,
        trial,
        tools: Tools::current(),
    }
}
