//! One QUIC connection: quinn's, with what a link asks of it. Sans-IO: time goes in, datagrams are
//! polled for, and what has happened waits to be asked for.
//!
//! Here are its beginning, its time and its end. `facts` says what is the case, `uses` what a link
//! does with streams, `paths` where it goes along, `news` what has happened, `keeping` how much quinn
//! may keep.

mod facts;
mod keeping;
mod news;
mod paths;
mod uses;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{ConnectionHandle, Side, Transmit, VarInt};

use crate::closing::Closing;
use crate::follow::Follower;
use crate::hearing::Hearing;
use crate::pacing::Pacer;
use crate::streams::Streams;
use crate::tls::EXPORTER_SIZE;
use crate::watch::Watch;
use crate::window::LinkWindow;

use keeping::Keeping;
pub use news::Happening;

/// Bytes of the words with which a connection is closed: they must fit one packet.
const REASON_MAX: usize = 512;

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
    keeping: Keeping,
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
            keeping: Keeping::new(now),
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

    /// When `expire` is to be called.
    #[must_use]
    pub fn deadline(&mut self) -> Option<Instant> {
        if self.is_forgotten {
            return None;
        }
        let deadlines = [
            self.window.deadline(),
            self.pacer.deadline(),
            self.follower.deadline(),
            self.quinn.poll_timeout(),
        ];
        deadlines.into_iter().flatten().min()
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
        let mut transmit = loop {
            let datagrams = self.pacer.begin(&self.watch, mtu, segments, now);
            let transmit = self.quinn.poll_transmit(now, datagrams, buffer);
            let sent = transmit.as_ref().map_or(0, |transmit| transmit.size);
            let ran_dry = self.pacer.end(&self.watch, mtu, sent, now);
            if !ran_dry {
                break transmit;
            }
            if !self.feed_more(now) {
                self.watch.note_ran_dry();
                break transmit;
            }
        }?;
        if self.quinn.side().is_server() {
            transmit.src_ip = self.source_towards(transmit.destination);
        }
        Some(transmit)
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
}
