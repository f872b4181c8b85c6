//! Two endpoints in memory, on a network with delay and loss, in virtual time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quictunnel_quinn::{Connection, Datagram, Endpoint, Event, Incoming, Settings};

use crate::fixtures::{certificate, settings};

/// Virtual time after which a test fails.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A host: an endpoint, its latest connection, and that connection's events and data.
pub(crate) struct Host {
    pub(crate) endpoint: Endpoint,
    pub(crate) address: SocketAddr,
    pub(crate) key: Option<usize>,
    pub(crate) events: Vec<Event>,
    pub(crate) received: Vec<u8>,
    /// Whether streams are read when they become readable.
    pub(crate) is_reading: bool,
    inbox: VecDeque<(Instant, Datagram)>,
}

impl Host {
    pub(crate) fn new(settings: Settings, address: &str) -> Self {
        Self {
            endpoint: Endpoint::new(settings).expect("valid settings"),
            address: address.parse().expect("an address"),
            key: None,
            events: Vec::new(),
            received: Vec::new(),
            is_reading: true,
            inbox: VecDeque::new(),
        }
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        let key = self.key.expect("there is a connection");
        self.endpoint.connection(key).expect("the connection exists")
    }

    pub(crate) fn has_seen(&self, event: &Event) -> bool {
        self.events.contains(event)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Closed(_)))
    }

    /// Collect the connection's events, and read.
    fn dispatch(&mut self) {
        let Some(key) = self.key else { return };
        while let Some(Some(event)) = self.endpoint.with(key, Connection::next_event) {
            if let (Event::Readable(stream), true) = (&event, self.is_reading) {
                self.read(*stream);
            }
            self.events.push(event);
        }
    }

    pub(crate) fn read(&mut self, stream: u64) {
        loop {
            let read = self.connection().read(stream, 64 * 1024);
            for chunk in &read.chunks {
                self.received.extend_from_slice(chunk);
            }
            if read.fin || read.size < 64 * 1024 {
                return;
            }
        }
    }
}

/// Both hosts, and the network between them.
pub(crate) struct Network {
    pub(crate) client: Host,
    pub(crate) server: Host,
    pub(crate) now: Instant,
    pub(crate) delay: Duration,
    /// Every datagram whose number is a multiple of this is lost. 0 for no loss.
    pub(crate) lose_every: u64,
    pub(crate) is_cut: bool,
    /// The server's decision about incoming connections.
    pub(crate) decide: fn(&mut Endpoint, Incoming, Instant) -> Option<usize>,
    sent: u64,
}

pub(crate) fn accept(endpoint: &mut Endpoint, incoming: Incoming, now: Instant) -> Option<usize> {
    endpoint.accept(incoming, now)
}

impl Network {
    pub(crate) fn new() -> Self {
        let (chain, key) = certificate();
        let mut server = Host::new(settings(true), "192.0.2.2:9001");
        server.endpoint.set_certificate(&chain, &key).expect("a valid certificate");
        Self {
            client: Host::new(settings(false), "192.0.2.1:5555"),
            server,
            now: Instant::now(),
            delay: Duration::from_millis(10),
            lose_every: 0,
            is_cut: false,
            decide: accept,
            sent: 0,
        }
    }

    /// Return a network whose hosts are connected and trust each other.
    pub(crate) fn connected() -> Self {
        let mut network = Self::new();
        network.connect();
        network.run_until(|net| net.server.has_seen(&Event::Handshake));
        network.trust();
        network
    }

    /// Let both hosts trust each other.
    pub(crate) fn trust(&mut self) {
        for host in [&mut self.client, &mut self.server] {
            let key = host.key.expect("there is a connection");
            host.endpoint.trust(key);
        }
    }

    pub(crate) fn connect(&mut self) {
        let (peer, now) = (self.server.address, self.now);
        let key = self.client.endpoint.connect(peer, "localhost", now);
        self.client.key = Some(key.expect("a valid name and address"));
    }

    pub(crate) fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let end = self.now + TIMEOUT;
        while !done(self) {
            assert!(self.now < end, "timeout; client events: {:?}", self.client.events);
            self.step();
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// Advance by one millisecond.
    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        for is_client in [true, false] {
            let sent = self.turn(is_client);
            let (host, other) = if is_client {
                (&self.client, &mut self.server)
            } else {
                (&self.server, &mut self.client)
            };
            for datagram in sent {
                self.sent += 1;
                let is_lost = self.lose_every > 0 && self.sent.wrapping_rem(self.lose_every) == 0;
                if is_lost || self.is_cut || datagram.peer != other.address {
                    continue;
                }
                let arrival = Datagram { peer: host.address, local: None, data: datagram.data };
                other.inbox.push_back((self.now + self.delay, arrival));
            }
        }
    }

    /// Give both hosts a turn with their sockets, in real time.
    pub(crate) fn turn_with_sockets(&mut self) {
        self.now = Instant::now();
        for is_client in [true, false] {
            let host = if is_client { &mut self.client } else { &mut self.server };
            host.endpoint.receive_ready(self.now).expect("no ICMP error");
            assert!(self.turn(is_client).is_empty(), "datagrams go through the socket");
        }
    }

    /// Give one host a turn. Return the datagrams it sends.
    fn turn(&mut self, is_client: bool) -> Vec<Datagram> {
        let (now, decide) = (self.now, self.decide);
        let host = if is_client { &mut self.client } else { &mut self.server };
        while host.inbox.front().is_some_and(|(at, _)| *at <= now) {
            let (_, datagram) = host.inbox.pop_front().expect("a datagram");
            host.endpoint.receive(&datagram, now);
        }
        let (_, incoming) = host.endpoint.take_received(now);
        for incoming in incoming {
            host.key = decide(&mut host.endpoint, incoming, now).or(host.key);
        }
        let mut sent = host.endpoint.take_responses();
        if let Some(key) = host.key {
            let due = host.endpoint.connection(key).and_then(Connection::deadline);
            if due.is_some_and(|due| due <= now) {
                host.endpoint.expire(key, now);
            }
            host.dispatch();
            if !host.endpoint.has_socket() {
                sent.extend(host.endpoint.transmit(key, now));
            } else if host.endpoint.flush() {
                host.endpoint.send(key, now);
            }
        }
        sent.extend(host.endpoint.take_carried());
        sent
    }
}
