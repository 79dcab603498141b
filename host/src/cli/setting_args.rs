//! The settings as flags, made from the one table in `config`.
//!
//! Every subcommand that reads the settings takes all of these flags, also behind a subcommand of its own; its `--help`
//! shows the ones that matter to it.

use crate::config::{CONFIG, Config, LogFormat, SETTINGS, Setting, SettingInForce, Sources};
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use once_cell::sync::Lazy;
use std::{io, path::PathBuf};
use tracing_subscriber::EnvFilter;

/// Every setting with its flag and its help, as static text for clap; made once and kept.
static NAMES: Lazy<Vec<(&Setting, &'static str, &'static str)>> = Lazy::new(|| {
    let keep = |text: String| -> &'static str { text.leak() };
    SETTINGS
        .iter()
        .map(|setting| {
            let help = format!("{} [default: {}; {}]", setting.help, setting.default, setting.variable());
            (setting, keep(setting.flag()), keep(help))
        })
        .collect()
});

/// Settings that `--help` of a subcommand shows; the others work too, and `snapback settings` lists them.
const SHOWN: &[(&str, &[&str])] = &[
    ("bake", &["state_dir", "bake.memory_limit", "bake.deadline", "bake.image_bytes_max"]),
    ("serve", &["listen", "state_dir", "lanes", "swap.policy", "memory.limit", "admin.listen", "log.level"]),
    ("prove", &["state_dir", "memory.limit", "call.deadline"]),
    ("verify", &["state_dir", "memory.limit", "call.deadline"]),
    ("extract", &["state_dir", "memory.limit", "call.deadline"]),
    ("inspect", &["state_dir"]),
    ("size", &["state_dir", "lanes", "swap.policy", "memory.limit"]),
    ("images", &["state_dir"]),
    ("settings", &["state_dir"]),
    ("doctor", &["listen", "state_dir", "lanes", "memory.process_limit", "admin.listen", "sandbox"]),
];

/// The settings that were given on the command line.
#[derive(Clone)]
pub(super) struct SettingArgs {
    file: Option<PathBuf>,
    given: Vec<(String, String, String)>,
}

impl clap::Args for SettingArgs {
    fn augment_args(command: Command) -> Command {
        // A start parses one subcommand, and does not pay for the flags of the others.
        command.defer(add)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Adds the flags to a subcommand, of which `--help` shows those that matter to it.
fn add(command: Command) -> Command {
    let heading = "Settings (`snapback settings` lists all; flags beat variables beat the TOML file)";
    let file = Arg::new("config")
        .long("config")
        .global(true)
        .value_name("FILE")
        .help_heading(heading)
        .help("TOML file with settings [SNAPBACK_CONFIG]");
    let set = Arg::new("set")
        .long("set")
        .global(true)
        .value_name("KEY=VALUE")
        .action(ArgAction::Append)
        .value_parser(|text: &str| match text.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err("expected KEY=VALUE"),
        })
        .help_heading(heading)
        .help(
            "Any setting; for one image image.NAME.KEY, for one method method.NAME.deadline or .repeatable",
        );
    let shown = SHOWN.iter().find(|(name, _)| *name == command.get_name()).map_or(&[][..], |(_, keys)| keys);
    NAMES.iter().fold(command.arg(file).arg(set), |command, (setting, flag, help)| {
        let arg = Arg::new(setting.key)
            .long(*flag)
            .global(true)
            .value_name("VALUE")
            .help_heading(heading)
            .hide(!shown.contains(&setting.key))
            .help(*help);
        command.arg(arg)
    })
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = NAMES.iter().filter_map(|(setting, flag, _)| {
            let value = matches.get_one::<String>(setting.key)?;
            Some((setting.key.to_owned(), value.clone(), format!("--{flag}")))
        });
        let set = matches.get_many::<(String, String)>("set").unwrap_or_default();
        let given = given.chain(set.map(|(key, value)| (key.clone(), value.clone(), "--set".into())));
        Ok(Self { file: matches.get_one::<String>("config").map(PathBuf::from), given: given.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl SettingArgs {
    /// Returns every setting, and starts the log that they describe.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        let config = self.read()?;
        log(&config);
        for variable in Sources::unread(variables()) {
            tracing::warn!(variable, "no setting has this variable: `snapback settings` lists them");
        }
        Ok(config)
    }

    /// Returns every setting as flags, variables and the file have it now.
    pub(super) fn read(&self) -> anyhow::Result<Config> {
        Ok(self.sources()?.resolve()?)
    }

    /// Returns every setting as users write it, with the place that its value comes from.
    pub(super) fn in_force(&self) -> anyhow::Result<Vec<SettingInForce>> {
        let sources = self.sources()?;
        let in_force = sources.in_force();
        sources.resolve()?;
        Ok(in_force)
    }

    /// Returns the path of the file of settings, if there is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.file.clone().or_else(|| std::env::var_os(CONFIG).map(PathBuf::from))
    }

    fn sources(&self) -> anyhow::Result<Sources> {
        let mut sources = Sources::default();
        if let Some(file) = self.file() {
            sources.file(&file)?;
        }
        sources.variables(variables());
        for (key, value, origin) in &self.given {
            sources.set(key, value.clone(), origin.clone())?;
        }
        Ok(sources)
    }
}

fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn log(config: &Config) {
    let filter = EnvFilter::new(&config.log_level);
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    // To report a failed write, the subscriber would write to the same stream, and panic on the thread that logs.
    let logs = logs.log_internal_errors(false);
    // Fails if a log was started before, which then stays.
    let _ = match config.log_format {
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
        LogFormat::Text => logs.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
    };
}
