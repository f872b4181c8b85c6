//! An endpoint's datagrams: those that come, to whom they are for, and those of its connections and
//! its own, to the socket or to whoever carries them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::{DatagramEvent, EcnCodepoint, Transmit};

use super::Endpoint;
use crate::datagram::{Datagram, departure};
use crate::door::Newcomer;
use crate::settings::MTU_MAX;
use crate::socket::Arrival;

impl Endpoint {
    // Datagrams in

    /// Take a datagram that has come by any carrier. `arrived` follows, after as many as there are.
    pub fn receive(&mut self, datagram: &Datagram, now: Instant) {
        let data = BytesMut::from(&datagram.data[..]);
        self.handle(datagram.peer, datagram.local, None, data, now);
    }

    /// Take what waits in the attached socket, as one system call gives it. `arrived` follows.
    ///
    /// # Errors
    /// Word of an earlier datagram of ours, on a connected socket.
    pub fn receive_ready(&mut self, now: Instant) -> io::Result<()> {
        let Some(mut socket) = self.socket.take() else { return Ok(()) };
        let received = socket.receive(|Arrival { remote, local_ip, ecn, data }| {
            self.handle(remote, local_ip, ecn, data, now);
        });
        for answer in self.answers.drain(..) {
            if !socket.is_full() {
                socket.send(answer.departure(), &answer.data);
            }
        }
        self.socket = Some(socket);
        received
    }

    /// Return the connections that something has come for, and who is new.
    pub fn arrived(&mut self, now: Instant) -> (Vec<usize>, Vec<Newcomer>) {
        let touched = std::mem::take(&mut self.touched);
        for &key in &touched {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.is_touched = false;
            }
            self.settle(key, now);
        }
        (touched, std::mem::take(&mut self.newcomers))
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
        // A datagram that quinn fails in is lost, and no more: others' come by the same socket, which
        // would be lost with it.
        let handled = catch_unwind(AssertUnwindSafe(|| {
            self.quinn.handle(now, remote, local_ip, ecn, data, &mut self.scratch)
        }));
        match handled.unwrap_or_default() {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let Some(&key) = self.keys.get(&handle) else { return };
                self.with(key, |connection| {
                    connection.quinn.handle_event(event);
                    connection.note_source(remote, local_ip);
                });
                if let Some(connection) = self.connections.get_mut(key) {
                    if !std::mem::replace(&mut connection.is_touched, true) {
                        self.touched.push(key);
                    }
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.newcomers.push(Newcomer(incoming));
            }
            Some(DatagramEvent::Response(response)) => self.respond(&response),
            None => {}
        }
    }

    /// Answer somebody who has no connection with what is in `scratch`, unless the kernel is busy
    /// with those who have.
    pub(crate) fn respond(&mut self, transmit: &Transmit) {
        let data = &self.scratch[..transmit.size];
        match &mut self.socket {
            Some(socket) if socket.is_full() => {}
            Some(socket) => socket.send(departure(transmit), data),
            None => self.answers.push(Datagram::of(transmit, data)),
        }
    }

    // Datagrams out

    /// Return the endpoint's own answers to those who have no connection.
    pub fn answers(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.answers)
    }

    /// Return what a connection is to send now.
    pub fn transmit(&mut self, key: usize, now: Instant) -> Vec<Datagram> {
        let mut datagrams = Vec::new();
        self.adjust_window(key, now);
        let mut buffer = std::mem::take(&mut self.scratch);
        loop {
            buffer.clear();
            let polled = self.with(key, |connection| connection.poll_transmit(now, 1, &mut buffer));
            let Some(Some(transmit)) = polled else { break };
            datagrams.push(Datagram::of(&transmit, &buffer[..transmit.size]));
        }
        self.scratch = buffer;
        self.settle(key, now);
        datagrams
    }

    /// Send what a connection is to send now through the attached socket; return how many writes
    /// that took.
    pub fn send(&mut self, key: usize, now: Instant) -> usize {
        self.adjust_window(key, now);
        let Some(mut socket) = self.socket.take() else { return 0 };
        let mut buffer = std::mem::take(&mut self.scratch);
        let mut writes = 0;
        let segments = socket.segments(usize::from(MTU_MAX));
        while !socket.is_full() {
            buffer.clear();
            let polled =
                self.with(key, |connection| connection.poll_transmit(now, segments, &mut buffer));
            let Some(Some(transmit)) = polled else { break };
            socket.send(departure(&transmit), &buffer[..transmit.size]);
            writes += 1;
        }
        self.scratch = buffer;
        self.socket = Some(socket);
        self.settle(key, now);
        writes
    }

    fn adjust_window(&mut self, key: usize, now: Instant) {
        let share = self.share();
        self.with(key, |connection| connection.adjust_window(share, now));
    }
}
