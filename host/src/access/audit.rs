//! The log of changes and refusals: one JSON object on a line, and the latest of them in memory.
//!
//! Invariant: an entry holds no body, no query and no header of a request. Nobody waits for the disk: entries beyond those
//! that may wait are counted, and their number is an entry of its own.

use super::{Caller, quota::Bucket};
use crate::telemetry::metrics::{Limit, Metrics};
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Serialize;
use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Instant, SystemTime},
};

/// Name of the file within its directory.
const FILE: &str = "audit.jsonl";
/// Refusals of unknown callers that are recorded in a minute.
const STRANGERS_PER_MINUTE: u64 = 60;
/// Entries that are kept in memory.
const RECENT_MAX: usize = 256;

/// Bounds of the log.
#[derive(Clone, Copy, Debug)]
pub struct AuditSettings {
    /// Length from which a file is put aside, in bytes.
    pub bytes_max: u64,
    /// Most files, the current one included.
    pub files_max: usize,
    /// Most entries that wait for the disk.
    pub waiting_max: usize,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was carried out, or accepted.
    Done,
    /// It was refused, or failed.
    Refused,
}

/// One change or refusal.
#[derive(Serialize)]
pub struct AuditEntry<'a> {
    /// The id that this server gave the request, or whose command it was.
    pub request_id: &'a str,
    /// The id that the client gave it: short and plain, and as often as it likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<&'a str>,
    /// Who sent it; `None` if that is not known.
    #[serde(serialize_with = "who", skip_serializing_if = "Option::is_none")]
    pub who: Option<&'a Caller>,
    /// Where it came from; `None` for the machine itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// The method and the route, or what else was done.
    pub what: &'a str,
    /// What it was done to: the path.
    pub target: &'a str,
    /// What became of it.
    pub verdict: Verdict,
    /// The code of the error, or `ok`.
    pub code: &'a str,
}

fn who<S: serde::Serializer>(caller: &Option<&Caller>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Who<'a> {
        tenant: &'a str,
        role: super::Role,
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<super::KeyId>,
    }
    let who = caller.map(|caller| Who { tenant: caller.tenant.as_str(), role: caller.role, key: caller.key });
    who.serialize(serializer)
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    #[serde(flatten)]
    entry: &'a AuditEntry<'a>,
}

/// The log of a server.
pub struct AuditLog {
    /// `None` once the log is closed.
    lines: Option<Sender<Arc<str>>>,
    recent: Mutex<VecDeque<Arc<str>>>,
    missed: Arc<AtomicU64>,
    /// What is left for refusals of unknown callers.
    strangers: Mutex<Bucket>,
    metrics: Arc<Metrics>,
    writer: Option<JoinHandle<()>>,
}

impl AuditLog {
    /// Opens the log in a directory, which is created if it is missing.
    ///
    /// # Errors
    /// Returns an error if the file cannot be opened, or no thread can be started.
    pub fn open(directory: &Path, settings: AuditSettings, metrics: &Arc<Metrics>) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let file = LogFile::open(directory.join(FILE), settings)?;
        let (lines, waiting) = bounded(settings.waiting_max);
        let missed = Arc::new(AtomicU64::new(0));
        let writer = Writer { file, waiting, missed: Arc::clone(&missed) };
        let writer = thread::Builder::new().name("audit".into()).spawn(move || writer.run())?;
        Ok(Self {
            lines: Some(lines),
            recent: Mutex::default(),
            missed,
            strangers: Mutex::default(),
            metrics: Arc::clone(metrics),
            writer: Some(writer),
        })
    }

    /// Records a change or a refusal.
    pub fn record(&self, entry: &AuditEntry<'_>) {
        if entry.who.is_none() && !self.has_room_for_stranger(Instant::now()) {
            return self.miss();
        }
        let line = line_of(entry);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(&line));
        drop(recent);
        if self.lines.as_ref().is_some_and(|lines| lines.try_send(line).is_err()) {
            self.miss();
        }
    }

    fn miss(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
        self.metrics.request_rejected(Limit::AuditLines);
    }

    /// Whether one more refusal of an unknown caller is recorded: anybody can cause those, and they must not displace the
    /// changes of others.
    fn has_room_for_stranger(&self, now: Instant) -> bool {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.take(STRANGERS_PER_MINUTE, now).is_ok()
    }

    /// The latest entries, oldest first, each a JSON object.
    #[must_use]
    pub fn recent(&self) -> Vec<Arc<str>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Appends one entry to the log of a server that may be running, on behalf of a command.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub fn append(directory: &Path, entry: &AuditEntry<'_>) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let mut file = open(&directory.join(FILE))?;
        // One call, so that lines of several processes do not mix.
        file.write_all(format!("{}\n", line_of(entry)).as_bytes())?;
        file.sync_data()
    }
}

