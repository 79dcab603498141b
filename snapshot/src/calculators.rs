//! Witness calculators: modules that circom generates. They follow a protocol of their own, not the guest contract.
//!
//! A calculator is stored as an image that was never baked: in the store under its digest, with native code in the
//! cache, by the same rules as every other image.
//!
//! Invariant: a stored calculator imports nothing but the four functions of circom's runtime, and has the exports that
//! the host calls to compute a witness.

pub use crate::calculator_check::check;
use crate::{
    Digest, Error, ImageStore,
    engine::engine,
    error::Refusal,
    features::features,
    manifest::{FORMAT_VERSION, GuestId, ImageKind, Manifest, Tools},
    native::NativeCache,
    native_code,
};
use snapback_abi::ABI_VERSION;

/// Name of the guest in the manifest of a calculator.
const GUEST_NAME: &str = "circom witness calculator";

/// Returns the image of a calculator, if the store has it. `wasm` is the digest of the module.
#[must_use]
pub fn find(store: &ImageStore, wasm: &Digest) -> Option<Digest> {
    let is_of =
        |manifest: &Manifest| manifest.kind == ImageKind::Calculator && manifest.guest.digest == *wasm;
    store.baked(&key(wasm), is_of)
}

/// Checks and compiles a calculator, stores it with its native code, and returns the digest of its image.
///
/// # Errors
/// Returns an error if the calculator is refused or does not compile, or the store cannot be written.
pub fn keep(
    store: &ImageStore,
    cache: &NativeCache,
    wasm: &[u8],
    memory_bytes_max: u64,
) -> Result<Digest, Error> {
    check(wasm, memory_bytes_max)?;
    let engine = engine(1)?;
    let native = native_code::compile(&engine, wasm)?;
    // Loading fails if the module exceeds the limits of the pool; otherwise only a later server would notice.
    native_code::load_bytes(&engine, &native)?;
    let guest = GuestId { name: GUEST_NAME.into(), digest: Digest::of(wasm) };
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        abi_version: ABI_VERSION,
        kind: ImageKind::Calculator,
        features: features(wasm).map_err(|error| Refusal::Invalid(error.to_string()))?,
        base: None,
        inputs: Vec::new(),
        circuits: Vec::new(),
        methods: Vec::new(),
        memory_bytes: 0,
        trial: None,
        tools: Tools::current(),
        guest,
    };
    let digest = store.publish(&manifest.embed(wasm))?;
    store.remember_bake(&key(&manifest.guest.digest), &digest)?;
    if let Err(error) = cache.keep(&engine, digest, &manifest, &native) {
        tracing::warn!(%error, "native code cannot be stored: every start compiles the calculator");
    }
    Ok(digest)
}

/// Returns every calculator in the store, as the digest of its module and the digest of its image.
#[must_use]
pub fn kept(store: &ImageStore) -> Vec<(Digest, Digest)> {
    let stored = store.list().unwrap_or_default();
    let calculators = stored.into_iter().filter_map(|stored| {
        let manifest = stored.manifest.ok()?;
        (manifest.kind == ImageKind::Calculator).then_some((manifest.guest.digest, stored.digest))
    });
    calculators.collect()
}

fn key(wasm: &Digest) -> Digest {
    let parts = (FORMAT_VERSION, GUEST_NAME, wasm, Tools::current());
    Digest::of(&serde_json::to_vec(&parts).expect("the parts have string keys only"))
}
