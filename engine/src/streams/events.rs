//! What quinn tells of streams: they are opened, may be read or written again, or end.

use std::collections::VecDeque;

use quinn_proto::{Connection, Dir, StreamEvent, VarInt};

use super::{Stream, Streams, id, number, reset, stop};
use crate::connection::Happening;
use crate::window::held_at_most;

impl Streams {
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
                    stream.sending.is_over = true;
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
        let Some(Stream { receiving, untold, .. }) = self.table.get_mut(&own) else { return };
        if receiving.is_over {
            return;
        }
        if let Ok(Some(code)) = quinn.recv_stream(id(own)).received_reset() {
            receiving.is_over = true;
            receiving.note_unread(0, &mut self.unread);
            *untold += 1;
            happenings.push_back(Happening::Reset(own, code.into_inner()));
        } else if receiving.unread == 0 {
            receiving.note_unread(held_at_most(receiving.read), &mut self.unread);
            happenings.push_back(Happening::Readable(own));
        }
    }

    fn on_writable(&mut self, own: u64) {
        if let Some(Stream { sending, .. }) = self.table.get_mut(&own) {
            sending.has_room(own, &mut self.turns);
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
        let Some(Stream { sending, untold, .. }) = self.table.get_mut(&own) else { return };
        sending.drop_pending(&mut self.turns);
        if !sending.is_over {
            sending.is_over = true;
            reset(quinn, own, code);
        }
        *untold += 1;
        happenings.push_back(Happening::Stopped(own, code.into_inner()));
    }

    /// Open those that the peer allows now.
    pub(super) fn open_waiting(&mut self, quinn: &mut Connection) {
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
            if let Some(code) = stream.receiving.unwanted {
                stop(quinn, own, code);
            }
            stream.sending.begin(quinn, own, &mut self.turns);
        }
    }

    /// Let streams hand over what is pending, in turns, until quinn takes no more.
    pub(crate) fn feed(&mut self, quinn: &mut Connection) {
        while let Some(own) = self.turns.next() {
            if let Some(Stream { sending, .. }) = self.table.get_mut(&own) {
                sending.take_turn(quinn, own, &mut self.turns);
            }
        }
    }
}
