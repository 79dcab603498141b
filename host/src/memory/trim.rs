//! Returns memory to the kernel.
//!
//! The allocator of the C library keeps what large bodies and replies took: its heaps shrink from their ends alone, and
//! something small usually lies there.
//!
//! Invariant: this file has the only `unsafe` call of a server.

/// Returns every page on which nothing is allocated. Takes some milliseconds, so call it off the paths of requests.
#[expect(unsafe_code, reason = "the C library has no safe interface")]
pub fn trim() {
    // SAFETY: malloc_trim(3) takes the number of bytes to keep at the end of the heap, and any number is valid. It may
    // be called from any thread at any time, since it locks each heap itself, and it touches no allocation.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
