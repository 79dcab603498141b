//! The stream of the server: its status once a second, and events between. The connection is made again when it breaks.
//!
//! Invariant: a message has at most [`MESSAGE_BYTES_MAX`] bytes, and the wait between two attempts at most a quarter more
//! than [`WAIT_MAX`].

use super::{
    channel::{Gone, Message, send_update},
    clean::Clean,
    state::{Loss, Update},
    target::{Target, loss},
    wire::{Event, Status},
};
use crate::cli::{
    client::{ApiRequest, Client, Unanswered},
    exit::{Exit, Failure, describe},
};
use crossbeam_channel::Sender;
use std::{
    io::{self, BufRead, BufReader, Read},
    thread,
    time::{Duration, Instant},
};

const MESSAGE_BYTES_MAX: u64 = 16 << 20;
/// Most messages before the status, with which servers begin.
const MESSAGES_BEFORE_STATUS_MAX: usize = 1_000;
const WAIT_MIN: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(15);
/// A stream that lasted so long had worked, as when a server restarts.
const WORKED_MIN: Duration = Duration::from_secs(5);

/// One message of a stream of server-sent events.
#[derive(Debug, Default, PartialEq, Eq)]
struct SseMessage {
    event: String,
    data: String,
}

/// Why a stream ended.
enum Ended {
    /// Nobody reads the updates any more.
    Unread,
    Lost(Loss),
}

impl From<Gone> for Ended {
    fn from(_: Gone) -> Self {
        Self::Unread
    }
}

impl From<Loss> for Ended {
    fn from(why: Loss) -> Self {
        Self::Lost(why)
    }
}

/// How long to wait before the next attempt.
struct Backoff(Duration);

impl Backoff {
    /// Returns the wait after an attempt that lasted so long. `chance` is from 0 to 255, and spreads the attempts of many
    /// clients.
    fn next(&mut self, lasted: Duration, chance: u8) -> Duration {
        self.0 = if lasted > WORKED_MIN { WAIT_MIN * 2 } else { (self.0 * 2).min(WAIT_MAX) };
        self.0.mul_f64(0.75 + f64::from(chance) / 510.0)
    }
}

/// Follows the server until nobody reads the updates any more.
pub(super) fn follow(target: &Target, updates: &Sender<Message>) {
    let mut backoff = Backoff(WAIT_MIN);
    loop {
        let begun = Instant::now();
        let why = match read(target, updates) {
            Ok(()) => Loss::Ended,
            Err(Ended::Lost(why)) => why,
            Err(Ended::Unread) => return,
        };
        // Without randomness, all wait the same time.
        let chance = getrandom::u32().unwrap_or(0).to_le_bytes()[0];
        let wait = backoff.next(begun.elapsed(), chance);
        let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        if send_update(updates, Update::Lost { why, retry_ms }).is_err() {
            return;
        }
        thread::sleep(wait);
    }
}

/// Reads one stream to its end.
fn read(target: &Target, updates: &Sender<Message>) -> Result<(), Ended> {
    let client = target.client().map_err(|error| Loss::Unreachable(Clean::new(&describe(&error))))?;
    let mut body = open(&client).map_err(loss)?;
    while let Some(message) = next(&mut body).map_err(|error| broken(&error))? {
        let update = if message.event == "status" {
            let strange = |error| Loss::Refused(Clean::new(&describe(&error)));
            Update::Status(Box::new(status(&message.data).map_err(strange)?))
        } else {
            // An event that is not understood is left out, as one of a newer server may be.
            let Ok(event) = serde_json::from_str::<Event>(&message.data) else { continue };
            Update::Event(Box::new(event))
        };
        send_update(updates, update)?;
    }
    Ok(())
}

