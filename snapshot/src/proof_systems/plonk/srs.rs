//! Structured reference strings: generated natively on all cores, stored on disk, and fed to the guest.
//!
//! They result from hashing to the curve alone: everyone who generates one gets the same bytes, so nobody has to be
//! trusted.

use crate::{Error, references::ReferenceStore};
use halo2_proofs::poly::commitment::Params;
use snapback_guest_plonk::{Side, reference_bytes};

/// A reference string, as parameters and as the bytes that are fed to the guest.
pub(super) struct Reference<C: Side> {
    pub(super) params: Params<C>,
    pub(super) bytes: Vec<u8>,
}

/// Returns the reference string for 2^k rows on one side of the cycle, and generates it if the store lacks it.
pub(super) fn get<C: Side>(store: &ReferenceStore, k: u32) -> Result<Reference<C>, Error> {
    let name = format!("{}-{k}", C::PRIME);
    if let Some(bytes) = store.find(&name)? {
        let is_whole = bytes.len() == reference_bytes(k);
        let params = is_whole.then(|| Params::read(&mut bytes.as_slice()).ok()).flatten();
        if let Some(params) = params {
            return Ok(Reference { params, bytes });
        }
    }
    let params = Params::<C>::new(k);
    let mut bytes = Vec::new();
    params.write(&mut bytes).expect("writing to a vector does not fail");
    store.keep(&name, &bytes)?;
    Ok(Reference { params, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dir;
    use halo2_proofs::pasta::EqAffine;

    #[test]
    fn a_stored_string_equals_a_generated_one() {
        let state = tempfile::tempdir().expect("a directory");
        let state = Dir::open(state.path()).expect("a directory");
        let store = ReferenceStore::open(&state).expect("a store");
        let made = get::<EqAffine>(&store, 4).expect("generated").bytes;
        assert_eq!(store.find("pallas-4").expect("read").as_ref(), Some(&made));
        assert_eq!(get::<EqAffine>(&store, 4).expect("read").bytes, made);
    }
}
