//! All connections of one UDP socket, and the socket. How connections begin is `door`'s.
//!
//! Sans-IO at heart: `receive` and `transmit` (in `datagrams`) move datagrams by hand, for any
//! carrier. With a socket attached, `receive_ready` and `send` do the same in batches, with no copy
//! in between.

mod datagrams;

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
use crate::door::Newcomer;
use crate::offer::Offer;
use crate::settings::Settings;
use crate::socket::{Peer, Socket};
use crate::tls;

/// What a connection may keep unread at the least, however many share the limit.
const SHARE_MIN: u64 = 64 * 1024;

/// The connections of one socket. They are known by keys, which may be used again once a connection
/// has been removed.
pub struct Endpoint {
    pub(crate) quinn: quinn_proto::Endpoint,
    pub(crate) settings: Settings,
    pub(crate) client: Arc<QuicClientConfig>,
    pub(crate) server: Option<Arc<Offer<QuicServerConfig>>>,
    pub(crate) connections: Slab<Connection>,
    pub(crate) keys: HashMap<ConnectionHandle, usize>,
    proven: u64,
    touched: Vec<usize>,
    newcomers: Vec<Newcomer>,
    answers: Vec<Datagram>,
    socket: Option<Socket>,
    /// How many sockets there have been.
    attached: u64,
    pub(crate) scratch: Vec<u8>,
}

impl Endpoint {
    /// An endpoint without a socket.
    ///
    /// # Errors
    /// In words: settings that QUIC cannot express.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let config = Arc::new(settings.endpoint()?);
        Ok(Self {
            quinn: quinn_proto::Endpoint::new(config, None, true, None),
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
            attached: 0,
            scratch: Vec::with_capacity(65_536),
        })
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

    // The socket

    /// Use a duplicate of `descriptor`, a UDP socket that is bound or connected to `peer`, in place
    /// of the one before; return a number for `detach`.
    ///
    /// # Errors
    /// The kernel's; the socket before is still in use then.
    pub fn attach(&mut self, descriptor: BorrowedFd<'_>, peer: Option<Peer>) -> io::Result<u64> {
        self.socket = Some(Socket::over(descriptor, peer)?);
        self.attached += 1;
        Ok(self.attached)
    }

    /// Let go of the socket of that number, unless another one has taken its place.
    pub fn detach(&mut self, number: u64) {
        if number == self.attached {
            self.socket = None;
        }
    }

    /// Why something could not be sent, if that has happened since the last call.
    pub fn take_trouble(&mut self) -> Option<io::Error> {
        self.socket.as_mut().and_then(Socket::take_trouble)
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

/// What a panic has said.
pub(crate) fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the engine has failed: {}", words.unwrap_or("it does not say how"))
}
