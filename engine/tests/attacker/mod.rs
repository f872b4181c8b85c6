//! A peer that sends any frames. It takes part in a handshake as a quinn client, keeps the keys, and
//! from then on seals packets of its own.
#![allow(dead_code)] // each user needs a part of it

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quictunnel_quinn::{Connection, Datagram, Endpoint, Event, PeerLimits, Settings};
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::crypto::{
    self, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{
    ConnectError, ConnectionHandle, ConnectionId, DatagramEvent, EndpointConfig, Side,
    TransportError, VarInt,
};

use crate::fixtures::{certificate, settings};

/// Bytes of the connection IDs that the engine chooses.
const ID_SIZE: usize = 8;

/// Bytes of the packet numbers that the attacker writes.
const NUMBER_SIZE: usize = 4;

/// Bytes that fit one datagram, at most.
pub(crate) const DATAGRAM: usize = 1452;

/// Bytes of frames that fit one packet with a short header.
pub(crate) const FRAMES: usize = DATAGRAM - 1 - ID_SIZE - NUMBER_SIZE - 16;

/// Indices of the spaces' keys.
const HANDSHAKE: usize = 1;
const ONE_RTT: usize = 2;

pub(crate) const SERVER: &str = "192.0.2.2:9001";
pub(crate) const ATTACKER: &str = "192.0.2.66:6666";

// Keys

type SharedPacketKey = Arc<dyn PacketKey>;
type SharedHeaderKey = Arc<dyn HeaderKey>;

/// The keys of one packet number space, of both directions.
#[derive(Clone)]
struct SpaceKeys {
    header: SharedHeaderKey,
    header_of_peer: SharedHeaderKey,
    packet: SharedPacketKey,
}

/// The keys of a session, as they become known: Initial, Handshake, 1-RTT, and those after key
/// updates.
#[derive(Default)]
struct Captured {
    spaces: Vec<SpaceKeys>,
    updates: Vec<SharedPacketKey>,
}

struct SharedKey<T: ?Sized>(Arc<T>);

impl HeaderKey for SharedKey<dyn HeaderKey> {
    fn decrypt(&self, pn_offset: usize, packet: &mut [u8]) {
        self.0.decrypt(pn_offset, packet);
    }
    fn encrypt(&self, pn_offset: usize, packet: &mut [u8]) {
        self.0.encrypt(pn_offset, packet);
    }
    fn sample_size(&self) -> usize {
        self.0.sample_size()
    }
}

impl PacketKey for SharedKey<dyn PacketKey> {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        self.0.encrypt(packet, buf, header_len);
    }
    fn decrypt(&self, packet: u64, header: &[u8], body: &mut BytesMut) -> Result<(), CryptoError> {
        self.0.decrypt(packet, header, body)
    }
    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }
    fn confidentiality_limit(&self) -> u64 {
        self.0.confidentiality_limit()
    }
    fn integrity_limit(&self) -> u64 {
        self.0.integrity_limit()
    }
}

/// Starts TLS sessions whose keys are captured.
struct CapturingConfig {
    inner: Arc<QuicClientConfig>,
    captured: Arc<Mutex<Captured>>,
}

impl crypto::ClientConfig for CapturingConfig {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let inner = self.inner.clone().start_session(version, server_name, params)?;
        Ok(Box::new(CapturingSession { inner, captured: self.captured.clone() }))
    }
}

struct CapturingSession {
    inner: Box<dyn Session>,
    captured: Arc<Mutex<Captured>>,
}

impl CapturingSession {
    fn capture(&self, is_initial: bool, Keys { header, packet }: Keys) -> Keys {
        let (local, remote) = (SharedHeaderKey::from(header.local), header.remote.into());
        let key = SharedPacketKey::from(packet.local);
        let captured = SpaceKeys {
            header: local.clone(),
            header_of_peer: Arc::clone(&remote),
            packet: key.clone(),
        };
        let spaces = &mut self.captured.lock().expect("no panic").spaces;
        if is_initial {
            spaces.clear(); // after a Retry, they are those of another connection ID
        }
        spaces.push(captured);
        let header = KeyPair {
            local: Box::new(SharedKey(local)) as Box<dyn HeaderKey>,
            remote: Box::new(SharedKey(remote)) as Box<dyn HeaderKey>,
        };
        let local = Box::new(SharedKey(key)) as Box<dyn PacketKey>;
        Keys { header, packet: KeyPair { local, remote: packet.remote } }
    }
}

