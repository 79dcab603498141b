//! Compiles the guests to wasm and embeds them, so that the finished binary bakes without a compiler.
//!
//! Invariant: the bytes depend on the sources, the lock file and the compiler, not on the machine's paths.

#[path = "build/toolchain.rs"]
mod toolchain;
#[path = "build/workspace.rs"]
mod workspace;

use sha2::{Digest, Sha256};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};
use toolchain::{Toolchain, Vectors};
use workspace::Choice;

/// An embedded guest.
struct Embedded {
    /// Name that users type on the command line.
    name: &'static str,
    package: &'static str,
    about: &'static str,
    /// The trial call of its bake: method, circuit, and the file with the body, relative to `guest`.
    trial: Option<(&'static str, &'static str, &'static str)>,
    builds: Builds,
    /// The variant of `InstanceUse`.
    instances: &'static str,
}

/// The builds of a guest that are embedded.
#[derive(PartialEq, Eq)]
enum Builds {
    /// One, without vectors.
    One,
    /// One with vectors, which is used unless the other is asked for, and one without.
    Two,
}

static GUESTS: [Embedded; 5] = [
    Embedded {
        name: "zcash",
        package: "snapback-guest-zcash",
        about: "Zcash prover: adds the proofs to a PCZT",
        trial: Some(("prove", "orchard", "zcash/trial.pczt")),
        builds: Builds::One,
        instances: "Once",
    },
    Embedded {
        name: "plonk",
        package: "snapback-guest-plonk",
        about: "PLONK prover for circom's circuits, with halo2 over Pasta",
        trial: None,
        builds: Builds::One,
        instances: "Once",
    },
    Embedded {
        name: "groth16",
        package: "snapback-guest-groth16",
        about: "Groth16 prover for circom's circuits, with the keys of snarkjs",
        trial: None,
        builds: Builds::One,
        instances: "Once",
    },
    Embedded {
        name: "extract",
        package: "snapback-guest-extract",
        about: "Extraction of text and metadata from untrusted HTML",
        trial: Some(("extract", "", "extract/src/sample.html")),
        builds: Builds::Two,
        instances: "Many",
    },
    Embedded {
        name: "fixtures",
        package: "snapback-guest-fixtures",
        about: "Test guest: echoes, leaks, traps and spins on request",
        trial: None,
        builds: Builds::One,
        instances: "Once",
    },
];

/// Guests that are compiled with the others but not embedded: tests and benches read them from the target directory.
const TEST_GUESTS: [&str; 3] =
    ["snapback-guest-toy", "snapback-guest-leaking-extract", "snapback-guest-leaking-groth16"];

fn main() -> ExitCode {
    match embed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={}", message.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn embed() -> Result<(), String> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo"))
        .parent()
        .expect("the package lies in the workspace")
        .to_owned();
    for watched in ["guest", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    for variable in [toolchain::CHOICE, workspace::CHOICE] {
        println!("cargo::rerun-if-env-changed={variable}");
    }

    let out = PathBuf::from(env::var("OUT_DIR").expect("set by cargo"));
    let toolchain = Toolchain::find()?;
    let choice = Choice::from_env()?;
    if choice == Choice::Unmodified {
        println!("cargo::warning=guests are built for comparison, with the library as it is, and are slower");
    }
    // One directory for all profiles, so that lints and tests share one build of the guests.
    let name = format!("{}{}", toolchain.name(), choice.suffix());
    let target_dir = out.ancestors().nth(4).unwrap_or(&out).join("guests").join(name);
    let workspace = target_dir.join("workspace");
    workspace::lay_out(&root, &workspace, choice, cargo(&root))?;
    let with_two: Vec<&Embedded> = GUESTS.iter().filter(|guest| guest.builds == Builds::Two).collect();
    let packages = GUESTS.iter().map(|guest| guest.package).chain(TEST_GUESTS).collect();
    let vectors_dir = target_dir.join("vectors");
    let build = Build { toolchain: &toolchain, root: &root, workspace: &workspace };
    build.compile(packages, Vectors::Without, &target_dir)?;
    build.compile(with_two.iter().map(|guest| guest.package).collect(), Vectors::With, &vectors_dir)?;

    let mut table = String::from("pub(super) static EMBEDDED: &[Guest] = &[\n");
    for guest in &GUESTS {
        let dir = if guest.builds == Builds::Two { &vectors_dir } else { &target_dir };
        table.push_str(&guest.entry(&root, dir, &out.join(guest.name))?);
    }
    table.push_str("];\n\npub(super) static WITHOUT_SIMD: &[Guest] = &[\n");
    for guest in with_two {
        table.push_str(&guest.entry(
            &root,
            &target_dir,
            &out.join(format!("{}-without-simd", guest.name)),
        )?);
    }
    table.push_str("];\n");
    let table_file = out.join("guests.rs");
    fs::write(&table_file, table).map_err(|error| format!("{}: {error}", table_file.display()))
}