/// Returns the status that a stream begins with.
pub(super) fn first_status(client: &Client) -> anyhow::Result<Status> {
    let mut body = open(client)?;
    for _ in 0..MESSAGES_BEFORE_STATUS_MAX {
        match next(&mut body)? {
            Some(message) if message.event == "status" => return status(&message.data),
            Some(_) => {}
            None => break,
        }
    }
    Err(Failure::error(
        Exit::Unavailable,
        "the server sends no status: it stops, or is not a Snapback server",
    ))
}

fn open(client: &Client) -> Result<impl BufRead + use<>, Unanswered> {
    let request = ApiRequest {
        method: "GET",
        path: &["v1", "events"],
        accept: Some("text/event-stream"),
        ..ApiRequest::default()
    };
    Ok(BufReader::new(client.ask(&request)?.into_body().into_reader()))
}

fn status(data: &str) -> anyhow::Result<Status> {
    let status: Option<Status> = serde_json::from_str(data).ok();
    let strange = || Failure::error(Exit::Failed, "it sends no status, and is not a Snapback server");
    status.filter(|status| !status.version.is_empty()).ok_or_else(strange)
}

/// Why a body could not be read on.
fn broken(error: &io::Error) -> Loss {
    Loss::Unreachable(Clean::new(&format!("the connection broke: {error}")))
}

/// Reads the next message; returns `None` at the end of the stream.
fn next(body: &mut impl BufRead) -> io::Result<Option<SseMessage>> {
    let mut message = SseMessage::default();
    let mut line = Vec::new();
    let mut left = MESSAGE_BYTES_MAX;
    loop {
        line.clear();
        let read = body.by_ref().take(left).read_until(b'\n', &mut line)? as u64;
        left -= read;
        if left == 0 {
            return Err(io::Error::other("a message is too long"));
        }
        if read == 0 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        match text.split_once(':') {
            // The empty line after a message. Comments keep a connection alive and have no data.
            None if text.is_empty() && !message.data.is_empty() => return Ok(Some(message)),
            None if text.is_empty() => message = SseMessage::default(),
            Some(("event", value)) => value.trim_start().clone_into(&mut message.event),
            Some(("data", value)) => {
                if !message.data.is_empty() {
                    message.data.push('\n');
                }
                message.data.push_str(value.strip_prefix(' ').unwrap_or(value));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<(String, String)> {
        let mut body = text.as_bytes();
        let mut found = Vec::new();
        while let Some(SseMessage { event, data }) = next(&mut body).expect("readable") {
            found.push((event, data));
        }
        found
    }

    #[test]
    fn messages_are_split_at_empty_lines_and_comments_are_skipped() {
        let text = ": hello\n\nevent: status\ndata: {\"a\":\ndata: 1}\n\n:\n\nevent: policy\r\ndata:{}\r\n\r\nid: 7\n\ndata: cut";
        let pair = |event: &str, data: &str| (event.to_owned(), data.to_owned());
        assert_eq!(messages(text), [pair("status", "{\"a\":\n1}"), pair("policy", "{}")]);
    }

    #[test]
    fn a_message_without_end_is_refused() {
        let mut body = BufReader::new(io::repeat(b'x'));
        assert!(next(&mut body).is_err());
    }

    #[test]
    fn attempts_become_rare_and_are_soon_made_again_after_a_stream_that_worked() {
        let mut backoff = Backoff(WAIT_MIN);
        let at_once = Duration::ZERO;
        let waits: Vec<_> = (0..6).map(|_| backoff.next(at_once, 0).as_millis()).collect();
        assert_eq!(waits, [750, 1500, 3000, 6000, 11_250, 11_250]);
        assert_eq!(backoff.next(at_once, 255).as_millis(), 18_750);
        assert_eq!(backoff.next(Duration::from_secs(60), 0).as_millis(), 750);
    }

    #[test]
    fn only_a_status_with_a_version_is_one() {
        assert!(status(r#"{"version": "0.1.0"}"#).is_ok());
        assert!(["{}", "[]", "hello"].iter().all(|data| status(data).is_err()));
    }
}
