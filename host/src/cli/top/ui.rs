//! What a person looks at, and what keys do.
//!
//! Invariant: a key changes what is shown and nothing else. Only the answer `y` to a question asks the server for something.

use super::{clean::Clean, poll::Command, state::State, tab::Tab};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Lines that Page Up and Page Down scroll by.
const PAGE: usize = 10;

/// What keys are for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Browse,
    Help,
    /// The question which lane is to swap, with the choice that is marked.
    Swap(usize),
}

/// What to do after a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    Quit,
    /// Freeze what is shown, or show what is known again.
    Pause,
    Ask(Command),
}

/// One lane, or all of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) image: Clean,
    pub(super) lane: Option<u64>,
}

/// What a person looks at.
pub(super) struct Ui {
    pub(super) tab: Tab,
    pub(super) mode: Mode,
    /// The first line that is shown, by view, and of the help.
    scroll: [usize; Tab::ALL.len() + 1],
    pub(super) is_paused: bool,
}

/// The lanes that can swap, each image's lanes before all of them.
pub(super) fn choices(state: &State) -> Vec<Choice> {
    let images = state.status.iter().flat_map(|status| &status.images);
    let of_image = |image| {
        let lanes = state.lanes_of(image).iter().map(|lane| Some(lane.lane));
        let all = (lanes.len() > 1).then_some(None);
        lanes.chain(all).map(|lane| Choice { image: image.name.clone(), lane }).collect::<Vec<_>>()
    };
    images.flat_map(of_image).collect()
}

impl Ui {
    pub(super) fn new(tab: Tab) -> Self {
        Self { tab, mode: Mode::Browse, scroll: [0; Tab::ALL.len() + 1], is_paused: false }
    }

    /// The lane that the question is about.
    pub(super) fn choice(&self, state: &State) -> Option<Choice> {
        let Mode::Swap(marked) = self.mode else { return None };
        choices(state).into_iter().nth(marked)
    }

    /// The first line that is shown.
    pub(super) fn scroll(&mut self) -> &mut usize {
        let index = if self.mode == Mode::Help { Tab::ALL.len() } else { self.tab.index() };
        &mut self.scroll[index]
    }

    /// Takes a key. Who may swap is for the server to say: it tells the client's role.
    pub(super) fn key(&mut self, key: KeyEvent, state: &State) -> Act {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if matches!(key.code, KeyCode::Char('c' | 'd')) { Act::Quit } else { Act::Nothing };
        }
        match self.mode {
            Mode::Browse => self.browse(key.code, state),
            Mode::Help => {
                if !self.moves(key.code) {
                    *self.scroll() = 0;
                    self.mode = Mode::Browse;
                }
                Act::Nothing
            }
            Mode::Swap(marked) => self.answer(key.code, marked, state),
        }
    }

    /// Scrolls, if the key is for that.
    fn moves(&mut self, code: KeyCode) -> bool {
        let line = *self.scroll();
        *self.scroll() = match code {
            KeyCode::Down | KeyCode::Char('j') => line + 1,
            KeyCode::Up | KeyCode::Char('k') => line.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => line + PAGE,
            KeyCode::PageUp => line.saturating_sub(PAGE),
            KeyCode::Home | KeyCode::Char('g') => 0,
            // The frame shows no further than the last line.
            KeyCode::End | KeyCode::Char('G') => usize::MAX / 2,
            _ => return false,
        };
        true
    }

    fn browse(&mut self, code: KeyCode, state: &State) -> Act {
        if self.moves(code) {
            return Act::Nothing;
        }
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return Act::Quit,
            KeyCode::Char('p') => return Act::Pause,
            KeyCode::Char('?' | 'h') => self.mode = Mode::Help,
            KeyCode::Char('s') if may_swap(state) && !choices(state).is_empty() => {
                self.tab = Tab::Now;
                self.mode = Mode::Swap(0);
            }
            KeyCode::Tab | KeyCode::Right => self.tab = self.tab.step(1),
            KeyCode::BackTab | KeyCode::Left => self.tab = self.tab.step(Tab::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='4') => self.tab = Tab::ALL[digit as usize - '1' as usize],
            _ => {}
        }
        Act::Nothing
    }

    fn answer(&mut self, code: KeyCode, marked: usize, state: &State) -> Act {
        let last = choices(state).len().saturating_sub(1);
        match code {
            KeyCode::Down | KeyCode::Right | KeyCode::Tab | KeyCode::Char('j') => {
                self.mode = Mode::Swap((marked + 1).min(last));
            }
            KeyCode::Up | KeyCode::Left | KeyCode::BackTab | KeyCode::Char('k') => {
                self.mode = Mode::Swap(marked.saturating_sub(1));
            }
            KeyCode::Char('y') => {
                let choice = self.choice(state);
                self.mode = Mode::Browse;
                if let Some(Choice { image, lane }) = choice {
                    return Act::Ask(Command::Swap { image, lane });
                }
            }
            KeyCode::Char('n' | 'q') | KeyCode::Esc => self.mode = Mode::Browse,
            _ => {}
        }
        Act::Nothing
    }
}

