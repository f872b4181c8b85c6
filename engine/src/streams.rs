//! The streams of one connection: what waits to be sent, what is to be told, and when each is over.
//!
//! quinn takes what flow control and its send window allow and no more; the rest waits here, and
//! streams take turns when there is room again. Numbers are quinn's own (RFC 9000, 2.1).

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use quinn_proto::{
    Connection, Dir, FinishError, ReadError, ReadableError, Side, StreamEvent, StreamId, VarInt,
    WriteError,
};

use crate::connection::Happening;

/// Bytes that a stream may hand to quinn before the next one has its turn.
const TURN: usize = 64 * 1024;

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
struct Stream {
    pending: VecDeque<Bytes>,
    pending_size: usize,
    /// quinn knows it; not yet while the peer allows no more streams.
    is_open: bool,
    /// quinn takes no more and will say when it does.
    is_blocked: bool,
    /// It waits for its turn.
    is_queued: bool,
    /// The end follows what is pending.
    ends: bool,
    send_over: bool,
    receive_over: bool,
    fin_read: bool,
    /// Nobody reads it any more; the code that the peer is told.
    unwanted: Option<VarInt>,
    /// It was ended from above with this code, and is not told of.
    reset: Option<VarInt>,
    /// The reader was told that there is something, and has not taken all of it.
    is_unread: bool,
}

/// All streams of a connection that the link may speak of.
#[derive(Debug)]
pub(crate) struct Streams {
    table: HashMap<u64, Stream>,
    side: Side,
    next: u64,
    /// Ours that the peer does not allow yet, in order.
    waiting: VecDeque<u64>,
    /// Those that have something pending and may write it.
    turns: VecDeque<u64>,
    unread: usize,
}

