//! One QUIC connection: quinn's, with what a link asks of it beside streams. Sans-IO: what has
//! happened waits as `Happening`s, datagrams are polled for.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{ConnectionHandle, ConnectionStats, Dir, Event, Side, Transmit, VarInt};
use rustls::pki_types::CertificateDer;

use crate::closing::Closing;
use crate::follow::Follower;
use crate::hearing::Hearing;
use crate::pacing::Pacer;
use crate::parameters::idle_timeout;
use crate::settings::INITIAL_RTT;
use crate::streams::{Streams, Taken};
use crate::tls::{EXPORTER_LABEL, EXPORTER_SIZE};
use crate::watch::Watch;
use crate::window::LinkWindow;

/// Bytes of the words with which a connection is closed: they must fit one packet.
const REASON_MAX: usize = 512;

/// Bytes that a question to the peer may take however full the congestion window is: three packets.
const LEAVE: u64 = 3 * 1500;

/// What quinn may keep of what was written, in congestion windows: what is in flight, and as much
/// that waits, so that it never runs dry between two turns of the loop.
const SEND_WINDOWS: u64 = 2;

const SEND_WINDOW_MIN: u64 = 256 * 1024;

/// Streams that a peer may open at once beyond twice those that are open.
const STREAMS_AHEAD: u64 = 256;

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

/// One connection.
pub struct Connection {
    pub(crate) handle: ConnectionHandle,
    pub(crate) quinn: quinn_proto::Connection,
    pub(crate) is_touched: bool,
    pub(crate) is_forgotten: bool,
    /// The peer has proven itself: the connection has its share of what may be unread.
    pub(crate) is_proven: bool,
    streams: Streams,
    happenings: VecDeque<Happening>,
    window: LinkWindow,
    pacer: Pacer,
    follower: Follower,
    watch: Arc<Watch>,
    hold: Duration,
    /// How many streams the peer may have open, ...
    streams_allowed: u64,
    /// ... and how many of them quinn has made ready for now.
    streams_ready: u64,
    exporter: Option<[u8; EXPORTER_SIZE]>,
    certificates: Vec<Vec<u8>>,
    peer: SocketAddr,
    /// Which address of ours the peer has written to, from where: the last path, and that before.
    sources: [Option<(SocketAddr, IpAddr)>; 2],
    /// Since when the path is as it is: it is new, or was met anew after an outage.
    met_at: Instant,
    now: Instant,
    hearing: Hearing,
    closing: Option<Closing>,
}

impl Connection {
    pub(crate) fn new(
        handle: ConnectionHandle,
        quinn: quinn_proto::Connection,
        watch: Arc<Watch>,
        hold: Duration,
        streams_allowed: u64,
        now: Instant,
    ) -> Self {
        let side: Side = quinn.side();
        let peer = quinn.remote_address();
        let source = quinn.local_ip().map(|ours| (peer, ours));
        Self {
            handle,
            quinn,
            is_touched: false,
            is_forgotten: false,
            is_proven: false,
            streams: Streams::new(side),
            happenings: VecDeque::new(),
            window: LinkWindow::new(),
            pacer: Pacer::new(),
            follower: Follower::default(),
            watch,
            hold,
            streams_allowed,
            streams_ready: streams_allowed,
            exporter: None,
            certificates: Vec::new(),
            peer,
            sources: [source, None],
            met_at: now,
            now,
            hearing: Hearing::default(),
            closing: None,
        }
    }

    // Facts

    /// The TLS exporter, once the handshake is complete.
    #[must_use]
    pub const fn exporter(&self) -> Option<&[u8; EXPORTER_SIZE]> {
        self.exporter.as_ref()
    }

