//! Limits on what a peer may cost, and the datagrams that a connection ignores because of them.
//!
//! quinn decrypts, parses and processes a datagram in one step, and counts its frames. Datagrams are
//! therefore limited before they are processed, and frames after each datagram.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quinn_proto::{ConnectionEvent, FrameStats, VarInt};

use super::Connection;
use super::peer_activity::{received_frames, received_stream_frames};

/// Reason phrase of a connection that exceeds a limit before its peer is trusted.
const TOO_MUCH: &str = "too much before the proof";

/// Reason phrase of a connection with too many frames in one packet.
const TOO_MANY_FRAMES: &str = "too many frames in one packet";

/// Longest time for which a closed connection of an untrusted peer is kept. quinn keeps it for three
/// probe timeouts (RFC 9000, 10.2), which the peer can stretch with late ACKs.
const CLOSED_MAX: Duration = Duration::from_secs(3);

/// Limits on what one peer may cost. quictunnel/quic/limits.py has the numbers and their reasons.
#[derive(Clone, Copy, Debug)]
pub struct PeerLimits {
    /// Datagrams that are processed for an accepted connection until its peer is trusted.
    pub unproven_datagrams: u64,
    /// The first of them, which do not count for the following rate.
    pub unproven_datagrams_free: u64,
    /// Datagrams per second, at least one, that are processed for all accepted connections with
    /// untrusted peers together.
    pub unproven_datagrams_per_second: u32,
    /// The same, at once.
    pub unproven_datagram_burst: u32,
    /// Frames, other than PADDING, that are processed for a connection until its peer is trusted.
    /// It also limits the CRYPTO frames of any connection, which TLS needs for the handshake only.
    pub unproven_frames: u64,
    /// Frames, other than PADDING, of one packet. quinn does not tell the packets of a datagram
    /// apart, so this is applied to the datagram.
    pub frames_per_packet: u64,
    /// Those of them that name no stream, with the same restriction.
    pub link_frames_per_packet: u64,
    /// Application error code of a connection with too many datagrams or frames before its peer is
    /// trusted.
    pub too_much: VarInt,
    /// Application error code of a connection with too many frames in a packet.
    pub violation: VarInt,
}

/// Counters of a peer's datagrams and frames.
#[derive(Debug, Default)]
pub(super) struct PeerUsage {
    /// Datagrams processed.
    datagrams: u64,
    /// Frames processed.
    frames: u64,
    /// Frames processed that name no stream.
    link_frames: u64,
    /// Datagrams that have arrived since the connection was closed.
    late: u64,
    /// The connection was closed because of a limit. All further datagrams are ignored.
    is_exceeded: bool,
    /// When the closed connection is given up at the latest.
    closed_until: Option<Instant>,
}

impl PeerUsage {
    /// Count the frames of some datagrams. `received` is the count of all frames so far. Return the
    /// code and the reason of the close if they exceed a limit.
    fn count(
        &mut self,
        datagrams: u64,
        received: &FrameStats,
        is_trusted: bool,
        limits: &PeerLimits,
    ) -> Option<(VarInt, &'static str)> {
        self.datagrams += datagrams;
        let all = received_frames(received);
        let frames = all - std::mem::replace(&mut self.frames, all);
        let of_link = all - received_stream_frames(received);
        let link_frames = of_link - std::mem::replace(&mut self.link_frames, of_link);
        // quinn's counter of HANDSHAKE_DONE ends at 255. An honest peer does not send that many.
        let is_saturated = received.handshake_done == u8::MAX;
        if is_saturated
            || frames > datagrams * limits.frames_per_packet
            || link_frames > datagrams * limits.link_frames_per_packet
        {
            Some((limits.violation, TOO_MANY_FRAMES))
        } else if (!is_trusted && self.frames > limits.unproven_frames)
            || received.crypto > limits.unproven_frames
        {
            Some((limits.too_much, TOO_MUCH))
        } else {
            None
        }
    }

    /// Return when the closed connection of an untrusted peer is given up.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.closed_until
    }

    /// The connection of an untrusted peer is closed.
    pub(super) fn on_closed(&mut self, now: Instant) {
        self.closed_until = Some(now + CLOSED_MAX);
    }
}

impl Connection {
    /// Whether the next datagram does not count for the rate of all untrusted peers.
    pub(crate) fn has_free_datagram(&self, limits: &PeerLimits) -> bool {
        self.is_trusted
            || self.quinn.side().is_client()
            || self.quinn.is_closed()
            || self.usage.datagrams < limits.unproven_datagrams_free
    }

