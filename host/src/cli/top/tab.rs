//! The views, in their order.
//!
//! Invariant: a view is known by its title alone; what it shows is in `view`.

/// One view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Tab {
    /// What the server does: lanes, the last hour, alerts, events
    Now,
    /// Durable jobs
    Jobs,
    /// Circuits, their changes, and generations
    Circuits,
    /// The settings of each image, and who changed which
    Settings,
}

impl Tab {
    pub(super) const ALL: [Self; 4] = [Self::Now, Self::Jobs, Self::Circuits, Self::Settings];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Now => "Now",
            Self::Jobs => "Jobs",
            Self::Circuits => "Circuits",
            Self::Settings => "Settings",
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// The view that is `steps` further to the right, in a circle.
    pub(super) fn step(self, steps: usize) -> Self {
        Self::ALL[(self.index() + steps) % Self::ALL.len()]
    }
}