impl Session for CapturingSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.capture(true, self.inner.initial_keys(dst_cid, side))
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        self.inner.write_handshake(buf).map(|keys| self.capture(false, keys))
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let KeyPair { local, remote } = self.inner.next_1rtt_keys()?;
        let key = SharedPacketKey::from(local);
        self.captured.lock().expect("no panic").updates.push(key.clone());
        Some(KeyPair { local: Box::new(SharedKey(key)), remote })
    }

    fn handshake_data(&self) -> Option<Box<dyn std::any::Any>> {
        self.inner.handshake_data()
    }
    fn peer_identity(&self) -> Option<Box<dyn std::any::Any>> {
        self.inner.peer_identity()
    }
    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }
    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }
    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }
    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.inner.read_handshake(buf)
    }
    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }
    fn is_valid_retry(&self, dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(dst_cid, header, payload)
    }
    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}

/// Return a TLS configuration that expects this certificate.
fn client_config(certificate: &[u8]) -> Arc<QuicClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.to_vec().into()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring knows TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"quictunnel/1".to_vec()];
    Arc::new(QuicClientConfig::try_from(config).expect("a cipher suite for Initial packets"))
}

// The attacker

/// A client that has, or gets, the keys of a connection.
pub(crate) struct Attacker {
    pub(crate) address: SocketAddr,
    endpoint: quinn_proto::Endpoint,
    handle: ConnectionHandle,
    connection: quinn_proto::Connection,
    captured: Arc<Mutex<Captured>>,
    /// The server's connection ID, once a packet was sent to it.
    server_id: Vec<u8>,
    /// Header of the latest Initial packet: from its second byte to the end of the source connection
    /// ID. That of a Handshake packet is the same.
    long_header: Vec<u8>,
    /// Number of the next packet that is sealed.
    number: u64,
    /// Packet numbers of the server's packets with a short header. quinn leaves numbers out, and
    /// closes a connection that acknowledges those.
    pub(crate) seen: BTreeSet<u64>,
    /// Key updates made so far.
    updates: usize,
}

impl Attacker {
    pub(crate) fn new(address: &str, certificate: &[u8], now: Instant) -> Self {
        let captured = Arc::new(Mutex::new(Captured::default()));
        let inner = client_config(certificate);
        let config = CapturingConfig { inner, captured: captured.clone() };
        let mut config = quinn_proto::ClientConfig::new(Arc::new(config));
        config.version(1);
        let mut endpoint =
            quinn_proto::Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
        let server = SERVER.parse().expect("an address");
        let (handle, connection) =
            endpoint.connect(now, config, server, "localhost").expect("a valid name and address");
        Self {
            address: address.parse().expect("an address"),
            endpoint,
            handle,
            connection,
            captured,
            server_id: Vec::new(),
            long_header: Vec::new(),
            number: 1000,
            seen: BTreeSet::new(),
            updates: 0,
        }
    }

    /// Whether it can seal packets.
    pub(crate) fn is_ready(&self) -> bool {
        !self.connection.is_handshaking() && !self.server_id.is_empty()
    }

    /// Return what an honest client would send now.
    pub(crate) fn transmit(&mut self, now: Instant) -> Vec<Datagram> {
        let (mut sent, mut buffer) = (Vec::new(), Vec::new());
        while let Some(transmit) = self.connection.poll_transmit(now, 1, &mut buffer) {
            let data = buffer[..transmit.size].to_vec();
            if data[0] & 0x80 == 0 {
                self.server_id = data[1..=ID_SIZE].to_vec();
            } else {
                let source = 6 + usize::from(data[5]);
                self.long_header = data[1..=source + usize::from(data[source])].to_vec();
            }
            sent.push(self.datagram(data));
            buffer.clear();
        }
        sent
    }

