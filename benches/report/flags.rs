//! The page about the builds of guests, from the figures of the bench `flags`.

use crate::{Measured, machine, rustc, time};
use std::fmt::Write as _;

/// The builds of `extract`: the name of the figures, and what is said of them.
const BUILDS: [(&str, &str); 9] = [
    ("0_without_simd", "without SIMD: `--simd off`"),
    ("simd", "**with SIMD: the default**"),
    ("simd_libraries_unchanged", "with SIMD, libraries as they are"),
    ("relaxed_simd", "and with relaxed SIMD"),
    ("opt_s", "`opt-level = \"s\"`"),
    ("thin_lto", "thin LTO"),
    ("no_bulk_memory", "without bulk memory"),
    ("no_sign_extension", "without sign extension"),
    ("no_saturating_conversions", "without saturating conversions"),
];
/// The kinds of pages: the name of the figures, and what is said of them.
const KINDS: [(&str, &str); 4] =
    [("text", "text"), ("markup", "markup"), ("scripts", "scripts"), ("small", "small")];
/// The provers: the name of the figures, and the proof.
const PROVERS: [(&str, &str); 3] =
    [("zcash", "Orchard, two actions"), ("plonk", "PLONK, x5chain"), ("groth16", "Groth16, MiMC")];

/// Whether a figure is in the tables of this page.
pub(crate) fn is_tabled(figure: &str) -> bool {
    figure.starts_with("flags_")
}

/// Returns the page, or an error if the bench was not run.
pub(crate) fn page(measured: &Measured) -> Result<String, String> {
    let figure = |name: &str, what: &str| measured.figures.get(&format!("flags_{name}_{what}")).copied();
    measured.figure("flags_simd_text_ratio")?;
    let mut page = String::from(
        "# Builds of guests\n\n`make flags` writes this page. It makes the guest [extract](documents.md) with other settings of the compiler, and calls\nthe builds in turns, in one process: the time is processor time of `extract` in an instance that has made the call before,\nand the median of 41. A ratio compares two calls of the same round, with the build without SIMD.\n\n\
         The pages are of Mozilla's tests for Readability: `ietf-1` (65 kB, of which 59 % are text), `wikipedia-3` (290 kB, 5 %\ntext and 15 tags in each kB) and `guardian-1` (1.2 MB, 82 % scripts and styles); the small one is the guest's sample\n(2.5 kB).\n\n",
    );
    let _ = writeln!(page, "Machine: {}. {}.\n", machine(), rustc());
    page.push_str("## With SIMD and without\n\n| pages of | without | with, libraries as they are | with | `text` instead of `extract` |\n|---|---|---|---|---|\n");
    let share = |ratio: Option<f64>| {
        ratio.map_or_else(|| "".into(), |ratio| format!("{:+.1} %", 100.0 * (ratio - 1.0)))
    };
    for (kind, label) in KINDS {
        let ratio = |build: &str, kind: &str| share(figure(build, &format!("{kind}_ratio")));
        let _ = writeln!(
            page,
            "| {label} | {} | {} | {} | {} |",
            figure("0_without_simd", &format!("{kind}_cpu_seconds")).map_or_else(String::new, time),
            ratio("simd_libraries_unchanged", kind),
            ratio("simd", kind),
            ratio("simd", &format!("{kind}_as_text"))
        );
    }
    page.push_str("\n## Settings\n\nAll but the first have SIMD.\n\n| build | size | bake | instantiate |");
    KINDS.iter().for_each(|(_, label)| page.push_str(&format!(" {label} |")));
    page.push_str("\n|---|---|---|---|---|---|---|---|\n");
    for (build, label) in BUILDS {
        let cell = |what: &str, show: fn(f64) -> String| figure(build, what).map_or_else(String::new, show);
        let _ = write!(
            page,
            "| {label} | {} | {} | {} |",
            cell("bytes", |bytes| format!("{:.2} MB", bytes / 1e6)),
            cell("bake_seconds", time),
            cell("instantiate_seconds", time)
        );
        for (kind, _) in KINDS {
            let _ = write!(page, " {} |", cell(&format!("{kind}_ratio"), |ratio| format!("{ratio:.3}")));
        }
        page.push('\n');
    }
    if let (Some(baked), Some(unbaked)) =
        (figure("first", "baked_seconds"), figure("first", "unbaked_seconds"))
    {
        let _ = writeln!(
            page,
            "\n## Baked and not\n\nA new instance has answered its first call, of the small page, after {} of processor time. An instance of the same\nguest that was not baked takes {}, because it has to be set up first; both are compiled already.",
            time(baked),
            time(unbaked)
        );
    }
    page.push_str("\n## Provers\n\nProofs in instances that have made one before: processor time, and the median of 9.\n\n| proof | without SIMD | with, relative |\n|---|---|---|\n");
    for (prover, label) in PROVERS {
        let _ = writeln!(
            page,
            "| {label} | {} | {} |",
            figure(&format!("0_{prover}"), "proof_cpu_seconds").map_or_else(String::new, time),
            figure(&format!("{prover}_simd"), "proof_ratio")
                .map_or_else(String::new, |ratio| format!("{ratio:.3}"))
        );
    }
    Ok(page)
}
