//! Many streams of events at once, which one process follows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{sync::Arc, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

/// Connections that are opened at once: fewer than a listener's backlog.
const OPENING_MAX: usize = 64;

/// Streams that are open and wait for an event.
pub(crate) struct Crowd(JoinSet<Instant>);

impl Crowd {
    /// Opens streams, and returns once each of them has had its first event. They end with the first event that has
    /// `text` in it.
    pub(crate) async fn open(address: &str, path: &str, streams: usize, text: &'static str) -> Self {
        let limits = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }).expect("it is raised");
        let opening = Arc::new(Semaphore::new(OPENING_MAX));
        let (opened, mut waiting) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for _ in 0..streams {
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let (address, opening, opened) = (address.to_owned(), Arc::clone(&opening), opened.clone());
            tasks.spawn(async move {
                let turn = opening.acquire_owned().await.expect("it is never closed");
                let mut stream = TcpStream::connect(address).await.expect("the server listens");
                stream.write_all(request.as_bytes()).await.expect("the server reads");
                read_until(&mut stream, "event: ").await;
                drop(turn);
                opened.send(()).expect("the bench waits");
                read_until(&mut stream, text).await;
                Instant::now()
            });
        }
        for _ in 0..streams {
            waiting.recv().await.expect("every stream begins");
        }
        Self(tasks)
    }

    /// Waits until the event has reached every stream, and returns when it reached the last one.
    pub(crate) async fn reached(mut self) -> Instant {
        let mut last = None;
        while let Some(reached) = self.0.join_next().await {
            last = last.max(Some(reached.expect("no stream ends early")));
        }
        last.expect("there are streams")
    }
}

/// Reads until a text has come, also if it came in two pieces.
async fn read_until(stream: &mut TcpStream, text: &str) {
    let mut seen = Vec::new();
    let mut piece = [0; 2048];
    loop {
        let len = stream.read(&mut piece).await.expect("the server sends");
        assert!(len > 0, "the stream ended before `{text}`: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..len]);
        if seen.windows(text.len()).any(|window| window == text.as_bytes()) {
            return;
        }
        seen.drain(..seen.len().saturating_sub(text.len()));
    }
}
