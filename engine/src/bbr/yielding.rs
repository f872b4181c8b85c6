//! Making room for others: what the draft does not do. A queue that stays though nothing more is tried
//! shows that somebody else sends too, and that all together send more than the path carries. Who
//! has most in that queue yields first, so that who came last finds room; and what was given up is
//! taken back slowly, by as much for who has little as for who has much.

use super::Bbr;
use super::phases::Phase;

/// Rounds after which a queue is one that stays, ...
const AFTER: u32 = 3;

/// ... and after more was tried: what that has made is gone by then.
const AFTER_PROBE: u32 = 8;

/// What is kept of the rate in each further round, ...
const STEP: f64 = 0.95;

/// ... and at least, of the best measured rate: those who fill queues would else get all.
const LEAST: f64 = 0.5;

/// Who has so many packets in the queue yields at once, for each packet in the square root of what
/// the path holds of theirs; all others within so many rounds more, for the queue must go.
const PART: f64 = 6.0;
const PATIENCE: f64 = 10.0;

/// Packets that are sent more in each round trip while what was given up is taken back.
const RETURN: u64 = 2;

impl Bbr {
    /// A round is over: yield if a queue stays, or take back some of the rate if there is none.
    pub(super) fn make_room(&mut self, has_queue: bool) {
        let keeps_its_rate = matches!(self.phase, Phase::Down | Phase::Cruise);
        self.queued_rounds = if has_queue && keeps_its_rate { self.queued_rounds + 1 } else { 0 };
        let after = if self.phase == Phase::Down { AFTER_PROBE } else { AFTER };
        if self.queued_rounds >= after && self.has_most() {
            self.yield_rate();
        }
        if self.phase == Phase::Cruise && !has_queue {
            self.take_back();
        }
    }

    /// Whether so much of the queue is this connection's that it is its turn to yield.
    fn has_most(&self) -> bool {
        let Some(held) = self.pipe(self.latest_rate, 1.0) else { return false };
        let held = (held as f64 / self.mss as f64).max(1.0);
        let waited = f64::from(self.queued_rounds - AFTER) / PATIENCE;
        held * self.trips.queue() > PART * held.sqrt() * (1.0 - waited)
    }

    fn yield_rate(&mut self) {
        let rate = self.short_rate.unwrap_or(self.max_rate.get());
        let least = LEAST * self.max_rate.get();
        self.short_rate = Some(rate.min((STEP * rate).max(least)));
    }

    fn take_back(&mut self) {
        let (Some(rate), Some(rtt)) = (self.short_rate, self.trips.least()) else { return };
        self.short_rate = Some(rate + (RETURN * self.mss) as f64 / rtt.as_secs_f64());
    }
}