    /// What the peer has shown, as DER, its own certificate first.
    #[must_use]
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// The smoothed round-trip time, once something was acknowledged.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        (self.hearing.answers > 0).then(|| self.quinn.rtt())
    }

    /// About the probe timeout (RFC 9002, 6.2.1). quinn does not tell the variation, which is at
    /// first half of the time itself: four of these halves, and the time.
    #[must_use]
    pub fn pto(&self) -> Duration {
        3 * self.quinn.rtt() + Duration::from_millis(25)
    }

    /// The idle timeout that both ends have agreed on.
    #[must_use]
    pub const fn hold(&self) -> Duration {
        self.hold
    }

    /// Where datagrams are sent to.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// When the last genuine packet came.
    #[must_use]
    pub const fn heard_at(&self) -> Option<Instant> {
        self.hearing.heard_at
    }

    /// When something was last acknowledged.
    #[must_use]
    pub const fn answered_at(&self) -> Option<Instant> {
        self.hearing.answered_at
    }

    /// Whether something was sent whose answer has not come.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        self.watch.in_flight() > 0 || self.hearing.has_asked(&self.quinn.stats())
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        self.is_forgotten || self.quinn.is_drained()
    }

    /// Whether it is closed, by whomever.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether the handshake has ended because the ends speak different protocols.
    #[must_use]
    pub fn is_alpn_mismatch(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.alpn_mismatch)
    }

    /// Whether it has ended because the peer does not know it any more (RFC 9000, 10.3).
    #[must_use]
    pub fn is_forgotten_by_peer(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.forgotten)
    }

    /// quinn's statistics.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        self.quinn.stats()
    }

    /// How many streams are known.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    // Streams

    /// Open a bidirectional stream; beyond the peer's limit it waits by itself.
    pub fn open_stream(&mut self) -> u64 {
        self.streams.open(&mut self.quinn)
    }

    /// Take up to about `limit` bytes of a stream; this opens its window.
    pub fn read(&mut self, stream: u64, limit: usize) -> Taken {
        let taken = self.streams.read(&mut self.quinn, stream, limit);
        if taken.fin {
            self.happenings.push_back(Happening::Over(stream));
        }
        taken
    }

    /// Queue data to be sent.
    pub fn write(&mut self, stream: u64, data: Bytes) {
        self.streams.write(&mut self.quinn, stream, data);
    }

    /// Queue the end of what we send.
    pub fn finish(&mut self, stream: u64) {
        self.streams.finish(&mut self.quinn, stream);
    }

    /// Drop what is unread and what still comes, and ask the peer for no more.
    pub fn stop_reading(&mut self, stream: u64, code: VarInt) {
        self.streams.stop_reading(&mut self.quinn, stream, code);
        self.happenings.push_back(Happening::Over(stream));
    }

    /// End both directions at once; the stream is not told of again.
    pub fn reset(&mut self, stream: u64, code: VarInt) {
        self.streams.reset(&mut self.quinn, stream, code);
    }

    /// Bytes written that have not been taken to be sent.
    #[must_use]
    pub fn unsent(&self, stream: u64) -> usize {
        self.streams.unsent(stream)
    }

    // The connection

    /// Let the peer have `count` streams open at once; it never falls.
    pub fn allow_streams(&mut self, count: u64) {
        self.streams_allowed = self.streams_allowed.max(count);
        self.make_streams_ready();
    }

    /// Keep ready what the peer may open before it hears that it may open more.
    ///
    /// quinn keeps state for each stream that may be opened, and hands the buffers of those that are
    /// over to those that come last: with thousands made ready, every one would come to hold such a
    /// buffer, and memory grow with each stream until then.
    fn make_streams_ready(&mut self) {
        let open = self.quinn.streams().remote_open_streams(Dir::Bi);
        let wanted = (2 * open + STREAMS_AHEAD).min(self.streams_allowed);
        let ready = self.streams_ready;
        let is_short = wanted > ready && open + STREAMS_AHEAD / 2 > ready;
        if is_short || wanted < ready / 4 {
            self.streams_ready = wanted;
            let count = VarInt::from_u64(wanted).unwrap_or(VarInt::MAX);
            self.quinn.set_max_concurrent_streams(Dir::Bi, count);
        }
    }

    /// Ask for an answer.
    pub fn ping(&mut self) {
        self.quinn.ping();
        self.watch.grant_leave(LEAVE);
    }

    /// Ask for an answer, and take nothing for granted of the path: it was away.
    pub fn revive(&mut self, now: Instant) {
        if !self.quinn.is_handshaking() && !self.quinn.is_closed() {
            self.met_at = now;
            self.quinn.path_changed(now);
            self.ping();
        }
    }

    /// Go on from another local address (RFC 9000, 9.2 and 9.5): under a new connection id.
    pub fn relocate(&mut self, now: Instant) {
        if !self.quinn.is_handshaking() && !self.quinn.is_closed() {
            self.quinn.local_address_changed();
        }
        self.revive(now);
    }

    /// End the connection with an application's code; a long reason is cut.
    pub fn close(&mut self, code: VarInt, reason: &str) {
        if self.closing.is_some() {
            return;
        }
        let mut end = reason.len().min(REASON_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let words = Bytes::copy_from_slice(&reason.as_bytes()[..end]);
        self.quinn.close(self.now, code, words);
        // quinn counts the word of it as one more datagram of whatever waits to be sent, which a
        // full window would hold back for ever: the peer would not learn why it was left.
        self.watch.grant_leave_for_good();
        self.on_closed(Closing::by_us(code.into_inner(), reason[..end].to_owned()));
    }

    /// Give the connection up, because the engine itself has failed in it.
    pub(crate) fn break_down(&mut self, words: String) {
        self.is_forgotten = true;
        self.on_closed(Closing::of_itself(words));
    }

    /// When `expire` is to be called.
    #[must_use]
    pub fn deadline(&mut self) -> Option<Instant> {
        if self.is_forgotten {
            return None;
        }
        let own = [self.window.deadline(), self.pacer.deadline(), self.follower.deadline()];
        own.into_iter().chain([self.quinn.poll_timeout()]).flatten().min()
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.now = now;
        self.pacer.expire(now);
        if self.follower.expire(now) {
            self.quinn.ping();
        }
        self.quinn.handle_timeout(now);
    }

    /// Return the next datagrams, at most `segments` of one size, written to `buffer`.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Transmit> {
        self.now = now;
        if self.is_forgotten {
            return None;
        }
        let mtu = self.quinn.current_mtu();
        let datagrams = self.pacer.begin(&self.watch, mtu, segments, now);
        let transmit = self.quinn.poll_transmit(now, datagrams, buffer);
        let sent = transmit.as_ref().map_or(0, |transmit| transmit.size);
        self.pacer.end(&self.watch, mtu, sent, now);
        let mut transmit = transmit?;
        if self.quinn.side().is_server() {
            transmit.src_ip = self.source_towards(transmit.destination);
        }
        Some(transmit)
    }

    /// Note which address of ours a peer writes to that has just been heard. quinn keeps the first
    /// for ever, but one that moves may come by another, and by another family too.
    pub(crate) fn note_source(&mut self, remote: SocketAddr, ours: Option<IpAddr>) {
        let source = ours.map(|ours| (remote, ours));
        if self.sources[0] != source && self.quinn.remote_address() == remote {
            self.sources = [source, self.sources[0]];
        }
    }

    /// The address that a datagram leaves from: the one that was written to from there.
    fn source_towards(&self, destination: SocketAddr) -> Option<IpAddr> {
        let mut known = self.sources.iter().flatten();
        known.find(|(remote, _)| *remote == destination).map(|(_, ours)| *ours)
    }

    /// Give the peer room for what it may send, of which `share` bytes may be unread.
    pub(crate) fn adjust_window(&mut self, share: u64, now: Instant) {
        if !self.is_proven || self.closing.is_some() {
            return;
        }
        let (unread, frames) = (self.streams.unread(), self.hearing.stream_frames);
        if let Some(size) = self.window.adjust(unread, share, frames, now) {
            self.quinn.set_receive_window(VarInt::from_u64(size).unwrap_or(VarInt::MAX));
        }
    }

    // What has happened

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
            let window = SEND_WINDOWS.saturating_mul(stats.path.cwnd).max(SEND_WINDOW_MIN);
            self.streams.set_send_window(&mut self.quinn, window);
        }
        let is_answered = self.watch.under_way() == 0;
        self.follower.listen(&stats, is_answered, now);
        let peer = self.quinn.remote_address();
        if peer != self.peer {
            self.peer = peer;
            self.met_at = now;
            self.watch.forget_in_flight();
            self.ping(); // what was sent the old way is found to be lost, and the way is learned
        }
    }

    /// Take back a round-trip time that is longer than the path is old: what was acknowledged after
    /// an outage had been sent before it, and pacing by that would take as long as the outage.
    fn doubt_rtt(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.met_at);
        if self.quinn.rtt() > age.max(INITIAL_RTT) {
            self.quinn.path_changed(now);
        }
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

    fn on_closed(&mut self, closing: Closing) {
        if self.closing.is_none() {
            self.closing = Some(closing.clone());
            self.happenings.push_back(Happening::Closed(closing));
        }
    }
}
