//! Guards against swap storms: so many swaps of an image a minute, and the image is unhealthy instead.
//!
//! Invariant: what is counted is what could have waited; a swap after a fault is never held back.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const WINDOW: Duration = Duration::from_mins(1);

/// The guard of one image: a count in windows of a minute.
pub(crate) struct StormGuard {
    window: Mutex<Option<Window>>,
}

#[derive(Clone, Copy)]
struct Window {
    began: Instant,
    swaps: u32,
    refused: bool,
}

impl StormGuard {
    pub(crate) fn new() -> Self {
        Self { window: Mutex::new(None) }
    }

    /// Whether one more swap is allowed in this minute; counts it if so.
    pub(crate) fn allows(&self, now: Instant, per_minute_max: u32) -> bool {
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

    /// Whether a swap was refused in the minute that runs.
    pub(crate) fn is_storming(&self, now: Instant) -> bool {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.is_some_and(|window| window.refused && now.duration_since(window.began) < WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_swaps_and_the_next_one_has_them_again() {
        let guard = StormGuard::new();
        let begun = Instant::now();
        assert!(!guard.is_storming(begun));
        assert!((0..3).all(|_| guard.allows(begun, 3)));
        assert!(!guard.is_storming(begun), "nothing was refused yet");
        let soon = begun + Duration::from_secs(59);
        assert!(!guard.allows(soon, 3) && guard.is_storming(soon));
        let next = begun + Duration::from_secs(60);
        assert!(!guard.is_storming(next) && guard.allows(next, 3));
    }
}
