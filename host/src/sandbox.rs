//! Gives up what this process does not need, so that a fault in it reaches less.
//!
//! ```text
//! no new privileges   no program that it starts gains rights (set-user-ID)
//! no core dumps       secrets in memory are not written to disk when it crashes
//! Landlock            only the named files can be opened; no TCP connection is made, but to ports that are named, and no
//!                     port bound; no process outside is signalled
//! ```
//!
//! Sources: landlock(7), `PR_SET_NO_NEW_PRIVS` in prctl(2), core(5).
//!
//! Invariant: what is given up cannot be taken back, by this process or by those that it starts. Threads that exist
//! already would keep everything, so a process enters its sandbox before it starts any.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, geteuid, setrlimit},
    thread::set_no_new_privs,
};
use serde::Serialize;
use std::{fs, path::PathBuf};

/// What of Landlock is asked for. A kernel that has less enforces what it has.
const LANDLOCK: ABI = ABI::V6;
/// What every process reads: its own accounts and those of its cgroup, and what the C library asks about processors.
const ALWAYS_READ: [&str; 3] = ["/proc", "/sys/fs/cgroup", "/sys/devices/system/cpu"];
/// What the loader reads to run this program again, beside the program and its libraries.
const LOADER: [&str; 2] = ["/etc/ld.so.cache", "/etc/ld.so.preload"];
/// Longest core dump, in bytes. The kernel writes none that is shorter than a page; and it runs a handler of
/// `kernel.core_pattern` whatever the limit is, zero included, except at this one.
const CORE_BYTES: u64 = 1;

/// Whether a process gives up what it does not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxMode {
    /// It does; without Landlock, it does not start.
    On,
    /// It gives up nothing.
    Off,
    /// It gives up what the kernel lets it.
    Auto,
}

impl SandboxMode {
    /// The mode as settings write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Auto => "auto",
        }
    }
}

/// What a process needs to reach. A path that does not exist grants nothing.
#[derive(Default)]
pub(crate) struct Reach {
    /// Files and directories that it reads.
    pub(crate) read: Vec<PathBuf>,
    /// Directories in which it reads, writes, creates and removes.
    pub(crate) write: Vec<PathBuf>,
    /// Directories that it opens on the way to others.
    pub(crate) list: Vec<PathBuf>,
    pub(crate) children: Children,
    pub(crate) outgoing: Outgoing,
}

/// Which TCP connections a process makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outgoing {
    #[default]
    None,
    /// To these ports.
    To(Vec<u16>),
    Any,
}

impl Outgoing {
    /// Those of both.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => Self::Any,
            (Self::None, some) | (some, Self::None) => some,
            (Self::To(ports), Self::To(others)) => Self::To([ports, others].concat()),
        }
    }
}

/// Which processes a process starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Children {
    #[default]
    None,
    /// This program again.
    OfThisProgram,
}

/// What a process has given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Sandbox {
    /// How much of Landlock is in force.
    pub landlock: Landlock,
    /// Whether the programs that it starts can gain no rights.
    pub no_new_privileges: bool,
    /// Whether its memory is never written to disk when it crashes.
    pub no_core_dumps: bool,
}

/// How much of Landlock is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Landlock {
    /// All that was asked for.
    Full,
    /// What this kernel has: files, at least.
    Partial,
    /// Nothing: the kernel has no Landlock, or it was not asked for.
    None,
}

