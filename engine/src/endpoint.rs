//! All connections of one UDP socket: who a datagram is for, who is let in, and what goes out.
//!
//! Sans-IO at heart: `receive` and `transmit` move datagrams by hand, for any carrier. With a socket
//! attached, `receive_ready` and `send` do the same in batches, with no copy in between.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, ConnectionHandle, DatagramEvent, EcnCodepoint, EndpointConfig, IdleTimeout,
    Incoming, MtuDiscoveryConfig, ServerConfig, Transmit, TransportConfig, VarInt,
};
use slab::Slab;

use crate::congestion::{Congestion, Watch, WatchedFactory};
use crate::connection::{Connection, INITIAL_RTT};
use crate::socket::{Arrival, Departure, Socket};
use crate::tls;
use crate::window::{LINK_WINDOW_UNPROVEN, STREAM_WINDOW};

/// UDP payload that every path carries (RFC 9000, 14), ...
const BASE_MTU: u16 = 1200;

/// ... and what is searched for: Ethernet's 1500 bytes less IPv6's and UDP's headers.
const MTU_MAX: u16 = 1452;

/// What a connection may keep unread at the least, however many share the limit.
const SHARE_MIN: u64 = 64 * 1024;

/// QUIC version 1 (RFC 9000), and no draft of it.
const VERSION: u32 = 1;

/// quinn's send window before the congestion window is known.
const SEND_WINDOW: u64 = 1024 * 1024;

/// A datagram: payload, the peer's address, and our own where it is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Datagram {
    /// The UDP payload.
    pub data: Vec<u8>,
    /// Where it comes from, or goes to.
    pub peer: SocketAddr,
    /// The local address that it came to, or is to leave from.
    pub local: Option<IpAddr>,
}

impl Datagram {
    fn of(transmit: &Transmit, data: &[u8]) -> Self {
        Self { data: data.to_vec(), peer: transmit.destination, local: transmit.src_ip }
    }

    fn departure(&self) -> Departure {
        Departure { destination: self.peer, ecn: None, segment_size: None, src_ip: self.local }
    }
}

/// What is the same for all connections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The application protocol (RFC 7301).
    pub alpn: String,
    /// How long a silent connection is kept.
    pub hold: Duration,
    /// How many streams a peer may have open at first.
    pub streams: u64,
    /// Bytes that all connections together may hold unread before their peers are slowed.
    pub unread_limit: u64,
    /// Who decides how much may be in flight.
    pub congestion: Congestion,
    /// Whether others may begin connections here.
    pub accepts: bool,
}

/// Somebody who wants a connection and waits to hear.
pub struct Newcomer(Incoming);

impl Newcomer {
    /// Whether it has shown that its address is its own (RFC 9000, 8.1).
    #[must_use]
    pub fn is_validated(&self) -> bool {
        self.0.remote_address_validated()
    }

    /// Where it comes from.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.remote_address()
    }
}

/// The connections of one socket. They are known by keys, which may be used again once a connection
/// has been removed.
pub struct Endpoint {
    quinn: quinn_proto::Endpoint,
    settings: Settings,
    client: Arc<QuicClientConfig>,
    server: Option<Arc<QuicServerConfig>>,
    connections: Slab<Connection>,
    keys: HashMap<ConnectionHandle, usize>,
    proven: u64,
    touched: Vec<usize>,
    newcomers: Vec<Newcomer>,
    answers: Vec<Datagram>,
    socket: Option<Socket>,
    scratch: Vec<u8>,
}

