//! Lays out the workspace that the guests are built in.
//!
//! ```text
//! Cargo.toml, Cargo.lock     those of this workspace, with the guests alone
//! guest/                     a copy
//! halo2_proofs/, ...         copies of the libraries, changed as `changes` says
//! ```
//!
//! A `[patch]` covers a whole workspace, and the host links the libraries as they are, so guests need a workspace of their
//! own.
//!
//! Invariant: a file is written only if its contents change, so that cargo builds nothing again without need.

#[path = "changes.rs"]
mod changes;

use changes::{LIBRARIES, Library};
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Environment variable with which guests are built for comparison: `unmodified` leaves the libraries as they are.
pub(crate) const CHOICE: &str = "SNAPBACK_GUEST_LIBRARY";

/// What guests are built with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The changed copies of the libraries.
    Changed,
    /// The libraries as they are.
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

/// Lays out the workspace of the guests of `root` in a directory. `metadata` is a cargo whose environment is that of the
/// build of the guests.
pub(crate) fn lay_out(
    root: &Path,
    workspace: &Path,
    choice: Choice,
    metadata: Command,
) -> Result<(), String> {
    let packages = packages(root, metadata)?;
    mirror(&root.join("guest"), &workspace.join("guest"), &BTreeSet::new())?;
    for library in &LIBRARIES {
        let changes = match choice {
            Choice::Changed => library.changes,
            Choice::Unmodified => &[],
        };
        let original = directory(&packages, library.name)?;
        let (sources, copies) =
            (original.join(library.sources), workspace.join(library.name).join(library.sources));
        let changed = changes.iter().map(|change| sources.join(change.place())).collect();
        mirror(&original, &workspace.join(library.name), &changed)?;
        for change in changes {
            let contents = change.contents(&root.join("guest").join(library.ours), &sources)?;
            write(&copies.join(change.place()), &contents)?;
        }
    }
    let manifest = manifest(&text(&root.join("Cargo.toml"))?, &members(&root.join("guest"))?)?;
    write(&workspace.join("Cargo.toml"), manifest.as_bytes())?;
    write(&workspace.join("Cargo.lock"), lock(&text(&root.join("Cargo.lock"))?)?.as_bytes())
}

/// Returns what cargo knows of the packages of the host.
fn packages(root: &Path, mut cargo: Command) -> Result<Vec<serde_json::Value>, String> {
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
    let mut metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    match metadata["packages"].take() {
        serde_json::Value::Array(packages) => Ok(packages),
        _ => Err("cargo metadata lists no packages".into()),
    }
}

/// Returns the directory with the library's sources, which cargo has unpacked for the host.
fn directory(packages: &[serde_json::Value], library: &str) -> Result<PathBuf, String> {
    let mut found = packages.iter().filter(|package| package["name"] == library);
    let (Some(package), None) = (found.next(), found.next()) else {
        return Err(format!("the workspace does not use one version of {library}"));
    };
    let manifest = package["manifest_path"].as_str().map(Path::new).and_then(Path::parent);
    manifest.map(Path::to_owned).ok_or_else(|| format!("cargo metadata gives no path of {library}"))
}

/// Returns the packages among the guests.
fn members(guests: &Path) -> Result<Vec<String>, String> {
    let names = entries(guests)?.into_iter().filter(|path| path.join("Cargo.toml").is_file());
    Ok(names.filter_map(|path| Some(format!("guest/{}", path.file_name()?.to_str()?))).collect())
}

/// Returns the manifest of the workspace with these members and the copies in place of the libraries of the
/// registry.
fn manifest(manifest: &str, members: &[String]) -> Result<String, String> {
    let mut lines = Vec::new();
    let mut replaced = 0;
    for line in manifest.lines() {
        if line.starts_with("members = ") {
            let copies = LIBRARIES.each_ref().map(|library| library.name);
            lines.push(format!("members = {members:?}\nexclude = {copies:?}"));
            replaced += 1;
        } else if !line.starts_with("default-members = ") {
            lines.push(line.to_owned());
        }
    }
    if replaced != 1 {
        return Err("Cargo.toml does not have its `members` on one line".into());
    }
    lines.push("\n[patch.crates-io]".into());
    lines.extend(LIBRARIES.iter().map(|Library { name, .. }| format!("{name} = {{ path = {name:?} }}")));
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// Returns the lock file in which the libraries are packages without a registry.
fn lock(lock: &str) -> Result<String, String> {
    let mut blocks: Vec<String> = lock.split("\n\n").map(str::to_owned).collect();
    for Library { name, .. } in &LIBRARIES {
        let line = format!("name = {name:?}");
        let mut found = blocks.iter_mut().filter(|block| block.lines().any(|found| found == line));
        let (Some(block), None) = (found.next(), found.next()) else {
            return Err(format!("Cargo.lock does not have one version of {name}"));
        };
        let is_kept = |line: &&str| !line.starts_with("source = ") && !line.starts_with("checksum = ");
        *block = block.lines().filter(is_kept).collect::<Vec<_>>().join("\n");
    }
    Ok(blocks.join("\n\n"))
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
