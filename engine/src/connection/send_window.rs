//! quinn's send window: how many written bytes quinn holds until they are acknowledged.
//!
//! Two congestion windows are enough for one flight and the data that is sent before the next turn
//! of the event loop. While a lost packet is retransmitted, the data acknowledged behind it still
//! counts, and quinn would run out of data to send. The window is wider for that time.

use std::time::{Duration, Instant};

/// Send window, in congestion windows.
const WINDOWS: u64 = 2;

/// Send window while quinn would run out of data, in congestion windows.
const WINDOWS_MAX: u64 = 3;

/// Smallest send window in bytes.
const SEND_WINDOW_MIN: u64 = 256 * 1024;

/// Round trips after which a wider window shrinks again.
const WIDE_ROUNDS: u32 = 4;

/// The send window of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow {
    windows: u64,
    widened_at: Instant,
}

impl SendWindow {
    pub(super) const fn new(now: Instant) -> Self {
        Self { windows: WINDOWS, widened_at: now }
    }

    /// Return the size in bytes for a congestion window.
    pub(super) fn size(&self, congestion_window: u64) -> u64 {
        self.windows.saturating_mul(congestion_window).max(SEND_WINDOW_MIN)
    }

    /// quinn has nothing to send although data is pending: widen. Return whether that was possible.
    pub(super) fn widen(&mut self, now: Instant) -> bool {
        if self.windows == WINDOWS_MAX {
            return false;
        }
        self.windows += 1;
        self.widened_at = now;
        true
    }

    /// Shrink again if the window was widened long ago.
    pub(super) fn shrink(&mut self, rtt: Duration, now: Instant) {
        if now > self.widened_at + WIDE_ROUNDS * rtt {
            self.windows = WINDOWS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    #[test]
    fn it_widens_up_to_a_limit_and_shrinks_again() {
        let start = Instant::now();
        let mut window = SendWindow::new(start);
        assert_eq!(window.size(1_000_000), 2_000_000);
        assert!(window.widen(start));
        assert!(!window.widen(start));
        window.shrink(RTT, start + 4 * RTT);
        assert_eq!(window.size(1_000_000), 3_000_000);
        window.shrink(RTT, start + 5 * RTT);
        assert_eq!(window.size(1_000_000), 2_000_000);
    }

    #[test]
    fn a_small_congestion_window_leaves_room_for_writes() {
        assert_eq!(SendWindow::new(Instant::now()).size(5_000), 256 * 1024);
    }
}
