//! What reaches the loop that draws: updates, keys, signals.
//!
//! Invariant: the channel holds [`MESSAGES_MAX`] messages; whoever sends more waits. A part that panics is noticed.

use super::state::Update;
use crossbeam_channel::{Receiver, Sender};
use ratatui::crossterm::event::Event;
use std::{io, thread};

/// Most messages that wait.
const MESSAGES_MAX: usize = 256;

pub(super) enum Message {
    Update(Update),
    Terminal(Event),
    /// The terminal cannot be read any more.
    Unreadable(io::Error),
    /// A signal that asks the program to end.
    Signal(u8),
    /// A part of the program panicked.
    Panicked,
}

pub(super) fn open() -> (Sender<Message>, Receiver<Message>) {
    crossbeam_channel::bounded(MESSAGES_MAX)
}

/// Nobody reads the channel any more.
pub(super) struct Gone;

/// Sends an update.
pub(super) fn send_update(sender: &Sender<Message>, update: Update) -> Result<(), Gone> {
    sender.send(Message::Update(update)).map_err(|_| Gone)
}

/// Tells the loop if the thread that holds it panics.
struct Alarm(Sender<Message>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            // Fails if the loop has ended, which is all that the message asks for.
            let _ = self.0.send(Message::Panicked);
        }
    }
}

/// Runs a part of the program in a thread of its own, which ends with the process.
pub(super) fn spawn(
    name: &str,
    sender: &Sender<Message>,
    part: impl FnOnce(&Sender<Message>) + Send + 'static,
) -> io::Result<()> {
    let alarm = Alarm(sender.clone());
    thread::Builder::new().name(name.to_owned()).spawn(move || part(&alarm.0))?;
    Ok(())
}