    pub(crate) fn receive(&mut self, data: &[u8], now: Instant) {
        self.read_number(data);
        let server = SERVER.parse().expect("an address");
        let (data, mut buffer) = (BytesMut::from(data), Vec::new());
        let handled = self.endpoint.handle(now, server, None, None, data, &mut buffer);
        if let Some(DatagramEvent::ConnectionEvent(_, event)) = handled {
            self.connection.handle_event(event);
        }
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(reply) = self.endpoint.handle_event(self.handle, event) {
                self.connection.handle_event(reply);
            }
        }
        while self.connection.poll().is_some() {}
    }

    /// Remember the server's packet number, so that it can be acknowledged.
    fn read_number(&mut self, data: &[u8]) {
        let captured = self.captured.lock().expect("no panic");
        let Some(keys) = captured.spaces.get(ONE_RTT) else { return };
        let offset = 1 + ID_SIZE;
        if data[0] & 0x80 != 0 || data.len() < offset + 20 {
            return;
        }
        let mut data = data.to_vec();
        keys.header_of_peer.decrypt(offset, &mut data);
        let size = usize::from(data[0] & 3) + 1;
        let truncated = data[offset..offset + size].iter().fold(0, |n, &b| n << 8 | u64::from(b));
        let (window, largest) = (1 << (8 * size), self.seen.last().copied().unwrap_or(0));
        let mut number = (largest & !(window - 1)) | truncated;
        if number + window / 2 < largest {
            number += window;
        }
        self.seen.insert(number);
    }

    /// Return an ACK frame of all packets that were received, or of the latest thousands.
    pub(crate) fn ack(&self) -> Option<Vec<u8>> {
        let mut numbers = self.seen.iter().rev().copied();
        let largest = numbers.next()?;
        let mut ranges = vec![(largest, largest)];
        for number in numbers {
            let last = ranges.len() - 1;
            if ranges[last].0 == number + 1 {
                ranges[last].0 = number;
            } else if ranges.len() < 200 {
                ranges.push((number, number));
            } else {
                break;
            }
        }
        let mut integers = vec![largest, 0, ranges.len() as u64 - 1, largest - ranges[0].0];
        for pair in ranges.windows(2) {
            integers.extend([pair[0].0 - pair[1].1 - 2, pair[1].1 - pair[1].0]);
        }
        Some(frame(0x02, &integers))
    }

    pub(crate) fn datagram(&self, data: Vec<u8>) -> Datagram {
        Datagram { data, peer: self.address, local: None }
    }

    /// Make a key update (RFC 9001, 6) before the next packet, if its keys are known.
    pub(crate) fn update_keys(&mut self) {
        if self.captured.lock().expect("no panic").updates.len() <= self.updates {
            self.connection.force_key_update();
        }
        let known = self.captured.lock().expect("no panic").updates.len();
        self.updates = (self.updates + 1).min(known);
    }

    /// Return a packet with a short header that contains these frames.
    pub(crate) fn seal(&mut self, frames: &[u8]) -> Datagram {
        let captured = self.captured.lock().expect("no panic");
        let keys = captured.spaces.get(ONE_RTT).expect("the handshake is complete").clone();
        let packet = match self.updates {
            0 => keys.packet.clone(),
            updates => captured.updates[updates - 1].clone(),
        };
        drop(captured);
        let phase = (self.updates as u8 & 1) << 2;
        let mut header = vec![0x40 | phase | (NUMBER_SIZE as u8 - 1)];
        header.extend_from_slice(&self.server_id);
        let data = self.protect(header, frames, &*packet, &*keys.header);
        self.datagram(data)
    }

    /// Return an Initial or Handshake packet that contains these frames, or None before its keys or
    /// its connection ID are known.
    pub(crate) fn seal_long(&mut self, is_handshake: bool, frames: &[u8]) -> Option<Datagram> {
        let space = if is_handshake { HANDSHAKE } else { 0 };
        let keys = self.captured.lock().expect("no panic").spaces.get(space)?.clone();
        if self.long_header.is_empty() {
            return None;
        }
        let mut header = vec![0xc0 | (space as u8) << 5 | (NUMBER_SIZE as u8 - 1)];
        header.extend_from_slice(&self.long_header);
        if !is_handshake {
            header.push(0); // no token
        }
        put(&mut header, (NUMBER_SIZE + frames.len() + keys.packet.tag_len()) as u64);
        let data = self.protect(header, frames, &*keys.packet, &*keys.header);
        Some(self.datagram(data))
    }

    fn protect(
        &mut self,
        mut data: Vec<u8>,
        frames: &[u8],
        packet: &dyn PacketKey,
        header: &dyn HeaderKey,
    ) -> Vec<u8> {
        let offset = data.len();
        data.extend_from_slice(&(self.number as u32).to_be_bytes());
        let size = data.len();
        data.extend_from_slice(frames);
        data.resize(data.len() + packet.tag_len(), 0);
        packet.encrypt(self.number, &mut data, size);
        header.encrypt(offset, &mut data);
        self.number += 1;
        data
    }
}

// The attacked endpoint

/// A key that no connection has.
pub(crate) const NO_CONNECTION: usize = usize::MAX;

/// An endpoint under attack, without delay or loss, in virtual time.
pub(crate) struct Siege {
    pub(crate) server: Endpoint,
    pub(crate) attacker: Attacker,
    pub(crate) now: Instant,
    /// The attacked connection, or `NO_CONNECTION` before it was accepted.
    pub(crate) key: usize,
    pub(crate) events: Vec<Event>,
    certificate: Vec<u8>,
}

