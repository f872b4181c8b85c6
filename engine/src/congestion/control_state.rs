//! State that a connection and its congestion controller share.
//!
//! quinn reports ACKs and losses to the controller only, and asks it for nothing but a window. The
//! controller publishes both here for the connection, with its pacing rate. The pacer decides here
//! which window quinn sees.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

/// Which window quinn sees when it asks for the window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Gate {
    /// The window as it is.
    Window,
    /// An unlimited window.
    Open,
    /// A window of 1 byte: only ACKs and probes may be sent.
    Shut,
}

/// A window that never fills up. quinn does not pace windows beyond 4 GiB.
const UNLIMITED: u64 = u64::MAX / 4;

/// The shared state.
#[derive(Debug, Default)]
pub(crate) struct ControlState {
    acks: AtomicU64,
    in_flight_at_ack: AtomicU64,
    sent_since_ack: AtomicU64,
    lost_since_ack: AtomicU64,
    allowed: AtomicU64,
    window: AtomicU64,
    pacing_rate: AtomicU64,
    gate: AtomicU8,
    is_asked: AtomicBool,
    is_app_limited: AtomicBool,
    is_cwnd_limited: AtomicBool,
}

impl ControlState {
    // For the connection

    /// Return the number of ACKs that acknowledged something new.
    pub(crate) fn acks(&self) -> u64 {
        self.acks.load(Relaxed)
    }

    /// Return the bytes in flight at the last ACK.
    pub(crate) fn in_flight_at_ack(&self) -> u64 {
        self.in_flight_at_ack.load(Relaxed)
    }

    /// Return the bytes in flight now.
    pub(crate) fn in_flight(&self) -> u64 {
        let sent = self.in_flight_at_ack.load(Relaxed) + self.sent_since_ack.load(Relaxed);
        sent.saturating_sub(self.lost_since_ack.load(Relaxed))
    }

    /// Allow `bytes` to be sent until the next ACK, however full the window is.
    pub(crate) fn allow_beyond_window(&self, bytes: u64) {
        self.allowed.store(self.in_flight() + bytes, Relaxed);
    }

    /// Allow everything to be sent: the connection is closing, and no ACKs will follow.
    pub(crate) fn allow_everything(&self) {
        self.allowed.store(u64::MAX, Relaxed);
    }

    /// Return the bytes in flight that are allowed however small the window is.
    pub(crate) fn allowed(&self) -> u64 {
        self.allowed.load(Relaxed)
    }

    /// The path has changed, and nothing is in flight on the new one.
    pub(crate) fn reset_in_flight(&self) {
        self.in_flight_at_ack.store(0, Relaxed);
        self.sent_since_ack.store(0, Relaxed);
        self.lost_since_ack.store(0, Relaxed);
    }

    /// Return the congestion window in bytes.
    pub(crate) fn window(&self) -> u64 {
        self.window.load(Relaxed)
    }

    /// Return the pacing rate in bytes per second, or None if quinn paces by the window.
    pub(crate) fn pacing_rate(&self) -> Option<u64> {
        match self.pacing_rate.load(Relaxed) {
            0 => None,
            rate => Some(rate),
        }
    }

    /// Set which window quinn sees from now on.
    pub(crate) fn set_gate(&self, gate: Gate) {
        self.gate.store(gate as u8, Relaxed);
        self.is_asked.store(false, Relaxed);
    }

    /// Whether quinn has asked for the window since `set_gate`: it has ack-eliciting data to send.
    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked.load(Relaxed)
    }

    /// There was room in the window, but no data to send.
    pub(crate) fn set_app_limited(&self) {
        self.is_app_limited.store(true, Relaxed);
    }

    /// There was data to send, but no room in the window.
    pub(crate) fn set_cwnd_limited(&self) {
        self.is_cwnd_limited.store(true, Relaxed);
    }

    // For the controller

    /// Return the window that quinn sees instead of `window`.
    pub(crate) fn answer(&self, window: u64) -> u64 {
        self.is_asked.store(true, Relaxed);
        self.window.store(window, Relaxed);
        match self.gate.load(Relaxed) {
            gate if gate == Gate::Open as u8 => UNLIMITED,
            gate if gate == Gate::Shut as u8 => 1,
            _ => window.max(self.allowed()),
        }
    }

    /// Publish the pacing rate in bytes per second, and the window. Rate 0 leaves pacing to quinn.
    pub(crate) fn publish(&self, pacing_rate: u64, window: u64) {
        self.pacing_rate.store(pacing_rate, Relaxed);
        self.window.store(window, Relaxed);
    }

    /// Return whether `set_app_limited` was called since the last call.
    pub(crate) fn take_app_limited(&self) -> bool {
        self.is_app_limited.swap(false, Relaxed)
    }

    /// Return whether `set_cwnd_limited` was called since the last call.
    pub(crate) fn take_cwnd_limited(&self) -> bool {
        self.is_cwnd_limited.swap(false, Relaxed)
    }

    pub(crate) fn on_sent(&self, bytes: u64) {
        self.sent_since_ack.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn on_lost(&self, bytes: u64) {
        self.lost_since_ack.fetch_add(bytes, Relaxed);
    }

    /// An ACK acknowledged something new, and leaves `in_flight` bytes in flight.
    pub(crate) fn on_ack(&self, in_flight: u64) {
        self.acks.fetch_add(1, Relaxed);
        self.in_flight_at_ack.store(in_flight, Relaxed);
        self.sent_since_ack.store(0, Relaxed);
        self.lost_since_ack.store(0, Relaxed);
        self.allowed.store(0, Relaxed);
    }
}
