//! Pacing at a controller's rate (draft-ietf-ccwg-bbr-04, 5.6.2).
//!
//! quinn paces by the window, 1.25 windows per round trip, and cannot be given a rate. So its pacer
//! is bypassed. quinn is asked for as many datagrams as the rate and the window allow, and sees an
//! unlimited window meanwhile. Otherwise it sees a window of 1 byte, with which it sends only ACKs
//! and probes. For CUBIC and NewReno, which have no rate, quinn's own pacer is used.

use std::time::{Duration, Instant};

use crate::congestion::{ControlState, Gate};

/// Time's worth of data in one burst (`BBRSetSendQuantum`).
const QUANTUM_TIME: Duration = Duration::from_millis(1);

/// Smallest burst in datagrams.
const QUANTUM_MIN: u64 = 2;

/// Largest burst in bytes.
const QUANTUM_MAX: u64 = 64 * 1024;

/// Time's worth of data that may be sent at once after a pause. On fast paths, a quantum each time an
/// event loop wakes up would not reach the rate.
const BURST_TIME: Duration = Duration::from_millis(4);

/// Part of the window that may be caught up on after the process stood still with data to send: a
/// quarter of a round trip. This does not refill a path that has run empty, but leaves a queue that
/// bridges the next stop.
const CATCH_UP_PART: u64 = 8;

/// Most bytes that may be caught up on. Queues are no longer on faster paths.
const CATCH_UP_MAX: u64 = 96 * 1024;

/// Datagrams that may be sent at once after a pause, at any rate. On slow paths, a keystroke beside
/// downloads would wait for the rate.
const BURST_DATAGRAMS: u64 = 10;

/// Return the size of a burst in bytes at `rate` bytes per second (5.6.3).
pub(crate) fn quantum(rate: u64, mtu: u64) -> u64 {
    bytes_in(QUANTUM_TIME, rate).min(QUANTUM_MAX).max(QUANTUM_MIN * mtu)
}

fn bytes_in(time: Duration, rate: u64) -> u64 {
    (rate as f64 * time.as_secs_f64()) as u64
}

/// Why the gate is shut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LimitedBy {
    Nothing,
    Window,
    Rate,
}

/// A token bucket that lets quinn send at the controller's rate.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// Bytes that may be sent now.
    tokens: f64,
    filled_at: Option<Instant>,
    limited_by: LimitedBy,
    due: Option<Instant>,
    /// There was data to send at the last call, and only the rate prevented it.
    was_rate_limited: bool,
}

impl Pacer {
    pub(crate) const fn new() -> Self {
        Self {
            tokens: 0.0,
            filled_at: None,
            limited_by: LimitedBy::Nothing,
            due: None,
            was_rate_limited: false,
        }
    }

