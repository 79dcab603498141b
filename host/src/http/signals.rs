//! Signals: SIGTERM and SIGINT ask for a drain, a second one ends the wait; SIGHUP asks to read the settings again.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that stop a server.
pub struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    /// Never waited for: with a handler, a write beyond `ulimit -f` is an error and does not end the process.
    _file_size: Option<Signal>,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// Returns an error if they cannot be installed.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: Some(signal(SignalKind::terminate())?),
            interrupt: Some(signal(SignalKind::interrupt())?),
            _file_size: Some(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?),
        })
    }

    /// Leaves signals to the program that the server is embedded in.
    #[must_use]
    pub fn none() -> Self {
        Self { terminate: None, interrupt: None, _file_size: None }
    }

    /// Waits for the next signal.
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

/// Calls `reload` at every SIGHUP from now on.
///
/// # Errors
/// Returns an error if the handler cannot be installed.
pub fn on_hangup(mut reload: impl FnMut() + Send + 'static) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            // The callback reads files, which blocks.
            tokio::task::block_in_place(&mut reload);
        }
    });
    Ok(())
}