impl Siege {
    /// Return an endpoint with one connection, of an attacker who is not trusted.
    pub(crate) fn new(limits: PeerLimits) -> Self {
        let mut siege = Self::prepared(limits, &certificate());
        siege.key = siege.handshake();
        siege
    }

    /// Return an endpoint with this certificate, and an attacker that has sent nothing.
    pub(crate) fn prepared(limits: PeerLimits, (chain, private): &(Vec<Vec<u8>>, Vec<u8>)) -> Self {
        let settings = Settings { limits, ..settings(true) };
        let mut server = Endpoint::new(settings).expect("valid settings");
        server.set_certificate(chain, private).expect("a valid certificate");
        let now = Instant::now();
        let attacker = Attacker::new(ATTACKER, &chain[0], now);
        let certificate = chain[0].clone();
        Self { server, attacker, now, key: NO_CONNECTION, events: Vec::new(), certificate }
    }

    /// Let the attacker connect, in place of its previous connection, which stays.
    pub(crate) fn connect(&mut self, address: &str) {
        self.attacker = Attacker::new(address, &self.certificate, self.now);
        self.key = self.handshake();
    }

    /// Let the attacker complete its handshake. Return the connection's key.
    pub(crate) fn handshake(&mut self) -> usize {
        self.key = NO_CONNECTION;
        for _ in 0..20 {
            self.step();
        }
        assert!(self.attacker.is_ready(), "the handshake takes a few round trips");
        self.key
    }

    /// Let a millisecond pass, and both sides do what honest ones do.
    pub(crate) fn step(&mut self) {
        self.now += Duration::from_millis(1);
        for datagram in self.attacker.transmit(self.now) {
            self.server.receive(&datagram, self.now);
        }
        self.take_received();
        self.answer();
    }

    /// Let the server process a batch, and accept a new connection.
    pub(crate) fn take_received(&mut self) {
        for incoming in self.server.take_received(self.now).1 {
            if let Some(key) = self.server.accept(incoming, self.now) {
                self.key = key;
            }
        }
    }

    /// Let the server answer. Return the number of its datagrams.
    pub(crate) fn answer(&mut self) -> usize {
        self.dispatch();
        let sent = self.server.transmit(self.key, self.now);
        for datagram in &sent {
            self.attacker.receive(&datagram.data, self.now);
        }
        self.dispatch();
        sent.len()
    }

    fn dispatch(&mut self) {
        while let Some(Some(event)) = self.server.with(self.key, Connection::next_event) {
            self.events.push(event);
        }
    }

    /// Give the server a batch of one datagram with these frames.
    pub(crate) fn send(&mut self, frames: &[u8]) {
        let datagram = self.attacker.seal(frames);
        self.server.receive(&datagram, self.now);
        self.take_received();
    }

    /// Let time pass, in steps of a millisecond, without datagrams of the attacker.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(1);
            let due = self.server.connection(self.key).and_then(Connection::deadline);
            if due.is_some_and(|due| due <= self.now) {
                self.server.expire(self.key, self.now);
            }
            self.answer();
        }
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        self.server.connection(self.key).expect("it was not removed")
    }

    /// Return the application error code and the reason of the close, if the server has closed.
    pub(crate) fn closed(&self) -> Option<(Option<u64>, &str)> {
        self.events.iter().find_map(|event| match event {
            Event::Closed(reason) => Some((reason.code, &*reason.reason)),
            _ => None,
        })
    }
}

// Frames

/// Append a variable-length integer (RFC 9000, 16).
pub(crate) fn put(frames: &mut Vec<u8>, value: u64) {
    quinn_proto::coding::Codec::encode(&VarInt::from_u64(value).expect("62 bits"), frames);
}

/// Return a frame: its type, and the integers that follow.
pub(crate) fn frame(kind: u8, integers: &[u64]) -> Vec<u8> {
    let mut frame = vec![kind];
    for &integer in integers {
        put(&mut frame, integer);
    }
    frame
}

/// Return a STREAM frame with an offset and a length.
pub(crate) fn stream(id: u64, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut frame = frame(0x0e, &[id, offset, data.len() as u64]);
    frame.extend_from_slice(data);
    frame
}

/// Return an ACK frame of one packet.
pub(crate) fn ack(number: u64) -> Vec<u8> {
    frame(0x02, &[number, 0, 0, 0])
}
