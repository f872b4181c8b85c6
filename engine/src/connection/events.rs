//! Events of a connection: collected from quinn, and queued for the link in order.

use std::time::Instant;

use rustls::pki_types::CertificateDer;

use super::{CloseReason, Connection};
use crate::tls::{EXPORTER_LABEL, EXPORTER_SIZE};
use crate::transport_parameters::idle_timeout;

/// An event for the link. Streams are identified by their stream ID (RFC 9000, 2.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// The TLS handshake is complete.
    Handshake,
    /// The peer has opened a stream.
    Opened(u64),
    /// The stream has data, or FIN, to read.
    Readable(u64),
    /// The peer has reset its direction, with an error code.
    Reset(u64, u64),
    /// The peer has sent STOP_SENDING, with an error code.
    Stopped(u64, u64),
    /// Both directions have ended, all data was read, and the stream's state is gone.
    Ended(u64),
    /// The connection is closed.
    Closed(CloseReason),
}

impl Connection {
    /// Return the next event.
    pub fn next_event(&mut self) -> Option<Event> {
        while let Some(event) = self.events.pop_front() {
            let is_current = match event {
                Event::Ended(stream) => self.streams.remove_if_ended(stream),
                Event::Readable(stream) => self.streams.is_reported(stream),
                Event::Reset(stream, _) | Event::Stopped(stream, _) => {
                    // This may have been the last direction. Check after the link has seen it.
                    self.events.push_back(Event::Ended(stream));
                    self.streams.report_peer_error(stream)
                }
                Event::Handshake | Event::Opened(_) | Event::Closed(_) => true,
            };
            if is_current {
                return Some(event);
            }
        }
        None
    }

    /// Collect what quinn has learned from datagrams, timers or calls.
    pub(crate) fn poll_quinn(&mut self, now: Instant) {
        self.now = now;
        self.check_acks(now); // first, because it may unblock writes
        while let Some(event) = self.quinn.poll() {
            match event {
                quinn_proto::Event::Stream(event) => {
                    self.streams.on_event(&mut self.quinn, &event, &mut self.events);
                }
                quinn_proto::Event::Connected => self.on_connected(),
                quinn_proto::Event::ConnectionLost { reason } => self.on_closed(reason.into()),
                _ => {}
            }
        }
        self.streams.send_pending(&mut self.quinn);
        self.update_stream_limit();
    }

    fn check_acks(&mut self, now: Instant) {
        let stats = self.quinn.stats();
        if let Some(recording) = &self.recording {
            recording.on_stats(&stats, &self.control);
        }
        if self.peer_activity.update(&stats, self.control.acks(), now) {
            self.reject_stale_rtt(now);
            self.send_window.shrink(stats.path.rtt, now);
            self.resize_send_window(stats.path.cwnd);
        }
        self.check_peer_address(now);
    }

    /// quinn has nothing to send: give it more of the pending data, if there is any. Return whether
    /// quinn may have something to send now.
    pub(super) fn refill_quinn(&mut self, now: Instant) -> bool {
        if !self.streams.has_pending() || !self.send_window.widen(now) {
            return false;
        }
        self.resize_send_window(self.quinn.stats().path.cwnd);
        self.poll_quinn(now);
        true
    }

    fn resize_send_window(&mut self, congestion_window: u64) {
        self.streams.set_send_window(&mut self.quinn, self.send_window.size(congestion_window));
    }

    fn on_connected(&mut self) {
        let session = self.quinn.crypto_session();
        let mut exporter = [0; EXPORTER_SIZE];
        let result = session.export_keying_material(&mut exporter, EXPORTER_LABEL, b"");
        self.exporter = result.ok().map(|()| exporter);
        if let Some(identity) = session.peer_identity() {
            if let Ok(chain) = identity.downcast::<Vec<CertificateDer<'static>>>() {
                self.certificates = chain.iter().map(|der| der.to_vec()).collect();
            }
        }
        if let Ok(Some(parameters)) = session.transport_parameters() {
            if let Some(timeout) = idle_timeout(&parameters) {
                self.hold = self.hold.min(timeout);
            }
        }
        if let Some(recording) = &self.recording {
            recording.on_state("handshake_complete");
        }
        self.events.push_back(Event::Handshake);
    }

    pub(super) fn on_closed(&mut self, reason: CloseReason) {
        if self.close_reason.is_none() {
            if !self.is_trusted {
                self.usage.on_closed(self.now);
            }
            if let Some(recording) = &self.recording {
                recording.on_closed(&reason);
            }
            self.close_reason = Some(reason.clone());
            self.events.push_back(Event::Closed(reason));
        }
    }
}
