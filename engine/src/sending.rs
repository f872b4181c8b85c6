//! What streams have to send and quinn does not take yet, and whose turn is next.
//!
//! quinn takes what flow control and its send window allow and no more; the rest waits here. When
//! there is room again, streams share it by bytes (start-time fair queueing): each has a clock that
//! runs with what it hands over, and the one that is furthest behind is next. One that has had
//! nothing to send comes in a turn ahead of those that always have, so that a keystroke does not wait
//! for downloads; it cannot save up more than that one turn. Within it quinn takes what it has though
//! the send window is full, and sends it before all that it has of others.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use quinn_proto::{Connection, FinishError, WriteError};

use crate::streams::id;

/// Bytes that a stream may hand to quinn before the next one has its turn.
const TURN: usize = 16 * 1024;

/// Bytes by which clocks may differ while quinn sends what streams have in the order of their writes:
/// about a packet. Otherwise a byte on one stream could arrive before an earlier byte on another.
const ALIKE: u64 = 1200;

/// What leaves within a round trip waits here beside what quinn keeps; on shorter paths what leaves
/// within so long, for an event loop that has much to do comes round no sooner.
const AHEAD: Duration = Duration::from_millis(25);

/// Bytes that wait though the path is slow, or not known yet, ...
const AHEAD_MIN: u64 = 64 * 1024;

/// ... and those of one stream, however many there are.
const SHARE_MIN: u64 = 16 * 1024;

/// quinn's priority of streams that are ahead of others, ...
const FIRST: i32 = 1;

/// ... and of the others.
const ABREAST: i32 = 0;

/// What a stream's sending half waits for, when it has something pending.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Waits {
    /// Nothing: it may write.
    #[default]
    No,
    /// Its turn.
    ForTurn,
    /// quinn's word that there is room again.
    ForRoom,
}

/// The streams that may hand over what they have, those first that have handed over least.
#[derive(Debug)]
pub(crate) struct Turns {
    /// By their clocks.
    waiting: BTreeSet<(u64, u64)>,
    /// The furthest clock of those that have handed something over.
    now: u64,
    /// Bytes of all streams that quinn is to keep, sent or unsent.
    send_window: u64,
    /// How many streams have something pending.
    pending: u64,
}

impl Turns {
    /// Begin, with the send window that quinn has.
    pub(crate) const fn new(send_window: u64) -> Self {
        Self { waiting: BTreeSet::new(), now: 0, send_window, pending: 0 }
    }

    /// Whether any stream has something pending.
    pub(crate) const fn has_pending(&self) -> bool {
        self.pending > 0
    }

    /// Take out who is next.
    pub(crate) fn next(&mut self) -> Option<u64> {
        self.waiting.pop_first().map(|(_, own)| own)
    }

    fn wait(&mut self, own: u64, clock: u64) {
        self.waiting.insert((clock, own));
    }

    /// Let quinn keep so much of what is sent, until it is acknowledged.
    pub(crate) fn set_send_window(&mut self, quinn: &mut Connection, bytes: u64) {
        self.send_window = bytes;
        quinn.set_send_window(bytes);
    }

    /// Bytes that each stream may have pending, on a path that carries `rate` bytes a second.
    pub(crate) fn share(&self, rate: u64, rtt: Duration) -> usize {
        let ahead = (rate as f64 * rtt.max(AHEAD).as_secs_f64()) as u64;
        (ahead.max(AHEAD_MIN) / self.pending.max(1)).max(SHARE_MIN) as usize
    }

    /// What was not used while there was nothing to send is not saved up, but for one turn.
    fn caught_up(&self, clock: u64) -> u64 {
        clock.max(self.now.saturating_sub(TURN as u64))
    }
}

/// One stream's direction from here to the peer.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    pending: VecDeque<Bytes>,
    pending_size: usize,
    waits: Waits,
    /// What it has handed over, in bytes, on a clock that all streams have in common.
    clock: u64,
    /// quinn sends what it has before what others have.
    is_ahead: bool,
    /// The end follows what is pending.
    pub(crate) ends: bool,
    /// Nothing more is to be sent: all was acknowledged, or the direction was ended with a code.
    pub(crate) is_over: bool,
}

impl Sending {
    /// Bytes that wait here.
    pub(crate) const fn size(&self) -> usize {
        self.pending_size
    }

