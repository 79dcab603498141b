//! What guests change in the libraries that they prove with, and that they read documents with.
//!
//! Invariant: a file of a library is changed only if it is the one that the change was made for.

use super::{read, text};
use sha2::{Digest, Sha256};
use std::path::Path;

/// A library of which guests use a changed copy.
pub(super) struct Library {
    pub(super) name: &'static str,
    /// The directory of the library's sources.
    pub(super) sources: &'static str,
    /// The directory of our files for it, in `guest`.
    pub(super) ours: &'static str,
    /// Places are relative to the library's sources.
    pub(super) changes: &'static [Change],
}

/// A change of a library.
pub(super) enum Change {
    /// A file of ours instead of a file of the library with this SHA-256.
    Replace { place: &'static str, digest: &'static str, ours: &'static str },
    /// A file of ours in a place where the library has none.
    Add { place: &'static str, ours: &'static str },
    /// A file of the library with this SHA-256, in which a part is changed.
    Edit { place: &'static str, digest: &'static str, edit: Edit },
}

/// What is changed in a file. Functions of ours are in a module that is added below it.
pub(super) enum Edit {
    /// In place of the function of this name and visibility that the file has.
    Function { name: &'static str, visibility: &'static str, module: &'static str },
    /// Texts that come this often, and what comes in their place.
    Texts(&'static [(&'static str, usize, &'static str)]),
    /// In place of the function of this name that the file imports in a list.
    Import { name: &'static str, list: &'static str, module: &'static str },
}

/// The sums and differences of a field of `pasta_curves`. Nothing calls those of the library any more.
macro_rules! sums {
    ($field:literal) => {
        &[
            (
                "self.add_portable(rhs)",
                2,
                concat!($field, "(super::words::add(&self.0, &rhs.0, &MODULUS.0))"),
            ),
            (
                "self.sub_portable(rhs)",
                2,
                concat!($field, "(super::words::subtract(&self.0, &rhs.0, &MODULUS.0))"),
            ),
            ("const fn add_portable", 1, "#[allow(dead_code)]\n    const fn add_portable"),
            ("const fn sub_portable", 1, "#[allow(dead_code)]\n    const fn sub_portable"),
        ]
    };
}

/// The changed libraries.
pub(super) const LIBRARIES: [Library; 5] = [
    Library {
        name: "pasta_curves",
        sources: "src",
        ours: "arithmetic",
        changes: &[
            Change::Edit {
                place: "fields.rs",
                digest: "a2df1a34bfb6ea442317639f8a9dbc081aff86de7de83b5d851bfb18ac99ef44",
                edit: Edit::Texts(&[("mod modinv62;", 1, "mod modinv62;\nmod words;")]),
            },
            Change::Add { place: "fields/words.rs", ours: "src/words.rs" },
            Change::Edit {
                place: "fields/fp.rs",
                digest: "22e857ffb73dd92dbaf60fc0f618c3c663580b5f0cb3b681c7446fb1cba5db2b",
                edit: Edit::Texts(sums!("Fp")),
            },
            Change::Edit {
                place: "fields/fq.rs",
                digest: "1a713f5e9d3b4d39edbe2fbc3e25d3ca63047f27592f62e20f29e4c19ab15408",
                edit: Edit::Texts(sums!("Fq")),
            },
        ],
    },
    Library {
        name: "halo2_proofs",
        sources: "src",
        ours: "arithmetic",
        changes: &[
            Change::Replace {
                place: "poly/evaluator.rs",
                digest: "e8799c2a0cb184008f1401df7be55d23c96092aebad996e543518f81f875b53e",
                ours: "halo2_proofs/evaluator.rs",
            },
            Change::Add { place: "poly/evaluator/expression.rs", ours: "src/expression.rs" },
            Change::Add { place: "poly/evaluator/program.rs", ours: "src/program.rs" },
            // The evaluator borrows what it would have a copy of.
            Change::Edit {
                place: "plonk/prover.rs",
                digest: "ac2307d197dd1dab34c9b07e7311f0ce02b42f068b017ee6ebaaa27a1916b512",
                edit: Edit::Texts(&[
                    ("register_poly(poly.clone())", 7, "register_poly(poly)"),
                    ("register_poly(pk.l0.clone())", 1, "register_poly(&pk.l0)"),
                    ("register_poly(pk.l_blind.clone())", 1, "register_poly(&pk.l_blind)"),
                    ("register_poly(pk.l_last.clone())", 1, "register_poly(&pk.l_last)"),
                ]),
            },
            Change::Edit {
                place: "poly/commitment/prover.rs",
                digest: "4ff3438614a1766e34f21babc7d886664db736f734f524b1c5cc96062ba03e5e",
                edit: Edit::Function { name: "create_proof", visibility: "pub ", module: "opening" },
            },
            Change::Add { place: "poly/commitment/prover/opening.rs", ours: "halo2_proofs/opening.rs" },
            Change::Edit {
                place: "arithmetic.rs",
                digest: "c344c3e01cdf17d144781dd1e8807cecef70b8460a408979222e28e533c59350",
                edit: Edit::Function { name: "best_multiexp", visibility: "pub ", module: "msm" },
            },
            Change::Add { place: "arithmetic/msm.rs", ours: "src/msm.rs" },
            Change::Add { place: "arithmetic/msm/affine.rs", ours: "src/msm/affine.rs" },
            Change::Add { place: "arithmetic/msm/buckets.rs", ours: "src/msm/buckets.rs" },
            Change::Add { place: "arithmetic/msm/curve.rs", ours: "src/msm/curve.rs" },
            Change::Add { place: "arithmetic/msm/generators.rs", ours: "src/msm/generators.rs" },
            Change::Add { place: "arithmetic/msm/halves.rs", ours: "src/msm/halves.rs" },
            Change::Edit {
                place: "poly/domain.rs",
                digest: "379599939d3db1cc10ce2d4cd7cfdf3b41858421d6cc2a734b4b54989b4d105c",
                edit: Edit::Import {
                    name: "best_fft",
                    list: "arithmetic::{best_fft, parallelize}",
                    module: "fft",
                },
            },
            Change::Add { place: "poly/domain/fft.rs", ours: "src/fft.rs" },
        ],
    },
    Library {
        name: "bellman",
        sources: "src",
        ours: "arithmetic",
        changes: &[
            Change::Edit {
                place: "domain.rs",
                digest: "f1b09c87d1febef0c3ef45848abed7430d5e263146c646b7e19dae0dc35fe9de",
                edit: Edit::Function { name: "serial_fft", visibility: "", module: "transform" },
            },
            Change::Add { place: "domain/transform.rs", ours: "bellman/transform.rs" },
            Change::Add { place: "domain/transform/fft.rs", ours: "src/fft.rs" },
        ],
    },
    // Both have, in builds with vectors, a search with vectors of WebAssembly. In other builds nothing changes.
    Library {
        name: "html5ever",
        sources: "src",
        ours: "extract/libraries",
        changes: &[
            Change::Edit {
                place: "tokenizer/mod.rs",
                digest: "387fef55aea53cf08c2b45192ab8f9f211e993e9dc76ec5031422777bf06773f",
                edit: Edit::Texts(&[
                    (
                        "#[cfg(any(target_arch = \"x86\", target_arch = \"x86_64\", target_arch = \"aarch64\"))]",
                        2,
                        "#[cfg(any(target_arch = \"x86\", target_arch = \"x86_64\", target_arch = \"aarch64\", target_feature = \"simd128\"))]",
                    ),
                    (
                        "target_arch = \"aarch64\"\n                )))]",
                        1,
                        "target_arch = \"aarch64\",\n                    target_feature = \"simd128\"\n                )))]",
                    ),
                    (
                        "target_arch = \"aarch64\")))]\n        false",
                        1,
                        "target_arch = \"aarch64\")))]\n        cfg!(target_feature = \"simd128\")",
                    ),
                    (
                        "let (mut i, mut n_newlines) = self.data_state_neon_fast_path(input);",
                        1,
                        "let (mut i, mut n_newlines) = self.data_state_neon_fast_path(input);\n\n        #[cfg(target_feature = \"simd128\")]\n        let (mut i, mut n_newlines) = simd128::text(input.as_bytes());",
                    ),
                    (
                        "use self::char_ref::{CharRef, CharRefTokenizer};",
                        1,
                        "#[cfg(target_feature = \"simd128\")]\nmod simd128;\n\nuse self::char_ref::{CharRef, CharRefTokenizer};",
                    ),
                ]),
            },
            Change::Add { place: "tokenizer/simd128.rs", ours: "html5ever.rs" },
        ],
    },
    Library {
        name: "markup5ever",
        sources: "",
        ours: "extract/libraries",
        changes: &[
            Change::Edit {
                place: "util/smallcharset.rs",
                digest: "97ee1244744875deba3664c4c6eb638ddd69c68c4699899dbac4df26c3efcac8",
                edit: Edit::Texts(&[
                    (
                        "let mut n = 0;\n        for b in buf.bytes() {",
                        1,
                        "#[cfg(target_feature = \"simd128\")]\n        let mut n = simd128::nonmembers(self.bits, buf.as_bytes()) as u32;\n        #[cfg(not(target_feature = \"simd128\"))]\n        let mut n: u32 = 0;\n        for b in buf.as_bytes()[n as usize..].iter().copied() {",
                    ),
                    (
                        "/// Represents a set of \"small characters\"",
                        1,
                        "#[cfg(target_feature = \"simd128\")]\nmod simd128;\n\n/// Represents a set of \"small characters\"",
                    ),
                ]),
            },
            Change::Add { place: "util/smallcharset/simd128.rs", ours: "markup5ever.rs" },
        ],
    },
];

impl Change {
    pub(super) fn place(&self) -> &'static str {
        match self {
            Self::Replace { place, .. } | Self::Add { place, .. } | Self::Edit { place, .. } => place,
        }
    }

    /// Returns the contents of the place in the guests' copy of the library, whose sources are in `sources`.
    pub(super) fn contents(&self, ours_dir: &Path, sources: &Path) -> Result<Vec<u8>, String> {
        match self {
            Self::Add { ours, .. } => read(&ours_dir.join(ours)),
            Self::Replace { place, digest, ours } => {
                check(&sources.join(place), digest)?;
                read(&ours_dir.join(ours))
            }
            Self::Edit { place, digest, edit } => {
                let theirs = sources.join(place);
                check(&theirs, digest)?;
                let changed = edit.apply(&text(&theirs)?);
                let changed =
                    changed.ok_or_else(|| format!("{} has no {} to replace", theirs.display(), edit.name()));
                changed.map(String::into_bytes)
            }
        }
    }
}

impl Edit {
    fn name(&self) -> &'static str {
        match self {
            Self::Function { name, .. } | Self::Import { name, .. } => name,
            Self::Texts(texts) => texts.first().map_or("", |(found, ..)| found),
        }
    }

    /// Returns the changed text, or `None` if what is to be changed is not there once.
    fn apply(&self, text: &str) -> Option<String> {
        let once = |found: &str, changed: &str| {
            (text.matches(found).count() == 1).then(|| text.replace(found, changed))
        };
        match self {
            Self::Function { name, visibility, module } => once(
                &format!("{visibility}fn {name}<"),
                &format!(
                    "pub(crate) mod {module};\n{visibility}use {module}::{name};\n\n#[allow(dead_code)]\nfn replaced_{name}<"
                ),
            ),
            Self::Texts(texts) => texts.iter().try_fold(text.to_owned(), |text, (found, times, changed)| {
                (text.matches(found).count() == *times).then(|| text.replace(found, changed))
            }),
            Self::Import { name, list, module } => {
                let text = once(list, &list.replace(&format!("{name}, "), ""))?;
                Some(format!("{text}\nmod {module};\nuse {module}::{name};\n"))
            }
        }
    }
}

/// Checks that a file of a library is the one that a change was made for.
fn check(file: &Path, digest: &str) -> Result<(), String> {
    let found: String = Sha256::digest(read(file)?).iter().map(|byte| format!("{byte:02x}")).collect();
    if found == digest {
        return Ok(());
    }
    Err(format!(
        "{} has the digest {found}, and is not the file that snapshot/build/changes.rs changes: compare this version of \
         the library with the one before, and name the new digest there",
        file.display()
    ))
}
