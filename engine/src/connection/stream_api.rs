//! The stream operations that a link calls, and the limit on the peer's streams.
//!
//! `crate::streams` implements the streams. Here their effects reach the connection.

use bytes::Bytes;
use quinn_proto::{Dir, VarInt};

use super::{Connection, Event};
use crate::settings::varint;
use crate::streams::ReadChunks;

/// Streams that the peer may open beyond twice the number that are open.
const STREAMS_AHEAD: u64 = 256;

impl Connection {
    /// Open a bidirectional stream. Beyond the peer's limit, its data waits for the limit to rise.
    pub fn open_stream(&mut self) -> u64 {
        self.streams.open(&mut self.quinn)
    }

    /// Read about `limit` bytes at most. Reading renews the stream's window.
    pub fn read(&mut self, stream: u64, limit: usize) -> ReadChunks {
        let read = self.streams.read(&mut self.quinn, stream, limit);
        if read.fin {
            self.events.push_back(Event::Ended(stream));
        }
        read
    }

    /// Queue data to be sent.
    pub fn write(&mut self, stream: u64, data: Bytes) {
        self.streams.write(&mut self.quinn, stream, data);
    }

    /// Queue FIN.
    pub fn finish(&mut self, stream: u64) {
        self.streams.finish(&mut self.quinn, stream);
    }

    /// Discard unread and future data, and send STOP_SENDING.
    pub fn stop_reading(&mut self, stream: u64, code: VarInt) {
        self.streams.stop_reading(&mut self.quinn, stream, code);
        self.events.push_back(Event::Ended(stream));
    }

    /// Reset both directions. No further events are reported for the stream.
    pub fn reset(&mut self, stream: u64, code: VarInt) {
        self.streams.reset(&mut self.quinn, stream, code);
    }

    /// Return the bytes that were written but that quinn has not accepted yet.
    #[must_use]
    pub fn unsent(&self, stream: u64) -> usize {
        self.streams.unsent(stream)
    }

    /// Return the bytes that each stream should have unsent: its share of what the path needs.
    #[must_use]
    pub fn share(&self) -> usize {
        let rtt = self.quinn.rtt();
        // During Startup the pacing rate is 2.77 times what was measured; the window bounds it.
        let window = self.quinn.stats().path.cwnd as f64;
        let rate_max = (window / rtt.as_secs_f64().max(1e-6)) as u64;
        let rate = self.control.pacing_rate().unwrap_or(rate_max).min(rate_max);
        self.streams.share(rate, rtt)
    }

    /// Raise the number of streams that the peer may have open. It is never lowered.
    pub fn allow_streams(&mut self, count: u64) {
        self.streams_allowed = self.streams_allowed.max(count);
        self.update_stream_limit();
    }

    /// Announce a limit that is some streams ahead of those that are open.
    ///
    /// quinn allocates state for every stream that the peer may open, and reuses the buffers of
    /// ended streams for later ones. If thousands were announced at once, each would come to own
    /// such a buffer.
    pub(super) fn update_stream_limit(&mut self) {
        let open = self.quinn.streams().remote_open_streams(Dir::Bi);
        let wanted = (2 * open + STREAMS_AHEAD).min(self.streams_allowed);
        let announced = self.streams_announced;
        let is_short = wanted > announced && open + STREAMS_AHEAD / 2 > announced;
        if is_short || wanted < announced / 4 {
            self.streams_announced = wanted;
            self.quinn.set_max_concurrent_streams(Dir::Bi, varint(wanted));
        }
    }
}