    /// Return when more may be sent, if data waits only for the rate.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Clear a deadline that has passed.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.due = self.due.filter(|&due| due > now);
    }

    /// Prepare for one call of quinn's `poll_transmit`. Return how many datagrams to ask for, at most
    /// `segments`.
    pub(crate) fn open_gate(
        &mut self,
        control: &ControlState,
        mtu: u16,
        segments: usize,
        now: Instant,
    ) -> usize {
        self.due = None;
        self.limited_by = LimitedBy::Nothing;
        let Some(rate) = control.pacing_rate() else {
            control.set_gate(Gate::Window);
            return segments;
        };
        let (mtu, in_flight) = (u64::from(mtu), control.in_flight());
        self.fill(rate, control.window(), mtu, now);
        let room = control.window().saturating_sub(in_flight);
        let allowed = control.allowed().saturating_sub(in_flight);
        let budget = room.min(self.tokens.max(0.0) as u64).max(allowed);
        if budget < mtu {
            self.limited_by = if room < mtu { LimitedBy::Window } else { LimitedBy::Rate };
            control.set_gate(Gate::Shut);
            return segments;
        }
        control.set_gate(Gate::Open);
        segments.min((budget / mtu) as usize)
    }

    /// Account for the `sent` bytes that quinn has returned. Return whether quinn had nothing to send
    /// although it might have.
    pub(crate) fn close_gate(
        &mut self,
        control: &ControlState,
        mtu: u16,
        sent: usize,
        now: Instant,
    ) -> bool {
        let is_asked = control.is_asked();
        self.was_rate_limited = self.limited_by == LimitedBy::Rate && is_asked;
        control.set_gate(Gate::Window);
        let Some(rate) = control.pacing_rate() else { return false };
        match self.limited_by {
            LimitedBy::Nothing if sent > 0 => self.tokens -= sent as f64,
            LimitedBy::Nothing => return !is_asked,
            LimitedBy::Window if is_asked => control.set_cwnd_limited(),
            LimitedBy::Rate if is_asked => {
                let missing = quantum(rate, u64::from(mtu)) as f64 - self.tokens;
                self.due = Some(now + Duration::from_secs_f64(missing.max(0.0) / rate as f64));
            }
            _ => {}
        }
        false
    }

    fn fill(&mut self, rate: u64, window: u64, mtu: u64, now: Instant) {
        let catch_up =
            if self.was_rate_limited { (window / CATCH_UP_PART).min(CATCH_UP_MAX) } else { 0 };
        let capacity = bytes_in(BURST_TIME, rate).max(BURST_DATAGRAMS * mtu).max(catch_up) as f64;
        self.tokens = match self.filled_at {
            None => capacity,
            Some(at) if at == now => self.tokens, // the rest of a catch-up, in the same turn
            Some(at) => {
                let since = now.saturating_duration_since(at).as_secs_f64();
                (self.tokens + since * rate as f64).min(capacity)
            }
        };
        self.filled_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u16 = 1000;

    /// Send whenever it is allowed, for one second. Return the bytes sent.
    fn send_for_a_second(
        pacer: &mut Pacer,
        control: &ControlState,
        mut now: Instant,
        late: Duration,
    ) -> usize {
        let (end, mut total) = (now + Duration::from_secs(1), 0);
        while now < end {
            loop {
                let datagrams = pacer.open_gate(control, MTU, 10, now);
                let is_open = control.answer(control.window()) > u64::from(u32::MAX);
                let sent = if is_open { datagrams * usize::from(MTU) } else { 0 };
                pacer.close_gate(control, MTU, sent, now);
                total += sent;
                if sent == 0 {
                    break;
                }
            }
            now = pacer.deadline().expect("the rate is the limit") + late;
        }
        total
    }

    #[test]
    fn the_rate_is_kept_although_timers_are_late() {
        for late in [0, 500, 2000] {
            let (mut pacer, control) = (Pacer::new(), ControlState::default());
            control.publish(5_000_000, u64::MAX / 8);
            let total = send_for_a_second(
                &mut pacer,
                &control,
                Instant::now(),
                Duration::from_micros(late),
            );
            assert!((4_950_000..5_050_000).contains(&total), "{total}");
        }
    }

    #[test]
    fn after_a_stop_part_of_the_window_is_caught_up_on() {
        let (mut pacer, control, start) = (Pacer::new(), ControlState::default(), Instant::now());
        control.publish(5_000_000, 400_000);
        send_for_a_second(&mut pacer, &control, start, Duration::ZERO);
        let after = start + Duration::from_millis(1030);
        assert_eq!(pacer.open_gate(&control, MTU, 100, after), 50);
        control.answer(control.window());
        pacer.close_gate(&control, MTU, 20 * usize::from(MTU), after);
        assert_eq!(
            pacer.open_gate(&control, MTU, 100, after),
            30,
            "the rest is sent in the same turn"
        );
    }

    #[test]
    fn after_an_idle_time_only_a_small_burst_is_sent() {
        let (mut pacer, control, start) = (Pacer::new(), ControlState::default(), Instant::now());
        control.publish(5_000_000, 400_000);
        pacer.open_gate(&control, MTU, 100, start);
        pacer.close_gate(&control, MTU, 10_000, start);
        assert_eq!(pacer.open_gate(&control, MTU, 100, start + Duration::from_secs(1)), 20);
    }

    #[test]
    fn a_full_window_sets_no_timer() {
        let (mut pacer, control, now) = (Pacer::new(), ControlState::default(), Instant::now());
        control.publish(5_000_000, 10_000);
        control.on_sent(9_500);
        pacer.open_gate(&control, MTU, 10, now);
        assert_eq!(control.answer(control.window()), 1);
        pacer.close_gate(&control, MTU, 0, now);
        assert_eq!(pacer.deadline(), None);
        assert!(control.take_cwnd_limited());
        assert!(!control.take_app_limited());
    }

    #[test]
    fn an_allowance_overrides_window_and_rate() {
        let (mut pacer, control, now) = (Pacer::new(), ControlState::default(), Instant::now());
        control.publish(5_000, 10_000);
        control.on_sent(20_000);
        control.allow_beyond_window(3_000);
        assert_eq!(pacer.open_gate(&control, MTU, 10, now), 3);
        assert!(control.answer(control.window()) > u64::from(u32::MAX));
    }

    #[test]
    fn without_a_rate_quinn_paces() {
        let (mut pacer, control, now) = (Pacer::new(), ControlState::default(), Instant::now());
        assert_eq!(pacer.open_gate(&control, MTU, 10, now), 10);
        assert_eq!(control.answer(12_345), 12_345);
        pacer.close_gate(&control, MTU, 0, now);
        assert_eq!(pacer.deadline(), None);
    }
}
