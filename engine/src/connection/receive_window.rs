//! Flow control of received data (RFC 9000, 4.1): window sizes, and a connection window that
//! streams which are not read cannot use up.
//!
//! quinn renews a stream's window as the stream is read, and does not report how much is unread. A
//! stream with unread data therefore counts with the largest amount that it can hold, and the
//! connection window is wider by the sum of these. When the limit on unread data is reached, the
//! window stops growing; a small relief is then granted from time to time, so that the streams that
//! are read still make progress.

use std::time::{Duration, Instant};

use quinn_proto::Side;

/// Bytes that a stream may have in flight or unread while it is read: 671 Mbit/s at 100 ms. The
/// aioquic engine starts at 512 KiB and grows the window; quinn has one size for all streams.
pub const STREAM_WINDOW: u64 = 8 * 1024 * 1024;

/// Bytes of a stream that must be read before quinn renews its window.
const RENEWED_AFTER: u64 = STREAM_WINDOW / 8;

/// Bytes that a stream may send before the first renewal. Twice `RENEWED_AFTER`, so that a sender
/// with up to that much in flight does not wait a round trip for the renewal.
pub const STREAM_WINDOW_FIRST: u64 = 2 * RENEWED_AFTER;

/// Bytes that the streams of a connection may have in flight while they are read.
pub const LINK_WINDOW: u64 = 64 * 1024 * 1024;

/// Bytes that a dialed peer may send in total before it is trusted.
pub const LINK_WINDOW_UNPROVEN: u64 = 1024 * 1024;

/// Bytes that an accepted peer may send in total before it is trusted: twice the largest control
/// message.
pub const HELLO_WINDOW: u64 = 128 * 1024;

/// Bytes granted beyond the limit when a connection is stalled there.
const RELIEF: u64 = 64 * 1024;

/// Time between reliefs, and before the first.
const RELIEF_EVERY: Duration = Duration::from_millis(500);

/// Return the most bytes that a stream can hold after `read` bytes of it were read.
pub(crate) const fn unread_max(read: u64) -> u64 {
    if read < RENEWED_AFTER { STREAM_WINDOW_FIRST - read } else { STREAM_WINDOW }
}

/// Return the window of a connection whose peer is not trusted.
pub(crate) const fn unproven_window(side: Side) -> u64 {
    match side {
        Side::Client => LINK_WINDOW_UNPROVEN,
        Side::Server => HELLO_WINDOW,
    }
}

/// The receive window of one connection.
#[derive(Debug)]
pub(super) struct ReceiveWindow {
    size: u64,
    relief: u64,
    /// STREAM frames received when relief was last granted.
    relieved_at: Option<u64>,
    stream_frames: u64,
    relief_due: Option<Instant>,
}

impl ReceiveWindow {
    pub(super) const fn new(size: u64) -> Self {
        Self { size, relief: 0, relieved_at: None, stream_frames: 0, relief_due: None }
    }

    /// Return when to call `update` even if nothing arrives.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.relief_due
    }

    /// Return the new size in bytes if it changes.
    ///
    /// Streams hold at most `unread` bytes that were not read. `share` is this connection's share
    /// of the limit on unread data. `stream_frames` counts the STREAM frames received.
    pub(super) fn update(
        &mut self,
        unread: u64,
        share: u64,
        stream_frames: u64,
        now: Instant,
    ) -> Option<u64> {
        let wanted = LINK_WINDOW + unread;
        let is_at_limit = unread > 0 && unread >= share;
        if is_at_limit {
            self.relieve(stream_frames, now);
        } else {
            self.relief = 0;
            self.relieved_at = None;
            self.relief_due = None;
        }
        let size = wanted.min(share) + self.relief;
        // quinn can only withhold credit as data is read, so only a large reduction has an effect.
        let matters = size > self.size || size + LINK_WINDOW / 2 < self.size || is_at_limit;
        (matters && size != self.size).then(|| {
            self.size = size;
            size
        })
    }

    /// Grant relief if nothing arrived for a while and the previous relief was used.
    fn relieve(&mut self, stream_frames: u64, now: Instant) {
        let has_arrived = stream_frames != self.stream_frames;
        self.stream_frames = stream_frames;
        match self.relief_due {
            Some(due) if !has_arrived && now >= due => {
                if self.relieved_at != Some(stream_frames) {
                    self.relieved_at = Some(stream_frames);
                    self.relief += RELIEF;
                }
                self.relief_due = None; // until something arrives
            }
            Some(_) if !has_arrived => {}
            None if self.relieved_at == Some(stream_frames) => {}
            _ => self.relief_due = Some(now + RELIEF_EVERY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: u64 = 256 * 1024 * 1024;

    #[test]
    fn a_stream_holds_more_after_an_eighth_of_its_window_was_read() {
        assert_eq!(unread_max(0), STREAM_WINDOW_FIRST);
        assert_eq!(unread_max(RENEWED_AFTER - 1), RENEWED_AFTER + 1);
        assert_eq!(unread_max(RENEWED_AFTER), STREAM_WINDOW);
    }

    #[test]
    fn streams_that_are_not_read_widen_the_window() {
        let (mut window, now) = (ReceiveWindow::new(LINK_WINDOW_UNPROVEN), Instant::now());
        assert_eq!(window.update(0, SHARE, 0, now), Some(LINK_WINDOW));
        assert_eq!(window.update(0, SHARE, 0, now), None);
        assert_eq!(
            window.update(3 * STREAM_WINDOW, SHARE, 5, now),
            Some(LINK_WINDOW + 3 * STREAM_WINDOW)
        );
        assert_eq!(window.update(2 * SHARE, SHARE, 9, now), Some(SHARE));
    }

    #[test]
    fn relief_is_granted_again_only_after_it_was_used() {
        let (mut window, mut now) = (ReceiveWindow::new(LINK_WINDOW_UNPROVEN), Instant::now());
        assert_eq!(window.update(2 * SHARE, SHARE, 7, now), Some(SHARE));
        let due = window.deadline().expect("relief is due");
        now = due;
        assert_eq!(window.update(2 * SHARE, SHARE, 7, now), Some(SHARE + RELIEF));
        assert_eq!(window.deadline(), None, "the relief is unused");
        now += Duration::from_secs(60);
        assert_eq!(window.update(2 * SHARE, SHARE, 7, now), None);
        assert_eq!(window.update(2 * SHARE, SHARE, 8, now), None);
        now = window.deadline().expect("the relief was used");
        assert_eq!(window.update(2 * SHARE, SHARE, 8, now), Some(SHARE + 2 * RELIEF));
    }

    #[test]
    fn a_connection_that_makes_progress_gets_no_relief() {
        let (mut window, mut now) = (ReceiveWindow::new(LINK_WINDOW_UNPROVEN), Instant::now());
        window.update(2 * SHARE, SHARE, 0, now);
        for frames in 1..100 {
            now += Duration::from_millis(400);
            assert_eq!(window.update(2 * SHARE, SHARE, frames, now), None);
        }
    }
}
