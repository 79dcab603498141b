//! This very program in a process of its own: what it does wrong is its own, and what it takes in memory goes with it,
//! which the heap of a process that lives on would keep.

use crate::config::{Config, LogFormat, PREFIX};
use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, getppid, nice, set_parent_process_death_signal};
use snapback_snapshot::BakeLimits;
use std::{
    fs,
    process::{Command, Stdio},
};

/// This very program, also where its file was replaced meanwhile.
const SELF: &str = "/proc/self/exe";

/// How such a process is started: with the settings of a bake, wherever this one's came from.
pub(crate) struct Apart {
    settings: Vec<String>,
}

impl Apart {
    pub(crate) fn new(config: &Config) -> Self {
        let mut settings = Vec::new();
        let mut set = |key: &str, value: String| settings.extend(["--set".into(), format!("{key}={value}")]);
        // Any other path is the default, which the process finds by itself: what is given is UTF-8.
        for (key, path) in [("state_dir", &config.state_dir), ("native.key_file", &config.key_file)] {
            if let Some(path) = path.to_str() {
                set(key, path.into());
            }
        }
        let BakeLimits { memory_bytes_max, deadline, image_bytes_max, input_bytes_max } = config.bake;
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

    /// A subcommand, which may be given more arguments.
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

/// Ends with the process that started this one.
///
/// # Errors
/// When that has ended already, or the kernel refuses.
pub(crate) fn follow(parent: u32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot follow the parent")?;
    // It may have ended before: then its place is another's, and no signal comes.
    let parent = i32::try_from(parent).ok().and_then(Pid::from_raw);
    ensure!(getppid() == parent, "the process that started this one has ended");
    Ok(())
}

/// Yields to every other process.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn step_back() -> anyhow::Result<()> {
    // Of a core that is busy with proofs, about a tenth: less would starve the bake, more the proofs.
    const NICENESS: i32 = 10;
    nice(NICENESS).context("cannot lower the priority")?;
    // Where memory runs out, this is what goes, and not the server.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}
