//! A question behind the last that was sent, so that its loss shows within about a round trip.
//!
//! What is lost shows by the answer to something that was sent later (RFC 9002, 6.1). Behind the last
//! packet nothing is: quinn asks after a probe timeout, and has what was lost sent again when that is
//! answered. So a ping follows soon, as TCP's does late (RFC 8985, 7), unless something else that must be
//! acknowledged was sent, or all was answered meanwhile. Whether there is room for it is not decided here.

use std::time::{Duration, Instant};

use quinn_proto::ConnectionStats;

use crate::hearing::asked;
use crate::settings::OVERDUE;

/// How much later it follows, in round trips: when quinn takes for lost what it has overtaken, ...
const LATER: f32 = OVERDUE - 1.0;

/// ... but where a round trip is short, most is answered by then.
const AT_LEAST: Duration = Duration::from_millis(2);

/// When to ask.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    /// Frames of streams that have been sent, ...
    frames: u64,
    /// ... and all that must be acknowledged.
    asked: u64,
    due: Option<Instant>,
}

impl Follower {
    /// When `expire` is to be called.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// See what was sent since, and whether all was answered.
    pub(crate) fn listen(&mut self, stats: &ConnectionStats, is_answered: bool, now: Instant) {
        let (frames, asked) = (stats.frame_tx.stream, asked(&stats.frame_tx));
        if is_answered {
            self.due = None;
        } else if frames != self.frames {
            self.due = Some(now + stats.path.rtt.mul_f32(LATER).max(AT_LEAST));
        } else if asked != self.asked {
            self.due = None; // it is behind the last of a stream
        }
        (self.frames, self.asked) = (frames, asked);
    }

    /// Return whether to ask now.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(125);

    fn sent(frames: u64, pings: u64, rtt: Duration) -> ConnectionStats {
        let mut stats = ConnectionStats::default();
        (stats.frame_tx.stream, stats.frame_tx.ping) = (frames, pings);
        stats.path.rtt = rtt;
        stats
    }

    #[test]
    fn it_follows_once_behind_the_last() {
        let (mut follower, now) = (Follower::default(), Instant::now());
        let later = RTT.mul_f32(LATER);
        follower.listen(&sent(1, 0, RTT), false, now);
        assert!(!follower.expire(now + later / 2));
        follower.listen(&sent(2, 0, RTT), false, now + later / 2);
        assert!(!follower.expire(now + later));
        assert_eq!(follower.deadline(), Some(now + later / 2 + later));
        assert!(follower.expire(now + 2 * later));
        follower.listen(&sent(2, 1, RTT), false, now + 2 * later);
        assert_eq!(follower.deadline(), None);
    }

    #[test]
    fn it_is_not_needed_where_something_else_follows() {
        let (mut follower, now) = (Follower::default(), Instant::now());
        let later = RTT.mul_f32(LATER);
        follower.listen(&sent(1, 0, RTT), false, now);
        follower.listen(&sent(1, 1, RTT), false, now + later / 2);
        assert_eq!(follower.deadline(), None);
    }

    #[test]
    fn nothing_is_asked_once_all_is_answered() {
        let (mut follower, now) = (Follower::default(), Instant::now());
        follower.listen(&sent(1, 0, Duration::ZERO), false, now);
        assert_eq!(follower.deadline(), Some(now + AT_LEAST));
        follower.listen(&sent(1, 0, Duration::ZERO), true, now);
        assert_eq!(follower.deadline(), None);
        follower.listen(&sent(1, 0, Duration::ZERO), false, now);
        assert_eq!(follower.deadline(), None, "what is under way is no stream's");
    }
}
