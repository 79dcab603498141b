//! What signals mean: SIGTERM and SIGINT ask for a drain, a second one ends the wait; SIGHUP has the settings read
//! again.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that stop a server.
pub struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: Some(signal(SignalKind::terminate())?),
            interrupt: Some(signal(SignalKind::interrupt())?),
        })
    }

    /// Leaves signals to the program that the server is part of.
    #[must_use]
    pub fn none() -> Self {
        Self { terminate: None, interrupt: None }
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            () = received(self.terminate.as_mut()) => {}
            () = received(self.interrupt.as_mut()) => {}
        }
    }
}

async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Listens for SIGHUP from now on, and calls this at each.
///
/// # Errors
/// When the handler cannot be installed.
pub fn on_hangup(mut reload: impl FnMut() + Send + 'static) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            // Reads files.
            tokio::task::block_in_place(&mut reload);
        }
    });
    Ok(())
}
