//! The sending parts of streams: data that quinn has not accepted yet, and whose turn is next.
//!
//! quinn accepts data up to flow control and its send window. The rest is pending here. Streams
//! share the room by bytes, with start-time fair queueing: each stream has a virtual time that
//! advances by the bytes it passes to quinn, and the stream with the lowest one is next. A stream
//! that was idle starts one turn before the others, so that a keystroke does not wait for
//! downloads. For that turn quinn accepts its data beyond the send window. quinn sends the streams
//! that have data in turns.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use quinn_proto::{Connection, FinishError, WriteError};

use super::stream_id;

/// Bytes that a stream may pass to quinn before the next stream has its turn. The aioquic engine has
/// turns of one packet, because it chooses a stream for each packet.
const TURN: usize = 16 * 1024;

/// Shortest time for which bytes are buffered ahead of sending. The buffer covers a round trip, or
/// this time on shorter paths, because a busy event loop refills it no sooner.
const AHEAD_TIME: Duration = Duration::from_millis(25);

/// Smallest send buffer of a connection in bytes, for slow or unknown paths.
const AHEAD_MIN: u64 = 64 * 1024;

/// Smallest share of one stream in bytes, however many streams there are.
const SHARE_MIN: u64 = 16 * 1024;

/// The condition under which a stream's pending data may be passed on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum WaitsFor {
    /// Nothing is pending, or it may be passed on at once.
    #[default]
    Nothing,
    /// The scheduler.
    Turn,
    /// quinn's `Writable` event.
    Writable,
}

/// Decides which stream passes data to quinn next.
#[derive(Debug)]
pub(super) struct SendScheduler {
    /// Virtual times and IDs of the streams that wait for a turn.
    queue: BTreeSet<(u64, u64)>,
    /// Highest virtual time of a stream that has had a turn.
    virtual_time: u64,
    /// quinn's send window in bytes.
    send_window: u64,
    /// Streams with pending data.
    pending: u64,
}

impl SendScheduler {
    pub(super) const fn new(send_window: u64) -> Self {
        Self { queue: BTreeSet::new(), virtual_time: 0, send_window, pending: 0 }
    }

    pub(super) const fn has_pending(&self) -> bool {
        self.pending > 0
    }

    /// Remove and return the stream whose turn it is.
    pub(super) fn next(&mut self) -> Option<u64> {
        self.queue.pop_first().map(|(_, id)| id)
    }

    fn enqueue(&mut self, id: u64, virtual_time: u64) {
        self.queue.insert((virtual_time, id));
    }

    pub(super) fn set_send_window(&mut self, quinn: &mut Connection, bytes: u64) {
        self.send_window = bytes;
        quinn.set_send_window(bytes);
    }

    /// Return the bytes that each stream should have unsent at `rate` bytes per second.
    pub(super) fn share(&self, rate: u64, rtt: Duration) -> usize {
        let ahead = (rate as f64 * rtt.max(AHEAD_TIME).as_secs_f64()) as u64;
        (ahead.max(AHEAD_MIN) / self.pending.max(1)).max(SHARE_MIN) as usize
    }

    /// Return the virtual time at which an idle stream resumes: at most one turn behind.
    fn resume(&self, virtual_time: u64) -> u64 {
        virtual_time.max(self.virtual_time.saturating_sub(TURN as u64))
    }
}

/// The sending part of a stream (RFC 9000, 3.1).
#[derive(Debug, Default)]
pub(super) struct Sending {
    pending: VecDeque<Bytes>,
    pending_size: usize,
    waits_for: WaitsFor,
    /// Bytes passed to quinn, plus what was skipped while idle.
    virtual_time: u64,
    /// FIN follows the pending data.
    pub(super) is_fin_queued: bool,
    /// Everything was acknowledged, or the stream was reset.
    pub(super) is_ended: bool,
}

impl Sending {
    pub(super) const fn pending_size(&self) -> usize {
        self.pending_size
    }

