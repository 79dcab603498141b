//! The guest's side of the boundary: one buffer for the request, one for the reply, and [`export!`].
//!
//! Invariant: the bytes of a request are overwritten before the call returns, and those of a reply before the next
//! request is allocated. The buffers of one call hold nothing of another.

use crate::{
    input::Piece,
    reply::{Span, Tag},
    request::Request,
};
use alloc::{string::String, vec::Vec};
use core::cell::RefCell;
use zeroize::Zeroize;

/// Failure of a method, with a message for the client.
pub struct Failure {
    /// Kind of the failure; never [`Tag::Ok`].
    pub tag: Tag,
    /// Message that says what is wrong, without bytes of the input.
    pub message: String,
}

impl Failure {
    /// Creates a failure of this kind.
    pub fn new(tag: Tag, message: impl Into<String>) -> Self {
        Self { tag, message: message.into() }
    }
}

/// Result of a method: the body of the reply, or a failure.
pub type Answer = Result<Vec<u8>, Failure>;

struct Buffers {
    request: Vec<u8>,
    reply: Vec<u8>,
}

struct SingleThreaded(RefCell<Buffers>);

// SAFETY: the contract admits modules without shared memory only, so an instance has one thread.
#[expect(unsafe_code, reason = "a static of a single-threaded module")]
unsafe impl Sync for SingleThreaded {}

static BUFFERS: SingleThreaded =
    SingleThreaded(RefCell::new(Buffers { request: Vec::new(), reply: Vec::new() }));

/// Allocates a request of `len` bytes and returns its address. The export `snapback_alloc` calls this function.
#[must_use]
pub fn alloc(len: u32) -> *mut u8 {
    let mut buffers = BUFFERS.0.borrow_mut();
    buffers.reply.zeroize();
    buffers.reply = Vec::new();
    buffers.request.zeroize();
    // The size is exact: the capacity left by a larger request would never be released.
    buffers.request = alloc::vec![0; len as usize];
    buffers.request.as_mut_ptr()
}

/// Runs one call and returns the packed [`Span`] of its reply. Every exported method calls this function.
pub fn call(ptr: usize, len: u32, method: impl FnOnce(Request<'_>) -> Answer) -> u64 {
    let mut request = core::mem::take(&mut BUFFERS.0.borrow_mut().request);
    let answer = if ptr == request.as_ptr().addr() && len as usize == request.len() {
        match Request::decode(&request) {
            Ok(request) => method(request),
            Err(error) => Err(Failure::new(Tag::Malformed, alloc::format!("the envelope {error}"))),
        }
    } else {
        Err(Failure::new(Tag::Malformed, "the request is not at the address that snapback_alloc returned"))
    };
    request.zeroize();

    let (tag, mut body) = match answer {
        Ok(body) => (Tag::Ok, body),
        Err(failure) => (failure.tag, failure.message.into_bytes()),
    };
    let mut reply = Vec::with_capacity(1 + body.len());
    reply.push(tag as u8);
    reply.extend_from_slice(&body);
    body.zeroize();

    let span = Span {
        ptr: u32::try_from(reply.as_ptr().addr()).expect("a 32-bit memory"),
        len: u32::try_from(reply.len()).expect("a 32-bit memory"),
    };
    BUFFERS.0.borrow_mut().reply = reply;
    span.pack()
}

/// Collects the pieces of a bake input. Returns the whole input after the last piece.
///
/// # Errors
/// Returns a failure if a piece is malformed or out of order.
pub fn collect(buffer: &mut Vec<u8>, body: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let malformed = |message: String| Failure::new(Tag::Malformed, message);
    let piece = Piece::decode(body).map_err(|error| malformed(alloc::format!("the piece {error}")))?;
    if piece.offset != buffer.len() as u64 {
        return Err(malformed(alloc::format!("expected the piece at offset {}", buffer.len())));
    }
    if piece.offset == 0 {
        let total = usize::try_from(piece.total).map_err(|_| malformed("it is larger than memory".into()))?;
        buffer.reserve_exact(total);
    }
    buffer.extend_from_slice(piece.bytes);
    Ok(piece.is_last().then(|| core::mem::take(buffer)))
}

/// Exports the contract and the named methods, each a function `Request -> Answer`.
///
/// A method may declare the media types of its request and reply: `sum => sum("application/json" -> "text/plain")`, that
/// it is pure: `verify => verify(pure)`, or both: `sum => sum("application/json" -> "text/plain", pure)`. Two optional hooks
/// follow a semicolon: `heap_used => f` with `f: fn() -> u64`, which returns the bytes that the allocator holds for live
/// data, and `retire => f` with `f: fn() -> bool`, which returns whether the guest asks to be replaced.
///
/// Exports exist on wasm only; a native build of a guest is an ordinary library.
#[macro_export]
macro_rules! export {
    ($($method:ident => $function:ident $(($($declared:tt)+))?),* $(,)? $(; $($hook:ident => $answer:ident),* $(,)?)?) => {
        #[cfg(target_arch = "wasm32")]
        #[expect(unsafe_code, reason = "exports have the names of the contract")]
        mod exports {
            #[unsafe(no_mangle)]
            extern "C" fn snapback_abi() -> i32 {
                $crate::ABI_VERSION
            }

            #[unsafe(no_mangle)]
            extern "C" fn snapback_alloc(len: u32) -> *mut u8 {
                $crate::guest::alloc(len)
            }

            $(
                #[unsafe(no_mangle)]
                extern "C" fn $method(ptr: usize, len: u32) -> u64 {
                    $crate::guest::call(ptr, len, super::$function)
                }

                $( $crate::declare! { $method: $($declared)+ } )?
            )*

            $($( $crate::export_hook! { $hook => $answer } )*)?
        }
    };
}

/// Declares the media types of one method, and that it is pure, for [`export!`].
#[doc(hidden)]
#[macro_export]
macro_rules! declare {
    ($method:ident: $request:literal -> $reply:literal) => {
        $crate::declare! { @line concat!(stringify!($method), "\t", $request, "\t", $reply, "\n") }
    };
    ($method:ident: $request:literal -> $reply:literal, pure) => {
        $crate::declare! { @line concat!(stringify!($method), "\t", $request, "\t", $reply, "\tpure\n") }
    };
    ($method:ident: pure) => {
        $crate::declare! { $method: "application/octet-stream" -> "application/octet-stream", pure }
    };
    (@line $line:expr) => {
        const _: () = {
            const LINE: &str = $line;
            // The linker concatenates all sections of this name.
            #[used]
            #[unsafe(link_section = "snapback.methods")]
            static SECTION: [u8; LINE.len()] = *LINE.as_bytes().first_chunk().expect("its own length");
        };
    };
}

/// One optional export of the contract, for [`export!`].
#[doc(hidden)]
#[macro_export]
macro_rules! export_hook {
    (heap_used => $answer:ident) => {
        #[unsafe(no_mangle)]
        extern "C" fn snapback_heap_used() -> u64 {
            super::$answer()
        }
    };
    (retire => $answer:ident) => {
        #[unsafe(no_mangle)]
        extern "C" fn snapback_retire() -> i32 {
            i32::from(super::$answer())
        }
    };
}
