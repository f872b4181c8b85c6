//! How much quinn may keep of what was written: what is in flight, and as much that waits, so that it
//! never runs dry between two turns of the event loop.
//!
//! What is acknowledged behind a hole counts as kept until the hole is mended. That takes two round
//! trips, and more if it is lost again; two windows are used up by then and nothing is left to send.
//! So it may keep more while that is so.

use std::time::{Duration, Instant};

/// What it may keep at other times, ...
const WINDOWS: u64 = 2;

/// ... and at most, in congestion windows.
const WINDOWS_MAX: u64 = 3;

/// Bytes that it may keep however small the window is.
const MIN: u64 = 256 * 1024;

/// Round trips without being short of it after which it keeps no more than at other times.
const ROUNDS: u32 = 4;

/// What quinn may keep on one path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    windows: u64,
    widened_at: Instant,
}

impl Keeping {
    pub(super) const fn new(now: Instant) -> Self {
        Self { windows: WINDOWS, widened_at: now }
    }

    /// Bytes that it may keep, with such a congestion window.
    pub(super) fn bytes(&self, window: u64) -> u64 {
        self.windows.saturating_mul(window).max(MIN)
    }

    /// There was nothing to send though more was written: keep more. Return whether that is allowed.
    pub(super) fn widen(&mut self, now: Instant) -> bool {
        if self.windows == WINDOWS_MAX {
            return false;
        }
        self.windows += 1;
        self.widened_at = now;
        true
    }

    /// Something was acknowledged: see whether it was long ago that more was needed.
    pub(super) fn settle(&mut self, rtt: Duration, now: Instant) {
        if now > self.widened_at + ROUNDS * rtt {
            self.windows = WINDOWS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    #[test]
    fn it_widens_as_far_as_allowed_and_settles_again() {
        let start = Instant::now();
        let mut keeping = Keeping::new(start);
        assert_eq!(keeping.bytes(1_000_000), 2_000_000);
        assert!(keeping.widen(start));
        assert!(!keeping.widen(start));
        keeping.settle(RTT, start + 4 * RTT);
        assert_eq!(keeping.bytes(1_000_000), 3_000_000);
        keeping.settle(RTT, start + 5 * RTT);
        assert_eq!(keeping.bytes(1_000_000), 2_000_000);
    }

    #[test]
    fn a_small_window_leaves_room_for_writes() {
        assert_eq!(Keeping::new(Instant::now()).bytes(5_000), 256 * 1024);
    }
}
