//! How connections begin: those that we dial, and those who come, whom the owner of the endpoint
//! accepts, asks for their address or ignores. Whom to let in is not decided here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::{ClientConfig, ConnectionHandle, Incoming, ServerConfig};

use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::offer::Offer;
use crate::tls;
use crate::watch::Watch;

/// Somebody who wants a connection and waits to hear.
pub struct Newcomer(pub(crate) Incoming);

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

impl Endpoint {
    /// Show this certificate to those who come from now on: DER, the leaf first, its key as PKCS #8.
    ///
    /// # Errors
    /// In words: a key of a kind that cannot be used, or that is not the certificate's.
    pub fn set_certificate(&mut self, chain: &[Vec<u8>], key: &[u8]) -> Result<(), String> {
        let crypto = Arc::new(Offer(tls::server(&self.settings.alpn, chain, key)?));
        self.server = Some(crypto.clone());
        if self.settings.accepts {
            let mut config = ServerConfig::with_crypto(crypto);
            config.transport_config(Arc::new(self.settings.transport(Arc::default())));
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
        let mut config = ClientConfig::new(Arc::new(Offer(self.client.clone())));
        config.transport_config(Arc::new(self.settings.transport(watch.clone())));
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
        config.transport_config(Arc::new(self.settings.transport(watch.clone())));
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
}
