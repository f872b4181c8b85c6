//! How much all streams of one connection together may have sent and unread.
//!
//! quinn grants a stream its window anew as it is read, and does not tell what waits unread. So it
//! is bounded from above: a stream that has something and is not read holds its whole window at
//! most, and the connection's window is wider by as much, or such streams would use it up. Only
//! when the process's limit is reached do they; then a little is granted now and then, so that
//! those that are read go on.
//!
//! A stream's window is small first, and large once an eighth of the large one has been read.

use std::time::{Duration, Instant};

/// Bytes that a stream that is read may have under way or unread: 671 Mbit/s at 100 ms.
pub const STREAM_WINDOW: u64 = 8 * 1024 * 1024;

/// Bytes of a stream that must be read before quinn grants anything.
const GRANTED_AFTER: u64 = STREAM_WINDOW / 8;

/// Bytes that a stream may send before that: as many again, so that nobody stands still for a round
/// trip who has not more than that under way, as it is while a connection looks for its rate.
pub const STREAM_WINDOW_FIRST: u64 = 2 * GRANTED_AFTER;

/// Bytes that a stream holds at most of which `read` bytes were read.
pub(crate) const fn held_at_most(read: u64) -> u64 {
    if read < GRANTED_AFTER { STREAM_WINDOW_FIRST - read } else { STREAM_WINDOW }
}

/// Bytes that a connection may have under way on streams that are read.
pub const LINK_WINDOW: u64 = 64 * 1024 * 1024;

/// Bytes that a peer may send in all before it has proven who it is.
pub const LINK_WINDOW_UNPROVEN: u64 = 1024 * 1024;

/// Bytes granted beyond the limit when a connection stands still there, ...
const RELIEF: u64 = 64 * 1024;

/// ... and how long it stands still first.
const RELIEF_AFTER: Duration = Duration::from_millis(500);

/// The window of one connection.
#[derive(Debug)]
pub(crate) struct LinkWindow {
    size: u64,
    relief: u64,
    /// Frames of streams that had come when relief was last granted.
    relieved_at: Option<u64>,
    frames: u64,
    relief_due: Option<Instant>,
}

impl LinkWindow {
    pub(crate) const fn new() -> Self {
        Self {
            size: LINK_WINDOW_UNPROVEN,
            relief: 0,
            relieved_at: None,
            frames: 0,
            relief_due: None,
        }
    }

    /// When `adjust` is to be called though nothing happens.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.relief_due
    }

    /// Return the window's new size in bytes, if it changes.
    ///
    /// `unread` bytes at most are held by streams that have something that nobody takes, `share` is
    /// this connection's part of what the process may hold, `frames` counts the frames of streams
    /// that have come.
    pub(crate) fn adjust(
        &mut self,
        unread: u64,
        share: u64,
        frames: u64,
        now: Instant,
    ) -> Option<u64> {
        let wanted = LINK_WINDOW + unread;
        let is_short = unread > 0 && unread >= share;
        if is_short {
            self.relieve(frames, now);
        } else {
            self.relief = 0;
            self.relieved_at = None;
            self.relief_due = None;
        }
        let size = wanted.min(share) + self.relief;
        // A shrinking window is taken back only as it is read: that is worth it for large steps.
        let matters = size > self.size || size + LINK_WINDOW / 2 < self.size || is_short;
        (matters && size != self.size).then(|| {
            self.size = size;
            size
        })
    }

    /// Grant a little if nothing has come for a while, and what was granted before has been used.
    fn relieve(&mut self, frames: u64, now: Instant) {
        let came = frames != self.frames;
        self.frames = frames;
        match self.relief_due {
            Some(due) if !came && now >= due => {
                if self.relieved_at != Some(frames) {
                    self.relieved_at = Some(frames);
                    self.relief += RELIEF;
                }
                self.relief_due = None; // until something comes
            }
            Some(_) if !came => {}
            None if self.relieved_at == Some(frames) => {}
            _ => self.relief_due = Some(now + RELIEF_AFTER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: u64 = 256 * 1024 * 1024;

    #[test]
    fn what_a_stream_may_hold_grows_when_an_eighth_of_its_window_was_read() {
        assert_eq!(held_at_most(0), STREAM_WINDOW_FIRST);
        assert_eq!(held_at_most(GRANTED_AFTER - 1), GRANTED_AFTER + 1);
        assert_eq!(held_at_most(GRANTED_AFTER), STREAM_WINDOW);
    }

    #[test]
    fn streams_that_are_not_read_widen_the_window() {
        let (mut window, now) = (LinkWindow::new(), Instant::now());
        assert_eq!(window.adjust(0, SHARE, 0, now), Some(LINK_WINDOW));
        assert_eq!(window.adjust(0, SHARE, 0, now), None);
        assert_eq!(
            window.adjust(3 * STREAM_WINDOW, SHARE, 5, now),
            Some(LINK_WINDOW + 3 * STREAM_WINDOW)
        );
        assert_eq!(window.adjust(2 * SHARE, SHARE, 9, now), Some(SHARE));
    }

    #[test]
    fn at_the_limit_relief_comes_once_for_each_use_of_it() {
        let (mut window, mut now) = (LinkWindow::new(), Instant::now());
        assert_eq!(window.adjust(2 * SHARE, SHARE, 7, now), Some(SHARE));
        let due = window.deadline().expect("relief is due");
        now = due;
        assert_eq!(window.adjust(2 * SHARE, SHARE, 7, now), Some(SHARE + RELIEF));
        assert_eq!(window.deadline(), None, "nothing was used of it yet");
        now += Duration::from_secs(60);
        assert_eq!(window.adjust(2 * SHARE, SHARE, 7, now), None);
        assert_eq!(window.adjust(2 * SHARE, SHARE, 8, now), None);
        now = window.deadline().expect("it was used");
        assert_eq!(window.adjust(2 * SHARE, SHARE, 8, now), Some(SHARE + 2 * RELIEF));
    }

    #[test]
    fn what_flows_needs_no_relief() {
        let (mut window, mut now) = (LinkWindow::new(), Instant::now());
        window.adjust(2 * SHARE, SHARE, 0, now);
        for frames in 1..100 {
            now += Duration::from_millis(400);
            assert_eq!(window.adjust(2 * SHARE, SHARE, frames, now), None);
        }
    }
}
