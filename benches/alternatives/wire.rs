//! Calls over a socket: a length and the bytes; replies begin with one byte that says whether the call was answered.
//!
//! Invariant: the end of the stream is between two calls, or the call is lost.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
};

/// The body of a reply, or why there is none.
pub(crate) type Answer = Result<Vec<u8>, String>;

const OK: u8 = 0;
const LOST: u8 = 1;

/// Writes a call.
pub(crate) fn write(mut socket: &UnixStream, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    socket.write_all(&len.to_le_bytes())?;
    socket.write_all(bytes)
}

/// Reads a call. Returns `None` if the other side has closed the stream.
pub(crate) fn read(mut socket: &UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 4];
    match socket.read_exact(&mut len) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
    socket.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes a reply.
pub(crate) fn answer(socket: &UnixStream, answer: &Answer) -> io::Result<()> {
    let (first, rest) = match answer {
        Ok(body) => (OK, body.as_slice()),
        Err(reason) => (LOST, reason.as_bytes()),
    };
    write(socket, &[&[first], rest].concat())
}

/// Makes a call.
pub(crate) fn call(socket: &UnixStream, body: &[u8]) -> Answer {
    let reply = write(socket, body).and_then(|()| read(socket)).map_err(|error| error.to_string())?;
    let mut reply = reply.filter(|reply| !reply.is_empty()).ok_or("the process has ended")?;
    let rest = reply.split_off(1);
    if reply == [OK] { Ok(rest) } else { Err(String::from_utf8_lossy(&rest).into_owned()) }
}
