//! When a connection may send, for controllers that say at what rate.
//!
//! quinn spreads a window and a quarter over a round trip and cannot be told a rate. So it is kept
//! out of this: it is asked for datagrams only as far as rate and window allow, and finds the window
//! boundless meanwhile, which it does not pace; and shut otherwise, when only what needs no
//! acknowledgement may leave, and probes. For quinn's own algorithms nothing is done here.

use std::time::{Duration, Instant};

use crate::watch::{Gate, Watch};

/// What may leave at once: so much time's worth of the rate, ...
const QUANTUM: Duration = Duration::from_millis(1);

/// ... at least so many datagrams, ...
const QUANTUM_MIN: u64 = 2;

/// ... and at most so many bytes (the longest write of segments).
pub(crate) const QUANTUM_MAX: u64 = 64 * 1024;

/// What may be caught up on at once in any case: event loops' timers are late, by a millisecond or two.
const LATENESS: Duration = Duration::from_millis(4);

/// What may be caught up on if data has waited for its time alone, and the process stood still then:
/// a part of the window, which is a quarter of a round trip, ...
const LATE_PART: u64 = 8;

/// ... and at most so many bytes, for queues are no longer on faster paths. It fills no pipe that has
/// run empty meanwhile; it stays in the path's queue for a while, which outlasts the next stop.
const LATE_MAX: u64 = 96 * 1024;

/// Datagrams that may always leave at once after a pause.
const BURST: u64 = 10;

/// Bytes that are to leave at once at `rate` bytes a second (draft-ietf-ccwg-bbr, 5.6.3).
pub(crate) fn quantum(rate: u64, mtu: u64) -> u64 {
    worth(rate, QUANTUM).min(QUANTUM_MAX).max(QUANTUM_MIN * mtu)
}

/// Bytes of so much time.
fn worth(rate: u64, time: Duration) -> u64 {
    (rate as f64 * time.as_secs_f64()) as u64
}

/// What keeps data from leaving.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hindrance {
    Nothing,
    Window,
    Rate,
}

/// Lets a connection send at its controller's rate.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// Bytes that may leave now.
    tokens: f64,
    filled_at: Option<Instant>,
    hindrance: Hindrance,
    due: Option<Instant>,
    /// There was more to send, and only the rate was in its way.
    is_waiting: bool,
}

impl Pacer {
    pub(crate) const fn new() -> Self {
        Self {
            tokens: 0.0,
            filled_at: None,
            hindrance: Hindrance::Nothing,
            due: None,
            is_waiting: false,
        }
    }

