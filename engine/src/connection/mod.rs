//! One QUIC connection: quinn's connection, plus what a link needs beyond it. Sans-IO.
//!
//! This file contains its construction, timers, sending and close. `status` has its properties,
//! `stream_api` the stream operations, `path` migration, `peer_limits` what the peer may cost, and
//! `events` what happens to it.

mod close_reason;
mod events;
mod path;
mod peer_activity;
mod peer_limits;
mod receive_window;
mod send_window;
mod status;
mod stream_api;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{ConnectionHandle, Side, Transmit, VarInt};

use crate::congestion::ControlState;
use crate::pacing::Pacer;
use crate::qlog::SharedRecording;
use crate::settings::varint;
use crate::streams::Streams;
use crate::tls::EXPORTER_SIZE;

pub use close_reason::CloseReason;
pub use events::Event;
use peer_activity::PeerActivity;
pub use peer_limits::PeerLimits;
use peer_limits::PeerUsage;
use receive_window::ReceiveWindow;
pub use receive_window::{
    HELLO_WINDOW, LINK_WINDOW, LINK_WINDOW_UNPROVEN, STREAM_WINDOW, STREAM_WINDOW_FIRST,
};
pub(crate) use receive_window::{unproven_window, unread_max};
use send_window::SendWindow;

/// Longest reason phrase of a CONNECTION_CLOSE frame in bytes. The frame must fit one packet.
const REASON_MAX: usize = 512;

/// Bytes of the latest datagram that are kept, to recognise an ICMP message that quotes it.
pub(crate) const SENT_BYTES: usize = 16;

/// One connection.
pub struct Connection {
    pub(crate) handle: ConnectionHandle,
    pub(crate) quinn: quinn_proto::Connection,
    /// Something has arrived since the endpoint last reported it.
    pub(crate) is_touched: bool,
    /// The endpoint no longer routes datagrams to it.
    pub(crate) is_discarded: bool,
    /// The peer has proven itself: the connection has a share of the limit on unread data.
    pub(crate) is_trusted: bool,
    streams: Streams,
    events: VecDeque<Event>,
    receive_window: ReceiveWindow,
    send_window: SendWindow,
    pacer: Pacer,
    control: Arc<ControlState>,
    hold: Duration,
    /// Streams that the peer may have open at most.
    streams_allowed: u64,
    /// The part of `streams_allowed` that the peer has been told so far.
    streams_announced: u64,
    exporter: Option<[u8; EXPORTER_SIZE]>,
    certificates: Vec<Vec<u8>>,
    peer: SocketAddr,
    /// The local address that each remote address has sent to, of the latest two paths.
    local_addresses: [Option<(SocketAddr, IpAddr)>; 2],
    /// When the path was last new, or last came back after an outage.
    path_since: Instant,
    now: Instant,
    peer_activity: PeerActivity,
    usage: PeerUsage,
    close_reason: Option<CloseReason>,
    /// First bytes of the latest write.
    latest_sent: Option<[u8; SENT_BYTES]>,
    /// None if the connection is not recorded.
    recording: Option<SharedRecording>,
}

impl Connection {
    pub(crate) fn new(
        handle: ConnectionHandle,
        quinn: quinn_proto::Connection,
        control: Arc<ControlState>,
        recording: Option<SharedRecording>,
        hold: Duration,
        streams_allowed: u64,
        now: Instant,
    ) -> Self {
        let side: Side = quinn.side();
        let peer = quinn.remote_address();
        let local_address = quinn.local_ip().map(|local| (peer, local));
        if let Some(recording) = &recording {
            recording.on_path(peer);
        }
        Self {
            handle,
            quinn,
            is_touched: false,
            is_discarded: false,
            is_trusted: false,
            streams: Streams::new(side),
            events: VecDeque::new(),
            receive_window: ReceiveWindow::new(unproven_window(side)),
            send_window: SendWindow::new(now),
            pacer: Pacer::new(),
            control,
            hold,
            streams_allowed,
            streams_announced: streams_allowed,
            exporter: None,
            certificates: Vec::new(),
            peer,
            local_addresses: [local_address, None],
            path_since: now,
            now,
            peer_activity: PeerActivity::default(),
            usage: PeerUsage::default(),
            close_reason: None,
            latest_sent: None,
            recording,
        }
    }

    /// Return when to call `Endpoint::expire`.
    #[must_use]
    pub fn deadline(&mut self) -> Option<Instant> {
        if self.is_discarded {
            return None;
        }
        let deadlines = [
            self.receive_window.deadline(),
            self.pacer.deadline(),
            self.usage.deadline(),
            self.quinn.poll_timeout(),
        ];
        deadlines.into_iter().flatten().min()
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.now = now;
        self.pacer.expire(now);
        self.quinn.handle_timeout(now);
        self.is_discarded |= self.usage.deadline().is_some_and(|due| due <= now);
    }

    /// Write the next datagrams to `buffer`: at most `segments`, all of one size.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Transmit> {
        self.now = now;
        if self.is_discarded {
            return None;
        }
        let mtu = self.quinn.current_mtu();
        let mut transmit = loop {
            let datagrams = self.pacer.open_gate(&self.control, mtu, segments, now);
            let transmit = self.quinn.poll_transmit(now, datagrams, buffer);
            let sent = transmit.as_ref().map_or(0, |transmit| transmit.size);
            let is_idle = self.pacer.close_gate(&self.control, mtu, sent, now);
            if !is_idle {
                break transmit;
            }
            if !self.refill_quinn(now) {
                self.control.set_app_limited();
                break transmit;
            }
        }?;
        if self.quinn.side().is_server() {
            transmit.src_ip = self.local_address_for(transmit.destination);
        }
        self.latest_sent = buffer.first_chunk().copied();
        Some(transmit)
    }

    /// Adapt the receive window. `share` is this connection's share of the limit on unread data.
    pub(crate) fn update_receive_window(&mut self, share: u64, now: Instant) {
        if !self.is_trusted || self.is_closed() {
            return;
        }
        let (unread, frames) = (self.streams.unread(), self.peer_activity.stream_frames);
        if let Some(size) = self.receive_window.update(unread, share, frames, now) {
            self.quinn.set_receive_window(varint(size));
        }
    }

    /// Close the connection with an application error code. A long reason is truncated.
    pub fn close(&mut self, code: VarInt, reason: &str) {
        if self.is_closed() {
            return;
        }
        let mut end = reason.len().min(REASON_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let phrase = Bytes::copy_from_slice(&reason.as_bytes()[..end]);
        if !self.is_trusted {
            self.streams.discard(&mut self.quinn, code); // a closed connection is kept for a while
        }
        self.quinn.close(self.now, code, phrase);
        // quinn applies the congestion window to CONNECTION_CLOSE while data is unsent. After this,
        // no ACK would ever open a full window, and the peer would not learn the reason.
        self.control.allow_everything();
        self.on_closed(CloseReason::by_us(code.into_inner(), reason[..end].to_owned()));
    }

    /// End the recording.
    pub(crate) fn finish_recording(&mut self) {
        if let Some(recording) = self.recording.take() {
            recording.finish();
        }
    }

    /// Discard the connection after a panic in it.
    pub(crate) fn abort(&mut self, message: String) {
        self.is_discarded = true;
        self.on_closed(CloseReason::local(message));
    }
}