/// Whether this client is an operator, as far as the server tells. Without keys, nobody is.
pub(super) fn may_swap(state: &State) -> bool {
    state.me.as_ref().is_some_and(|me| me.keys.as_str() == "required" && me.role.as_str() == "operator")
}

#[cfg(test)]
mod tests {
    use super::{super::state::Update, *};

    fn state(role: &str) -> State {
        let mut state = State::new("", 0);
        let status = r#"{"version": "1", "images": [{"name": "a"}, {"name": "b"}, {"name": "c"}],
            "instances": {"a": [{"lane": 0}, {"lane": 1}], "b": [{"lane": 0}]}}"#;
        state.apply(Update::Status(serde_json::from_str(status).expect("a status")), 0);
        let me = format!(r#"{{"keys": "required", "role": "{role}"}}"#);
        state.apply(Update::Me(serde_json::from_str(&me).expect("a caller")), 0);
        state
    }

    fn press(ui: &mut Ui, state: &State, codes: &[KeyCode]) -> Act {
        codes.iter().map(|code| ui.key((*code).into(), state)).last().expect("a key")
    }

    #[test]
    fn keys_move_between_views_and_lines() {
        let (mut ui, state) = (Ui::new(Tab::Now), state("prover"));
        press(&mut ui, &state, &[KeyCode::Tab, KeyCode::Down, KeyCode::Down, KeyCode::Up]);
        assert_eq!((ui.tab, ui.scroll), (Tab::Jobs, [0, 1, 0, 0, 0]));
        press(&mut ui, &state, &[KeyCode::BackTab, KeyCode::Left, KeyCode::Up, KeyCode::PageDown]);
        assert_eq!((ui.tab, ui.scroll), (Tab::Settings, [0, 1, 0, 10, 0]));
        press(&mut ui, &state, &[KeyCode::Char('3'), KeyCode::End, KeyCode::Home]);
        assert_eq!((ui.tab, ui.scroll[2]), (Tab::Circuits, 0));
        assert_eq!(press(&mut ui, &state, &[KeyCode::Char('p')]), Act::Pause);
        press(&mut ui, &state, &[KeyCode::Char('?')]);
        press(&mut ui, &state, &[KeyCode::Down]);
        assert_eq!((ui.mode, ui.scroll), (Mode::Help, [0, 1, 0, 10, 1]), "the help scrolls too");
        assert_eq!((press(&mut ui, &state, &[KeyCode::Esc]), ui.mode), (Act::Nothing, Mode::Browse));
        assert_eq!(press(&mut ui, &state, &[KeyCode::Esc]), Act::Quit);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        ui.mode = Mode::Help;
        assert_eq!(ui.key(control_c, &state), Act::Quit, "everywhere");
    }

    #[test]
    fn a_swap_is_asked_for_by_operators_and_after_a_question() {
        let (mut ui, prover) = (Ui::new(Tab::Jobs), state("prover"));
        press(&mut ui, &prover, &[KeyCode::Char('s')]);
        assert_eq!((ui.mode, ui.tab), (Mode::Browse, Tab::Jobs));

        let operator = state("operator");
        let lanes: Vec<_> =
            choices(&operator).iter().map(|choice| format!("{} {:?}", choice.image, choice.lane)).collect();
        assert_eq!(lanes, ["a Some(0)", "a Some(1)", "a None", "b Some(0)"]);
        let swap = |ui: &mut Ui, then: &[KeyCode]| {
            press(ui, &operator, &[KeyCode::Char('s')]);
            press(ui, &operator, then)
        };
        assert_eq!(swap(&mut ui, &[KeyCode::Enter]), Act::Nothing, "only a y is a yes");
        assert_eq!((swap(&mut ui, &[KeyCode::Char('n')]), ui.mode), (Act::Nothing, Mode::Browse));
        let of = |image: &str, lane| Act::Ask(Command::Swap { image: Clean::new(image), lane });
        assert_eq!(swap(&mut ui, &[KeyCode::Char('y')]), of("a", Some(0)));
        assert_eq!(swap(&mut ui, &[KeyCode::Down, KeyCode::Down, KeyCode::Char('y')]), of("a", None));
        assert_eq!(swap(&mut ui, &[KeyCode::Down; 9]), Act::Nothing);
        assert_eq!(press(&mut ui, &operator, &[KeyCode::Char('y')]), of("b", Some(0)));
    }

    #[test]
    fn without_keys_nobody_is_an_operator() {
        let mut state = state("operator");
        state.me = serde_json::from_str(r#"{"keys": "off", "role": "operator"}"#).ok();
        assert!(!may_swap(&state));
    }
}
