//! The streams of one connection. `sending` queues and schedules data to be sent, `events` handles
//! quinn's events. Streams are identified by their stream ID (RFC 9000, 2.1) as a number.

mod events;
mod sending;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use quinn_proto::{Connection, Dir, ReadError, ReadableError, Side, StreamId, VarInt};

use crate::connection::unread_max;
use crate::settings::{SEND_WINDOW, varint};
use sending::{SendScheduler, Sending};

/// Data read from a stream.
#[derive(Debug, Default)]
pub struct ReadChunks {
    /// Chunks, in order.
    pub chunks: Vec<Bytes>,
    /// Bytes in all chunks.
    pub size: usize,
    /// Whether the stream ends after them.
    pub fin: bool,
}

/// The receiving part of a stream (RFC 9000, 3.2).
#[derive(Debug, Default)]
struct Receiving {
    is_ended: bool,
    is_fin_read: bool,
    /// Bytes read.
    read: u64,
    /// Upper bound of the unread bytes. 0 if the reader has read everything so far; the next data
    /// then is a new `Event::Readable`.
    unread: u64,
    /// Error code of STOP_SENDING, after `stop_reading`.
    stop_code: Option<VarInt>,
}

#[derive(Debug, Default)]
struct Stream {
    /// quinn has opened it. False while the peer's limit does not allow it.
    is_open: bool,
    /// Error code of a local reset, after which no events are reported.
    reset: Option<VarInt>,
    /// `Reset` and `Stopped` events that the link has not seen yet. The stream has not ended before
    /// that.
    unreported_errors: u8,
    sending: Sending,
    receiving: Receiving,
}

/// All streams of a connection that have not ended.
#[derive(Debug)]
pub(crate) struct Streams {
    table: HashMap<u64, Stream>,
    side: Side,
    /// Index of the next stream that we open.
    next: u64,
    /// Our streams that wait for the peer's limit to rise, in order.
    waiting: VecDeque<u64>,
    scheduler: SendScheduler,
    /// Sum of `Receiving::unread`.
    unread: u64,
}

fn stream_id(number: u64) -> StreamId {
    StreamId::from(varint(number))
}

fn number(id: StreamId) -> u64 {
    VarInt::from(id).into_inner()
}

impl Streams {
    pub(crate) fn new(side: Side) -> Self {
        Self {
            table: HashMap::new(),
            side,
            next: 0,
            waiting: VecDeque::new(),
            scheduler: SendScheduler::new(SEND_WINDOW),
            unread: 0,
        }
    }

