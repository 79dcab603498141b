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
use toolchain::Toolchain;
use workspace::Choice;

/// An embedded guest.
struct Embedded {
    /// Name that users type on the command line.
    name: &'static str,
    package: &'static str,
    about: &'static str,
    /// The trial call of its bake: method, circuit, and the file with the body, relative to `guest`.
    trial: Option<(&'static str, &'static str, &'static str)>,
}

const GUESTS: [Embedded; 5] = [
    Embedded {
        name: "zcash",
        package: "snapback-guest-zcash",
        about: "Zcash prover: adds the proofs to a PCZT",
        trial: Some(("prove", "orchard", "zcash/trial.pczt")),
    },
    Embedded {
        name: "plonk",
        package: "snapback-guest-plonk",
        about: "PLONK prover for circom's circuits, with halo2 over Pasta",
        trial: None,
    },
    Embedded {
        name: "groth16",
        package: "snapback-guest-groth16",
        about: "Groth16 prover for circom's circuits, with the keys of snarkjs",
        trial: None,
    },
    Embedded {
        name: "extract",
        package: "snapback-guest-extract",
        about: "Extraction of text and metadata from untrusted HTML",
        trial: Some(("extract", "", "extract/src/sample.html")),
    },
    Embedded {
        name: "fixtures",
        package: "snapback-guest-fixtures",
        about: "Test guest: echoes, leaks, traps and spins on request",
        trial: None,
    },
];

/// Guests that are compiled with the others but not embedded: tests read them from the target directory.
const TEST_GUESTS: [&str; 1] = ["snapback-guest-toy"];

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
    compile(&toolchain, &root, &workspace, &target_dir)?;

    let mut table = String::from("pub(super) static EMBEDDED: &[Guest] = &[\n");
    for Embedded { name, package, about, trial } in GUESTS {
        let wasm = target_dir
            .join("wasm32-unknown-unknown/guest")
            .join(package.replace('-', "_"))
            .with_extension("wasm");
        let bytes = fs::read(&wasm).map_err(|error| format!("{}: {error}", wasm.display()))?;
        let copy = out.join(name).with_extension("wasm");
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
        table.push_str(&format!(
            "    Guest {{ name: Cow::Borrowed({name:?}), about: Cow::Borrowed({about:?}), \
             digest: Digest::from_bytes({digest:?}), wasm: Cow::Borrowed(include_bytes!({copy:?})), \
             trial: {trial}, base: None }},\n"
        ));
    }
    table.push_str("];\n");
    let table_file = out.join("guests.rs");
    fs::write(&table_file, table).map_err(|error| format!("{}: {error}", table_file.display()))
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

fn compile(toolchain: &Toolchain, root: &Path, workspace: &Path, target_dir: &Path) -> Result<(), String> {
    let mut cargo = cargo(root);
    // The lock file has more packages than the guests need, which cargo drops from it.
    cargo
        .args(["build", "--profile", "guest", "--target", "wasm32-unknown-unknown", "--manifest-path"])
        .arg(workspace.join("Cargo.toml"))
        .args(
            GUESTS.iter().map(|guest| guest.package).chain(TEST_GUESTS).flat_map(|name| ["--package", name]),
        )
        .arg("--target-dir")
        .arg(target_dir);
    toolchain.prepare(&mut cargo, workspace);
    let output = cargo.output().map_err(|error| format!("cannot run cargo for the guests: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "the guests do not compile with {}: {}",
        toolchain.name(),
        String::from_utf8_lossy(&output.stderr)
    ))
}
