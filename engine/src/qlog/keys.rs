//! Keys that record what they encrypt and decrypt.
//!
//! quinn asks TLS for keys and calls them with each packet's number and its header in clear. These
//! wrappers stand between the two.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use quinn_proto::crypto::{
    ClientConfig, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey,
    ServerConfig, Session, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side, TransportError};

use super::recording::SharedRecording;
use super::sent_packets::Space;

/// A client's TLS configuration for one connection, which is recorded.
pub(crate) struct RecordedClient<T> {
    pub(crate) inner: Arc<T>,
    pub(crate) recording: SharedRecording,
}

impl<T: ClientConfig> ClientConfig for RecordedClient<T> {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let session = self.inner.clone().start_session(version, server_name, params)?;
        Ok(Box::new(RecordedSession::new(session, self.recording.clone())))
    }
}

/// The recording of the connection that the endpoint accepts at this moment.
#[derive(Clone, Default)]
pub(crate) struct Accepting(Arc<Mutex<Option<SharedRecording>>>);

impl Accepting {
    /// Set it before a connection is accepted, and remove it afterwards.
    pub(crate) fn set(&self, recording: Option<SharedRecording>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = recording;
    }

    fn get(&self) -> Option<SharedRecording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A server's TLS configuration. The connections that it accepts are recorded.
pub(crate) struct RecordedServer<T> {
    pub(crate) inner: Arc<T>,
    pub(crate) accepting: Accepting,
}

impl<T: ServerConfig> ServerConfig for RecordedServer<T> {
    fn initial_keys(
        &self,
        version: u32,
        dst_cid: &ConnectionId,
    ) -> Result<Keys, UnsupportedVersion> {
        // The endpoint decrypts a new peer's first packet with these, when it accepts the peer.
        let mut keys = self.inner.initial_keys(version, dst_cid)?;
        let recording = KeyRecording::OfAccepted(self.accepting.clone());
        let (inner, space) = (keys.packet.remote, Space::Initial);
        keys.packet.remote = Box::new(RecordedKey { inner, space, recording });
        Ok(keys)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.inner.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        let session = self.inner.clone().start_session(version, params);
        match self.accepting.get() {
            Some(recording) => Box::new(RecordedSession::new(session, recording)),
            None => session,
        }
    }
}

struct RecordedSession {
    inner: Box<dyn Session>,
    recording: SharedRecording,
    /// The space of the keys that the handshake yields next.
    next: Space,
}

impl RecordedSession {
    fn new(inner: Box<dyn Session>, recording: SharedRecording) -> Self {
        Self { inner, recording, next: Space::Handshake }
    }

    fn packet_key(&self, inner: Box<dyn PacketKey>, space: Space) -> Box<dyn PacketKey> {
        let recording = KeyRecording::OfSession(self.recording.clone());
        Box::new(RecordedKey { inner, space, recording })
    }

    fn packet_keys(
        &self,
        KeyPair { local, remote }: KeyPair<Box<dyn PacketKey>>,
        space: Space,
    ) -> KeyPair<Box<dyn PacketKey>> {
        KeyPair { local: self.packet_key(local, space), remote: self.packet_key(remote, space) }
    }
}

impl Session for RecordedSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.recording.set_connection_id(dst_cid);
        let Keys { header, packet } = self.inner.initial_keys(dst_cid, side);
        Keys { header, packet: self.packet_keys(packet, Space::Initial) }
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto() // there is none, because sessions are never resumed
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

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let Keys { header, packet } = self.inner.write_handshake(buf)?;
        let space = std::mem::replace(&mut self.next, Space::Data);
        if space == Space::Handshake {
            self.recording.on_state("handshake_started");
        }
        Some(Keys { header, packet: self.packet_keys(packet, space) })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.inner.next_1rtt_keys()?;
        Some(self.packet_keys(keys, Space::Data))
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
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

/// The recording of a key's packets.
enum KeyRecording {
    OfSession(SharedRecording),
    /// The session does not exist yet.
    OfAccepted(Accepting),
}

impl KeyRecording {
    fn get(&self) -> Option<SharedRecording> {
        match self {
            Self::OfSession(recording) => Some(recording.clone()),
            Self::OfAccepted(accepting) => accepting.get(),
        }
    }
}

struct RecordedKey {
    inner: Box<dyn PacketKey>,
    space: Space,
    recording: KeyRecording,
}

impl PacketKey for RecordedKey {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        if let Some(recording) = self.recording.get() {
            recording.on_sent(self.space, packet, buf, header_len, self.tag_len());
        }
        self.inner.encrypt(packet, buf, header_len);
    }

    fn decrypt(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), CryptoError> {
        self.inner.decrypt(packet, header, payload)?;
        if let Some(recording) = self.recording.get() {
            recording.on_received(self.space, packet, header, payload, self.tag_len());
        }
        Ok(())
    }

    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.inner.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.inner.integrity_limit()
    }
}
