//! Finds a compiler for wasm32-unknown-unknown. It installs nothing; `make toolchain` does that.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Environment variable that selects the toolchain, `rustup` or `debian`. Without it, the first one found is used.
pub(crate) const CHOICE: &str = "SNAPBACK_WASM_TOOLCHAIN";

/// Features that every guest is compiled with. Without wide arithmetic a proof takes five times as long.
const TARGET_FEATURES: &str = "+wide-arithmetic,+bulk-memory";
/// Vectors, for guests that have to do with texts. Provers do without: the compiler would vectorise field arithmetic, and a
/// proof would take 3 to 5 % longer; see docs/guest-builds.md.
const VECTORS: &str = ",+simd128";

/// Whether guests are compiled with vectors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vectors {
    With,
    Without,
}

/// A toolchain that compiles guests.
pub(crate) enum Toolchain {
    /// The compiler that builds the host, with the standard library of the target installed.
    Installed { sysroot: PathBuf },
    /// Debian's `rustc-web`, which lacks the standard library of the target. The library is built from `rust-web-src`,
    /// and guests are linked with the linker of the host's toolchain.
    Debian { linker: PathBuf, rustc: PathBuf },
}

impl Toolchain {
    pub(crate) fn find() -> Result<Self, String> {
        let choice = env::var(CHOICE).ok();
        let rustc = PathBuf::from(env::var("RUSTC").unwrap_or_else(|_| "rustc".into()));
        let sysroot = sysroot(&rustc)?;

        let installed = sysroot.join("lib/rustlib/wasm32-unknown-unknown/lib").is_dir();
        if installed && choice.as_deref() != Some("debian") {
            return Ok(Self::Installed { sysroot });
        }
        let debian = PathBuf::from("/usr/bin/rustc");
        let sources = Path::new("/usr/lib/rustlib/src/rust/library/std/Cargo.toml");
        let host = env::var("HOST").expect("set by cargo");
        let linker = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
        if debian.exists() && sources.exists() && linker.exists() && choice.as_deref() != Some("rustup") {
            return Ok(Self::Debian { linker, rustc: debian });
        }
        Err("no toolchain compiles to wasm32-unknown-unknown: run `make toolchain`, or \
             `rustup target add wasm32-unknown-unknown`, or on Debian \
             `apt-get install --no-install-recommends rustc-web rust-web-src`"
            .into())
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Installed { .. } => "rustup",
            Self::Debian { .. } => "debian",
        }
    }

    /// Configures `cargo` to build guests with this toolchain.
    pub(crate) fn prepare(&self, cargo: &mut Command, root: &Path, vectors: Vectors) {
        let more = if vectors == Vectors::With { VECTORS } else { "" };
        let mut flags = vec![
            format!("-Ctarget-feature={TARGET_FEATURES}{more}"),
            // The request envelope is the only source of entropy: a crate that draws its own fails to link.
            "--cfg=getrandom_backend=\"unsupported\"".into(),
            format!("--remap-path-prefix={}=/snapback", root.display()),
        ];
        let cargo_home = env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
        if let Some(cargo_home) = cargo_home {
            flags.push(format!("--remap-path-prefix={}=/cargo", cargo_home.display()));
        }
        match self {
            Self::Installed { sysroot } => {
                flags.push(format!("--remap-path-prefix={}=/rust", sysroot.display()));
            }
            Self::Debian { linker, rustc } => {
                flags.push(format!("-Clinker={}", linker.display()));
                cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
            }
        }
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    }
}

fn sysroot(rustc: &Path) -> Result<PathBuf, String> {
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .map_err(|error| format!("cannot run {}: {error}", rustc.display()))?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if path.is_empty() { Err(format!("{} reports no sysroot", rustc.display())) } else { Ok(path.into()) }
}