    /// Process a datagram, unless a limit forbids it. A forbidden datagram is not decrypted. Return
    /// whether anything may have changed.
    pub(crate) fn receive(
        &mut self,
        event: ConnectionEvent,
        remote: SocketAddr,
        limits: &PeerLimits,
        now: Instant,
    ) -> bool {
        if self.quinn.is_closed() {
            return self.receive_late(event);
        }
        self.now = now;
        if !self.is_trusted && self.quinn.side().is_server() {
            // A migration costs state and large datagrams, and quinn answers a PATH_CHALLENGE from
            // any address with 1200 bytes. An honest peer moves on after its proof, or connects anew.
            if remote != self.quinn.remote_address() {
                return false;
            }
            if self.usage.datagrams >= limits.unproven_datagrams {
                self.exceed(limits.too_much, TOO_MUCH);
                return true;
            }
        }
        self.quinn.handle_event(event);
        self.count_received(1, limits);
        true
    }

    /// Count what quinn has processed when it accepted the connection: the first datagram, and
    /// those that arrived while it waited for the decision.
    pub(crate) fn count_accepted(&mut self, limits: &PeerLimits) {
        let waiting = self.quinn.stats().udp_rx.datagrams;
        self.count_received(1 + waiting, limits);
    }

    fn count_received(&mut self, datagrams: u64, limits: &PeerLimits) {
        let received = self.quinn.stats().frame_rx;
        let excess = self.usage.count(datagrams, &received, self.is_trusted, limits);
        if let (Some((code, reason)), false) = (excess, self.quinn.is_closed()) {
            self.exceed(code, reason);
        }
    }

    /// Process the 1st, 2nd, 4th, 8th, ... datagram after the close. quinn answers each that it
    /// processes with CONNECTION_CLOSE, which RFC 9000, 10.2.1 asks to limit.
    fn receive_late(&mut self, event: ConnectionEvent) -> bool {
        self.usage.late += 1;
        let is_answered = !self.usage.is_exceeded && self.usage.late.is_power_of_two();
        if is_answered {
            self.quinn.handle_event(event);
        }
        is_answered
    }

    fn exceed(&mut self, code: VarInt, reason: &str) {
        self.usage.is_exceeded = true;
        self.close(code, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PeerLimits = PeerLimits {
        unproven_datagrams: 100,
        unproven_datagrams_free: 10,
        unproven_datagrams_per_second: 10,
        unproven_datagram_burst: 100,
        unproven_frames: 50,
        frames_per_packet: 20,
        link_frames_per_packet: 10,
        too_much: VarInt::from_u32(1),
        violation: VarInt::from_u32(2),
    };

    /// Return counters of frames that name a stream, and of others.
    fn counted(stop_sending: u64, ping: u64) -> FrameStats {
        let mut received = FrameStats::default();
        received.stop_sending = stop_sending;
        received.ping = ping;
        received
    }

    #[test]
    fn frames_are_counted_from_one_datagram_to_the_next() {
        let mut usage = PeerUsage::default();
        assert_eq!(usage.count(1, &counted(20, 0), false, &LIMITS), None);
        assert_eq!(usage.count(1, &counted(30, 10), false, &LIMITS), None);
        assert_eq!(usage.count(1, &counted(40, 20), true, &LIMITS), None);
        let excess = Some((LIMITS.too_much, TOO_MUCH));
        assert_eq!(usage.count(1, &counted(40, 20), false, &LIMITS), excess);
        let excess = Some((LIMITS.violation, TOO_MANY_FRAMES));
        assert_eq!(usage.count(1, &counted(61, 20), true, &LIMITS), excess);
        assert_eq!(usage.count(1, &counted(61, 31), true, &LIMITS), excess);
        assert_eq!(usage.count(1, &counted(61, 41), true, &LIMITS), None);
    }

    #[test]
    fn crypto_frames_are_limited_for_ever() {
        let mut received = FrameStats::default();
        received.crypto = 50;
        let mut usage = PeerUsage::default();
        assert_eq!(usage.count(10, &received, true, &LIMITS), None);
        received.crypto = 51;
        let excess = Some((LIMITS.too_much, TOO_MUCH));
        assert_eq!(usage.count(10, &received, true, &LIMITS), excess);
    }

    #[test]
    fn handshake_done_is_limited_although_its_counter_saturates() {
        let mut received = FrameStats::default();
        let mut usage = PeerUsage::default();
        for count in 1..=u8::MAX {
            received.handshake_done = count;
            let excess = usage.count(1, &received, true, &LIMITS);
            assert_eq!(excess.is_some(), count == u8::MAX);
        }
    }
}
