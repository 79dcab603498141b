//! Runs this program again in a process of its own. A fault there stays there, and its memory is given back when it
//! ends; the heap of a process that lives on would keep it.

use crate::config::{Config, LogFormat, PREFIX};
use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, getppid, nice, set_parent_process_death_signal};
use snapback_snapshot::{BakeLimits, CacheMode, CheckMode};
use std::{
    fs,
    process::{Command, Stdio},
};

/// This program, even if its file was replaced meanwhile.
const SELF: &str = "/proc/self/exe";

/// Starts processes of this program with the settings that a bake reads, wherever this process got them from.
pub(crate) struct Subprocess {
    settings: Vec<String>,
}

impl Subprocess {
    pub(crate) fn new(config: &Config) -> Self {
        let mut settings = Vec::new();
        let mut set = |key: &str, value: String| settings.extend(["--set".into(), format!("{key}={value}")]);
        // Settings are UTF-8, so a path that is not is the default, which the process finds by itself.
        for (key, path) in [("state_dir", &config.state_dir), ("native.key_file", &config.key_file)] {
            if let Some(path) = path.to_str() {
                set(key, path.into());
            }
        }
        let BakeLimits { memory_bytes_max, deadline, image_bytes_max, input_bytes_max, extra_exports: _ } =
            config.bake;
        let native_cache = match config.native_cache {
            CacheMode::On => "on",
            CacheMode::Off => "off",
        };
        let native_check = match config.native_check {
            CheckMode::Identity => "identity",
            CheckMode::Full => "full",
        };
        set("sandbox", config.sandbox.as_str().into());
        set("native.cache", native_cache.into());
        set("native.check", native_check.into());
        set("bake.memory_limit", format!("{memory_bytes_max}B"));
        set("bake.deadline", format!("{}ms", deadline.as_millis()));
        set("bake.image_bytes_max", format!("{image_bytes_max}B"));
        set("bake.input_bytes_max", format!("{input_bytes_max}B"));
        set("log.level", config.log_level.clone());
        let log_format = match config.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        set("log.format", log_format.into());
        Self { settings }
    }

    /// A command that runs a subcommand; more arguments may be added.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(SELF);
        command.args([name, "--parent", &std::process::id().to_string()]).args(&self.settings);
        command.stdin(Stdio::null());
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with(PREFIX) {
                command.env_remove(variable);
            }
        }
        command
    }
}

/// Makes this process end with the one that started it.
///
/// # Errors
/// Returns an error if that one has ended already, or the kernel refuses.
pub(crate) fn follow(parent: u32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot follow the parent")?;
    // It may have ended before: another process is the parent then, and no signal comes.
    let parent = i32::try_from(parent).ok().and_then(Pid::from_raw);
    ensure!(getppid() == parent, "the process that started this one has ended");
    Ok(())
}

/// Lowers the priority of this process.
///
/// # Errors
/// Returns an error if the kernel refuses.
pub(crate) fn step_back() -> anyhow::Result<()> {
    // Gives the bake about a tenth of a core that is busy with proofs: less would starve it, more would slow the
    // proofs.
    const NICENESS: i32 = 10;
    nice(NICENESS).context("cannot lower the priority")?;
    // If memory runs out, the kernel ends this process and not the server.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}
