//! The streams of one connection: what is to be read, what is to be told, and when each is over.
//!
//! What waits to be sent is `sending`'s, and what quinn tells is taken in `events`. Numbers are quinn's
//! own (RFC 9000, 2.1).

mod events;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use quinn_proto::{Connection, Dir, ReadError, ReadableError, Side, StreamId, VarInt};

use crate::sending::{Sending, Turns};
use crate::settings::SEND_WINDOW;
use crate::window::held_at_most;

/// What a read has brought.
#[derive(Debug, Default)]
pub struct Taken {
    /// Pieces, in order.
    pub pieces: Vec<Bytes>,
    /// Bytes in all of them.
    pub size: usize,
    /// Whether they were the last.
    pub fin: bool,
}

#[derive(Debug, Default)]
struct Receiving {
    is_over: bool,
    fin_read: bool,
    /// Bytes that were read.
    read: u64,
    /// The reader was told that there is something, and has not taken all of it: so many bytes at
    /// most. 0: nothing.
    unread: u64,
    /// Nobody reads it any more; the code that the peer is told.
    unwanted: Option<VarInt>,
}

#[derive(Debug, Default)]
struct Stream {
    /// quinn knows it; not yet while the peer allows no more streams.
    is_open: bool,
    /// It was ended from above with this code, and is not told of.
    reset: Option<VarInt>,
    /// Ends by the peer's wish that are yet to be told: until then it is not over.
    untold: u8,
    sending: Sending,
    receiving: Receiving,
}

/// All streams of a connection that the link may speak of.
#[derive(Debug)]
pub(crate) struct Streams {
    table: HashMap<u64, Stream>,
    side: Side,
    next: u64,
    /// Ours that the peer does not allow yet, in order.
    waiting: VecDeque<u64>,
    turns: Turns,
    /// What all of them hold at most that their readers have not taken.
    unread: u64,
}

