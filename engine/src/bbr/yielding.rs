//! Making room for others: what the draft does not do. A queue that stays though nothing more is tried
//! shows that somebody else sends too, and that all together send more than the path carries. Who
//! has most in that queue yields first, so that who came last finds room; and what was given up is
//! taken back by as much for who has little as for who has much.

use super::Bbr;
use super::phases::Phase;

/// Rounds after which a queue is one that stays, ...
const AFTER: u32 = 3;

/// ... and after more was tried: what that has made is gone by then.
const AFTER_PROBE: u32 = 8;

/// What is given up of the rate in each further round, for each round trip of waiting; ...
const STEP: f64 = 0.2;

/// ... at most, or what is under way by then would leave the path empty; ...
const STEP_MOST: f64 = 0.05;

/// ... and what is kept of the best measured rate: those who fill queues would else get all.
const LEAST: f64 = 0.5;

/// A queue that a round leaves so much of, or less, is going: what was given up is enough.
const GOING: f64 = 0.85;

/// Who has so many packets in the queue yields at once, for each packet in the square root of what
/// the path holds of theirs; all others within so many rounds more, for the queue must go.
const PART: f64 = 6.0;
const PATIENCE: f64 = 10.0;

/// Packets that are sent more in each round trip while what was given up is taken back, and the most
/// that this is of the rate.
const RETURN: u64 = 6;
const RETURN_MOST: f64 = 0.05;

impl Bbr {
    /// A round is over: yield if a queue stays, or take back some of the rate if there is none.
    pub(super) fn make_room(&mut self, has_queue: bool) {
        let keeps_its_rate = matches!(self.phase, Phase::Down | Phase::Cruise);
        self.queued_rounds = if has_queue && keeps_its_rate { self.queued_rounds + 1 } else { 0 };
        let after = if self.phase == Phase::Down { AFTER_PROBE } else { AFTER };
        let queue = self.trips.queue();
        let is_going = queue <= GOING * self.last_queue;
        self.last_queue = queue;
        if self.queued_rounds >= after && !is_going && self.has_most() {
            self.yield_rate((STEP * queue).min(STEP_MOST));
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

    fn yield_rate(&mut self, part: f64) {
        let rate = self.short_rate.unwrap_or(self.max_rate.get());
        let least = LEAST * self.max_rate.get();
        self.short_rate = Some(rate.min(((1.0 - part) * rate).max(least)));
    }

    /// Take back what was given up, to a queue or to losses, but no more than that: what losses take
    /// next is a part of it.
    fn take_back(&mut self) {
        let (Some(rate), Some(rtt)) = (self.short_rate, self.trips.least()) else { return };
        let most = self.max_rate.get();
        if rate < most {
            let more = (RETURN * self.mss) as f64 / rtt.as_secs_f64();
            self.short_rate = Some((rate + more.min(RETURN_MOST * rate)).min(most));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::watch::Watch;

    const MS: Duration = Duration::from_millis(1);

    /// Return what a link that keeps to 50 Mbit/s on a path of 50 ms keeps to after such round trips.
    fn rate_after(round_trips: impl IntoIterator<Item = u32>) -> f64 {
        link_after(round_trips).model_rate()
    }

    fn link_after(round_trips: impl IntoIterator<Item = u32>) -> Bbr {
        let start = Instant::now();
        let mut bbr = Bbr::new(start, 1200, Watch::default().into());
        bbr.phase = Phase::Cruise;
        bbr.max_rate.add(6_250_000.0);
        bbr.latest_rate = 6_250_000.0;
        bbr.trips.add(50 * MS, start);
        for (round, rtt) in (1..).zip(round_trips) {
            for part in 0..4 {
                bbr.trips.add(rtt * MS, start + (4 * round + part) * 13 * MS);
            }
            bbr.make_room(bbr.trips.has_queue());
        }
        bbr
    }

    #[test]
    fn losses_take_their_part_however_long_ago_all_was_taken_back() {
        let mut bbr = link_after([90; 8].into_iter().chain([50; 200]));
        bbr.latest_rate = 0.0;
        bbr.lower_short_term();
        assert!(bbr.model_rate() < 0.75 * 6_250_000.0, "{}", bbr.model_rate());
    }

    #[test]
    fn a_queue_that_stays_is_yielded_to_and_one_that_goes_is_not() {
        let full = 6_250_000.0;
        assert!((rate_after([50; 20]) - full).abs() < 1.0, "there is no queue");
        assert!((rate_after([90, 90]) - full).abs() < 1.0, "it is not there for long");
        assert!((rate_after([90, 84, 76, 66, 57, 50]) - full).abs() < 1.0, "it goes by itself");
        assert!(rate_after([90; 6]) < 0.9 * full);
        assert!(rate_after([90; 40]) >= LEAST * full);
    }

    #[test]
    fn a_short_queue_takes_less_of_the_rate_than_a_long_one() {
        assert!(rate_after([60; 14]) > rate_after([90; 14]));
    }

    #[test]
    fn what_was_given_up_is_taken_back_when_the_queue_has_gone() {
        let yielded = [90; 8];
        let less = rate_after(yielded);
        let more = rate_after(yielded.into_iter().chain([50; 3]));
        assert!(more > less);
        assert!(more < less * 1.2, "little by little");
        assert!((rate_after(yielded.into_iter().chain([50; 60])) - 6_250_000.0).abs() < 1.0);
    }
}
