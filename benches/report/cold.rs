//! Starts of a small image and of one of a gigabyte, beside a bare program of Wasmtime.

use crate::{
    Measured,
    goals::{AtMost, Goal},
    ratio, time,
};
use std::fmt::Write as _;

const PREFIX: &str = "cold_start_";
/// Parts in the order in which they run: the name in figures, and what it is.
const PARTS: [(&str, &str); 8] = [
    ("process", "process: the loader, the command line, settings"),
    ("files", "files, keys, sandbox"),
    ("engine", "engine and its pool"),
    ("images", "images, of which"),
    ("check", "— reading and checking native code"),
    ("map", "— mapping it"),
    ("lanes", "lanes and their first instances"),
    ("listener", "routes, runtime, listener"),
];

/// Returns whether a figure is in the table.
pub(crate) fn is_tabled(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The goals of figures that were measured.
pub(crate) fn goals(measured: &Measured) -> Vec<Goal> {
    let rows: [AtMost; 3] = [
        (
            "time from exec to the first answered call, with 1 GB of cached native code and memory",
            "cold_start_large_identity_seconds",
            10e-3,
            time,
        ),
        ("the same, relative to an image of 5 MB", "cold_start_large_over_small", 1.2, ratio),
        (
            "the same, relative to a program that makes an engine and compiles and runs an empty module",
            "cold_start_large_over_bare",
            3.0,
            ratio,
        ),
    ];
    Goal::of_measured(measured, rows)
}

/// Appends the tables.
pub(crate) fn tables(page: &mut String, measured: &Measured) {
    let shown = |name: String| {
        measured.figures.get(&name).map_or_else(|| "not measured".into(), |value| time(*value))
    };
    page.push_str(
        "\n## Cold starts\n\nFrom exec to the first answered call, with cached native code in the page cache. The images are those of the fixtures,\nof 5 MB and with 1 GB of further memory. They start in turns with a bare program, which makes an engine with the default\nsettings, compiles an empty module, instantiates it and ends: what `wasmtime run` does, without its command line and WASI.\n\n\
         | start | 5 MB | 1 GB |\n|---|---|---|\n",
    );
    for (what, check) in [("`native.check = identity`", "identity"), ("`native.check = full`", "full")] {
        let of = |size: &str| shown(format!("{PREFIX}{size}_{check}_seconds"));
        let _ = writeln!(page, "| {what} | {} | {} |", of("small"), of("large"));
    }
    let bare = shown(format!("{PREFIX}bare_seconds"));
    let _ = writeln!(page, "| the bare program | {bare} | |");
    page.push_str("\nThe parts of a start by identity, from the log of the server; the rest of the time goes to the connection and the first call:\n\n| part | 5 MB | 1 GB |\n|---|---|---|\n");
    for (part, what) in PARTS {
        let of = |size: &str| shown(format!("{PREFIX}{size}_part_{part}"));
        let _ = writeln!(page, "| {what} | {} | {} |", of("small"), of("large"));
    }
}
