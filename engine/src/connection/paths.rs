//! The path of a connection: questions on it, moves of this end and of the peer, and which of our
//! addresses a datagram leaves from. Sockets are not known here, nor is decided when to move.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::Connection;
use crate::settings::INITIAL_RTT;

/// Bytes that a question to the peer may take however full the congestion window is: three packets.
const LEAVE: u64 = 3 * 1500;

impl Connection {
    /// Ask for an answer.
    pub fn ping(&mut self) {
        self.quinn.ping();
        self.watch.grant_leave(LEAVE);
    }

    /// Ask for an answer, and take nothing for granted of the path: it was away.
    pub fn revive(&mut self, now: Instant) {
        if !self.quinn.is_handshaking() && !self.quinn.is_closed() {
            self.met_at = now;
            self.quinn.path_changed(now);
            self.ping();
        }
    }

    /// Go on from another local address (RFC 9000, 9.2 and 9.5): under a new connection id.
    pub fn relocate(&mut self, now: Instant) {
        if !self.quinn.is_handshaking() && !self.quinn.is_closed() {
            self.quinn.local_address_changed();
        }
        self.revive(now);
    }

    /// See whether the peer has moved, which quinn has followed.
    pub(super) fn follow_peer(&mut self, now: Instant) {
        let peer = self.quinn.remote_address();
        if peer != self.peer {
            self.peer = peer;
            self.met_at = now;
            self.watch.forget_in_flight();
            self.ping(); // what was sent the old way is found to be lost, and the way is learned
        }
    }

    /// Take back a round-trip time that is longer than the path is old: what was acknowledged after
    /// an outage had been sent before it, and pacing by that would take as long as the outage.
    pub(super) fn doubt_rtt(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.met_at);
        if self.quinn.rtt() > age.max(INITIAL_RTT) {
            self.quinn.path_changed(now);
        }
    }

    /// Note which address of ours a peer writes to that has just been heard. quinn keeps the first
    /// for ever, but one that moves may come by another, and by another family too.
    pub(crate) fn note_source(&mut self, remote: SocketAddr, ours: Option<IpAddr>) {
        let source = ours.map(|ours| (remote, ours));
        if self.sources[0] != source && self.quinn.remote_address() == remote {
            self.sources = [source, self.sources[0]];
        }
    }

    /// The address that a datagram leaves from: the one that was written to from there.
    pub(super) fn source_towards(&self, destination: SocketAddr) -> Option<IpAddr> {
        let mut known = self.sources.iter().flatten();
        known.find(|(remote, _)| *remote == destination).map(|(_, ours)| *ours)
    }
}
