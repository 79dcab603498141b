//! The settings as flags, made from the one table in `config`.

use crate::config::{CONFIG, Config, LogFormat, SETTINGS, Setting, Sources};
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use once_cell::sync::Lazy;
use std::{io, path::PathBuf};
use tracing_subscriber::EnvFilter;

/// Flags and variables of every setting, as the command line's library wants them: made once, kept forever.
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

/// What was given of the settings on the command line.
#[derive(Clone)]
pub(super) struct SettingArgs {
    file: Option<PathBuf>,
    given: Vec<(String, String, String)>,
}

impl clap::Args for SettingArgs {
    fn augment_args(command: Command) -> Command {
        let heading = "Settings (flags over variables over the TOML file)";
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
            .help("Any setting (--help lists them); for one image image.NAME.KEY, for one method method.NAME.deadline or .repeatable");
        NAMES.iter().fold(command.arg(file).arg(set), |command, (setting, flag, help)| {
            let arg = Arg::new(setting.key)
                .long(*flag)
                .global(true)
                .value_name("VALUE")
                .help_heading(heading)
                .hide_short_help(true)
                .help(*help);
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
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
    /// Every setting, and logs that look as they say.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        let config = self.read()?;
        log(&config);
        for variable in Sources::unread(variables()) {
            tracing::warn!(variable, "no setting has this variable: see `snapback serve --help`");
        }
        Ok(config)
    }

    /// Every setting, as flags, variables and the file have it now.
    pub(super) fn read(&self) -> anyhow::Result<Config> {
        let mut sources = Sources::default();
        if let Some(file) = self.file.clone().or_else(|| std::env::var_os(CONFIG).map(PathBuf::from)) {
            sources.file(&file)?;
        }
        sources.variables(variables());
        for (key, value, origin) in &self.given {
            sources.set(key, value.clone(), origin.clone())?;
        }
        Ok(sources.resolve()?)
    }
}

fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn log(config: &Config) {
    let filter = EnvFilter::new(&config.log_level);
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    // A second call in one process, as tests make, keeps the first one's.
    let _ = match config.log_format {
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
        LogFormat::Text => logs.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
    };
}
