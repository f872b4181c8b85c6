//! What has happened to a connection: learned from quinn, and told to the link in order.

use std::time::Instant;

use quinn_proto::Event;
use rustls::pki_types::CertificateDer;

use super::Connection;
use crate::closing::Closing;
use crate::parameters::idle_timeout;
use crate::tls::{EXPORTER_LABEL, EXPORTER_SIZE};

/// Something that the link is to be told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Happening {
    /// The TLS handshake is complete.
    Handshake,
    /// The peer has opened a stream.
    Opened(u64),
    /// There is data, or the end.
    Readable(u64),
    /// The peer has ended its direction before the orderly end, with a code.
    Reset(u64, u64),
    /// The peer takes no more, with a code.
    Stopped(u64, u64),
    /// A direction of the stream is over: told only if both are, and all was read.
    Over(u64),
    /// The connection is over.
    Closed(Closing),
}

impl Connection {
    /// Return what has happened next, in order.
    pub fn next_happening(&mut self) -> Option<Happening> {
        while let Some(happening) = self.happenings.pop_front() {
            let is_due = match happening {
                Happening::Over(stream) => self.streams.forget_if_over(stream),
                Happening::Readable(stream) => self.streams.knows(stream),
                Happening::Reset(stream, _) | Happening::Stopped(stream, _) => {
                    // The stream may be over by it, which is told behind it.
                    self.happenings.push_back(Happening::Over(stream));
                    self.streams.tell_end(stream)
                }
                Happening::Handshake | Happening::Opened(_) | Happening::Closed(_) => true,
            };
            if is_due {
                return Some(happening);
            }
        }
        None
    }

    /// Learn from quinn what has come of a batch of datagrams, a timer or a call.
    pub(crate) fn collect(&mut self, now: Instant) {
        self.now = now;
        self.listen(now); // first: what it learns lets blocked streams write
        while let Some(event) = self.quinn.poll() {
            match event {
                Event::Stream(event) => {
                    self.streams.on_event(&mut self.quinn, &event, &mut self.happenings);
                }
                Event::Connected => self.on_connected(),
                Event::ConnectionLost { reason } => self.on_closed(reason.into()),
                _ => {}
            }
        }
        self.streams.feed(&mut self.quinn);
        self.make_streams_ready();
    }

    /// See whether the peer was heard, has answered, or has moved.
    fn listen(&mut self, now: Instant) {
        let stats = self.quinn.stats();
        if self.hearing.listen(&stats, self.watch.acknowledgements(), now) {
            self.doubt_rtt(now);
            self.keeping.settle(stats.path.rtt, now);
            self.set_send_window(stats.path.cwnd);
        }
        let is_answered = self.watch.under_way() == 0;
        self.follower.listen(&stats, is_answered, now);
        self.follow_peer(now);
    }

    /// quinn has nothing to send: let it keep more of what was written, if there is any. Return whether
    /// it is to be asked again.
    pub(super) fn feed_more(&mut self, now: Instant) -> bool {
        if !self.streams.has_pending() || !self.keeping.widen(now) {
            return false;
        }
        self.set_send_window(self.quinn.stats().path.cwnd);
        self.collect(now);
        true
    }

    fn set_send_window(&mut self, window: u64) {
        self.streams.set_send_window(&mut self.quinn, self.keeping.bytes(window));
    }

    fn on_connected(&mut self) {
        let session = self.quinn.crypto_session();
        let mut exporter = [0; EXPORTER_SIZE];
        let written = session.export_keying_material(&mut exporter, EXPORTER_LABEL, b"");
        self.exporter = written.ok().map(|()| exporter);
        if let Some(identity) = session.peer_identity() {
            if let Ok(chain) = identity.downcast::<Vec<CertificateDer<'static>>>() {
                self.certificates = chain.iter().map(|der| der.to_vec()).collect();
            }
        }
        if let Ok(Some(parameters)) = session.transport_parameters() {
            if let Some(theirs) = idle_timeout(&parameters) {
                self.hold = self.hold.min(theirs);
            }
        }
        self.happenings.push_back(Happening::Handshake);
    }

    pub(super) fn on_closed(&mut self, closing: Closing) {
        if self.closing.is_none() {
            self.closing = Some(closing.clone());
            self.happenings.push_back(Happening::Closed(closing));
        }
    }
}
