//! A connection's path: probes, migration of either side, and the local address of datagrams. The
//! caller owns the socket and decides when to migrate.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::Connection;
use crate::settings::INITIAL_RTT;

/// Bytes that a PING may send beyond the congestion window: three packets.
const PING_ALLOWANCE: u64 = 3 * 1500;

impl Connection {
    /// Send a PING, even if the congestion window is full.
    pub fn ping(&mut self) {
        self.quinn.ping();
        self.control.allow_beyond_window(PING_ALLOWANCE);
    }

    /// Send a PING, and reset what was learned about the path, after an outage.
    pub fn revive(&mut self, now: Instant) {
        if !self.quinn.is_handshaking() && !self.quinn.is_closed() {
            self.path_since = now;
            self.quinn.path_changed(now);
            self.ping();
        }
    }

    /// Continue from another local address, with a new connection ID (RFC 9000, 9.2 and 9.5).
    pub fn migrate(&mut self, now: Instant) {
        if !self.quinn.is_handshaking() && !self.quinn.is_closed() {
            self.quinn.local_address_changed();
            if let Some(recording) = &self.recording {
                recording.on_path(self.peer);
            }
        }
        self.revive(now);
    }

    /// Notice that quinn has followed the peer to another address.
    pub(super) fn check_peer_address(&mut self, now: Instant) {
        let peer = self.quinn.remote_address();
        if peer != self.peer {
            self.peer = peer;
            self.path_since = now;
            if let Some(recording) = &self.recording {
                recording.on_path(peer);
            }
            self.control.reset_in_flight();
            self.ping(); // its ACK reveals the losses on the old path
        }
    }

    /// Reject a round-trip time that is longer than the path has existed. An ACK after an outage
    /// may be for a packet sent before it, and pacing with that sample would take as long as the
    /// outage did.
    pub(super) fn reject_stale_rtt(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.path_since);
        if self.quinn.rtt() > age.max(INITIAL_RTT) {
            self.quinn.path_changed(now);
        }
    }

    /// Remember the local address that the peer has just sent to. quinn keeps the first one, but a
    /// peer that migrates may use another address, even of the other family.
    pub(crate) fn set_local_address(&mut self, remote: SocketAddr, local: Option<IpAddr>) {
        let path = local.map(|local| (remote, local));
        if self.local_addresses[0] != path && self.quinn.remote_address() == remote {
            self.local_addresses = [path, self.local_addresses[0]];
        }
    }

    /// Return the local address to send from: the one that this destination has sent to.
    pub(super) fn local_address_for(&self, destination: SocketAddr) -> Option<IpAddr> {
        let mut known = self.local_addresses.iter().flatten();
        known.find(|(remote, _)| *remote == destination).map(|(_, local)| *local)
    }
}
