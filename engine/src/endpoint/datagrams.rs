//! Datagrams of an endpoint: routing what arrives, and sending what its connections produce.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::{DatagramEvent, EcnCodepoint, Transmit};

use super::{Endpoint, Incoming};
use crate::datagram::Datagram;
use crate::settings::MTU_MAX;
use crate::socket::Received;

impl Endpoint {
    // Receiving

    /// Route a datagram. Call `take_received` after a batch of them.
    pub fn receive(&mut self, datagram: &Datagram, now: Instant) {
        let data = BytesMut::from(&datagram.data[..]);
        self.handle(datagram.peer, datagram.local, None, data, now);
    }

    /// Read the attached socket with one system call. Call `take_received` afterwards.
    ///
    /// # Errors
    /// ICMP reported an error for an earlier datagram, on a connected socket.
    pub fn receive_ready(&mut self, now: Instant) -> io::Result<()> {
        let Some(mut socket) = self.socket.take() else { return Ok(()) };
        let received = socket.receive(|Received { remote, local_ip, ecn, data }| {
            self.handle(remote, local_ip, ecn, data, now);
        });
        for response in self.responses.drain(..) {
            if !socket.is_full() {
                socket.send(response.transmit(), &response.data);
            }
        }
        self.socket = Some(socket);
        received
    }

    /// Return the keys of the connections that have received something, and the incoming ones.
    pub fn take_received(&mut self, now: Instant) -> (Vec<usize>, Vec<Incoming>) {
        let touched = std::mem::take(&mut self.touched);
        for &key in &touched {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.is_touched = false;
            }
            self.process_events(key, now);
        }
        (touched, std::mem::take(&mut self.incoming))
    }

    fn handle(
        &mut self,
        remote: SocketAddr,
        local_ip: Option<IpAddr>,
        ecn: Option<EcnCodepoint>,
        data: BytesMut,
        now: Instant,
    ) {
        self.scratch.clear();
        // A panic loses this datagram only. It must not lose the socket that others use.
        let handled = catch_unwind(AssertUnwindSafe(|| {
            self.quinn.handle(now, remote, local_ip, ecn, data, &mut self.scratch)
        }));
        match handled.unwrap_or_default() {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let Some(&key) = self.keys.get(&handle) else { return };
                self.with(key, |connection| {
                    connection.quinn.handle_event(event);
                    connection.set_local_address(remote, local_ip);
                });
                if let Some(connection) = self.connections.get_mut(key) {
                    if !std::mem::replace(&mut connection.is_touched, true) {
                        self.touched.push(key);
                    }
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.incoming.push(Incoming(incoming));
            }
            Some(DatagramEvent::Response(response)) => self.respond(response),
            None => {}
        }
    }

    /// Send the response in `scratch` to a peer without a connection. While the socket is full it
    /// is dropped, because connections come first.
    pub(super) fn respond(&mut self, transmit: Transmit) {
        let data = &self.scratch[..transmit.size];
        match &mut self.socket {
            Some(socket) if socket.is_full() => {}
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