/// Why a process is not in its sandbox.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    #[error(
        "`sandbox` = on, and this kernel has no Landlock: take Linux 5.13 or newer, or set `sandbox` to auto"
    )]
    NoLandlock,
    #[error("Landlock cannot be enforced: {0}")]
    Landlock(#[from] RulesetError),
    #[error("`{0}` is refused by the kernel: {1}")]
    Kernel(&'static str, Errno),
}

impl Sandbox {
    /// A process that has given up nothing.
    pub const NONE: Self = Self { landlock: Landlock::None, no_new_privileges: false, no_core_dumps: false };

    /// Gives up, on this thread and those that it starts from now on, everything but what `reach` names.
    ///
    /// # Errors
    /// Returns an error if the kernel refuses what the mode requires. With [`SandboxMode::Auto`], what is refused is
    /// logged.
    pub(crate) fn enter(mode: SandboxMode, reach: &Reach) -> Result<Self, SandboxError> {
        if mode == SandboxMode::Off {
            return Ok(Self::NONE);
        }
        let kept = |what, result: Result<(), Errno>| match (result, mode) {
            (Ok(()), _) => Ok(true),
            (Err(error), SandboxMode::On) => Err(SandboxError::Kernel(what, error)),
            (Err(error), _) => {
                tracing::warn!(%error, what, "this process keeps rights that it does not need");
                Ok(false)
            }
        };
        let limit = Rlimit { current: Some(CORE_BYTES), maximum: Some(CORE_BYTES) };
        let no_core_dumps = kept("RLIMIT_CORE", setrlimit(Resource::Core, limit))?;
        let no_new_privileges = kept("PR_SET_NO_NEW_PRIVS", set_no_new_privs(true))?;
        let landlock = match (restrict(reach), mode) {
            (Ok(Landlock::None), SandboxMode::On) => return Err(SandboxError::NoLandlock),
            (Ok(landlock), _) => landlock,
            (Err(error), SandboxMode::On) => return Err(error.into()),
            (Err(error), _) => {
                tracing::warn!(%error, "Landlock is not enforced");
                Landlock::None
            }
        };
        Ok(Self { landlock, no_new_privileges, no_core_dumps })
    }
}

impl Landlock {
    /// Returns how much of Landlock this kernel has. Nothing is given up.
    #[must_use]
    pub(crate) fn available() -> Self {
        let has = |abi: ABI| -> Result<(), RulesetError> {
            let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
            let ruleset = ruleset.handle_access(AccessFs::from_all(abi))?;
            // Ports and signals came later than files.
            let (net, scope) = (AccessNet::from_all(abi), Scope::from_all(abi));
            let ruleset = if net.is_empty() { ruleset } else { ruleset.handle_access(net)? };
            let ruleset = if scope.is_empty() { ruleset } else { ruleset.scope(scope)? };
            ruleset.create().map(drop)
        };
        match (has(LANDLOCK), has(ABI::V1)) {
            (Ok(()), _) => Self::Full,
            (Err(_), Ok(())) => Self::Partial,
            (Err(_), Err(_)) => Self::None,
        }
    }
}

fn restrict(reach: &Reach) -> Result<Landlock, RulesetError> {
    let all = AccessFs::from_all(LANDLOCK);
    // Execution is granted by itself, and only for this program.
    let list: BitFlags<AccessFs> = AccessFs::ReadDir.into();
    let read = list | AccessFs::ReadFile;
    let write = all & !(AccessFs::Execute | AccessFs::IoctlDev);
    let rules = Ruleset::default()
        .handle_access(all)?
        .handle_access(match reach.outgoing {
            Outgoing::None | Outgoing::To(_) => AccessNet::from_all(LANDLOCK),
            Outgoing::Any => AccessNet::BindTcp.into(),
        })?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .add_rules(path_beneath_rules(ALWAYS_READ, read))?
        .add_rules(path_beneath_rules(&reach.read, read))?
        .add_rules(path_beneath_rules(&reach.list, list))?
        .add_rules(path_beneath_rules(&reach.write, write))?
        .add_rules(ports(&reach.outgoing).map(Ok::<_, RulesetError>))?;
    let rules = match reach.children {
        Children::None => rules,
        Children::OfThisProgram => rules
            .add_rules(path_beneath_rules(program(), read | AccessFs::Execute))?
            .add_rules(path_beneath_rules(LOADER, read))?
            .add_rules(path_beneath_rules(["/dev/null"], read | AccessFs::WriteFile))?
            .add_rules(path_beneath_rules(scores(), AccessFs::WriteFile))?,
    };
    Ok(match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Full,
        RulesetStatus::PartiallyEnforced => Landlock::Partial,
        RulesetStatus::NotEnforced => Landlock::None,
    })
}

/// The ports that connections may be made to, where not all of them are.
fn ports(outgoing: &Outgoing) -> impl Iterator<Item = NetPort> {
    let ports: &[u16] = if let Outgoing::To(ports) = outgoing { ports } else { &[] };
    ports.iter().map(|port| NetPort::new(*port, AccessNet::ConnectTcp))
}