impl Embedded {
    /// Copies the build in that directory to a place, and returns its line in the table of guests.
    fn entry(&self, root: &Path, target_dir: &Path, place: &Path) -> Result<String, String> {
        let Self { name, package, about, trial, builds: _, instances } = self;
        let wasm = target_dir
            .join("wasm32-unknown-unknown/guest")
            .join(package.replace('-', "_"))
            .with_extension("wasm");
        let bytes = fs::read(&wasm).map_err(|error| format!("{}: {error}", wasm.display()))?;
        let copy = place.with_extension("wasm");
        fs::write(&copy, &bytes).map_err(|error| format!("{}: {error}", copy.display()))?;
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let trial = trial.map_or_else(
            || "None".into(),
            |(method, circuit, file)| {
                let file = root.join("guest").join(file);
                format!(
                    "Some(TrialCall {{ method: Cow::Borrowed({method:?}), circuit: Cow::Borrowed({circuit:?}), \
                     body: Cow::Borrowed(include_bytes!({file:?})) }})"
                )
            },
        );
        Ok(format!(
            "    Guest {{ name: Cow::Borrowed({name:?}), about: Cow::Borrowed({about:?}), \
             digest: Digest::from_bytes({digest:?}), wasm: Cow::Borrowed(include_bytes!({copy:?})), \
             trial: {trial}, instances: InstanceUse::{instances}, base: None }},\n"
        ))
    }
}

/// What every build of guests has in common.
struct Build<'a> {
    toolchain: &'a Toolchain,
    root: &'a Path,
    workspace: &'a Path,
}

/// Returns a cargo with the environment that the user's cargo was given, and the configuration of the workspace.
fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(env::var("CARGO").expect("set by cargo"));
    // The outer build sets variables for its own target and profile, which do not apply to this one.
    for (key, _) in env::vars() {
        let kept = ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_OFFLINE", "CARGO_HTTP_CAINFO"]
            .contains(&key.as_str())
            || key.starts_with("CARGO_REGISTR")
            || key.starts_with("CARGO_SOURCE");
        if key.starts_with("CARGO") && !kept || key.starts_with("RUSTC") || key.starts_with("RUSTFLAGS") {
            cargo.env_remove(key);
        }
    }
    cargo.current_dir(root);
    cargo
}

impl Build<'_> {
    fn compile(&self, packages: Vec<&str>, vectors: Vectors, target_dir: &Path) -> Result<(), String> {
        let mut cargo = cargo(self.root);
        // The lock file has more packages than the guests need, which cargo drops from it.
        cargo
            .args(["build", "--profile", "guest", "--target", "wasm32-unknown-unknown", "--manifest-path"])
            .arg(self.workspace.join("Cargo.toml"))
            .args(packages.into_iter().flat_map(|name| ["--package", name]))
            .arg("--target-dir")
            .arg(target_dir);
        self.toolchain.prepare(&mut cargo, self.workspace, vectors);
        let output = cargo.output().map_err(|error| format!("cannot run cargo for the guests: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "the guests do not compile with {}: {}",
            self.toolchain.name(),
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}
