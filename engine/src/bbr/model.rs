//! The model of the path: what samples of the rate and losses say of how much it bears
//! (draft-ietf-ccwg-bbr, 5.5). What is sent for it is decided in the module above.

use std::time::Instant;

use super::phases::Phase;
use super::rates::Sample;
use super::{BETA, Bbr, HEADROOM, HEADROOM_QUEUE, INITIAL_WINDOW, LATENESS, MIN_WINDOW};
use crate::pacing::quantum;

impl Bbr {
    /// The rate to go by: the best that was measured, within what was learned since.
    pub(super) fn model_rate(&self) -> f64 {
        self.short_rate.map_or(self.max_rate.get(), |short| short.min(self.max_rate.get()))
    }

    /// So many times what the path holds with no queue, in bytes; None if that is not known.
    pub(super) fn pipe(&self, rate: f64, gain: f64) -> Option<u64> {
        let least = self.trips.least().filter(|_| rate > 0.0)?;
        Some((gain * rate * least.as_secs_f64()) as u64)
    }

    /// What may be in flight by that, with what sending in bursts takes (5.6.4.2).
    pub(super) fn inflight(&self, rate: f64, gain: f64) -> u64 {
        let Some(pipe) = self.pipe(rate, gain) else { return INITIAL_WINDOW * self.mss };
        let least = (3 * self.quantum()).max(MIN_WINDOW * self.mss);
        let late = (rate * LATENESS.as_secs_f64()) as u64;
        let probe = if self.phase == Phase::Up { 2 * self.mss } else { 0 };
        (pipe + late).max(least) + probe
    }

    pub(super) fn quantum(&self) -> u64 {
        quantum(self.rate as u64, self.mss)
    }

    /// The bound in the long term, less what is left to others (5.6.4.4:
    /// `BBRInflightWithHeadroom`): more of a queue than of the path.
    pub(super) fn bound_with_headroom(&self) -> Option<u64> {
        self.bound.map(|bound| {
            let of = |part: f64| (bound as f64 * (1.0 - part)) as u64;
            let path = self.inflight(self.model_rate(), 1.0).min(of(HEADROOM));
            of(HEADROOM_QUEUE)
                .max(path)
                .min(bound.saturating_sub(self.mss))
                .max(MIN_WINDOW * self.mss)
        })
    }

    /// Learn what a sample shows of the path's rate and of this round (5.5.5, 5.5.10.3).
    pub(super) fn learn(&mut self, sample: &Sample, now: Instant) {
        let rate = sample.rate.unwrap_or(0.0);
        self.latest_delivered = self.latest_delivered.max(sample.delivered);
        self.is_round_start = sample.prior_delivered >= self.round_ends_at;
        self.is_full[0] |= self.watch.take_was_full();
        if self.is_round_start {
            self.start_round();
            self.rounds += 1;
            self.is_full = [false, self.is_full[0]];
        }
        self.learn_rate(rate, sample.is_app_limited, now);
        if !self.is_round_start {
            return;
        }
        let has_queue = self.trips.has_queue();
        let (lost, delivered) = (self.rates.lost, self.rates.delivered);
        let is_too_much = self.losses.end_round(lost, delivered, self.mss, has_queue);
        if is_too_much && !self.phase.is_probing() {
            self.lower_short_term();
        }
        self.make_room(has_queue);
        if self.phase == Phase::Startup {
            self.end_startup_if_overfull(is_too_much);
        }
        self.latest_delivered = sample.delivered;
        if !self.is_path_full {
            self.latest_rate = rate;
        }
    }

    /// Learn the path's rate: in startup, which doubles it with each round, from every sample; later
    /// from what a whole round has sustained.
    fn learn_rate(&mut self, rate: f64, is_app_limited: bool, now: Instant) {
        if !self.is_path_full {
            self.latest_rate = self.latest_rate.max(rate);
            self.believe(rate, is_app_limited);
        }
        let sustained = if self.is_round_start { self.sustained.end_round() } else { None };
        if let Some((rate, is_app_limited)) = sustained.filter(|_| self.is_path_full) {
            self.latest_rate = rate;
            self.believe(rate, is_app_limited);
            if !is_app_limited {
                self.give_up_a_rate_that_is_gone(rate, now);
            }
        }
        if rate > 0.0 {
            self.sustained.add(rate, is_app_limited);
        }
    }

    /// A rate was measured. Where there was too little to send it shows only that no less is carried.
    fn believe(&mut self, rate: f64, is_app_limited: bool) {
        if rate >= self.max_rate.get() || !is_app_limited {
            self.max_rate.add(rate);
        }
    }

    /// The path bears less than was believed: go by what it has just borne (5.5.10.3).
    pub(super) fn lower_short_term(&mut self) {
        let rate = self.short_rate.unwrap_or(self.max_rate.get());
        self.short_rate = Some(self.latest_rate.max(BETA * rate));
        let bound = self.short_bound.unwrap_or(self.window);
        self.short_bound = Some(self.latest_delivered.max((BETA * bound as f64) as u64));
    }

    pub(super) fn reset_short_term(&mut self) {
        self.short_rate = None;
        self.short_bound = None;
    }

    pub(super) fn start_round(&mut self) {
        self.round_ends_at = self.rates.delivered;
    }

    /// Learn how many more bytes are acknowledged at once than the rate explains (5.5.9).
    pub(super) fn learn_aggregation(&mut self, newly_acked: u64, now: Instant) {
        let since = now.saturating_duration_since(self.extra_since).as_secs_f64();
        let mut expected = (self.model_rate() * since) as u64;
        if self.extra_delivered <= expected {
            self.extra_delivered = 0;
            self.extra_since = now;
            expected = 0;
        }
        self.extra_delivered += newly_acked;
        let extra = (self.extra_delivered - expected).min(self.window);
        self.extra_acked.add(extra as f64, self.rounds);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::watch::Watch;

    /// Return what is kept of a bound where the path alone holds 100,000 bytes.
    fn kept_of(bound: u64) -> u64 {
        let start = Instant::now();
        let mut bbr = Bbr::new(start, 1000, Watch::default().into());
        bbr.max_rate.add(2_000_000.0);
        bbr.rate = 2_000_000.0;
        bbr.trips.add(Duration::from_millis(50), start);
        bbr.bound = Some(bound);
        bbr.bound_with_headroom().expect("there is one")
    }

    #[test]
    fn a_third_of_a_queue_is_left_to_others_and_less_of_a_path() {
        assert_eq!(kept_of(200_000), 134_000);
        assert_eq!(kept_of(110_000), 93_500, "where a queue overflows at once");
        assert_eq!(kept_of(130_000), 104_000, "the path, and what late acknowledgements take");
    }
}
