//! An endpoint: the connections that share a UDP socket, and the socket.
//!
//! Without a socket, `receive` and `transmit` exchange datagrams with the caller. With a socket,
//! `receive_ready` and `send` read and write it in batches, without a copy in between.

mod datagrams;
mod incoming;

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::ConnectionHandle;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use slab::Slab;

use crate::connection::Connection;
use crate::datagram::Datagram;
use crate::qlog::{Accepting, RecordedEvents, SharedSink};
use crate::settings::Settings;
use crate::socket::{Peer, Socket};
use crate::tls;
use crate::token_bucket::TokenBucket;
use crate::transport_parameters::InitialStreamWindow;
use datagrams::Deferred;

pub use incoming::Incoming;

/// Unread bytes that a connection may hold, however many connections share the limit.
const UNREAD_SHARE_MIN: u64 = 64 * 1024;

/// The connections of one socket, identified by keys. The key of a removed connection is reused.
pub struct Endpoint {
    quinn: quinn_proto::Endpoint,
    settings: Settings,
    client: Arc<QuicClientConfig>,
    server: Option<Arc<InitialStreamWindow<QuicServerConfig>>>,
    connections: Slab<Connection>,
    keys: HashMap<ConnectionHandle, usize>,
    /// Connections that are trusted.
    trusted: u64,
    /// Limits the datagrams of all connections with untrusted peers.
    unproven: TokenBucket,
    /// Datagrams of untrusted and new peers since the last `take_received`, in order.
    deferred: Vec<Deferred>,
    /// Connections that have received something since the last `take_received`.
    touched: Vec<usize>,
    incoming: Vec<Incoming>,
    responses: Vec<Datagram>,
    socket: Option<Socket>,
    /// Number of sockets attached so far.
    attached: u64,
    scratch: Vec<u8>,
    /// The events of recorded connections. None if connections are not recorded.
    qlog: Option<SharedSink>,
    /// The recording of the connection that is being accepted.
    accepting: Accepting,
}

impl Endpoint {
    /// Create an endpoint without a socket.
    ///
    /// # Errors
    /// QUIC cannot express the settings.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let config = Arc::new(settings.endpoint()?);
        Ok(Self {
            quinn: quinn_proto::Endpoint::new(config, None, true, None),
            client: tls::client(&settings.alpn)?,
            server: None,
            qlog: settings.qlog.then(SharedSink::default),
            accepting: Accepting::default(),
            unproven: TokenBucket::new(
                settings.limits.unproven_datagrams_per_second,
                settings.limits.unproven_datagram_burst,
            ),
            settings,
            connections: Slab::new(),
            keys: HashMap::new(),
            trusted: 0,
            deferred: Vec::new(),
            touched: Vec::new(),
            incoming: Vec::new(),
            responses: Vec::new(),
            socket: None,
            attached: 0,
            scratch: Vec::with_capacity(65_536),
        })
    }

    // Connections

    /// Return the connection with this key.
    pub fn connection(&mut self, key: usize) -> Option<&mut Connection> {
        self.connections.get_mut(key)
    }

    /// Return the number of connections that datagrams are routed to.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.keys.len()
    }

    /// Call `operation` on a connection. If it panics, the connection is aborted.
    pub fn with<R>(
        &mut self,
        key: usize,
        operation: impl FnOnce(&mut Connection) -> R,
    ) -> Option<R> {
        let connection = self.connections.get_mut(key)?;
        match catch_unwind(AssertUnwindSafe(|| operation(connection))) {
            Ok(result) => Some(result),
            Err(panic) => {
                connection.abort(panic_message(&*panic));
                None
            }
        }
    }

    /// Grant the peer the full windows, because it has proven itself.
    pub fn trust(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key) {
            if !connection.is_trusted && !connection.is_terminated() {
                connection.is_trusted = true;
                self.trusted += 1;
            }
        }
    }

    /// Route no more datagrams to a connection.
    pub fn discard(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.is_discarded = true;
        connection.finish_recording();
        if std::mem::take(&mut connection.is_trusted) {
            self.trusted -= 1;
        }
        let handle = connection.handle;
        // quinn may have given the handle of a drained connection to a new one.
        if self.keys.get(&handle) == Some(&key) {
            self.keys.remove(&handle);
            self.quinn.handle_event(handle, quinn_proto::EndpointEvent::drained());
        }
    }

    /// Discard a connection and release its key.
    pub fn remove(&mut self, key: usize) {
        self.discard(key);
        self.connections.try_remove(key);
    }

    /// Run the timers of a connection that are due.
    pub fn expire(&mut self, key: usize, now: Instant) {
        self.with(key, |connection| connection.expire(now));
        self.process_events(key, now);
    }

    /// Exchange events between a connection and quinn's endpoint, and collect the connection's own.
    pub fn process_events(&mut self, key: usize, now: Instant) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        while let Some(event) = connection.quinn.poll_endpoint_events() {
            if connection.is_discarded {
                continue;
            }
            let is_drained = event.is_drained();
            if let Some(reply) = self.quinn.handle_event(connection.handle, event) {
                connection.quinn.handle_event(reply);
            }
            if is_drained {
                self.keys.remove(&connection.handle);
                if std::mem::take(&mut connection.is_trusted) {
                    self.trusted -= 1;
                }
            }
        }
        self.with(key, |connection| connection.poll_quinn(now));
    }

    /// Return each trusted connection's share of the limit on unread data.
    fn unread_share(&self) -> u64 {
        (self.settings.unread_limit / self.trusted.max(1)).max(UNREAD_SHARE_MIN)
    }

    /// Return the events of recorded connections since the last call.
    pub fn take_qlog(&mut self) -> Vec<RecordedEvents> {
        self.qlog.as_ref().map_or_else(Vec::new, SharedSink::take)
    }

    // The socket

    /// Attach a duplicate of a UDP socket's descriptor, in place of the previous socket. The socket
    /// is bound, or connected to `peer`. Return a number for `detach`.
    ///
    /// # Errors
    /// The kernel reports an error. The previous socket stays attached.
    pub fn attach(&mut self, descriptor: BorrowedFd<'_>, peer: Option<Peer>) -> io::Result<u64> {
        self.socket = Some(Socket::new(descriptor, peer)?);
        self.attached += 1;
        Ok(self.attached)
    }

    /// Detach the socket with this number, unless another socket has replaced it.
    pub fn detach(&mut self, number: u64) {
        if number == self.attached {
            self.socket = None;
        }
    }

    /// Return the latest send error since the last call.
    pub fn take_send_error(&mut self) -> Option<io::Error> {
        self.socket.as_mut().and_then(Socket::take_send_error)
    }

    /// Return the datagrams for paths other than UDP that the attached socket was given since the
    /// last call. Call it after whatever may send.
    pub fn take_carried(&mut self) -> Vec<Datagram> {
        self.socket.as_mut().map_or_else(Vec::new, Socket::take_carried)
    }

    /// Whether a socket is attached.
    #[must_use]
    pub const fn has_socket(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether the kernel's send buffer is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.socket.as_ref().is_some_and(Socket::is_full)
    }

    /// Send the queued datagrams. Return whether none is left.
    pub fn flush(&mut self) -> bool {
        self.socket.as_mut().is_none_or(Socket::flush)
    }
}

/// Return a message for a panic.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("internal error in the quinn engine: {}", message.unwrap_or("panic without a message"))
}