    /// Return an upper bound of the unread bytes of all streams.
    pub(crate) const fn unread(&self) -> u64 {
        self.unread
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn open(&mut self, quinn: &mut Connection) -> u64 {
        let id = number(StreamId::new(self.side, Dir::Bi, self.next));
        self.next += 1;
        self.table.insert(id, Stream::default());
        self.waiting.push_back(id);
        self.open_waiting(quinn);
        id
    }

    /// Queue data. After FIN, a reset or STOP_SENDING it is dropped.
    pub(crate) fn write(&mut self, quinn: &mut Connection, id: u64, data: Bytes) {
        let Some(Stream { is_open, sending, .. }) = self.table.get_mut(&id) else { return };
        if sending.is_ended || sending.is_fin_queued || data.is_empty() {
            return;
        }
        sending.queue(data, &mut self.scheduler);
        if *is_open {
            sending.send_queued(quinn, id, &mut self.scheduler);
        }
    }

    /// Queue FIN.
    pub(crate) fn finish(&mut self, quinn: &mut Connection, id: u64) {
        let Some(Stream { is_open, sending, .. }) = self.table.get_mut(&id) else { return };
        if !sending.is_ended && !sending.is_fin_queued {
            sending.is_fin_queued = true;
            if *is_open {
                sending.finish_if_drained(quinn, id);
            }
        }
    }

    /// Read about `limit` bytes at most.
    pub(crate) fn read(&mut self, quinn: &mut Connection, id: u64, limit: usize) -> ReadChunks {
        let mut result = ReadChunks::default();
        let Some(Stream { is_open, receiving, .. }) = self.table.get_mut(&id) else {
            return result;
        };
        if !*is_open || receiving.is_ended {
            result.fin = receiving.is_fin_read;
            return result;
        }
        let mut stream = quinn.recv_stream(stream_id(id));
        let mut chunks = match stream.read(true) {
            Ok(chunks) => chunks,
            Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => return result,
        };
        let mut is_drained = false;
        while result.size < limit {
            match chunks.next(limit - result.size) {
                Ok(Some(chunk)) => {
                    result.size += chunk.bytes.len();
                    result.chunks.push(chunk.bytes);
                    continue;
                }
                Ok(None) => {
                    result.fin = true;
                    receiving.is_fin_read = true;
                    receiving.is_ended = true;
                }
                // A reset is reported by its event.
                Err(ReadError::Blocked | ReadError::Reset(_)) => {}
            }
            is_drained = true;
            break;
        }
        let _ = chunks.finalize(); // the caller sends after each read anyway
        receiving.read += result.size as u64;
        let unread = if is_drained { 0 } else { unread_max(receiving.read) };
        receiving.set_unread(unread, &mut self.unread);
        result
    }

    /// Discard unread and future data, and send STOP_SENDING.
    pub(crate) fn stop_reading(&mut self, quinn: &mut Connection, id: u64, code: VarInt) {
        let Some(Stream { is_open, receiving, .. }) = self.table.get_mut(&id) else { return };
        if !receiving.is_ended {
            receiving.is_ended = true;
            receiving.stop_code = Some(code);
            if *is_open {
                stop(quinn, id, code);
            }
        }
        receiving.set_unread(0, &mut self.unread);
    }

    /// Reset both directions, and report no more events.
    pub(crate) fn reset(&mut self, quinn: &mut Connection, id: u64, code: VarInt) {
        self.stop_reading(quinn, id, code);
        let Some(stream) = self.table.get_mut(&id) else { return };
        stream.sending.drop_pending(&mut self.scheduler);
        if !stream.is_open {
            stream.reset = Some(code); // its ID is taken, so it is opened in order and then reset
            return;
        }
        if !stream.sending.is_ended {
            reset(quinn, id, code);
        }
        self.table.remove(&id);
    }

    /// Discard the data of all streams, sent and received. The connection is about to be closed.
    pub(crate) fn discard(&mut self, quinn: &mut Connection, code: VarInt) {
        let streams: Vec<u64> = self.table.keys().copied().collect();
        for id in streams {
            self.reset(quinn, id, code);
        }
    }

    pub(crate) fn set_send_window(&mut self, quinn: &mut Connection, bytes: u64) {
        self.scheduler.set_send_window(quinn, bytes);
    }

    /// Whether a stream has data that quinn has not accepted.
    pub(crate) fn has_pending(&self) -> bool {
        self.scheduler.has_pending()
    }

    /// Return the bytes written that quinn has not accepted.
    pub(crate) fn unsent(&self, id: u64) -> usize {
        self.table.get(&id).map_or(0, |stream| stream.sending.pending_size())
    }

    /// Return the bytes that each stream should have unsent at `rate` bytes per second.
    pub(crate) fn share(&self, rate: u64, rtt: Duration) -> usize {
        self.scheduler.share(rate, rtt)
    }

    /// Remove the stream if both directions have ended. Return whether it was removed.
    pub(crate) fn remove_if_ended(&mut self, id: u64) -> bool {
        let is_ended = self.table.get(&id).is_some_and(|stream| {
            let is_ended = stream.sending.is_ended && stream.receiving.is_ended;
            is_ended && stream.unreported_errors == 0 && stream.reset.is_none()
        });
        if is_ended {
            self.table.remove(&id);
        }
        is_ended
    }

    /// Whether events of the stream are reported.
    pub(crate) fn is_reported(&self, id: u64) -> bool {
        self.table.get(&id).is_some_and(|stream| stream.reset.is_none())
    }

    /// A `Reset` or `Stopped` event is reported now. Return whether the link may see it.
    pub(crate) fn report_peer_error(&mut self, id: u64) -> bool {
        if let Some(stream) = self.table.get_mut(&id) {
            stream.unreported_errors -= 1;
        }
        self.is_reported(id)
    }
}

impl Receiving {
    /// Set the upper bound of the unread bytes, and correct the sum of all streams.
    fn set_unread(&mut self, bytes: u64, sum: &mut u64) {
        *sum = *sum - self.unread + bytes;
        self.unread = bytes;
    }
}

/// Send RESET_STREAM. An error means that the stream has ended already.
fn reset(quinn: &mut Connection, id: u64, code: VarInt) {
    let _ = quinn.send_stream(stream_id(id)).reset(code);
}

/// Send STOP_SENDING. An error means that the stream has ended already.
fn stop(quinn: &mut Connection, id: u64, code: VarInt) {
    let _ = quinn.recv_stream(stream_id(id)).stop(code);
}
