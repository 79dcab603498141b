//! Styles, with colours and without.
//!
//! Invariant: the sixteen colours of the terminal's own palette are used, and never a background, so that light and dark
//! terminals both show everything. Without colours, what matters is bold.

use ratatui::style::{Color, Modifier, Style};

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli::top) enum Theme {
    Colours,
    /// As the variable NO_COLOR asks for.
    Plain,
}

impl Theme {
    /// The theme that the environment asks for; see <https://no-color.org>.
    pub(in crate::cli::top) fn of_environment() -> Self {
        if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
            Self::Plain
        } else {
            Self::Colours
        }
    }

    fn colour(self, colour: Color) -> Style {
        match self {
            Self::Colours => Style::new().fg(colour),
            Self::Plain => Style::new(),
        }
    }

    pub(in crate::cli::top) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(in crate::cli::top) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(in crate::cli::top) fn accent(self) -> Style {
        self.colour(Color::Cyan)
    }

    pub(in crate::cli::top) fn good(self) -> Style {
        self.colour(Color::Green)
    }

    pub(in crate::cli::top) fn warn(self) -> Style {
        self.colour(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    pub(in crate::cli::top) fn bad(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What is marked to be acted on.
    pub(in crate::cli::top) fn marked(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}
