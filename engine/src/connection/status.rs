//! Read-only properties of a connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quinn_proto::ConnectionStats;

use super::{Connection, SENT_BYTES};
use crate::tls::EXPORTER_SIZE;

impl Connection {
    /// The TLS exporter, once the handshake is complete.
    #[must_use]
    pub const fn exporter(&self) -> Option<&[u8; EXPORTER_SIZE]> {
        self.exporter.as_ref()
    }

    /// The peer's certificate chain as DER, leaf first.
    #[must_use]
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// The smoothed round-trip time (RFC 9002, 5.3), once there is a sample.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        (self.peer_activity.acks > 0).then(|| self.quinn.rtt())
    }

    /// Approximate probe timeout (RFC 9002, 6.2.1). quinn does not expose the variation of the
    /// round-trip time, which starts at half of it: rtt + 4 * rtt / 2 + maximum ACK delay.
    #[must_use]
    pub fn pto(&self) -> Duration {
        3 * self.quinn.rtt() + Duration::from_millis(25)
    }

    /// The idle timeout: the smaller of both sides' (RFC 9000, 10.1).
    #[must_use]
    pub const fn hold(&self) -> Duration {
        self.hold
    }

    /// The peer's current address.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// First bytes of the latest datagram that was sent, if any was.
    #[must_use]
    pub const fn latest_sent(&self) -> Option<[u8; SENT_BYTES]> {
        self.latest_sent
    }

    /// When the last authenticated packet arrived.
    #[must_use]
    pub const fn last_received_at(&self) -> Option<Instant> {
        self.peer_activity.last_received_at
    }

    /// When the peer last acknowledged something.
    #[must_use]
    pub const fn last_acked_at(&self) -> Option<Instant> {
        self.peer_activity.last_acked_at
    }

    /// Whether an ack-eliciting packet is unacknowledged.
    #[must_use]
    pub fn is_unacknowledged(&self) -> bool {
        self.control.in_flight_at_ack() > 0
            || self.peer_activity.has_sent_since_ack(&self.quinn.stats())
    }

    /// Whether the connection may be dropped: no more datagrams or events will follow.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        self.is_discarded || self.quinn.is_drained()
    }

    /// Whether either side has closed it.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.close_reason.is_some()
    }

    /// Whether the handshake failed because the application protocols differ.
    #[must_use]
    pub fn is_alpn_mismatch(&self) -> bool {
        self.close_reason.as_ref().is_some_and(|reason| reason.alpn_mismatch)
    }

    /// Whether a stateless reset ended it (RFC 9000, 10.3).
    #[must_use]
    pub fn is_stateless_reset(&self) -> bool {
        self.close_reason.as_ref().is_some_and(|reason| reason.stateless_reset)
    }

    /// quinn's statistics, with the congestion window as the controller sees it.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        let mut stats = self.quinn.stats();
        // quinn may have been told another size, to let a PING or CONNECTION_CLOSE through.
        stats.path.cwnd = self.control.window();
        stats
    }

    /// How many streams have not ended.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }
}
