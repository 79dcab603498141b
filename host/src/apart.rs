//! This very program in a process of its own: what it does wrong is its own, and what it takes in memory goes with it,
//! which the heap of a process that lives on would keep.

use crate::config::{Config, LogFormat};
use anyhow::Context;
use rustix::process::{Signal, nice, set_parent_process_death_signal};
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
        set("state_dir", config.state_dir.display().to_string());
        set("native.key_file", config.key_file.display().to_string());
        set("bake.memory_limit", format!("{}B", config.bake.memory_bytes_max));
        set("bake.deadline", format!("{}ms", config.bake.deadline.as_millis()));
        set("bake.image_bytes_max", format!("{}B", config.bake.image_bytes_max));
        set("bake.input_bytes_max", format!("{}B", config.bake.input_bytes_max));
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
        command.arg(name).args(&self.settings).stdin(Stdio::null());
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("SNAPBACK_") {
                command.env_remove(variable);
            }
        }
        command
    }
}

/// Ends with the process that asked.
pub(crate) fn follow_parent() -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot follow the parent")
}

/// Ends with the process that asked, and yields to every other.
pub(crate) fn step_back() -> anyhow::Result<()> {
    // Of a core that is busy with proofs, about a tenth: less would starve the bake, more the proofs.
    const NICENESS: i32 = 10;
    nice(NICENESS).context("cannot lower the priority")?;
    // Where memory runs out, this is what goes, and not the server.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    follow_parent()
}
