//! The terminal: taken at the start, and given back however the program ends.
//!
//! Invariant: after a return, an error or a panic, the terminal has its screen, its cursor and its modes again. It is given
//! back once.

use super::channel::Message;
use crossbeam_channel::Sender;
use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        event, execute,
        terminal::{
            Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
        },
    },
};
use std::{
    io::{self, Stdout, Write},
    panic,
    sync::atomic::{AtomicBool, Ordering},
};

/// Whether the terminal is taken. Whoever changes it to `false` gives the terminal back; there is no data behind it.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, as long as it is taken.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    _taken: Taken,
}

/// Gives the terminal back when it is dropped.
struct Taken;

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if IS_TAKEN.swap(false, Ordering::Relaxed) {
        let mut stdout = io::stdout();
        // A terminal that has gone needs none of this.
        let _ = execute!(stdout, LeaveAlternateScreen, Show);
        let _ = stdout.flush();
        let _ = disable_raw_mode();
    }
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn take() -> io::Result<Self> {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // The report is printed where it can be read.
            give_back();
            report(panic);
        }));
        IS_TAKEN.store(true, Ordering::Relaxed);
        let taken = Taken;
        enable_raw_mode()?;
        // `Terminal::clear` would ask the terminal for the place of its cursor, which not every terminal answers.
        execute!(io::stdout(), EnterAlternateScreen, Clear(ClearType::All))?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(Self { terminal, _taken: taken })
    }

    /// Draws one frame, as large as the terminal is now.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        // After a panic of another thread the screen belongs to its report.
        if IS_TAKEN.load(Ordering::Relaxed) { self.terminal.draw(draw).map(drop) } else { Ok(()) }
    }
}

/// Passes keys and changes of size on, until nobody reads them any more.
pub(super) fn read(messages: &Sender<Message>) {
    loop {
        let (message, is_last) = match event::read() {
            Ok(event) => (Message::Terminal(event), false),
            Err(error) => (Message::Unreadable(error), true),
        };
        if messages.send(message).is_err() || is_last {
            return;
        }
    }
}
