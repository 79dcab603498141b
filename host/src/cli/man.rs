//! `snapback man`: the manual pages of all commands, for those who package the program.
//!
//! Invariant: pages are made from the command line itself, so that they describe what the program takes. Hidden commands
//! and hidden flags have no place in them.

use anyhow::Context as _;
use clap::{Arg, Command};
use clap_mangen::Man;
use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// How the heading of flags that are settings begins.
const SETTINGS: &str = "Settings";

#[derive(clap::Args)]
pub(super) struct Args {
    /// Directory that receives the pages; it has to exist
    dir: PathBuf,
}

pub(super) fn run(args: &Args, command: Command) -> anyhow::Result<()> {
    let mut command = command.disable_help_subcommand(true);
    // Names of nested commands, such as `snapback-circuits-add`, and the flags of settings are set here.
    command.build();
    write(&with_short_headings(command), &args.dir)
}

/// Leaves out of a heading what `--help` says in it: headings of pages are in capitals.
fn with_short_headings(command: Command) -> Command {
    let is_settings = |arg: &Arg| arg.get_help_heading().is_some_and(|heading| heading.starts_with(SETTINGS));
    let command = command.mut_args(|arg| if is_settings(&arg) { arg.help_heading(SETTINGS) } else { arg });
    command.mut_subcommands(with_short_headings)
}

/// Writes the page of a command, and those of its subcommands.
fn write(command: &Command, dir: &Path) -> anyhow::Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write(subcommand, dir)?;
    }
    let man =
        Man::new(command.clone()).manual("Snapback").source(concat!("snapback ", env!("CARGO_PKG_VERSION")));
    let path = dir.join(man.get_filename());
    let page = page(&man, command).expect("memory takes every page");
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}

fn page(man: &Man, command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|arg| !arg.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.get_subcommands().any(|subcommand| !subcommand.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for Section { heading, lines } in sections(&after) {
        writeln!(page, ".SH {}", quoted(&heading))?;
        // Indented lines are commands and tables, which are not filled.
        let is_verbatim = lines.iter().any(|line| line.starts_with(' '));
        let lines = lines.into_iter().map(|line| escaped(line) + "\n").collect::<String>();
        page.write_all(if is_verbatim { format!(".nf\n{lines}.fi\n") } else { lines }.as_bytes())?;
    }
    if command.get_display_name().is_some_and(|name| name != command.get_name()) {
        writeln!(page, ".SH \"SEE ALSO\"\n.BR snapback (1),\n.BR snapback\\-settings (1)")?;
    }
    Ok(page)
}

/// A part of the text after the options.
#[derive(Debug, PartialEq, Eq)]
struct Section<'a> {
    heading: String,
    lines: Vec<&'a str>,
}

/// Splits the text after the options: `Examples:` and the like begin a section, and so does a paragraph without a heading.
fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut begins = true;
    for line in text.lines() {
        let heading = line.strip_suffix(':').filter(|_| !line.starts_with(' '));
        match (heading, line.is_empty()) {
            (Some(heading), _) => {
                sections.push(Section { heading: heading.to_uppercase(), lines: Vec::new() });
                begins = false;
            }
            (None, true) => begins = true,
            (None, false) => {
                if std::mem::take(&mut begins) {
                    sections.push(Section { heading: "NOTES".into(), lines: Vec::new() });
                }
                sections.last_mut().expect("a section has begun").lines.push(line);
            }
        }
    }
    sections
}

/// Returns the argument of a request, which ends at a space unless it is quoted.
fn quoted(heading: &str) -> String {
    if heading.contains(' ') { format!("\"{heading}\"") } else { heading.into() }
}

/// Returns a line that roff prints as it is: groff(7), "Escapes".
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
    if line.starts_with('.') { format!("\\&{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_after_the_options_becomes_sections() {
        let section = |heading: &str, lines| Section { heading: heading.into(), lines };
        let text =
            "Examples:\n  one\n  two --json\n\nIt takes settings.\nAnd more.\n\nExit codes:\n  0  done";
        assert_eq!(
            sections(text),
            [
                section("EXAMPLES", vec!["  one", "  two --json"]),
                section("NOTES", vec!["It takes settings.", "And more."]),
                section("EXIT CODES", vec!["  0  done"]),
            ]
        );
        assert_eq!(sections(""), []);
        assert_eq!(sections("text")[0].heading, "NOTES");
    }

    #[test]
    fn lines_cannot_be_taken_for_requests() {
        assert_eq!(escaped("  a --b 'c' \\"), "  a \\-\\-b \\(aqc\\(aq \\e");
        assert_eq!(escaped(".SH"), "\\&.SH");
        assert_eq!(escaped("'so x"), "\\(aqso x");
    }
}