/// This program, and the loader and libraries that it is linked with: every file that is mapped.
fn program() -> Vec<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mapped = maps.lines().filter_map(|line| Some(PathBuf::from(&line[line.find('/')?..])));
    let mut files: Vec<PathBuf> = mapped.chain(["/proc/self/exe".into()]).collect();
    files.dedup();
    files
}

/// Where a child writes that the kernel shall end it first when memory runs out. Its directory has the number of its
/// process, so all of them are granted, but not to root, who could change the kernel's parameters there.
fn scores() -> Option<&'static str> {
    (!geteuid().is_root()).then_some("/proc")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::File,
        io::ErrorKind,
        net::{TcpListener, TcpStream},
        process::Command,
        thread,
    };

    /// A thread enters a sandbox by itself, so the other tests keep their rights.
    fn on_a_thread(test: impl FnOnce() + Send) {
        thread::scope(|scope| scope.spawn(test).join().expect("the test passes"));
    }

    fn denied<T>(result: std::io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }

    #[test]
    fn a_process_in_its_sandbox_reaches_what_it_named_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let outside = tempfile::tempdir().expect("a directory");
        let [own, read] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        for dir in [&outside, &own, &read] {
            fs::write(dir.path().join("file"), "text").expect("it is written");
        }
        let file = |dir: &tempfile::TempDir| dir.path().join("file");
        on_a_thread(|| {
            let reach = Reach {
                read: vec![read.path().into()],
                write: vec![own.path().into()],
                list: vec![outside.path().into(), "/does/not/exist".into()],
                ..Reach::default()
            };
            let sandbox = Sandbox::enter(SandboxMode::Auto, &reach).expect("nothing is required");
            assert!(sandbox.no_new_privileges && sandbox.no_core_dumps);
            if sandbox.landlock == Landlock::None {
                return eprintln!("this kernel has no Landlock: the rest is not tested");
            }
            assert_eq!(fs::read_to_string(file(&read)).expect("it may be read"), "text");
            assert!(denied(fs::write(file(&read), "")) && denied(fs::remove_file(file(&read))));
            fs::write(own.path().join("new"), "").expect("its own directory");
            fs::rename(own.path().join("new"), file(&own)).expect("its own directory");
            assert!(fs::read_dir(outside.path()).is_ok() && denied(File::open(file(&outside))));
            // Otherwise a file from outside would become one of its own.
            assert!(fs::hard_link(file(&outside), own.path().join("link")).is_err());
            std::os::unix::fs::symlink(file(&outside), own.path().join("link")).expect("links may be made");
            assert!(denied(File::open(own.path().join("link"))), "and not followed");
            assert!(denied(Command::new("/proc/self/exe").arg("--help").output()));
            if sandbox.landlock == Landlock::Full {
                assert!(denied(TcpListener::bind("127.0.0.1:0")));
                assert!(denied(TcpStream::connect(address)));
            }
        });
        assert!(File::open(file(&outside)).is_ok());
    }

    #[test]
    fn a_process_that_starts_itself_may_start_nothing_else() {
        on_a_thread(|| {
            let reach = Reach { children: Children::OfThisProgram, ..Reach::default() };
            let sandbox = Sandbox::enter(SandboxMode::Auto, &reach).expect("nothing is required");
            if sandbox.landlock == Landlock::None {
                return eprintln!("this kernel has no Landlock: the rest is not tested");
            }
            let own = Command::new("/proc/self/exe").arg("--help").output().expect("this program starts");
            assert!(own.status.success());
            assert!(denied(Command::new("/bin/sh").arg("-c").arg(":").output()));
        });
    }

    #[test]
    fn connections_are_made_to_ports_that_are_named() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [named, other] = listeners.each_ref().map(|listener| listener.local_addr().expect("bound"));
        for outgoing in [Outgoing::To(vec![named.port()]), Outgoing::Any] {
            on_a_thread(|| {
                let reach = Reach { outgoing: outgoing.clone(), ..Reach::default() };
                let sandbox = Sandbox::enter(SandboxMode::Auto, &reach).expect("nothing is required");
                TcpStream::connect(named).expect("its port is named");
                let is_denied = denied(TcpStream::connect(other));
                assert!(sandbox.landlock != Landlock::Full || is_denied == (outgoing != Outgoing::Any));
                assert!(sandbox.landlock != Landlock::Full || denied(TcpListener::bind("127.0.0.1:0")));
            });
        }
    }
}
