//! Lays out the workspace that the guests are built in.
//!
//! ```text
//! Cargo.toml, Cargo.lock     those of this workspace, with the guests alone
//! guest/                     a copy
//! halo2_proofs/              a copy of the library, in which functions of `guest/arithmetic` are in place of its own
//! ```
//!
//! A `[patch]` covers a whole workspace, and the host links the library as it is, so guests need a workspace of their own.
//!
//! Invariant: a file of the library is changed only if it is the one that the change was made for. A file is written
//! only if its contents change, so that cargo builds nothing again without need.

use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The library of which files are replaced.
const LIBRARY: &str = "halo2_proofs";

/// Environment variable with which guests are built for comparison: `unmodified` leaves the library as it is.
pub(crate) const CHOICE: &str = "SNAPBACK_GUEST_LIBRARY";

/// What guests are built with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The changed copy of the library.
    Changed,
    /// The library as it is.
    Unmodified,
}

impl Choice {
    pub(crate) fn from_env() -> Result<Self, String> {
        match env::var_os(CHOICE) {
            None => Ok(Self::Changed),
            Some(choice) if choice == "unmodified" => Ok(Self::Unmodified),
            Some(other) => Err(format!("{CHOICE} is {other:?}, and may be `unmodified`, or not set")),
        }
    }

    /// The end of the name of the directory that guests are built in: builds with different libraries may run at the same
    /// time.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Changed => "",
            Self::Unmodified => "-unmodified",
        }
    }
}

/// A change of the library.
enum Change {
    /// A file of ours, relative to `guest/arithmetic`, instead of a file of the library with this SHA-256.
    Replace { place: &'static str, digest: &'static str, ours: &'static str },
    /// A file of ours in a place where the library has none.
    Add { place: &'static str, ours: &'static str },
    /// A function of ours, from a module that is added below a file of the library with this SHA-256, in place of the
    /// public function of the same name.
    Function { place: &'static str, digest: &'static str, name: &'static str, module: &'static str },
    /// A function of ours, from a module that is added below a file of the library with this SHA-256, in place of the
    /// function of the same name that the file imports in a list.
    Import {
        place: &'static str,
        digest: &'static str,
        name: &'static str,
        list: &'static str,
        module: &'static str,
    },
}

/// Places are relative to the library's sources.
const CHANGES: [Change; 13] = [
    Change::Replace {
        place: "poly/evaluator.rs",
        digest: "e8799c2a0cb184008f1401df7be55d23c96092aebad996e543518f81f875b53e",
        ours: "halo2_proofs/evaluator.rs",
    },
    Change::Add { place: "poly/evaluator/expression.rs", ours: "src/expression.rs" },
    Change::Add { place: "poly/evaluator/program.rs", ours: "src/program.rs" },
    Change::Function {
        place: "poly/commitment/prover.rs",
        digest: "4ff3438614a1766e34f21babc7d886664db736f734f524b1c5cc96062ba03e5e",
        name: "create_proof",
        module: "opening",
    },
    Change::Add { place: "poly/commitment/prover/opening.rs", ours: "halo2_proofs/opening.rs" },
    Change::Function {
        place: "arithmetic.rs",
        digest: "c344c3e01cdf17d144781dd1e8807cecef70b8460a408979222e28e533c59350",
        name: "best_multiexp",
        module: "msm",
    },
    Change::Add { place: "arithmetic/msm.rs", ours: "src/msm.rs" },
    Change::Add { place: "arithmetic/msm/affine.rs", ours: "src/msm/affine.rs" },
    Change::Add { place: "arithmetic/msm/buckets.rs", ours: "src/msm/buckets.rs" },
    Change::Add { place: "arithmetic/msm/generators.rs", ours: "src/msm/generators.rs" },
    Change::Add { place: "arithmetic/msm/halves.rs", ours: "src/msm/halves.rs" },
    Change::Import {
        place: "poly/domain.rs",
        digest: "379599939d3db1cc10ce2d4cd7cfdf3b41858421d6cc2a734b4b54989b4d105c",
        name: "best_fft",
        list: "arithmetic::{best_fft, parallelize}",
        module: "fft",
    },
    Change::Add { place: "poly/domain/fft.rs", ours: "src/fft.rs" },
];

impl Change {
    fn place(&self) -> &'static str {
        match self {
            Self::Replace { place, .. }
            | Self::Add { place, .. }
            | Self::Function { place, .. }
            | Self::Import { place, .. } => place,
        }
    }

