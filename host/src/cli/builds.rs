//! Embedded guests that come in two builds: with vector instructions, and without.
//!
//! Invariant: a build that was asked for is used, or the command fails.

use super::exit::{Exit, Failure};
use snapback_snapshot::{Guest, Simd};

#[derive(clap::Args)]
pub(super) struct BuildArgs {
    /// The build of an embedded guest that comes in two (extract): with vector instructions, or without [default: on]
    #[arg(long, value_enum)]
    simd: Option<Build>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Build {
    On,
    Off,
}

impl BuildArgs {
    /// Returns the build that was asked for.
    pub(super) fn simd(&self) -> Option<Simd> {
        self.simd.map(|build| match build {
            Build::On => Simd::On,
            Build::Off => Simd::Off,
        })
    }

    /// Returns the build that was asked for. Fails if none of these images is a guest with two builds.
    pub(super) fn among<'a>(
        &self,
        images: impl IntoIterator<Item = &'a str>,
    ) -> anyhow::Result<Option<Simd>> {
        let Some(simd) = self.simd() else { return Ok(None) };
        if images.into_iter().any(|image| Guest::build(image, simd).is_some()) {
            return Ok(Some(simd));
        }
        let names: Vec<&str> = Guest::all()
            .iter()
            .map(|guest| &*guest.name)
            .filter(|name| Guest::build(name, simd).is_some())
            .collect();
        let message = format!(
            "--simd chooses between the builds of an embedded guest, and only {} has two",
            names.join(", ")
        );
        Err(Failure::error(Exit::Usage, message))
    }
}