impl Drop for AuditLog {
    /// Waits until everything is on disk.
    fn drop(&mut self) {
        drop(self.lines.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn line_of(entry: &AuditEntry<'_>) -> Arc<str> {
    let at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    serde_json::to_string(&Line { at, entry }).expect("it has string keys only").into()
}

fn open(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    opened.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The thread that writes.
struct Writer {
    file: LogFile,
    waiting: Receiver<Arc<str>>,
    missed: Arc<AtomicU64>,
}

impl Writer {
    fn run(mut self) {
        while let Ok(first) = self.waiting.recv() {
            let mut text = String::with_capacity(first.len() + 1);
            for line in std::iter::once(first).chain(self.waiting.try_iter()) {
                text.extend([&line, "\n"]);
            }
            let missed = self.missed.swap(0, Ordering::Relaxed);
            if missed > 0 {
                text.push_str(&serde_json::json!({ "what": "missed", "entries": missed }).to_string());
                text.push('\n');
            }
            if let Err(error) = self.file.write(text.as_bytes()) {
                let lost = text.lines().count() as u64 - u64::from(missed > 0);
                self.missed.fetch_add(missed + lost, Ordering::Relaxed);
                tracing::error!(%error, path = %self.file.path.display(), "the audit log cannot be written");
            }
        }
    }
}

/// The current file, and those that were put aside: `audit.jsonl.1` is the newest of them.
struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    settings: AuditSettings,
}

impl LogFile {
    fn open(path: PathBuf, settings: AuditSettings) -> io::Result<Self> {
        let file = open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes, settings })
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + text.len() as u64 > self.settings.bytes_max {
            self.put_aside()?;
        }
        self.file.write_all(text)?;
        self.bytes += text.len() as u64;
        self.file.sync_data()
    }

    fn put_aside(&mut self) -> io::Result<()> {
        let aside = |number: usize| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        let kept = self.settings.files_max - 1;
        for number in (1..kept).rev() {
            match fs::rename(aside(number), aside(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if kept == 0 {
            fs::remove_file(&self.path)?
        } else {
            fs::rename(&self.path, aside(1))?
        }
        *self = Self::open(self.path.clone(), self.settings)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    const SETTINGS: AuditSettings = AuditSettings { bytes_max: 1 << 20, files_max: 3, waiting_max: 64 };

    fn entry<'a>(caller: Option<&'a Caller>, target: &'a str) -> AuditEntry<'a> {
        AuditEntry {
            request_id: "r1",
            client_request_id: caller.map(|_| "order-17"),
            who: caller,
            from: Some([192, 0, 2, 1].into()),
            what: "PUT /v1/circuits/{circuit}",
            target,
            verdict: Verdict::Refused,
            code: "forbidden",
        }
    }

    #[test]
    fn entries_are_lines_of_json_on_disk_and_in_memory() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = AuditLog::open(directory.path(), SETTINGS, &Telemetry::default().metrics).expect("a log");
        log.record(&entry(Some(&Caller::local()), "/v1/circuits/a\"\nb"));
        log.record(&entry(None, "/v1/circuits/c"));
        assert_eq!(log.recent().len(), 2);
        drop(log);
        AuditLog::append(directory.path(), &entry(None, "of a command")).expect("room for it");
        let text = fs::read_to_string(directory.path().join(FILE)).expect("a log");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["target"], "/v1/circuits/a\"\nb");
        assert_eq!(lines[0]["who"]["tenant"], "local");
        assert!(lines[1].get("who").is_none());
        assert_eq!(
            (&lines[0]["request_id"], &lines[0]["client_request_id"]),
            (&"r1".into(), &"order-17".into())
        );
        assert!(lines[1].get("client_request_id").is_none());
        assert_eq!((&lines[2]["verdict"], &lines[2]["from"]), (&"refused".into(), &"192.0.2.1".into()));
    }

    #[test]
    fn full_files_are_put_aside_and_the_oldest_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = AuditSettings { bytes_max: 10, ..SETTINGS };
        let mut file = LogFile::open(directory.path().join(FILE), settings).expect("a file");
        for text in ["first\n", "second\n", "third\n", "fourth\n"] {
            file.write(text.as_bytes()).expect("room for it");
        }
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap_or_default();
        assert_eq!(read(FILE), "fourth\n");
        assert_eq!(read("audit.jsonl.1"), "third\n");
        assert_eq!(read("audit.jsonl.2"), "second\n");
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 3);
    }
}
