//! quinn's stream events.

use std::collections::VecDeque;

use quinn_proto::{Connection, Dir, StreamEvent, VarInt};

use super::{Stream, Streams, number, reset, stop, stream_id};
use crate::connection::{Event, unread_max};

impl Streams {
    pub(crate) fn on_event(
        &mut self,
        quinn: &mut Connection,
        event: &StreamEvent,
        events: &mut VecDeque<Event>,
    ) {
        match *event {
            StreamEvent::Opened { dir } => {
                while let Some(id) = quinn.streams().accept(dir) {
                    let id = number(id);
                    self.table.insert(id, Stream { is_open: true, ..Stream::default() });
                    events.push_back(Event::Opened(id));
                    self.on_readable(quinn, id, events);
                }
            }
            StreamEvent::Readable { id } => self.on_readable(quinn, number(id), events),
            StreamEvent::Writable { id } => self.on_writable(number(id)),
            StreamEvent::Finished { id } => {
                if let Some(stream) = self.table.get_mut(&number(id)) {
                    stream.sending.is_ended = true;
                    events.push_back(Event::Ended(number(id)));
                }
            }
            StreamEvent::Stopped { id, error_code } => {
                self.on_stopped(quinn, number(id), error_code, events);
            }
            StreamEvent::Available { .. } => self.open_waiting(quinn),
        }
    }

    fn on_readable(&mut self, quinn: &mut Connection, id: u64, events: &mut VecDeque<Event>) {
        let Some(Stream { receiving, unreported_errors, .. }) = self.table.get_mut(&id) else {
            return;
        };
        if receiving.is_ended {
            return;
        }
        if let Ok(Some(code)) = quinn.recv_stream(stream_id(id)).received_reset() {
            receiving.is_ended = true;
            receiving.set_unread(0, &mut self.unread);
            *unreported_errors += 1;
            events.push_back(Event::Reset(id, code.into_inner()));
        } else if receiving.unread == 0 {
            receiving.set_unread(unread_max(receiving.read), &mut self.unread);
            events.push_back(Event::Readable(id));
        }
    }

    fn on_writable(&mut self, id: u64) {
        if let Some(Stream { sending, .. }) = self.table.get_mut(&id) {
            sending.on_writable(id, &mut self.scheduler);
        }
    }

    /// The peer sent STOP_SENDING, which requires a RESET_STREAM in return (RFC 9000, 3.5).
    fn on_stopped(
        &mut self,
        quinn: &mut Connection,
        id: u64,
        code: VarInt,
        events: &mut VecDeque<Event>,
    ) {
        let Some(Stream { sending, unreported_errors, .. }) = self.table.get_mut(&id) else {
            return;
        };
        sending.drop_pending(&mut self.scheduler);
        if !sending.is_ended {
            sending.is_ended = true;
            reset(quinn, id, code);
        }
        *unreported_errors += 1;
        events.push_back(Event::Stopped(id, code.into_inner()));
    }

    /// Open the waiting streams that the peer now allows.
    pub(super) fn open_waiting(&mut self, quinn: &mut Connection) {
        while !self.waiting.is_empty() && quinn.streams().open(Dir::Bi).is_some() {
            let Some(id) = self.waiting.pop_front() else { return };
            let Some(stream) = self.table.get_mut(&id) else { continue };
            stream.is_open = true;
            if let Some(code) = stream.reset {
                reset(quinn, id, code);
                stop(quinn, id, code);
                self.table.remove(&id);
                continue;
            }
            if let Some(code) = stream.receiving.stop_code {
                stop(quinn, id, code);
            }
            stream.sending.send_queued(quinn, id, &mut self.scheduler);
        }
    }

    /// Pass pending data to quinn, one stream's turn after the other, until quinn accepts no more.
    pub(crate) fn send_pending(&mut self, quinn: &mut Connection) {
        while let Some(id) = self.scheduler.next() {
            if let Some(Stream { sending, .. }) = self.table.get_mut(&id) {
                sending.take_turn(quinn, id, &mut self.scheduler);
            }
        }
    }
}
