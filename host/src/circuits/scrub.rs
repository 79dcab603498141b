//! Hashes what is served and was not read at the start, away from the path of the start and of requests.
//!
//! Invariant: native code that turns out to be damaged does not run on: the process ends. The next start finds no record
//! of the file's identity, hashes it and compiles it again.

use rustix::process::nice;
use snapback_snapshot::{Confirmation, Confirmed, SealedImage, Unconfirmed, Unrecorded};
use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Least priority that Linux has: what nobody waits for takes only what nobody else needs.
const NICENESS: i32 = 19;
/// Longest time that the thread waits until the change time of a file is old enough. It is much longer only if the clock
/// was set back.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Hashes native code and images on a thread of its own. An image that was damaged on disk is found before it has to be
/// compiled again.
pub(crate) fn scrub(images: Vec<SealedImage>, native: Vec<Confirmation>) {
    if images.is_empty() && native.is_empty() {
        return;
    }
    let scrub = move || {
        // On Linux, this concerns the calling thread alone.
        if let Err(error) = nice(NICENESS) {
            tracing::debug!(%error, "files on disk are hashed at the priority of requests");
        }
        native.iter().for_each(confirm);
        for image in images {
            if let Err(error) = image.scrub() {
                tracing::error!(%error, "an image on disk is damaged; the served native code was checked and is not");
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("scrub".into()).spawn(scrub) {
        tracing::warn!(%error, "images and native code on disk are not checked");
    }
}

fn confirm(native: &Confirmation) {
    let begun = Instant::now();
    let result = loop {
        match native.run(SystemTime::now()) {
            Ok(Confirmed::Unrecorded(Unrecorded::TooNew { wait })) if begun.elapsed() + wait <= WAIT_MAX => {
                thread::sleep(wait);
            }
            result => break result,
        }
    };
    match result {
        Ok(Confirmed::Known) => {}
        Ok(Confirmed::Recorded) => tracing::info!("the next start maps native code without reading it"),
        Ok(Confirmed::Unrecorded(reason)) => {
            tracing::info!(%reason, "the next start hashes native code again");
        }
        Err(Unconfirmed::Unreadable(error)) => {
            tracing::error!(%error, "native code that is being served cannot be read again");
        }
        Err(Unconfirmed::Damaged(path)) => {
            tracing::error!(path = %path.display(), "native code that is being served is damaged: the server ends");
            std::process::abort();
        }
    }
}
