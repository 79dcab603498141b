//! Structured reference strings: made natively on all cores, kept on disk, fed to guests.
//!
//! ```text
//! <state>/srs/<prime>-<k>-<sha256>     what `Params::write` gave
//! ```
//! They come of hashing into the curve alone: whoever makes one gets these bytes, and nobody has to be trusted.
//!
//! Invariant: what is handed out has the digest in its file's name; what has not is made anew.

use crate::{
    Digest, Error,
    files::{make_private_dir, publish},
};
use halo2_proofs::poly::commitment::Params;
use snapback_guest_plonk::{Prime, Side};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The reference strings of a state directory.
pub(crate) struct SrsStore {
    dir: PathBuf,
}

/// A reference string, as parameters and as the bytes that a guest is fed.
pub(crate) struct Reference<C: Side> {
    pub(crate) params: Params<C>,
    pub(crate) bytes: Vec<u8>,
}

impl SrsStore {
    pub(crate) fn open(state_dir: &Path) -> Result<Self, Error> {
        let dir = state_dir.join("srs");
        make_private_dir(&dir)?;
        Ok(Self { dir })
    }

    /// The reference string for 2^k rows on one side; made where it is not there yet.
    pub(crate) fn get<C: Side>(&self, k: u32) -> Result<Reference<C>, Error> {
        if let Some(reference) = self.find::<C>(k)? {
            return Ok(reference);
        }
        let params = Params::<C>::new(k);
        let mut bytes = Vec::new();
        params.write(&mut bytes).expect("a vector takes any bytes");
        publish(&self.dir.join(format!("{}{}", prefix(C::PRIME, k), Digest::of(&bytes))), &bytes)?;
        Ok(Reference { params, bytes })
    }

    fn find<C: Side>(&self, k: u32) -> Result<Option<Reference<C>>, Error> {
        let entries = fs::read_dir(&self.dir).map_err(|source| Error::io("list", &self.dir, source))?;
        for entry in entries {
            let path = entry.map_err(|source| Error::io("list", &self.dir, source))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(digest) = name.strip_prefix(&prefix(C::PRIME, k)) else { continue };
            let bytes = fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
            // Twice in order and one read to its end: a file of another length is none of this size.
            let whole = bytes.len() == 4 + 32 * (2 * (1 << k) + 2);
            if whole
                && Digest::of(&bytes).to_string() == digest
                && let Ok(params) = Params::read(&mut bytes.as_slice())
            {
                return Ok(Some(Reference { params, bytes }));
            }
            tracing::warn!(path = %path.display(), "a reference string is damaged: it is made anew");
            fs::remove_file(&path).map_err(|source| Error::io("remove", &path, source))?;
        }
        Ok(None)
    }
}

fn prefix(prime: Prime, k: u32) -> String {
    format!("{prime}-{k}-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use halo2_proofs::pasta::EqAffine;

    #[test]
    fn a_damaged_string_is_made_anew() {
        let state = tempfile::tempdir().expect("a directory");
        let store = SrsStore::open(state.path()).expect("a store");
        let first = store.get::<EqAffine>(4).expect("made").bytes;
        let file = || fs::read_dir(&store.dir).expect("there").next().expect("one").expect("readable").path();
        let mut damaged = first.clone();
        damaged[100] ^= 1;
        let path = file();
        fs::remove_file(&path).expect("removed");
        fs::write(&path, &damaged).expect("written");
        assert!(store.find::<EqAffine>(4).expect("looked for").is_none(), "damaged");
        assert_eq!(store.get::<EqAffine>(4).expect("made").bytes, first);
        assert_eq!(fs::read(file()).expect("kept"), first);
    }
}
