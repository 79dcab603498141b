//! Bounds how often the instances of an image are swapped: beyond `swap.per_minute_max` the image counts as unhealthy
//! and keeps its instances.
//!
//! Invariant: only swaps that can wait are counted and refused; a swap after a fault is never held back.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const WINDOW: Duration = Duration::from_mins(1);

/// The limiter of one image: a count in windows of one minute.
pub(crate) struct SwapLimiter {
    window: Mutex<Option<Window>>,
}

#[derive(Clone, Copy)]
struct Window {
    began: Instant,
    swaps: u32,
    refused: bool,
}

impl SwapLimiter {
    pub(crate) fn new() -> Self {
        Self { window: Mutex::new(None) }
    }

    /// Whether one more swap is allowed in this minute. Counts the swap if it is.
    pub(crate) fn try_acquire(&self, now: Instant, per_minute_max: u32) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let current = window.filter(|window| now.duration_since(window.began) < WINDOW);
        let mut current = current.unwrap_or(Window { began: now, swaps: 0, refused: false });
        let allowed = current.swaps < per_minute_max;
        if allowed {
            current.swaps += 1;
        } else {
            current.refused = true;
        }
        *window = Some(current);
        allowed
    }

    /// Whether a swap was refused in the current minute.
    pub(crate) fn is_exceeded(&self, now: Instant) -> bool {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.is_some_and(|window| window.refused && now.duration_since(window.began) < WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_allows_a_number_of_swaps_and_the_next_minute_allows_them_again() {
        let limiter = SwapLimiter::new();
        let begun = Instant::now();
        assert!(!limiter.is_exceeded(begun));
        assert!((0..3).all(|_| limiter.try_acquire(begun, 3)));
        assert!(!limiter.is_exceeded(begun), "no swap was refused yet");
        let soon = begun + Duration::from_secs(59);
        assert!(!limiter.try_acquire(soon, 3) && limiter.is_exceeded(soon));
        let next = begun + Duration::from_secs(60);
        assert!(!limiter.is_exceeded(next) && limiter.try_acquire(next, 3));
    }
}
