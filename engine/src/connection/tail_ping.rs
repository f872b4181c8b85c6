//! A PING after the last stream data of a flight, so that the loss of its last packet is detected
//! within about one round trip.
//!
//! A loss is detected when a later packet is acknowledged (RFC 9002, 6.1). No packet follows the
//! last one, so quinn would wait for the probe timeout and one more round trip. The PING is the
//! later packet, like TCP's tail loss probe (RFC 8985, 7). None is sent if another ack-eliciting
//! packet followed, or if everything has been acknowledged.

use std::time::{Duration, Instant};

use quinn_proto::ConnectionStats;

use super::peer_activity::ack_eliciting;
use crate::settings::TIME_THRESHOLD;

/// Round trips between the last stream data and the PING. Its ACK arrives just when the last packet
/// counts as overtaken for long enough to be lost.
const DELAY: f32 = TIME_THRESHOLD - 1.0;

/// Shortest delay of the PING. On paths with a short round trip, most ACKs arrive within it.
const DELAY_MIN: Duration = Duration::from_millis(2);

/// Decides when to send the PING.
#[derive(Debug, Default)]
pub(super) struct TailPing {
    stream_frames: u64,
    ack_eliciting: u64,
    due: Option<Instant>,
}

impl TailPing {
    /// Return when to call `expire`.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Compare the counters of sent frames with the previous ones.
    pub(super) fn update(&mut self, stats: &ConnectionStats, is_all_acked: bool, now: Instant) {
        let stream_frames = stats.frame_tx.stream;
        let ack_eliciting = ack_eliciting(&stats.frame_tx);
        if is_all_acked {
            self.due = None;
        } else if stream_frames != self.stream_frames {
            self.due = Some(now + stats.path.rtt.mul_f32(DELAY).max(DELAY_MIN));
        } else if ack_eliciting != self.ack_eliciting {
            self.due = None; // another packet follows the stream data
        }
        (self.stream_frames, self.ack_eliciting) = (stream_frames, ack_eliciting);
    }

    /// Return whether to send the PING now.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(125);

    fn sent(stream_frames: u64, pings: u64, rtt: Duration) -> ConnectionStats {
        let mut stats = ConnectionStats::default();
        (stats.frame_tx.stream, stats.frame_tx.ping) = (stream_frames, pings);
        stats.path.rtt = rtt;
        stats
    }

    #[test]
    fn one_ping_follows_the_last_stream_data() {
        let (mut tail_ping, now) = (TailPing::default(), Instant::now());
        let delay = RTT.mul_f32(DELAY);
        tail_ping.update(&sent(1, 0, RTT), false, now);
        assert!(!tail_ping.expire(now + delay / 2));
        tail_ping.update(&sent(2, 0, RTT), false, now + delay / 2);
        assert!(!tail_ping.expire(now + delay));
        assert_eq!(tail_ping.deadline(), Some(now + delay / 2 + delay));
        assert!(tail_ping.expire(now + 2 * delay));
        tail_ping.update(&sent(2, 1, RTT), false, now + 2 * delay);
        assert_eq!(tail_ping.deadline(), None);
    }

    #[test]
    fn no_ping_follows_if_another_packet_does() {
        let (mut tail_ping, now) = (TailPing::default(), Instant::now());
        tail_ping.update(&sent(1, 0, RTT), false, now);
        tail_ping.update(&sent(1, 1, RTT), false, now + RTT.mul_f32(DELAY) / 2);
        assert_eq!(tail_ping.deadline(), None);
    }

    #[test]
    fn no_ping_follows_once_everything_is_acknowledged() {
        let (mut tail_ping, now) = (TailPing::default(), Instant::now());
        tail_ping.update(&sent(1, 0, Duration::ZERO), false, now);
        assert_eq!(tail_ping.deadline(), Some(now + DELAY_MIN));
        tail_ping.update(&sent(1, 0, Duration::ZERO), true, now);
        assert_eq!(tail_ping.deadline(), None);
        tail_ping.update(&sent(1, 0, Duration::ZERO), false, now);
        assert_eq!(tail_ping.deadline(), None, "no stream data was sent since");
    }
}