    /// When more may leave, if something waits for that alone.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// That moment has come, or is told no more.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.due = self.due.filter(|&due| due > now);
    }

    /// Return how many datagrams quinn may be asked for, at most `segments`; `end` follows.
    pub(crate) fn begin(
        &mut self,
        watch: &Watch,
        mtu: u16,
        segments: usize,
        now: Instant,
    ) -> usize {
        self.due = None;
        self.hindrance = Hindrance::Nothing;
        let Some(rate) = watch.rate() else {
            watch.set_gate(Gate::Told);
            return segments;
        };
        let (mtu, under_way) = (u64::from(mtu), watch.under_way());
        self.fill(rate, watch.window(), mtu, now);
        let room = watch.window().saturating_sub(under_way);
        let leave = watch.leave().saturating_sub(under_way);
        let may = room.min(self.tokens.max(0.0) as u64).max(leave);
        if may < mtu {
            self.hindrance = if room < mtu { Hindrance::Window } else { Hindrance::Rate };
            watch.set_gate(Gate::Shut);
            return segments;
        }
        watch.set_gate(Gate::Open);
        segments.min((may / mtu) as usize)
    }

    /// quinn has given `sent` bytes; 0 if there was nothing that may leave. Return whether it ran dry:
    /// more might have left.
    pub(crate) fn end(&mut self, watch: &Watch, mtu: u16, sent: usize, now: Instant) -> bool {
        let was_asked = watch.was_asked();
        self.is_waiting = self.hindrance == Hindrance::Rate && was_asked;
        watch.set_gate(Gate::Told);
        let Some(rate) = watch.rate() else { return false };
        match self.hindrance {
            Hindrance::Nothing if sent > 0 => self.tokens -= sent as f64,
            Hindrance::Nothing => return !was_asked,
            Hindrance::Window if was_asked => watch.note_was_full(),
            Hindrance::Rate if was_asked => {
                let missing = quantum(rate, u64::from(mtu)) as f64 - self.tokens;
                self.due = Some(now + Duration::from_secs_f64(missing.max(0.0) / rate as f64));
            }
            _ => {}
        }
        false
    }

    fn fill(&mut self, rate: u64, window: u64, mtu: u64, now: Instant) {
        let late = if self.is_waiting { (window / LATE_PART).min(LATE_MAX) } else { 0 };
        let most = worth(rate, LATENESS).max(BURST * mtu).max(late) as f64;
        self.tokens = match self.filled_at {
            None => most,
            Some(at) if at == now => self.tokens, // the rest of what is caught up on in this turn
            Some(at) => {
                let since = now.saturating_duration_since(at).as_secs_f64();
                (self.tokens + since * rate as f64).min(most)
            }
        };
        self.filled_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u16 = 1000;

    /// Send whenever it is allowed, for a second; return how many bytes left.
    fn a_second(pacer: &mut Pacer, watch: &Watch, mut now: Instant, late: Duration) -> usize {
        let (end, mut total) = (now + Duration::from_secs(1), 0);
        while now < end {
            loop {
                let datagrams = pacer.begin(watch, MTU, 10, now);
                let is_open = watch.answer(5) > u64::from(u32::MAX);
                let sent = if is_open { datagrams * usize::from(MTU) } else { 0 };
                pacer.end(watch, MTU, sent, now);
                total += sent;
                if sent == 0 {
                    break;
                }
            }
            now = pacer.deadline().expect("it waits for its rate") + late;
        }
        total
    }

    #[test]
    fn what_leaves_keeps_to_the_rate_though_timers_are_late() {
        for late in [0, 500, 2000] {
            let (mut pacer, watch) = (Pacer::new(), Watch::default());
            watch.steer(5_000_000, u64::MAX / 8);
            let total = a_second(&mut pacer, &watch, Instant::now(), Duration::from_micros(late));
            assert!((4_950_000..5_050_000).contains(&total), "{total}");
        }
    }

    #[test]
    fn who_stood_still_catches_up_on_a_part_of_the_window() {
        let (mut pacer, watch, start) = (Pacer::new(), Watch::default(), Instant::now());
        watch.steer(5_000_000, 400_000);
        a_second(&mut pacer, &watch, start, Duration::ZERO);
        let after = start + Duration::from_millis(1030);
        assert_eq!(pacer.begin(&watch, MTU, 100, after), 50);
        watch.answer(5);
        pacer.end(&watch, MTU, 20 * usize::from(MTU), after);
        assert_eq!(pacer.begin(&watch, MTU, 100, after), 30, "the rest leaves in the same turn");
    }

    #[test]
    fn who_had_nothing_to_send_catches_up_on_little() {
        let (mut pacer, watch, start) = (Pacer::new(), Watch::default(), Instant::now());
        watch.steer(5_000_000, 400_000);
        pacer.begin(&watch, MTU, 100, start);
        pacer.end(&watch, MTU, 10_000, start);
        assert_eq!(pacer.begin(&watch, MTU, 100, start + Duration::from_secs(1)), 20);
    }

    #[test]
    fn a_full_window_sets_no_timer() {
        let (mut pacer, watch, now) = (Pacer::new(), Watch::default(), Instant::now());
        watch.steer(5_000_000, 10_000);
        watch.count_sent(9_500);
        pacer.begin(&watch, MTU, 10, now);
        assert_eq!(watch.answer(10_000), 1);
        pacer.end(&watch, MTU, 0, now);
        assert_eq!(pacer.deadline(), None);
        assert!(watch.take_was_full());
        assert!(!watch.take_ran_dry());
    }

    #[test]
    fn leave_goes_before_window_and_rate() {
        let (mut pacer, watch, now) = (Pacer::new(), Watch::default(), Instant::now());
        watch.steer(5_000, 10_000);
        watch.count_sent(20_000);
        watch.grant_leave(3_000);
        assert_eq!(pacer.begin(&watch, MTU, 10, now), 3);
        assert!(watch.answer(10_000) > u64::from(u32::MAX));
    }

    #[test]
    fn a_rate_of_none_leaves_it_to_quinn() {
        let (mut pacer, watch, now) = (Pacer::new(), Watch::default(), Instant::now());
        assert_eq!(pacer.begin(&watch, MTU, 10, now), 10);
        assert_eq!(watch.answer(12_345), 12_345);
        pacer.end(&watch, MTU, 0, now);
        assert_eq!(pacer.deadline(), None);
    }
}