    /// Put data behind what waits; `begin` follows.
    pub(crate) fn queue(&mut self, data: Bytes, turns: &mut Turns) {
        turns.pending += u64::from(self.pending.is_empty());
        self.pending_size += data.len();
        self.pending.push_back(data);
    }

    /// Hand over what was queued, as far as quinn takes it at once; the rest waits.
    pub(crate) fn begin(&mut self, quinn: &mut Connection, own: u64, turns: &mut Turns) {
        if self.waits != Waits::No {
            return;
        }
        self.clock = turns.caught_up(self.clock);
        self.waits = Waits::ForTurn;
        while self.waits == Waits::ForTurn {
            // Nobody's turn is taken: whoever waits has found that quinn is full, for all.
            self.hand_over(quinn, own, turns);
        }
    }

    /// There is room again: wait for a turn, if there is something to use it for.
    pub(crate) fn has_room(&mut self, own: u64, turns: &mut Turns) {
        if self.pending.is_empty() {
            self.waits = Waits::No;
        } else if self.waits != Waits::ForTurn {
            self.waits = Waits::ForTurn;
            self.clock = turns.caught_up(self.clock);
            turns.wait(own, self.clock);
        }
    }

    /// Hand over a turn's worth, and wait for the next one if there is more.
    pub(crate) fn take_turn(&mut self, quinn: &mut Connection, own: u64, turns: &mut Turns) {
        self.hand_over(quinn, own, turns);
        if self.waits == Waits::ForTurn {
            turns.wait(own, self.clock);
        }
    }

    /// Hand over a turn's worth, and note what the rest waits for.
    fn hand_over(&mut self, quinn: &mut Connection, own: u64, turns: &mut Turns) {
        self.go_ahead(quinn, own, turns);
        let mut room = TURN;
        while let Some(first) = self.pending.front_mut() {
            if room == 0 {
                self.waits = Waits::ForTurn;
                return;
            }
            let ahead = turns.now.saturating_sub(self.clock) as usize;
            let most = if ahead > 0 { room.min(ahead) } else { room };
            let mut turn = [first.slice(..first.len().min(most))];
            if ahead > 0 {
                quinn.set_send_window(u64::MAX);
            }
            let written = quinn.send_stream(id(own)).write_chunks(&mut turn);
            if ahead > 0 {
                quinn.set_send_window(turns.send_window);
            }
            match written {
                Ok(written) => {
                    let _ = first.split_to(written.bytes);
                    if first.is_empty() {
                        self.pending.pop_front();
                        turns.pending -= u64::from(self.pending.is_empty());
                    }
                    self.pending_size -= written.bytes;
                    turns.now = turns.now.max(self.clock);
                    self.clock += written.bytes as u64;
                    room -= written.bytes;
                }
                Err(WriteError::Blocked) => {
                    self.waits = Waits::ForRoom;
                    return;
                }
                Err(_) => self.drop_pending(turns), // stopped, of which the link is about to be told
            }
        }
        self.waits = Waits::No;
        self.finish_if_due(quinn, own);
    }

    /// See whether it has handed over about as little as others or less: it goes before the rest.
    fn go_ahead(&mut self, quinn: &mut Connection, own: u64, turns: &Turns) {
        let is_ahead = self.clock < turns.now + ALIKE;
        if is_ahead != std::mem::replace(&mut self.is_ahead, is_ahead) {
            let priority = if is_ahead { FIRST } else { ABREAST };
            let _ = quinn.send_stream(id(own)).set_priority(priority); // closed: it has no need
        }
    }

    /// Tell quinn of the end once it has all that comes before.
    pub(crate) fn finish_if_due(&mut self, quinn: &mut Connection, own: u64) {
        if self.ends && self.pending.is_empty() && !self.is_over {
            match quinn.send_stream(id(own)).finish() {
                // Stopped: the event of it follows. Closed: it was finished, which comes once.
                Ok(()) | Err(FinishError::Stopped(_) | FinishError::ClosedStream) => {}
            }
        }
    }

    /// Forget what waits: nobody wants it.
    pub(crate) fn drop_pending(&mut self, turns: &mut Turns) {
        turns.pending -= u64::from(!self.pending.is_empty());
        self.pending = VecDeque::new();
        self.pending_size = 0;
    }
}