impl Endpoint {
    /// An endpoint without a socket.
    ///
    /// # Errors
    /// In words: settings that QUIC cannot express.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let mut config = EndpointConfig::default();
        config.supported_versions(vec![VERSION]);
        let idle = IdleTimeout::try_from(settings.hold);
        idle.map_err(|_| "the hold is too long for QUIC".to_owned())?;
        Ok(Self {
            quinn: quinn_proto::Endpoint::new(Arc::new(config), None, true, None),
            client: tls::client(&settings.alpn)?,
            server: None,
            settings,
            connections: Slab::new(),
            keys: HashMap::new(),
            proven: 0,
            touched: Vec::new(),
            newcomers: Vec::new(),
            answers: Vec::new(),
            socket: None,
            scratch: Vec::with_capacity(65_536),
        })
    }

    /// Show this certificate to those who come from now on: DER, the leaf first, its key as PKCS #8.
    ///
    /// # Errors
    /// In words: a key of a kind that cannot be used, or that is not the certificate's.
    pub fn set_certificate(&mut self, chain: &[Vec<u8>], key: &[u8]) -> Result<(), String> {
        let crypto = tls::server(&self.settings.alpn, chain, key)?;
        self.server = Some(crypto.clone());
        if self.settings.accepts {
            let mut config = ServerConfig::with_crypto(crypto);
            config.transport_config(Arc::new(self.transport(Arc::default())));
            self.quinn.set_server_config(Some(Arc::new(config)));
        }
        Ok(())
    }

    /// Begin a connection; `name` is what the peer's certificate is asked to bear.
    ///
    /// # Errors
    /// In words: an address or a name that nobody can have.
    pub fn connect(&mut self, peer: SocketAddr, name: &str, now: Instant) -> Result<usize, String> {
        let watch = Arc::new(Watch::default());
        let mut config = ClientConfig::new(self.client.clone());
        config.transport_config(Arc::new(self.transport(watch.clone())));
        let begun = self.quinn.connect(now, config, peer, name);
        let (handle, quinn) = begun.map_err(|error| error.to_string())?;
        Ok(self.add(handle, quinn, watch, now))
    }

    /// Let a newcomer in. None, if its first packet proves to be no good.
    pub fn accept(&mut self, newcomer: Newcomer, now: Instant) -> Option<usize> {
        let Some(crypto) = self.server.clone() else {
            self.ignore(newcomer);
            return None;
        };
        let watch = Arc::new(Watch::default());
        let mut config = ServerConfig::with_crypto(crypto);
        config.transport_config(Arc::new(self.transport(watch.clone())));
        self.scratch.clear();
        let accepted =
            self.quinn.accept(newcomer.0, now, &mut self.scratch, Some(Arc::new(config)));
        match accepted {
            Ok((handle, quinn)) => {
                let key = self.add(handle, quinn, watch, now);
                self.settle(key, now);
                // quinn starts no timer for who opens with a close: it would be kept for the hold.
                if self.connections.get(key).is_none_or(Connection::has_ended) {
                    self.remove(key);
                    return None;
                }
                Some(key)
            }
            Err(error) => {
                if let Some(response) = error.response {
                    self.respond(&response);
                }
                None
            }
        }
    }

    /// Ask a newcomer to show that its address is its own (RFC 9000, 8.1.2); nothing is kept.
    pub fn retry(&mut self, newcomer: Newcomer) {
        self.scratch.clear();
        match self.quinn.retry(newcomer.0, &mut self.scratch) {
            Ok(response) => self.respond(&response),
            Err(error) => self.quinn.ignore(error.into_incoming()), // it was asked before
        }
    }

    /// Leave a newcomer without an answer.
    pub fn ignore(&mut self, newcomer: Newcomer) {
        self.quinn.ignore(newcomer.0);
    }

    fn add(
        &mut self,
        handle: ConnectionHandle,
        quinn: quinn_proto::Connection,
        watch: Arc<Watch>,
        now: Instant,
    ) -> usize {
        let (hold, streams) = (self.settings.hold, self.settings.streams);
        let connection = Connection::new(handle, quinn, watch, hold, streams, now);
        let key = self.connections.insert(connection);
        self.keys.insert(handle, key);
        key
    }

    fn transport(&self, watch: Arc<Watch>) -> TransportConfig {
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.upper_bound(MTU_MAX);
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(varint(self.settings.streams))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .stream_receive_window(varint(STREAM_WINDOW))
            .receive_window(varint(LINK_WINDOW_UNPROVEN))
            .send_window(SEND_WINDOW)
            .initial_rtt(INITIAL_RTT)
            .initial_mtu(BASE_MTU)
            .mtu_discovery_config(Some(mtu))
            .max_idle_timeout(IdleTimeout::try_from(self.settings.hold).ok())
            .congestion_controller_factory(Arc::new(WatchedFactory {
                algorithm: self.settings.congestion,
                watch,
            }));
        transport
    }

    // Connections

    /// The connection with that key.
    pub fn connection(&mut self, key: usize) -> Option<&mut Connection> {
        self.connections.get_mut(key)
    }

    /// How many connections datagrams are led to.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.keys.len()
    }

    /// Do something with a connection; if the engine fails in it, the connection is given up.
    pub fn with<R>(&mut self, key: usize, act: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        let connection = self.connections.get_mut(key)?;
        match catch_unwind(AssertUnwindSafe(|| act(connection))) {
            Ok(result) => Some(result),
            Err(panic) => {
                connection.break_down(words_of(&*panic));
                None
            }
        }
    }

    /// Grant the peer the normal windows: it has proven who it is.
    pub fn trust(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key) {
            if !connection.is_proven && !connection.is_terminated() {
                connection.is_proven = true;
                self.proven += 1;
            }
        }
    }

    /// Lead nothing to the connection any more.
    pub fn forget(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.is_forgotten = true;
        if std::mem::take(&mut connection.is_proven) {
            self.proven -= 1;
        }
        let handle = connection.handle;
        // quinn gives the handle of one that is drained to the next one who comes.
        if self.keys.get(&handle) == Some(&key) {
            self.keys.remove(&handle);
            self.quinn.handle_event(handle, quinn_proto::EndpointEvent::drained());
        }
    }

    /// Forget the connection, and its key.
    pub fn remove(&mut self, key: usize) {
        self.forget(key);
        self.connections.try_remove(key);
    }

    /// Let the timers of a connection fire.
    pub fn expire(&mut self, key: usize, now: Instant) {
        self.with(key, |connection| connection.expire(now));
        self.settle(key, now);
    }

    /// Exchange what a connection and quinn's endpoint have to tell each other, and learn of the
    /// rest.
    pub fn settle(&mut self, key: usize, now: Instant) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        while let Some(event) = connection.quinn.poll_endpoint_events() {
            if connection.is_forgotten {
                continue;
            }
            let is_over = event.is_drained();
            if let Some(reply) = self.quinn.handle_event(connection.handle, event) {
                connection.quinn.handle_event(reply);
            }
            if is_over {
                self.keys.remove(&connection.handle);
                if std::mem::take(&mut connection.is_proven) {
                    self.proven -= 1;
                }
            }
        }
        self.with(key, |connection| connection.collect(now));
    }

    /// This connection's part of what may be unread.
    fn share(&self) -> u64 {
        (self.settings.unread_limit / self.proven.max(1)).max(SHARE_MIN)
    }

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
        match self.quinn.handle(now, remote, local_ip, ecn, data, &mut self.scratch) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let Some(&key) = self.keys.get(&handle) else { return };
                self.with(key, |connection| connection.quinn.handle_event(event));
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
    fn respond(&mut self, transmit: &Transmit) {
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

    // The socket

    /// Use a duplicate of `descriptor`, a bound or connected UDP socket, in place of the one before.
    ///
    /// # Errors
    /// The kernel's.
    pub fn attach(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.socket = Some(Socket::over(descriptor)?);
        Ok(())
    }

    /// Let go of the socket.
    pub fn detach(&mut self) {
        self.socket = None;
    }

    /// Whether there is a socket.
    #[must_use]
    pub const fn has_socket(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether the kernel takes no more for the moment.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.socket.as_ref().is_some_and(Socket::is_full)
    }

    /// Send what the kernel did not take; return whether all of it is gone.
    pub fn flush(&mut self) -> bool {
        self.socket.as_mut().is_none_or(Socket::flush)
    }
}

fn departure(transmit: &Transmit) -> Departure {
    Departure {
        destination: transmit.destination,
        ecn: transmit.ecn,
        segment_size: transmit.segment_size,
        src_ip: transmit.src_ip,
    }
}

fn varint(value: u64) -> VarInt {
    VarInt::from_u64(value).unwrap_or(VarInt::MAX)
}

/// What a panic has said.
pub(crate) fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the engine has failed: {}", words.unwrap_or("it does not say how"))
}
