//! Finds the image that a user names: by an embedded guest's name, a digest or its beginning, or a file.

use super::{
    exit::{Exit, Failure},
    progress::{Bar, Watched},
};
use crate::{
    config::Config,
    sandbox::{Reach, Sandbox},
};
use anyhow::Context;
use snapback_snapshot::{
    BAKE_DIRECTORIES, BakeEnvironment, BakeLimits, Baked, Digest, Error, Guest, ImageStore, Input,
    NativeCache, Progress, SealedImage, Simd, bake, earlier_bake, proof_systems::ProofSystems,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The image that is used if the user names no other.
pub(super) const DEFAULT_IMAGE: &str = "zcash";

/// The image store and native code cache of a state directory, and the proof systems of the program.
pub(super) struct State<'a> {
    pub(super) store: ImageStore,
    pub(super) cache: NativeCache,
    pub(super) systems: &'a ProofSystems,
    /// The build that was asked for of embedded guests that have two.
    pub(super) simd: Option<Simd>,
}

impl<'a> State<'a> {
    pub(super) fn open(config: &Config, systems: &'a ProofSystems) -> anyhow::Result<Self> {
        let store = ImageStore::open(&config.state_dir)
            .context("`state_dir` (--state-dir, SNAPBACK_STATE_DIR) is no usable directory")?;
        Ok(Self { store, cache: config.native_cache(), systems, simd: None })
    }

    /// Takes this build of embedded guests that have two.
    pub(super) fn with_simd(self, simd: Option<Simd>) -> Self {
        Self { simd, ..self }
    }

    /// The embedded guest of that name.
    pub(super) fn embedded(&self, text: &str) -> Option<&'static Guest> {
        self.simd.and_then(|simd| Guest::build(text, simd)).or_else(|| Guest::find(text))
    }

    /// Gives up, for the rest of this process, all that baking and compiling from these files does not need. It has to
    /// come before any thread is started.
    pub(super) fn enter_bake_sandbox(&self, files: Vec<PathBuf>, config: &Config) -> anyhow::Result<()> {
        // Creates the directory of native code and the key, if they are missing.
        let _ = self.cache.can_keep();
        let write = BAKE_DIRECTORIES.iter().map(|name| config.state_dir.join(name)).collect();
        let list = [config.state_dir.clone()].into_iter().chain(directory_of(&config.key_file));
        let read = files.into_iter().chain([config.key_file.clone()]).collect();
        let reach = Reach { read, write, list: list.collect(), ..Reach::default() };
        Sandbox::enter(config.sandbox, &reach)?;
        Ok(())
    }

    /// Opens an image; an embedded guest that was never baked is baked now.
    pub(super) fn image(&self, text: &str, config: &Config) -> Result<SealedImage, Error> {
        if let Some(guest) = self.unbaked(text) {
            let baked = self.bake(guest, &[], config)?;
            return self.store.open_image(&baked.digest);
        }
        self.existing(text)
    }

    /// The embedded guest of that name, if it was never baked.
    pub(super) fn unbaked(&self, text: &str) -> Option<&'static Guest> {
        self.embedded(text).filter(|guest| self.baked(guest).is_none())
    }

    fn baked(&self, guest: &Guest) -> Option<Digest> {
        earlier_bake(&self.store, self.systems, guest, &[])
    }

    /// Opens an image that exists.
    pub(super) fn existing(&self, text: &str) -> Result<SealedImage, Error> {
        if let Some(digest) = self.embedded(text).and_then(|guest| self.baked(guest)) {
            return self.store.open_image(&digest);
        }
        if is_path(text) {
            return SealedImage::open(Path::new(text));
        }
        let digest = text.parse::<Digest>().or_else(|_| self.store.resolve(text))?;
        self.store.open_image(&digest)
    }

    pub(super) fn bake(&self, guest: &Guest, inputs: &[Input], config: &Config) -> Result<Baked, Error> {
        let bar: Arc<dyn Watched> = Bar::start(&guest.name);
        self.bake_watched(guest, inputs, &config.bake, &bar)
    }

    pub(super) fn bake_watched(
        &self,
        guest: &Guest,
        inputs: &[Input],
        limits: &BakeLimits,
        watched: &Arc<dyn Watched>,
    ) -> Result<Baked, Error> {
        let progress: Arc<dyn Progress> = Arc::clone(watched) as Arc<dyn Progress>;
        let Self { store, cache, systems, simd: _ } = self;
        let baked = bake(BakeEnvironment { store, cache, systems, limits }, guest, inputs, &progress);
        watched.finish();
        baked
    }
}

/// The name that an image is served under, unless it is given another.
pub(super) fn own_name(image: &str) -> &str {
    let file = image.rsplit('/').next().unwrap_or(image);
    file.split('.').next().filter(|name| !name.is_empty()).unwrap_or(file)
}

/// The directory of a file; `None` for a file of the working directory.
pub(super) fn directory_of(file: &Path) -> Option<PathBuf> {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).map(Path::to_owned)
}

/// A name has neither slashes nor the ending of a module.
pub(super) fn is_path(text: &str) -> bool {
    text.contains('/') || Path::new(text).extension().is_some_and(|ending| ending == "wasm")
}

/// An image that starts with more memory than instances may have would never run.
pub(super) fn check_memory_limit(name: &str, image: &SealedImage, config: &Config) -> anyhow::Result<()> {
    let needed = image.manifest().memory_bytes;
    let limit = config.policies.of(name, image.manifest()).memory_limit_bytes;
    if needed <= limit {
        return Ok(());
    }
    let message =
        format!("`memory.limit` = {limit} bytes is less than the {needed} bytes with which `{name}` starts");
    Err(Failure::error(Exit::Usage, message))
}