    /// Returns the contents of the place in the guests' copy of the library.
    fn contents(&self, arithmetic: &Path, library: &Path) -> Result<Vec<u8>, String> {
        match self {
            Self::Add { ours, .. } => read(&arithmetic.join(ours)),
            Self::Replace { place, digest, ours } => {
                check(&library.join(place), digest)?;
                read(&arithmetic.join(ours))
            }
            Self::Function { place, digest, name, module } => {
                let theirs = library.join(place);
                check(&theirs, digest)?;
                let text = text(&theirs)?;
                let found = format!("pub fn {name}<");
                if text.matches(&found).count() != 1 {
                    return Err(format!("{} does not define {name} once", theirs.display()));
                }
                let changed = format!(
                    "pub(crate) mod {module};\npub use {module}::{name};\n\n#[allow(dead_code)]\nfn replaced_{name}<"
                );
                Ok(text.replace(&found, &changed).into_bytes())
            }
            Self::Import { place, digest, name, list, module } => {
                let theirs = library.join(place);
                check(&theirs, digest)?;
                let text = text(&theirs)?;
                if text.matches(list).count() != 1 {
                    return Err(format!("{} does not import {name} once", theirs.display()));
                }
                let without = list.replace(&format!("{name}, "), "");
                Ok(format!("{}\nmod {module};\nuse {module}::{name};\n", text.replace(list, &without))
                    .into_bytes())
            }
        }
    }
}

/// Checks that a file of the library is the one that a change was made for.
fn check(file: &Path, digest: &str) -> Result<(), String> {
    let found: String = Sha256::digest(read(file)?).iter().map(|byte| format!("{byte:02x}")).collect();
    if found == digest {
        return Ok(());
    }
    Err(format!(
        "{} has the digest {found}, and is not the file that snapshot/build/workspace.rs changes: compare this version of \
         {LIBRARY} with the one before, and name the new digest there",
        file.display()
    ))
}

/// Lays out the workspace of the guests of `root` in a directory. `metadata` is a cargo whose environment is that of the
/// build of the guests.
pub(crate) fn lay_out(
    root: &Path,
    workspace: &Path,
    choice: Choice,
    metadata: Command,
) -> Result<(), String> {
    let library = library(root, metadata)?;
    mirror(&root.join("guest"), &workspace.join("guest"), &BTreeSet::new())?;
    let (sources, copies) = (library.join("src"), workspace.join(LIBRARY).join("src"));
    let changes: &[Change] = match choice {
        Choice::Changed => &CHANGES,
        Choice::Unmodified => &[],
    };
    let changed = changes.iter().map(|change| sources.join(change.place())).collect();
    mirror(&library, &workspace.join(LIBRARY), &changed)?;
    for change in changes {
        let contents = change.contents(&root.join("guest/arithmetic"), &sources)?;
        write(&copies.join(change.place()), &contents)?;
    }
    let manifest = manifest(&text(&root.join("Cargo.toml"))?, &members(&root.join("guest"))?)?;
    write(&workspace.join("Cargo.toml"), manifest.as_bytes())?;
    write(&workspace.join("Cargo.lock"), lock(&text(&root.join("Cargo.lock"))?)?.as_bytes())
}

