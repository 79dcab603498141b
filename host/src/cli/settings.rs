//! `snapback settings`: every setting, with its value and where the value comes from.

use super::{
    output::{self, outln},
    progress::printable,
    setting_args::SettingArgs,
};
use crate::config::{SETTINGS, Scope, Setting, SettingInForce};
use serde_json::json;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  snapback settings
  snapback settings --json
  snapback settings --toml > snapback.toml          a file to start from
  SNAPBACK_LANES=4 snapback settings --config snapback.toml")]
pub(super) struct Args {
    /// Print JSON
    #[arg(long, conflicts_with = "toml")]
    json: bool,
    /// Print a TOML file in which every setting is commented out, with its default
    #[arg(long)]
    toml: bool,
}

pub(super) fn run(args: &Args, settings: &SettingArgs) -> anyhow::Result<()> {
    if args.toml {
        output::print(format_args!("{}", toml()));
        return Ok(());
    }
    let in_force = settings.in_force()?;
    if args.json {
        let list: Vec<_> = in_force
            .iter()
            .map(|SettingInForce { key, value, origin }| {
                let setting = SETTINGS.iter().find(|setting| setting.key == *key);
                json!({
                    "key": key,
                    "value": value,
                    "origin": origin,
                    "default": setting.map(|setting| setting.default),
                    "meaning": setting.map(|setting| setting.help),
                    "flag": setting.map(|setting| format!("--{}", setting.flag())),
                    "variable": setting.map(Setting::variable),
                    "per_image": setting.is_none_or(|setting| setting.scope == Scope::Image),
                })
            })
            .collect();
        outln!("{}", serde_json::Value::from(list));
        return Ok(());
    }
    for SettingInForce { key, value, origin } in &in_force {
        outln!("{key:<32} {:<24} {}", printable(value), printable(origin));
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
            outln!("    {}", setting.help);
        }
    }
    Ok(())
}

/// A commented file, with a table for each group of settings.
fn toml() -> String {
    let mut text = String::from(
        "# Settings of Snapback. Every line that is commented out shows the default.\n\
         # For one image: [image.NAME.memory] and the like. For one method: [method.NAME] deadline, repeatable.\n",
    );
    let mut groups: Vec<(&str, String)> = Vec::new();
    for Setting { key, default, help, .. } in SETTINGS {
        let (group, name) = key.split_once('.').unwrap_or(("", key));
        let lines = format!("# {help}\n# {name} = {default:?}\n");
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, text)) => text.push_str(&lines),
            None => groups.push((group, lines)),
        }
    }
    for (group, lines) in groups {
        if !group.is_empty() {
            text.push_str(&format!("\n[{group}]\n"));
        }
        text.push_str(&lines);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn the_file_to_start_from_is_valid_once_its_lines_are_uncommented() {
        let text = toml();
        let empty: ::toml::Table = text.parse().expect("TOML");
        assert!(empty.values().all(|table| table.as_table().is_some_and(::toml::Table::is_empty)));
        // `lanes` has no default that could be written down.
        let lines = text.lines().filter(|line| !line.contains("one per core"));
        let is_setting = |line: &str| line.starts_with("# ") && line.contains(" = \"");
        let lines = lines.map(|line| line.strip_prefix("# ").filter(|_| is_setting(line)).unwrap_or(line));
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let text: Vec<&str> = lines.collect();
        std::fs::write(file.path(), text.join("\n")).expect("written");
        let mut sources = Sources::default();
        sources.file(file.path()).expect("every key is a setting");
        sources.resolve().expect("every default is accepted");
    }
}