fn id(number: u64) -> StreamId {
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
            turns: VecDeque::new(),
            unread: 0,
        }
    }

    /// How many streams have something that their readers have not taken.
    pub(crate) const fn unread(&self) -> usize {
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
    pub(crate) fn write(&mut self, quinn: &mut Connection, own: u64, data: &[u8]) {
        let Some(stream) = self.table.get_mut(&own) else { return };
        if stream.send_over || stream.ends {
            return;
        }
        let mut rest = data;
        if stream.is_open && !stream.is_blocked && stream.pending.is_empty() {
            while !rest.is_empty() {
                match quinn.send_stream(id(own)).write(rest) {
                    Ok(count) => rest = &rest[count..],
                    Err(WriteError::Blocked) => {
                        stream.is_blocked = true;
                        break;
                    }
                    Err(_) => return, // the peer has stopped it, of which it is about to be told
                }
            }
        }
        if !rest.is_empty() {
            stream.pending_size += rest.len();
            stream.pending.push_back(Bytes::copy_from_slice(rest));
        }
    }

    /// Queue the end.
    pub(crate) fn finish(&mut self, quinn: &mut Connection, own: u64) {
        if let Some(stream) = self.table.get_mut(&own) {
            if !stream.send_over && !stream.ends {
                stream.ends = true;
                stream.finish_if_due(quinn, own);
            }
        }
    }

    /// Take up to about `limit` bytes.
    pub(crate) fn read(&mut self, quinn: &mut Connection, own: u64, limit: usize) -> Taken {
        let mut taken = Taken::default();
        let Some(stream) = self.table.get_mut(&own) else { return taken };
        if !stream.is_open || stream.receive_over {
            taken.fin = stream.fin_read;
            return taken;
        }
        let mut receiving = quinn.recv_stream(id(own));
        let mut chunks = match receiving.read(true) {
            Ok(chunks) => chunks,
            Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => return taken,
        };
        let mut drained = false;
        while taken.size < limit {
            match chunks.next(limit - taken.size) {
                Ok(Some(chunk)) => {
                    taken.size += chunk.bytes.len();
                    taken.pieces.push(chunk.bytes);
                }
                Ok(None) => {
                    taken.fin = true;
                    stream.fin_read = true;
                    stream.receive_over = true;
                    drained = true;
                    break;
                }
                // A reset is told when the event of it is met.
                Err(ReadError::Blocked | ReadError::Reset(_)) => {
                    drained = true;
                    break;
                }
            }
        }
        let _ = chunks.finalize(); // whoever reads sends afterwards
        if drained && std::mem::take(&mut stream.is_unread) {
            self.unread -= 1;
        }
        taken
    }

    /// Drop what is unread and what still comes.
    pub(crate) fn stop_reading(&mut self, quinn: &mut Connection, own: u64, code: VarInt) {
        if let Some(stream) = self.table.get_mut(&own) {
            if !stream.receive_over && stream.unwanted.is_none() {
                stream.unwanted = Some(code);
                if stream.is_open {
                    stop(quinn, own, code);
                }
                stream.receive_over = true;
            }
            if std::mem::take(&mut stream.is_unread) {
                self.unread -= 1;
            }
        }
    }

    /// End both directions at once, and tell nothing more of it.
    pub(crate) fn reset(&mut self, quinn: &mut Connection, own: u64, code: VarInt) {
        self.stop_reading(quinn, own, code);
        let Some(stream) = self.table.get_mut(&own) else { return };
        stream.drop_pending();
        if !stream.is_open {
            stream.reset = Some(code); // it keeps its number, so it is opened in its time
            return;
        }
        if !stream.send_over {
            reset(quinn, own, code);
        }
        self.table.remove(&own);
    }

    /// Bytes written that quinn has not taken.
    pub(crate) fn unsent(&self, own: u64) -> usize {
        self.table.get(&own).map_or(0, |stream| stream.pending_size)
    }

    /// Whether the stream is over, so that it can be told and forgotten.
    pub(crate) fn forget_if_over(&mut self, own: u64) -> bool {
        let over = self.table.get(&own).is_some_and(|stream| {
            stream.send_over && stream.receive_over && stream.reset.is_none()
        });
        if over {
            self.table.remove(&own);
        }
        over
    }

    // What quinn tells

    pub(crate) fn on_event(
        &mut self,
        quinn: &mut Connection,
        event: &StreamEvent,
        happenings: &mut VecDeque<Happening>,
    ) {
        match *event {
            StreamEvent::Opened { dir } => {
                while let Some(theirs) = quinn.streams().accept(dir) {
                    let theirs = number(theirs);
                    self.table.insert(theirs, Stream { is_open: true, ..Stream::default() });
                    happenings.push_back(Happening::Opened(theirs));
                    self.on_readable(quinn, theirs, happenings);
                }
            }
            StreamEvent::Readable { id } => self.on_readable(quinn, number(id), happenings),
            StreamEvent::Writable { id } => self.on_writable(number(id)),
            StreamEvent::Finished { id } => {
                if let Some(stream) = self.table.get_mut(&number(id)) {
                    stream.send_over = true;
                    happenings.push_back(Happening::Over(number(id)));
                }
            }
            StreamEvent::Stopped { id, error_code } => {
                self.on_stopped(quinn, number(id), error_code, happenings);
            }
            StreamEvent::Available { .. } => self.open_waiting(quinn),
        }
    }

    fn on_readable(
        &mut self,
        quinn: &mut Connection,
        own: u64,
        happenings: &mut VecDeque<Happening>,
    ) {
        let Some(stream) = self.table.get_mut(&own) else { return };
        if stream.receive_over {
            return;
        }
        if let Ok(Some(code)) = quinn.recv_stream(id(own)).received_reset() {
            stream.receive_over = true;
            if std::mem::take(&mut stream.is_unread) {
                self.unread -= 1;
            }
            happenings.push_back(Happening::Reset(own, code.into_inner()));
        } else if !stream.is_unread {
            stream.is_unread = true;
            self.unread += 1;
            happenings.push_back(Happening::Readable(own));
        }
    }

    fn on_writable(&mut self, own: u64) {
        if let Some(stream) = self.table.get_mut(&own) {
            stream.is_blocked = false;
            if !stream.pending.is_empty() && !stream.is_queued {
                stream.is_queued = true;
                self.turns.push_back(own);
            }
        }
    }

    /// The peer takes no more: it must be told where the stream ends (RFC 9000, 3.5).
    fn on_stopped(
        &mut self,
        quinn: &mut Connection,
        own: u64,
        code: VarInt,
        happenings: &mut VecDeque<Happening>,
    ) {
        let Some(stream) = self.table.get_mut(&own) else { return };
        stream.drop_pending();
        if !stream.send_over {
            stream.send_over = true;
            reset(quinn, own, code);
        }
        happenings.push_back(Happening::Stopped(own, code.into_inner()));
        happenings.push_back(Happening::Over(own));
    }

    /// Open those that the peer allows now.
    fn open_waiting(&mut self, quinn: &mut Connection) {
        while !self.waiting.is_empty() && quinn.streams().open(Dir::Bi).is_some() {
            let Some(own) = self.waiting.pop_front() else { return };
            let Some(stream) = self.table.get_mut(&own) else { continue };
            stream.is_open = true;
            if let Some(code) = stream.reset {
                reset(quinn, own, code);
                stop(quinn, own, code);
                self.table.remove(&own);
                continue;
            }
            if let Some(code) = stream.unwanted {
                stop(quinn, own, code);
            }
            if stream.pending.is_empty() {
                stream.finish_if_due(quinn, own);
            } else {
                stream.is_queued = true;
                self.turns.push_back(own);
            }
        }
    }

    /// Let streams hand over what is pending, in turns, until quinn takes no more.
    pub(crate) fn feed(&mut self, quinn: &mut Connection) {
        while let Some(own) = self.turns.pop_front() {
            let Some(stream) = self.table.get_mut(&own) else { continue };
            stream.is_queued = stream.hand_over(quinn, own);
            if stream.is_queued {
                self.turns.push_back(own);
            }
        }
    }
}

impl Stream {
    /// Hand over a turn's worth; return whether there is more that quinn may take.
    fn hand_over(&mut self, quinn: &mut Connection, own: u64) -> bool {
        let mut handed = 0;
        while handed < TURN && !self.pending.is_empty() {
            match quinn.send_stream(id(own)).write_chunks(self.pending.make_contiguous()) {
                Ok(written) => {
                    self.pending.drain(..written.chunks);
                    self.pending_size -= written.bytes;
                    handed += written.bytes;
                }
                Err(WriteError::Blocked) => {
                    self.is_blocked = true;
                    return false;
                }
                Err(_) => {
                    self.drop_pending(); // stopped, of which the link is about to be told
                    return false;
                }
            }
        }
        self.finish_if_due(quinn, own);
        !self.pending.is_empty()
    }

    fn finish_if_due(&mut self, quinn: &mut Connection, own: u64) {
        if self.ends && self.is_open && self.pending.is_empty() && !self.send_over {
            match quinn.send_stream(id(own)).finish() {
                // Stopped: the event of it follows. Closed: it was finished, which comes once.
                Ok(()) | Err(FinishError::Stopped(_) | FinishError::ClosedStream) => {}
            }
        }
    }

    fn drop_pending(&mut self) {
        self.pending = VecDeque::new();
        self.pending_size = 0;
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