/// Returns the directory with the library's sources, which cargo has unpacked for the host.
fn library(root: &Path, mut cargo: Command) -> Result<PathBuf, String> {
    // Packages of other platforms would be downloaded in vain.
    let host = env::var("HOST").expect("set by cargo");
    cargo
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            &host,
            "--manifest-path",
        ])
        .arg(root.join("Cargo.toml"));
    let output = cargo.output().map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata fails: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut libraries = packages.filter(|package| package["name"] == LIBRARY);
    let (Some(library), None) = (libraries.next(), libraries.next()) else {
        return Err(format!("the workspace does not use one version of {LIBRARY}"));
    };
    let manifest = library["manifest_path"].as_str().map(Path::new).and_then(Path::parent);
    manifest.map(Path::to_owned).ok_or_else(|| format!("cargo metadata gives no path of {LIBRARY}"))
}

/// Returns the packages among the guests.
fn members(guests: &Path) -> Result<Vec<String>, String> {
    let names = entries(guests)?.into_iter().filter(|path| path.join("Cargo.toml").is_file());
    Ok(names.filter_map(|path| Some(format!("guest/{}", path.file_name()?.to_str()?))).collect())
}

/// Returns the manifest of the workspace with these members and the library in place of that of the registry.
fn manifest(manifest: &str, members: &[String]) -> Result<String, String> {
    let mut lines = Vec::new();
    let mut replaced = 0;
    for line in manifest.lines() {
        if line.starts_with("members = ") {
            lines.push(format!("members = {members:?}\nexclude = [{LIBRARY:?}]"));
            replaced += 1;
        } else if !line.starts_with("default-members = ") {
            lines.push(line.to_owned());
        }
    }
    if replaced != 1 {
        return Err("Cargo.toml does not have its `members` on one line".into());
    }
    lines.push(format!("\n[patch.crates-io]\n{LIBRARY} = {{ path = {LIBRARY:?} }}\n"));
    Ok(lines.join("\n"))
}

/// Returns the lock file in which the library is a package without a registry.
fn lock(lock: &str) -> Result<String, String> {
    let name = format!("name = {LIBRARY:?}");
    let mut found = 0;
    let blocks = lock.split("\n\n").map(|block| {
        if !block.lines().any(|line| line == name) {
            return block.to_owned();
        }
        found += 1;
        let kept =
            block.lines().filter(|line| !line.starts_with("source = ") && !line.starts_with("checksum = "));
        kept.collect::<Vec<_>>().join("\n")
    });
    let lock = blocks.collect::<Vec<_>>().join("\n\n");
    if found == 1 { Ok(lock) } else { Err(format!("Cargo.lock does not have one version of {LIBRARY}")) }
}

/// Makes `to` a copy of the directory `from`, except for hidden files and for these files in `from`, which are changed or
/// added.
fn mirror(from: &Path, to: &Path, except: &BTreeSet<PathBuf>) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    let excepted = except.iter().filter(|path| path.parent() == Some(from));
    let mut kept: BTreeSet<PathBuf> = excepted.filter_map(|path| Some(to.join(path.file_name()?))).collect();
    // The library lacks directories in which all files are added.
    let originals = if from.is_dir() { entries(from)? } else { Vec::new() };
    for path in originals {
        let Some(name) = path.file_name() else { continue };
        let copy = to.join(name);
        kept.insert(copy.clone());
        if except.contains(&path) {
            continue;
        }
        if path.is_dir() {
            mirror(&path, &copy, except)?;
        } else {
            write(&copy, &read(&path)?)?;
        }
    }
    for other in entries(to)?.into_iter().filter(|path| !kept.contains(path)) {
        let original = from.join(other.file_name().unwrap_or_default());
        if except.iter().any(|path| path.starts_with(&original)) {
            mirror(&original, &other, except)?;
            continue;
        }
        let removed = if other.is_dir() { fs::remove_dir_all(&other) } else { fs::remove_file(&other) };
        removed.map_err(|error| format!("{}: {error}", other.display()))?;
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error| format!("{}: {error}", directory.display());
    let entries = fs::read_dir(directory).map_err(failed)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)?;
    paths.retain(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn text(path: &Path) -> Result<String, String> {
    String::from_utf8(read(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, bytes));
    written.map_err(|error| format!("{}: {error}", path.display()))
}
