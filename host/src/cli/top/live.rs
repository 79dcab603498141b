//! The live display: one loop folds what arrives and draws.
//!
//! Invariant: nothing in this loop waits for the server. It draws at most once in [`FRAME_MIN`], and at once after a key.

use super::{
    channel::{self, Message},
    clean::Clean,
    frame,
    poll::{self, Command},
    state::{Link, State, Update},
    stream,
    tab::Tab,
    target::Target,
    terminal::{self, Screen},
    ui::{Act, Ui},
    view::Theme,
};
use crate::cli::exit::{AlreadyReported, Exit, Failure};
use anyhow::Context;
use crossbeam_channel::{RecvTimeoutError, Sender};
use ratatui::crossterm::event::{Event, KeyEventKind};
use std::{
    io::{self, IsTerminal},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};

/// Least time between two frames, unless a key was pressed.
const FRAME_MIN: Duration = Duration::from_millis(80);
/// Most time between two frames: times go on without news.
const FRAME_MAX: Duration = Duration::from_millis(500);
/// Commands that wait for the one under way.
const COMMANDS_MAX: usize = 4;
/// What a shell adds to the number of a signal that ended a program.
const SIGNALLED: u8 = 128;

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Shows the server until a key or a signal ends it.
pub(super) fn run(target: Target, tab: Tab) -> anyhow::Result<()> {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    if !io::stdout().is_terminal() || is_dumb {
        let message = "standard output is not a terminal that can be drawn on: `--once` prints the same as text, and \
                       `--json` as JSON";
        return Err(Failure::error(Exit::Usage, message));
    }
    // Wrong addresses and unreadable files are reported before the terminal is taken.
    target.client()?;
    let target = Arc::new(target);
    let (sender, messages) = channel::open();
    let (commands, commanded) = crossbeam_channel::bounded(COMMANDS_MAX);
    let mut state = State::new(target.server(), now_ms());

    let signals = Signals::listen().context("cannot wait for signals")?;
    let mut screen = Screen::take().context("cannot use the terminal: `--once` needs none")?;
    let start = || -> io::Result<()> {
        channel::spawn("signals", &sender, |sender| signals.pass_on(sender))?;
        channel::spawn("keys", &sender, terminal::read)?;
        let watched = Arc::clone(&target);
        channel::spawn("stream", &sender, move |sender| stream::follow(&watched, sender))?;
        let asked = Arc::clone(&target);
        channel::spawn("poll", &sender, move |sender| poll::run(&asked, sender, &commanded))
    };
    start().context("cannot start a thread")?;

    let theme = Theme::of_environment();
    let mut ui = Ui::new(tab);
    // What is shown, while it is frozen.
    let mut frozen: Option<Box<State>> = None;
    let (mut drawn, mut due) = (Instant::now(), Instant::now());
    loop {
        let now = Instant::now();
        if now >= due {
            state.now_ms = now_ms();
            let shown = frozen.as_deref().unwrap_or(&state);
            screen.draw(|frame| frame::draw(frame, &mut ui, shown, &state, theme)).context("cannot draw")?;
            (drawn, due) = (now, now + FRAME_MAX);
        }
        match messages.recv_deadline(due) {
            Ok(Message::Update(update)) => {
                refresh(&state, &update, &commands);
                state.apply(update, now_ms());
                due = due.min(drawn + FRAME_MIN);
            }
            Ok(Message::Terminal(event)) => {
                due = Instant::now();
                let Event::Key(key) = event else { continue };
                if key.kind == KeyEventKind::Release {
                    continue;
                }
                match ui.key(key, frozen.as_deref().unwrap_or(&state)) {
                    Act::Nothing => {}
                    Act::Quit => return Ok(()),
                    Act::Pause => {
                        frozen = if frozen.is_some() { None } else { Some(Box::new(state.clone())) };
                        ui.is_paused = frozen.is_some();
                    }
                    Act::Ask(command) => {
                        if commands.try_send(command).is_err() {
                            let text = Clean::new("No swap: earlier requests are still under way.");
                            state.apply(Update::Notice(text), now_ms());
                        }
                    }
                }
            }
            Ok(Message::Unreadable(error)) => return Err(error).context("cannot read the terminal"),
            Ok(Message::Signal(number)) => return Err(AlreadyReported(SIGNALLED + number).into()),
            Ok(Message::Panicked) | Err(RecvTimeoutError::Disconnected) => {
                return Err(AlreadyReported(Exit::Failed as u8).into());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Asks again for what an event says has changed, and for everything once the server is there again.
fn refresh(state: &State, update: &Update, commands: &Sender<Command>) {
    let is_due = match update {
        Update::Event(event) => ["published", "policy"].contains(&event.event.as_str()),
        Update::Status(_) => state.link != Link::Up,
        _ => false,
    };
    if is_due {
        // If commands wait, it is soon asked for anyway.
        let _ = commands.try_send(Command::Refresh);
    }
}

/// The signals that end the program. They are caught from here on, so that the terminal can be given back.
struct Signals {
    runtime: runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    quit: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let (terminate, interrupt, hangup, quit) = {
            let _inside = runtime.enter();
            let of = signal;
            (
                of(SignalKind::terminate())?,
                of(SignalKind::interrupt())?,
                of(SignalKind::hangup())?,
                of(SignalKind::quit())?,
            )
        };
        Ok(Self { runtime, terminate, interrupt, hangup, quit })
    }

    /// Passes the first one on.
    fn pass_on(self, messages: &Sender<Message>) {
        let Self { runtime, mut terminate, mut interrupt, mut hangup, mut quit } = self;
        let kind = runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => SignalKind::terminate(),
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = hangup.recv() => SignalKind::hangup(),
                _ = quit.recv() => SignalKind::quit(),
            }
        });
        let number = u8::try_from(kind.as_raw_value()).unwrap_or(0);
        // Fails if the loop has ended, which is all that the signal asks for.
        let _ = messages.send(Message::Signal(number));
    }
}
