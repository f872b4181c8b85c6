//! What a link does with a connection's streams, and how many of them the peer may have.
//!
//! The streams themselves are `crate::streams`; here the connection learns what follows from it.

use bytes::Bytes;
use quinn_proto::{Dir, VarInt};

use super::{Connection, Happening};
use crate::streams::Taken;

/// Streams that a peer may open at once beyond twice those that are open.
const STREAMS_AHEAD: u64 = 256;

impl Connection {
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

    /// Bytes that each stream may have unsent: what the path needs, shared by the streams.
    #[must_use]
    pub fn share(&self) -> usize {
        let rtt = self.quinn.rtt();
        // In startup the rate is a hope, and the window is not.
        let window = self.quinn.stats().path.cwnd as f64;
        let most = (window / rtt.as_secs_f64().max(1e-6)) as u64;
        self.streams.share(self.watch.rate().unwrap_or(most).min(most), rtt)
    }

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
    pub(super) fn make_streams_ready(&mut self) {
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
}
