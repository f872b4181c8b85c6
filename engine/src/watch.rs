//! What a connection and its controllers know of each other. quinn tells of acknowledgements and
//! losses to controllers and to nobody else; and a controller has no say of its own in when what it
//! allows may leave.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

/// What quinn is told when it asks a controller for the window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Gate {
    /// The window itself.
    Told,
    /// Whatever is to be sent may leave.
    Open,
    /// Nothing that would have to be acknowledged.
    Shut,
}

/// A window that quinn neither meets nor paces: it paces none beyond 4 GiB.
const BOUNDLESS: u64 = u64::MAX / 4;

/// What a connection's controllers see and say, for the connection to read.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    acknowledgements: AtomicU64,
    in_flight: AtomicU64,
    sent_since: AtomicU64,
    lost_since: AtomicU64,
    leave: AtomicU64,
    window: AtomicU64,
    rate: AtomicU64,
    gate: AtomicU8,
    asked: AtomicBool,
    ran_dry: AtomicBool,
    was_full: AtomicBool,
}

impl Watch {
    // For the connection

    /// How many times something new was acknowledged.
    pub(crate) fn acknowledgements(&self) -> u64 {
        self.acknowledgements.load(Relaxed)
    }

    /// Bytes that must be acknowledged and were in flight after the last acknowledgement.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// The same by now.
    pub(crate) fn under_way(&self) -> u64 {
        let sent = self.in_flight.load(Relaxed) + self.sent_since.load(Relaxed);
        sent.saturating_sub(self.lost_since.load(Relaxed))
    }

    /// Let `bytes` leave until the next acknowledgement, however full the window is.
    pub(crate) fn grant_leave(&self, bytes: u64) {
        self.leave.store(self.under_way() + bytes, Relaxed);
    }

    /// Let all that is still to leave do so: nothing is acknowledged any more.
    pub(crate) fn grant_leave_for_good(&self) {
        self.leave.store(u64::MAX, Relaxed);
    }

    /// Bytes that may be in flight by such leave.
    pub(crate) fn leave(&self) -> u64 {
        self.leave.load(Relaxed)
    }

    /// The path is another one: nothing is in flight on it.
    pub(crate) fn forget_in_flight(&self) {
        self.in_flight.store(0, Relaxed);
        self.sent_since.store(0, Relaxed);
        self.lost_since.store(0, Relaxed);
    }

    /// The congestion window in bytes, as the controller last said.
    pub(crate) fn window(&self) -> u64 {
        self.window.load(Relaxed)
    }

    /// Bytes a second at which to send; None if quinn is to go by the window alone.
    pub(crate) fn rate(&self) -> Option<u64> {
        match self.rate.load(Relaxed) {
            0 => None,
            rate => Some(rate),
        }
    }

    /// Say what quinn is told next; what it asked before is forgotten.
    pub(crate) fn set_gate(&self, gate: Gate) {
        self.gate.store(gate as u8, Relaxed);
        self.asked.store(false, Relaxed);
    }

    /// Whether quinn has asked for the window since: it has something that must be acknowledged.
    pub(crate) fn was_asked(&self) -> bool {
        self.asked.load(Relaxed)
    }

    /// There was room, and nothing to send.
    pub(crate) fn note_ran_dry(&self) {
        self.ran_dry.store(true, Relaxed);
    }

    /// There was something to send, and no room in the window.
    pub(crate) fn note_was_full(&self) {
        self.was_full.store(true, Relaxed);
    }

    // For controllers

    /// What quinn is told of the window, which is `window`.
    pub(crate) fn answer(&self, window: u64) -> u64 {
        self.asked.store(true, Relaxed);
        match self.gate.load(Relaxed) {
            gate if gate == Gate::Open as u8 => BOUNDLESS,
            gate if gate == Gate::Shut as u8 => 1,
            _ => window.max(self.leave()),
        }
    }

    /// Let the connection send at `rate` bytes a second (0: as quinn does) within `window`.
    pub(crate) fn steer(&self, rate: u64, window: u64) {
        self.rate.store(rate, Relaxed);
        self.window.store(window, Relaxed);
    }

    /// Whether there was nothing to send since this was last asked.
    pub(crate) fn take_ran_dry(&self) -> bool {
        self.ran_dry.swap(false, Relaxed)
    }

    /// Whether the window was in the way since this was last asked.
    pub(crate) fn take_was_full(&self) -> bool {
        self.was_full.swap(false, Relaxed)
    }

    /// So much was sent.
    pub(crate) fn count_sent(&self, bytes: u64) {
        self.sent_since.fetch_add(bytes, Relaxed);
    }

    /// So much was lost of what was in flight.
    pub(crate) fn count_lost(&self, bytes: u64) {
        self.lost_since.fetch_add(bytes, Relaxed);
    }

    /// Something was acknowledged, and so much is still in flight.
    pub(crate) fn count_acknowledgement(&self, in_flight: u64) {
        self.acknowledgements.fetch_add(1, Relaxed);
        self.in_flight.store(in_flight, Relaxed);
        self.sent_since.store(0, Relaxed);
        self.lost_since.store(0, Relaxed);
        self.leave.store(0, Relaxed);
    }
}
