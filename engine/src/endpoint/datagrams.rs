//! Datagrams of an endpoint: routing what arrives, and sending what its connections produce.
//!
//! Within a batch, the datagrams of trusted connections are processed as they arrive. Those of other
//! peers, which may be many, wait until `take_received`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::{ConnectionEvent, ConnectionHandle, DatagramEvent, Transmit};

use super::{Endpoint, Incoming};
use crate::datagram::Datagram;
use crate::settings::{MTU_MAX, PAYLOAD_MAX};
use crate::socket::Received;

/// Bit of the first byte that packets with a long header have (RFC 9000, 17.2).
const LONG_HEADER: u8 = 0x80;

/// The addresses of a received datagram.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    remote: SocketAddr,
    local_ip: Option<IpAddr>,
}

/// A datagram of an untrusted or new peer, which waits for its turn.
pub(super) enum Deferred {
    /// With a long header: of a handshake.
    Handshake(Received),
    /// With a short header: of a connection that is not trusted.
    Routed(ConnectionHandle, ConnectionEvent, Addresses),
}

impl Endpoint {
    // Receiving

    /// Route a datagram. Call `take_received` after a batch of them.
    pub fn receive(&mut self, datagram: &Datagram, now: Instant) {
        self.handle(
            Received {
                remote: datagram.peer,
                local_ip: datagram.local,
                ecn: None,
                data: BytesMut::from(&datagram.data[..]),
            },
            now,
        );
    }

    /// Read the attached socket with one system call. Call `take_received` afterwards. Return
    /// whether the kernel has no more datagrams.
    ///
    /// # Errors
    /// ICMP reported an error for an earlier datagram, on a connected socket.
    pub fn receive_ready(&mut self, now: Instant) -> io::Result<bool> {
        let Some(mut socket) = self.socket.take() else { return Ok(true) };
        let received = socket.receive(|received| self.handle(received, now));
        for response in self.responses.drain(..) {
            if socket.has_room_for(response.peer) {
                socket.send(response.transmit(), &response.data);
            }
        }
        self.socket = Some(socket);
        received
    }

    /// Return the keys of the connections that have received something, the trusted ones first, and
    /// the incoming ones.
    pub fn take_received(&mut self, now: Instant) -> (Vec<usize>, Vec<Incoming>) {
        for deferred in std::mem::take(&mut self.deferred) {
            match deferred {
                Deferred::Handshake(received) => self.route(received, now, Self::deliver),
                Deferred::Routed(handle, event, addresses) => {
                    self.deliver(handle, event, addresses, now);
                }
            }
        }
        let touched = std::mem::take(&mut self.touched);
        for &key in &touched {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.is_touched = false;
            }
            self.process_events(key, now);
        }
        (touched, std::mem::take(&mut self.incoming))
    }

    /// Process a datagram if it is of a trusted connection. Otherwise, defer it.
    fn handle(&mut self, received: Received, now: Instant) {
        let Some(first) = received.data.first() else { return };
        if received.data.len() > usize::from(PAYLOAD_MAX) {
            return;
        }
        if first & LONG_HEADER != 0 {
            self.deferred.push(Deferred::Handshake(received));
        } else {
            self.route(received, now, Self::deliver_or_defer);
        }
    }

    /// Pass a datagram through quinn's endpoint. `deliver` takes what is for a connection.
    fn route(
        &mut self,
        received: Received,
        now: Instant,
        deliver: fn(&mut Self, ConnectionHandle, ConnectionEvent, Addresses, Instant),
    ) {
        let Received { remote, local_ip, ecn, data } = received;
        self.scratch.clear();
        // A panic loses this datagram only. It must not lose the socket that others use.
        let handled = catch_unwind(AssertUnwindSafe(|| {
            self.quinn.handle(now, remote, local_ip, ecn, data, &mut self.scratch)
        }));
        match handled.unwrap_or_default() {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                deliver(self, handle, event, Addresses { remote, local_ip }, now);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.incoming.push(Incoming(incoming));
            }
            Some(DatagramEvent::Response(response)) => self.respond(response),
            None => {}
        }
    }

    fn deliver_or_defer(
        &mut self,
        handle: ConnectionHandle,
        event: ConnectionEvent,
        addresses: Addresses,
        now: Instant,
    ) {
        let key = self.keys.get(&handle);
        let connection = key.and_then(|&key| self.connections.get(key));
        if connection.is_some_and(|connection| connection.is_trusted) {
            self.deliver(handle, event, addresses, now);
        } else {
            self.deferred.push(Deferred::Routed(handle, event, addresses));
        }
    }

    fn deliver(
        &mut self,
        handle: ConnectionHandle,
        event: ConnectionEvent,
        Addresses { remote, local_ip }: Addresses,
        now: Instant,
    ) {
        let Some(&key) = self.keys.get(&handle) else { return };
        let limits = self.settings.limits;
        let is_free = self.with(key, |connection| connection.has_free_datagram(&limits));
        if is_free == Some(false) && !self.unproven.take(now) {
            return;
        }
        let is_changed = self.with(key, |connection| {
            let is_changed = connection.receive(event, remote, &limits, now);
            if is_changed {
                connection.set_local_address(remote, local_ip);
            }
            is_changed
        });
        if is_changed == Some(false) {
            return;
        }
        if let Some(connection) = self.connections.get_mut(key) {
            if !std::mem::replace(&mut connection.is_touched, true) {
                self.touched.push(key);
            }
        }
    }

    /// Send the response in `scratch` to a peer without a connection. While the socket is full it
    /// is dropped, because connections come first.
    pub(super) fn respond(&mut self, transmit: Transmit) {
        let data = &self.scratch[..transmit.size];
        match &mut self.socket {
            Some(socket) if !socket.has_room_for(transmit.destination) => {}
            Some(socket) => socket.send(transmit, data),
            None => self.responses.push(Datagram::from_transmit(&transmit, data)),
        }
    }

    // Sending

    /// Return the responses to peers without a connection.
    pub fn take_responses(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.responses)
    }

    /// Return the datagrams that a connection may send now.
    pub fn transmit(&mut self, key: usize, now: Instant) -> Vec<Datagram> {
        let mut datagrams = Vec::new();
        self.update_receive_window(key, now);
        let mut buffer = std::mem::take(&mut self.scratch);
        loop {
            buffer.clear();
            let polled = self.with(key, |connection| connection.poll_transmit(now, 1, &mut buffer));
            let Some(Some(transmit)) = polled else { break };
            datagrams.push(Datagram::from_transmit(&transmit, &buffer[..transmit.size]));
        }
        self.scratch = buffer;
        self.process_events(key, now);
        datagrams
    }

    /// Send the datagrams that a connection may send now. Return the number of writes.
    pub fn send(&mut self, key: usize, now: Instant) -> usize {
        self.update_receive_window(key, now);
        let Some(mut socket) = self.socket.take() else { return 0 };
        let mut buffer = std::mem::take(&mut self.scratch);
        let mut writes = 0;
        let segments = socket.max_segments(usize::from(MTU_MAX));
        while !socket.is_full() {
            buffer.clear();
            let polled =
                self.with(key, |connection| connection.poll_transmit(now, segments, &mut buffer));
            let Some(Some(transmit)) = polled else { break };
            let size = transmit.size;
            socket.send(transmit, &buffer[..size]);
            writes += 1;
        }
        self.scratch = buffer;
        self.socket = Some(socket);
        self.process_events(key, now);
        writes
    }

    fn update_receive_window(&mut self, key: usize, now: Instant) {
        let share = self.unread_share();
        self.with(key, |connection| connection.update_receive_window(share, now));
    }
}
