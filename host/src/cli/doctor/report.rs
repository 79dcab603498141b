//! Shows checks: aligned lines for people, one JSON object for programs.
//!
//! Invariant: text that was found on the machine is printed without control characters, and colours appear on terminals
//! alone.

use super::check::{Check, Verdict};
use crate::cli::{output::outln, progress::printable};
use serde_json::json;
use std::{env, fmt::Write as _, io::IsTerminal};

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    On,
    Off,
}

impl Colours {
    /// Returns whether standard output shows colours: it is a terminal, and the user did not decline them
    /// (<https://no-color.org>).
    pub(super) fn of_stdout() -> Self {
        let is_declined = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if std::io::stdout().is_terminal() && !is_declined { Self::On } else { Self::Off }
    }

    /// Returns the sequences that begin and end the colour of a verdict: SGR of ECMA-48.
    fn of(self, verdict: Verdict) -> (&'static str, &'static str) {
        match (self, verdict) {
            (Self::Off, _) => ("", ""),
            (Self::On, Verdict::Ok) => ("\x1b[32m", "\x1b[0m"),
            (Self::On, Verdict::Warning) => ("\x1b[33m", "\x1b[0m"),
            (Self::On, Verdict::Error) => ("\x1b[1;31m", "\x1b[0m"),
        }
    }
}

/// Returns the worst verdict of these checks.
pub(super) fn worst(checks: &[Check]) -> Verdict {
    checks.iter().map(Check::verdict).max().unwrap_or(Verdict::Ok)
}

/// Returns the number of checks with this verdict.
fn count(checks: &[Check], verdict: Verdict) -> usize {
    checks.iter().filter(|check| check.verdict() == verdict).count()
}

/// Prints the checks as one JSON object.
pub(super) fn print_json(checks: &[Check]) {
    let json = json!({
        "verdict": worst(checks),
        "errors": count(checks, Verdict::Error),
        "warnings": count(checks, Verdict::Warning),
        "checks": checks,
    });
    outln!("{json}");
}

/// Prints a line for each check, with what to do below it, and a summary.
pub(super) fn print_text(checks: &[Check], colours: Colours) {
    outln!("{}", text(checks, colours));
}

fn text(checks: &[Check], colours: Colours) -> String {
    const VERDICT_LEN: usize = "warning".len();
    let name_len = checks.iter().map(|check| check.name().len()).max().unwrap_or(0);
    let indent = VERDICT_LEN + name_len + 4;
    let mut text = String::new();
    for check in checks {
        let (begin, end) = colours.of(check.verdict());
        let (verdict, name) = (check.verdict().as_str(), check.name());
        let found = printable(check.found());
        let _ = writeln!(text, "{begin}{verdict:<VERDICT_LEN$}{end}  {name:<name_len$}  {found}");
        if let Some(advice) = check.advice() {
            let _ = writeln!(text, "{:indent$}-> {}", "", printable(advice));
        }
    }
    let _ = write!(
        text,
        "\n{} checks, {} of them warnings and {} errors",
        checks.len(),
        count(checks, Verdict::Warning),
        count(checks, Verdict::Error)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        vec![
            Check::ok("a.b", "fine"),
            Check::warning("a.long", "odd\x1b[2J", "look"),
            Check::error("c.d", "bad", "repair"),
        ]
    }

    #[test]
    fn lines_are_aligned_and_hold_no_control_characters() {
        let expected = "\
ok       a.b     fine
warning  a.long  odd\u{fffd}[2J
                 -> look
error    c.d     bad
                 -> repair

3 checks, 1 of them warnings and 1 errors";
        assert_eq!(text(&checks(), Colours::Off), expected);
    }

    #[test]
    fn colours_surround_the_verdict_alone() {
        let coloured = text(&checks(), Colours::On);
        assert!(coloured.contains("\x1b[33mwarning\x1b[0m  a.long  odd\u{fffd}"), "{coloured:?}");
        let plain = ["\x1b[32m", "\x1b[33m", "\x1b[1;31m", "\x1b[0m"]
            .iter()
            .fold(coloured, |text, sequence| text.replace(sequence, ""));
        assert_eq!(plain, text(&checks(), Colours::Off));
    }

    #[test]
    fn the_worst_verdict_counts() {
        assert_eq!(worst(&[]), Verdict::Ok);
        assert_eq!(worst(&checks()[..2]), Verdict::Warning);
        assert_eq!(worst(&checks()), Verdict::Error);
    }
}