    /// Append data to the pending data. `send_queued` follows.
    pub(super) fn queue(&mut self, data: Bytes, scheduler: &mut SendScheduler) {
        scheduler.pending += u64::from(self.pending.is_empty());
        self.pending_size += data.len();
        self.pending.push_back(data);
    }

    /// Pass the pending data to quinn, unless earlier data is still waiting.
    pub(super) fn send_queued(
        &mut self,
        quinn: &mut Connection,
        id: u64,
        scheduler: &mut SendScheduler,
    ) {
        if self.waits_for != WaitsFor::Nothing {
            return;
        }
        self.virtual_time = scheduler.resume(self.virtual_time);
        self.waits_for = WaitsFor::Turn;
        while self.waits_for == WaitsFor::Turn {
            // This overtakes no stream: one that waits has found quinn full, which holds for all.
            self.pass_turn(quinn, id, scheduler);
        }
    }

    /// quinn accepts data of this stream again.
    pub(super) fn on_writable(&mut self, id: u64, scheduler: &mut SendScheduler) {
        if self.pending.is_empty() {
            self.waits_for = WaitsFor::Nothing;
        } else if self.waits_for != WaitsFor::Turn {
            self.waits_for = WaitsFor::Turn;
            self.virtual_time = scheduler.resume(self.virtual_time);
            scheduler.enqueue(id, self.virtual_time);
        }
    }

    /// Pass one turn of data to quinn, and queue for the next turn if more is pending.
    pub(super) fn take_turn(
        &mut self,
        quinn: &mut Connection,
        id: u64,
        scheduler: &mut SendScheduler,
    ) {
        self.pass_turn(quinn, id, scheduler);
        if self.waits_for == WaitsFor::Turn {
            scheduler.enqueue(id, self.virtual_time);
        }
    }

    fn pass_turn(&mut self, quinn: &mut Connection, id: u64, scheduler: &mut SendScheduler) {
        let mut room = TURN;
        while let Some(first) = self.pending.front_mut() {
            if room == 0 {
                self.waits_for = WaitsFor::Turn;
                return;
            }
            let lag = scheduler.virtual_time.saturating_sub(self.virtual_time) as usize;
            let limit = if lag > 0 { room.min(lag) } else { room };
            let mut chunks = [first.slice(..first.len().min(limit))];
            if lag > 0 {
                quinn.set_send_window(u64::MAX);
            }
            let written = quinn.send_stream(stream_id(id)).write_chunks(&mut chunks);
            if lag > 0 {
                quinn.set_send_window(scheduler.send_window);
            }
            match written {
                Ok(written) => {
                    let _ = first.split_to(written.bytes);
                    if first.is_empty() {
                        self.pending.pop_front();
                        scheduler.pending -= u64::from(self.pending.is_empty());
                    }
                    self.pending_size -= written.bytes;
                    scheduler.virtual_time = scheduler.virtual_time.max(self.virtual_time);
                    self.virtual_time += written.bytes as u64;
                    room -= written.bytes;
                }
                Err(WriteError::Blocked) => {
                    self.waits_for = WaitsFor::Writable;
                    return;
                }
                // The peer has sent STOP_SENDING. Its event follows.
                Err(_) => self.drop_pending(scheduler),
            }
        }
        self.waits_for = WaitsFor::Nothing;
        self.finish_if_drained(quinn, id);
    }

    /// Pass FIN to quinn once no data is pending.
    pub(super) fn finish_if_drained(&mut self, quinn: &mut Connection, id: u64) {
        if self.is_fin_queued && self.pending.is_empty() && !self.is_ended {
            match quinn.send_stream(stream_id(id)).finish() {
                // Stopped: the event follows. ClosedStream: FIN was passed before.
                Ok(()) | Err(FinishError::Stopped(_) | FinishError::ClosedStream) => {}
            }
        }
    }

    pub(super) fn drop_pending(&mut self, scheduler: &mut SendScheduler) {
        scheduler.pending -= u64::from(!self.pending.is_empty());
        self.pending = VecDeque::new();
        self.pending_size = 0;
    }
}