pub(crate) fn id(number: u64) -> StreamId {
    // Numbers come from quinn, or were made like its own: they are far below 2^62.
    StreamId::from(VarInt::from_u64(number).unwrap_or(VarInt::MAX))
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
            turns: Turns::new(SEND_WINDOW),
            unread: 0,
        }
    }

    /// Bytes at most that streams hold whose readers have not taken all that there is.
    pub(crate) const fn unread(&self) -> u64 {
        self.unread
    }

    /// How many are known.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    // What the link does

    /// Open one; beyond the peer's limit it waits.
    pub(crate) fn open(&mut self, quinn: &mut Connection) -> u64 {
        let own = number(StreamId::new(self.side, Dir::Bi, self.next));
        self.next += 1;
        self.table.insert(own, Stream::default());
        self.waiting.push_back(own);
        self.open_waiting(quinn);
        own
    }

    /// Queue data; what nobody wants is dropped.
    pub(crate) fn write(&mut self, quinn: &mut Connection, own: u64, data: Bytes) {
        let Some(Stream { is_open, sending, .. }) = self.table.get_mut(&own) else { return };
        if sending.is_over || sending.ends || data.is_empty() {
            return;
        }
        sending.queue(data, &mut self.turns);
        if *is_open {
            sending.begin(quinn, own, &mut self.turns);
        }
    }

    /// Queue the end.
    pub(crate) fn finish(&mut self, quinn: &mut Connection, own: u64) {
        let Some(Stream { is_open, sending, .. }) = self.table.get_mut(&own) else { return };
        if !sending.is_over && !sending.ends {
            sending.ends = true;
            if *is_open {
                sending.finish_if_due(quinn, own);
            }
        }
    }

    /// Take up to about `limit` bytes.
    pub(crate) fn read(&mut self, quinn: &mut Connection, own: u64, limit: usize) -> Taken {
        let mut taken = Taken::default();
        let Some(Stream { is_open, receiving, .. }) = self.table.get_mut(&own) else {
            return taken;
        };
        if !*is_open || receiving.is_over {
            taken.fin = receiving.fin_read;
            return taken;
        }
        let mut stream = quinn.recv_stream(id(own));
        let mut chunks = match stream.read(true) {
            Ok(chunks) => chunks,
            Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => return taken,
        };
        let mut is_drained = false;
        while taken.size < limit {
            match chunks.next(limit - taken.size) {
                Ok(Some(chunk)) => {
                    taken.size += chunk.bytes.len();
                    taken.pieces.push(chunk.bytes);
                    continue;
                }
                Ok(None) => {
                    taken.fin = true;
                    receiving.fin_read = true;
                    receiving.is_over = true;
                }
                // A reset is told when the event of it is met.
                Err(ReadError::Blocked | ReadError::Reset(_)) => {}
            }
            is_drained = true;
            break;
        }
        let _ = chunks.finalize(); // whoever reads sends afterwards
        receiving.read += taken.size as u64;
        let unread = if is_drained { 0 } else { held_at_most(receiving.read) };
        receiving.note_unread(unread, &mut self.unread);
        taken
    }

    /// Drop what is unread and what still comes.
    pub(crate) fn stop_reading(&mut self, quinn: &mut Connection, own: u64, code: VarInt) {
        let Some(Stream { is_open, receiving, .. }) = self.table.get_mut(&own) else { return };
        if !receiving.is_over {
            receiving.is_over = true;
            receiving.unwanted = Some(code);
            if *is_open {
                stop(quinn, own, code);
            }
        }
        receiving.note_unread(0, &mut self.unread);
    }

    /// End both directions at once, and tell nothing more of it.
    pub(crate) fn reset(&mut self, quinn: &mut Connection, own: u64, code: VarInt) {
        self.stop_reading(quinn, own, code);
        let Some(stream) = self.table.get_mut(&own) else { return };
        stream.sending.drop_pending(&mut self.turns);
        if !stream.is_open {
            stream.reset = Some(code); // it keeps its number, so it is opened in its time
            return;
        }
        if !stream.sending.is_over {
            reset(quinn, own, code);
        }
        self.table.remove(&own);
    }

    /// Let quinn keep so many bytes of all streams until they are acknowledged.
    pub(crate) fn set_send_window(&mut self, quinn: &mut Connection, bytes: u64) {
        self.turns.set_send_window(quinn, bytes);
    }

    /// Whether anything was written that quinn has not taken.
    pub(crate) fn has_pending(&self) -> bool {
        self.turns.has_pending()
    }

    /// Bytes written that quinn has not taken.
    pub(crate) fn unsent(&self, own: u64) -> usize {
        self.table.get(&own).map_or(0, |stream| stream.sending.size())
    }

    /// Bytes that each stream may have unsent, on a path that carries `rate` bytes a second.
    pub(crate) fn share(&self, rate: u64, rtt: Duration) -> usize {
        self.turns.share(rate, rtt)
    }

    /// Forget the stream if it is over; return whether it is.
    pub(crate) fn forget_if_over(&mut self, own: u64) -> bool {
        let is_over = self.table.get(&own).is_some_and(|stream| {
            let halves = (&stream.sending, &stream.receiving);
            halves.0.is_over && halves.1.is_over && stream.untold == 0 && stream.reset.is_none()
        });
        if is_over {
            self.table.remove(&own);
        }
        is_over
    }

    /// Whether the link may be told of the stream.
    pub(crate) fn knows(&self, own: u64) -> bool {
        self.table.get(&own).is_some_and(|stream| stream.reset.is_none())
    }

    /// An end by the peer's wish is told now; return whether the link may be told.
    pub(crate) fn tell_end(&mut self, own: u64) -> bool {
        if let Some(stream) = self.table.get_mut(&own) {
            stream.untold -= 1;
        }
        self.knows(own)
    }
}

impl Receiving {
    /// It holds so many bytes at most that its reader has not taken, and is one of all streams.
    fn note_unread(&mut self, bytes: u64, all: &mut u64) {
        *all = *all - self.unread + bytes;
        self.unread = bytes;
    }
}

/// Tell the peer that we end our direction here; one that is over needs no telling.
fn reset(quinn: &mut Connection, own: u64, code: VarInt) {
    let _ = quinn.send_stream(id(own)).reset(code);
}

/// Tell the peer that we take no more; one that is over needs no telling.
fn stop(quinn: &mut Connection, own: u64, code: VarInt) {
    let _ = quinn.recv_stream(id(own)).stop(code);
}
