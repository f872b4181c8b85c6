//! What a connection says of itself when it is asked. Nothing here changes anything.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quinn_proto::ConnectionStats;

use super::Connection;
use crate::tls::EXPORTER_SIZE;

impl Connection {
    /// The TLS exporter, once the handshake is complete.
    #[must_use]
    pub const fn exporter(&self) -> Option<&[u8; EXPORTER_SIZE]> {
        self.exporter.as_ref()
    }

    /// What the peer has shown, as DER, its own certificate first.
    #[must_use]
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// The smoothed round-trip time, once something was acknowledged.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        (self.hearing.answers > 0).then(|| self.quinn.rtt())
    }

    /// About the probe timeout (RFC 9002, 6.2.1). quinn does not tell the variation, which is at
    /// first half of the time itself: four of these halves, and the time.
    #[must_use]
    pub fn pto(&self) -> Duration {
        3 * self.quinn.rtt() + Duration::from_millis(25)
    }

    /// The idle timeout that both ends have agreed on.
    #[must_use]
    pub const fn hold(&self) -> Duration {
        self.hold
    }

    /// Where datagrams are sent to.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// When the last genuine packet came.
    #[must_use]
    pub const fn heard_at(&self) -> Option<Instant> {
        self.hearing.heard_at
    }

    /// When something was last acknowledged.
    #[must_use]
    pub const fn answered_at(&self) -> Option<Instant> {
        self.hearing.answered_at
    }

    /// Whether something was sent whose answer has not come.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        self.watch.in_flight() > 0 || self.hearing.has_asked(&self.quinn.stats())
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        self.is_forgotten || self.quinn.is_drained()
    }

    /// Whether it is closed, by whomever.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether the handshake has ended because the ends speak different protocols.
    #[must_use]
    pub fn is_alpn_mismatch(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.alpn_mismatch)
    }

    /// Whether it has ended because the peer does not know it any more (RFC 9000, 10.3).
    #[must_use]
    pub fn is_forgotten_by_peer(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.forgotten)
    }

    /// quinn's statistics.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        self.quinn.stats()
    }

    /// How many streams are known.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }
}
