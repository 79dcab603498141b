//! The stream of one connection, with a least rate at which a client takes its replies.
//!
//! The kernel says that a client has taken something only when a third of its buffer is free again, so the buffer is
//! kept small, and the rate is measured over the time in which a client of the least rate takes all of it.
//!
//! Invariant: a client that takes less than `http.send_rate_min` over one such window is cut off, so that no reply stays
//! in memory for long. Bytes that were read to tell the protocol are read again.

use super::{
    connection::Connection,
    protocol::{FIRST_BYTES_MAX, Protocol},
};
use socket2::SockRef;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

/// What the kernel buffers of a reply, in bytes.
const SEND_BUFFER_BYTES: u32 = 256 << 10;
/// Shortest time over which the rate of a client is measured.
const WINDOW_MIN: Duration = Duration::from_secs(5);

/// A stream that gives up clients which take their replies too slowly.
pub(super) struct Stream {
    stream: TcpStream,
    connection: Arc<Connection>,
    first: FirstBytes,
    /// The least rate; `None` for no limit.
    pace: Option<Pace>,
    /// The window under way, while the client has more to take than the kernel buffers.
    window: Option<Window>,
}

/// Bytes that were read to tell the protocol.
#[derive(Default)]
struct FirstBytes {
    bytes: [u8; FIRST_BYTES_MAX],
    /// How many there are, and how many of them were read again.
    filled: usize,
    taken: usize,
}

/// A least rate, as bytes in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) bytes_min: u64,
    pub(super) window: Duration,
}

impl Pace {
    /// `rate_min` is in bytes a second.
    pub(super) fn new(rate_min: u64) -> Self {
        let whole_buffer = Duration::from_secs(u64::from(SEND_BUFFER_BYTES) / rate_min.max(1));
        let time = whole_buffer.max(WINDOW_MIN);
        // A third more, since what the kernel reports may come a third of the buffer late.
        Self { bytes_min: rate_min.saturating_mul(time.as_secs()), window: time + time / 3 }
    }
}

struct Window {
    end: Pin<Box<Sleep>>,
    bytes: u64,
}

impl Stream {
    /// `rate_min` is in bytes a second.
    pub(super) fn new(stream: TcpStream, connection: &Arc<Connection>, rate_min: Option<u64>) -> Self {
        // The kernel doubles the size, for its own accounts: socket(7).
        let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES as usize / 2);
        Self {
            stream,
            connection: Arc::clone(connection),
            first: FirstBytes::default(),
            pace: rate_min.map(Pace::new),
            window: None,
        }
    }

    /// Reads until it is clear what the client speaks; `None` if it has closed the connection before.
    pub(super) async fn protocol(&mut self) -> io::Result<Option<Protocol>> {
        let first = &mut self.first;
        loop {
            let read = self.stream.read(&mut first.bytes[first.filled..]).await?;
            first.filled += read;
            match Protocol::of(&first.bytes[..first.filled]) {
                None if read == 0 => return Ok(None),
                None => {}
                protocol => return Ok(protocol),
            }
        }
    }

    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                if let Some(window) = &mut self.window {
                    window.bytes += bytes as u64;
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Pending => match self.pace {
                Some(pace) => self.keep_pace(pace, context),
                None => Poll::Pending,
            },
            failed => failed,
        }
    }

    /// Waits for the client, at most until the end of a window in which it took too little.
    fn keep_pace(&mut self, pace: Pace, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let begin = || Window { end: Box::pin(tokio::time::sleep(pace.window)), bytes: 0 };
        let window = self.window.get_or_insert_with(begin);
        loop {
            ready!(window.end.as_mut().poll(context));
            if window.bytes < pace.bytes_min {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            window.bytes = 0;
            window.end.as_mut().reset(Instant::now() + pace.window);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let first = &mut self.first;
        if first.taken < first.filled {
            let len = buffer.remaining().min(first.filled - first.taken);
            buffer.put_slice(&first.bytes[first.taken..first.taken + len]);
            first.taken += len;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.wrote(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.window = None;
        self.connection.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise a client that is fast enough would be cut off before the kernel says that it took anything.
    #[test]
    fn a_window_is_as_long_as_the_buffer_takes_at_the_least_rate() {
        for rate in [1, 1 << 10, 16 << 10, 1 << 20] {
            let Pace { bytes_min, window } = Pace::new(rate);
            assert!(window >= WINDOW_MIN && bytes_min <= rate * window.as_secs(), "{rate}");
            assert!(rate * window.as_secs() >= u64::from(SEND_BUFFER_BYTES), "{rate}");
        }
        assert_eq!(Pace::new(16 << 10).bytes_min, 256 << 10);
    }
}
