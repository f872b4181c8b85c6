//! Two endpoints joined in memory, over a network with delay and loss, in simulated time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quictunnel_quinn::{Congestion, Datagram, Endpoint, Happening, Newcomer, Settings};

/// Longer than any test may take, in simulated time.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn settings(accepts: bool) -> Settings {
    Settings {
        alpn: "quictunnel/1".to_owned(),
        hold: Duration::from_secs(900),
        streams: 16,
        unread_limit: 256 * 1024 * 1024,
        congestion: Congestion::Cubic,
        reset_key: None,
        accepts,
    }
}

/// A self-signed certificate and its key, as DER.
pub(crate) fn certificate() -> (Vec<Vec<u8>>, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    (vec![made.cert.der().to_vec()], made.signing_key.serialize_der())
}

/// One end: an endpoint, its connection once there is one, and what was told of it.
pub(crate) struct End {
    pub(crate) endpoint: Endpoint,
    pub(crate) address: SocketAddr,
    pub(crate) key: Option<usize>,
    pub(crate) told: Vec<Happening>,
    pub(crate) received: Vec<u8>,
    /// Read what comes.
    pub(crate) reads: bool,
    inbox: VecDeque<(Instant, Datagram)>,
}

impl End {
    pub(crate) fn new(settings: Settings, address: &str) -> Self {
        Self {
            endpoint: Endpoint::new(settings).expect("settings that QUIC can express"),
            address: address.parse().expect("an address"),
            key: None,
            told: Vec::new(),
            received: Vec::new(),
            reads: true,
            inbox: VecDeque::new(),
        }
    }

    pub(crate) fn connection(&mut self) -> &mut quictunnel_quinn::Connection {
        let key = self.key.expect("there is a connection");
        self.endpoint.connection(key).expect("it is known")
    }

    pub(crate) fn was_told(&self, happening: &Happening) -> bool {
        self.told.contains(happening)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.told.iter().any(|happening| matches!(happening, Happening::Closed(_)))
    }

    /// Learn what has happened, reading what there is.
    fn dispatch(&mut self) {
        let Some(key) = self.key else { return };
        while let Some(Some(happening)) =
            self.endpoint.with(key, quictunnel_quinn::Connection::next_happening)
        {
            if let (Happening::Readable(stream), true) = (&happening, self.reads) {
                self.read(*stream);
            }
            self.told.push(happening);
        }
    }

    pub(crate) fn read(&mut self, stream: u64) {
        loop {
            let taken = self.connection().read(stream, 64 * 1024);
            for piece in &taken.pieces {
                self.received.extend_from_slice(piece);
            }
            if taken.fin || taken.size < 64 * 1024 {
                return;
            }
        }
    }
}

/// Both ends and what is between them.
pub(crate) struct Network {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) now: Instant,
    pub(crate) delay: Duration,
    /// Every so manieth datagram is lost; 0: none is.
    pub(crate) loses_each: u64,
    pub(crate) is_cut: bool,
    /// What the server does with newcomers.
    pub(crate) welcome: fn(&mut Endpoint, Newcomer, Instant) -> Option<usize>,
    sent: u64,
}

pub(crate) fn let_in(endpoint: &mut Endpoint, newcomer: Newcomer, now: Instant) -> Option<usize> {
    endpoint.accept(newcomer, now)
}

impl Network {
    pub(crate) fn new() -> Self {
        let (chain, key) = certificate();
        let mut server = End::new(settings(true), "192.0.2.2:9001");
        server.endpoint.set_certificate(&chain, &key).expect("a good certificate");
        Self {
            client: End::new(settings(false), "192.0.2.1:5555"),
            server,
            now: Instant::now(),
            delay: Duration::from_millis(10),
            loses_each: 0,
            is_cut: false,
            welcome: let_in,
            sent: 0,
        }
    }

    /// A pair that has shaken hands and whose ends trust each other.
    pub(crate) fn connected() -> Self {
        let mut network = Self::new();
        network.connect();
        network.run_until(|net| net.server.was_told(&Happening::Handshake));
        for end in [&mut network.client, &mut network.server] {
            let key = end.key.expect("there is a connection");
            end.endpoint.trust(key);
        }
        network
    }

    pub(crate) fn connect(&mut self) {
        let (peer, now) = (self.server.address, self.now);
        let begun = self.client.endpoint.connect(peer, "localhost", now);
        self.client.key = Some(begun.expect("a name and an address"));
    }

    pub(crate) fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        let end = self.now + LIMIT;
        while !done(self) {
            assert!(self.now < end, "not in time; told: {:?}", self.client.told);
            self.step();
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// Let a millisecond go by.
    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        for is_client in [true, false] {
            let leaving = self.turn(is_client);
            let (end, other) = if is_client {
                (&self.client, &mut self.server)
            } else {
                (&self.server, &mut self.client)
            };
            for datagram in leaving {
                self.sent += 1;
                let is_lost = self.loses_each > 0 && self.sent.wrapping_rem(self.loses_each) == 0;
                if is_lost || self.is_cut || datagram.peer != other.address {
                    continue;
                }
                let arrival = Datagram { peer: end.address, local: None, data: datagram.data };
                other.inbox.push_back((self.now + self.delay, arrival));
            }
        }
    }

    /// Let both ends do what is due with the sockets that they have, at the time that it is.
    pub(crate) fn turn_with_sockets(&mut self) {
        self.now = Instant::now();
        for is_client in [true, false] {
            let end = if is_client { &mut self.client } else { &mut self.server };
            end.endpoint.receive_ready(self.now).expect("nobody refuses");
            assert!(self.turn(is_client).is_empty(), "it went through the socket");
        }
    }

    /// Let one end do what is due; return what it sends.
    fn turn(&mut self, is_client: bool) -> Vec<Datagram> {
        let (now, welcome) = (self.now, self.welcome);
        let end = if is_client { &mut self.client } else { &mut self.server };
        while end.inbox.front().is_some_and(|(at, _)| *at <= now) {
            let (_, datagram) = end.inbox.pop_front().expect("there is one");
            end.endpoint.receive(&datagram, now);
        }
        let (_, newcomers) = end.endpoint.arrived(now);
        for newcomer in newcomers {
            end.key = welcome(&mut end.endpoint, newcomer, now).or(end.key);
        }
        let mut leaving = end.endpoint.answers();
        if let Some(key) = end.key {
            let due = end.endpoint.connection(key).and_then(quictunnel_quinn::Connection::deadline);
            if due.is_some_and(|due| due <= now) {
                end.endpoint.expire(key, now);
            }
            end.dispatch();
            if !end.endpoint.has_socket() {
                leaving.extend(end.endpoint.transmit(key, now));
            } else if end.endpoint.flush() {
                end.endpoint.send(key, now);
            }
        }
        leaving
    }
}
