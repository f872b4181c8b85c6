//! New connections: dialled ones, and incoming ones, which the endpoint's owner accepts, asks to
//! retry, or ignores.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::crypto::ServerConfig as ServerCrypto;
use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::{ClientConfig, ConnectionHandle, Side};

use super::Endpoint;
use crate::congestion::ControlState;
use crate::connection::Connection;
use crate::qlog::{RecordedClient, RecordedServer, SharedRecording};
use crate::tls;
use crate::transport_parameters::InitialStreamWindow;

/// An incoming connection that waits for a decision.
pub struct Incoming(pub(super) quinn_proto::Incoming);

impl Incoming {
    /// Whether the peer's address is validated (RFC 9000, 8.1).
    #[must_use]
    pub fn is_validated(&self) -> bool {
        self.0.remote_address_validated()
    }

    /// The peer's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.remote_address()
    }
}

impl Endpoint {
    /// Use this certificate for new connections: DER, leaf first, and its key as PKCS #8.
    ///
    /// # Errors
    /// The key's type is not supported, or the key does not match the certificate.
    pub fn set_certificate(&mut self, chain: &[Vec<u8>], key: &[u8]) -> Result<(), String> {
        let crypto = Arc::new(InitialStreamWindow(tls::server(&self.settings.alpn, chain, key)?));
        self.server = Some(crypto.clone());
        if self.settings.accepts {
            let config = self.settings.server(self.server_crypto(crypto), Arc::default());
            self.quinn.set_server_config(Some(config));
        }
        Ok(())
    }

    /// Dial a peer. `server_name` is sent as SNI. Return the connection's key.
    ///
    /// # Errors
    /// The address or the server name is not valid.
    pub fn connect(
        &mut self,
        peer: SocketAddr,
        server_name: &str,
        now: Instant,
    ) -> Result<usize, String> {
        let control = Arc::new(ControlState::default());
        let crypto = Arc::new(InitialStreamWindow(self.client.clone()));
        let recording = self.qlog.as_ref().map(|sink| SharedRecording::start(sink, true));
        let mut config = match &recording {
            Some(recording) => {
                let recording = recording.clone();
                ClientConfig::new(Arc::new(RecordedClient { inner: crypto, recording }))
            }
            None => ClientConfig::new(crypto),
        };
        config.transport_config(Arc::new(self.settings.transport(Side::Client, control.clone())));
        let connected = self.quinn.connect(now, config, peer, server_name);
        let (handle, quinn) = connected.map_err(|error| error.to_string())?;
        Ok(self.add(handle, quinn, control, recording, now))
    }

    /// Accept a connection and return its key, or None if its first packet is not valid.
    pub fn accept(&mut self, incoming: Incoming, now: Instant) -> Option<usize> {
        let Some(crypto) = self.server.clone() else {
            self.ignore(incoming);
            return None;
        };
        let control = Arc::new(ControlState::default());
        let config = self.settings.server(self.server_crypto(crypto), control.clone());
        let recording = self.qlog.as_ref().map(|sink| SharedRecording::start(sink, false));
        if let Some(recording) = &recording {
            recording.set_connection_id(incoming.0.orig_dst_cid());
        }
        self.scratch.clear();
        self.accepting.set(recording.clone());
        let accepted = self.quinn.accept(incoming.0, now, &mut self.scratch, Some(config));
        self.accepting.set(None);
        match accepted {
            Ok((handle, quinn)) => {
                let key = self.add(handle, quinn, control, recording, now);
                let limits = self.settings.limits;
                self.with(key, |connection| connection.count_accepted(&limits));
                self.process_events(key, now);
                // quinn sets no timer for a connection whose first packet closes it, and would hold
                // it for the whole idle timeout.
                if self.connections.get(key).is_none_or(Connection::is_closed) {
                    self.remove(key);
                    return None;
                }
                Some(key)
            }
            Err(error) => {
                if let Some(recording) = recording {
                    recording.finish();
                }
                if let Some(response) = error.response {
                    self.respond(response);
                }
                None
            }
        }
    }

    /// Respond with a Retry packet (RFC 9000, 8.1.2). No state is kept.
    pub fn retry(&mut self, incoming: Incoming) {
        self.scratch.clear();
        match self.quinn.retry(incoming.0, &mut self.scratch) {
            Ok(response) => self.respond(response),
            // Its address is validated already: it has retried.
            Err(error) => self.quinn.ignore(error.into_incoming()),
        }
    }

    /// Drop an incoming connection without a response.
    pub fn ignore(&mut self, incoming: Incoming) {
        self.quinn.ignore(incoming.0);
    }

    /// Return the TLS configuration of accepted connections, which may be recorded.
    fn server_crypto(
        &self,
        crypto: Arc<InitialStreamWindow<QuicServerConfig>>,
    ) -> Arc<dyn ServerCrypto> {
        if self.qlog.is_none() {
            return crypto;
        }
        Arc::new(RecordedServer { inner: crypto, accepting: self.accepting.clone() })
    }

    fn add(
        &mut self,
        handle: ConnectionHandle,
        quinn: quinn_proto::Connection,
        control: Arc<ControlState>,
        recording: Option<SharedRecording>,
        now: Instant,
    ) -> usize {
        let (hold, streams) = (self.settings.hold, self.settings.streams);
        let connection = Connection::new(handle, quinn, control, recording, hold, streams, now);
        let key = self.connections.insert(connection);
        self.keys.insert(handle, key);
        key
    }
}
