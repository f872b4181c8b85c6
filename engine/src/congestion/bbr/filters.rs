//! Filters of samples.

use std::time::{Duration, Instant};

/// Part of the believed bandwidth that a round must reach to confirm it.
const DECLINE_PART: f64 = 0.5;

/// Rounds in a row that do not confirm the bandwidth, after which it is given up.
const DECLINE_ROUNDS: u32 = 6;

/// Shortest time that these rounds take, for paths with a short round trip.
const DECLINE_TIME: Duration = Duration::from_secs(1);

/// Maximum of the present `ProbeBW` cycle and the previous one (5.5.3, `MaxBwFilterLen` = 2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MaxOfTwoCycles {
    present: f64,
    previous: f64,
}

impl MaxOfTwoCycles {
    /// Return a filter that has seen only this value.
    pub(super) const fn from_value(value: f64) -> Self {
        Self { present: value, previous: 0.0 }
    }

    pub(super) const fn get(&self) -> f64 {
        self.present.max(self.previous)
    }

    pub(super) const fn update(&mut self, value: f64) {
        self.present = self.present.max(value);
    }

    /// Start the next cycle (`BBRAdvanceMaxBwFilter`).
    pub(super) const fn advance(&mut self) {
        self.previous = std::mem::replace(&mut self.present, 0.0);
    }
}

/// Maximum of the latest rounds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MaxOfRounds {
    values: [u64; Self::ROUNDS as usize],
    round: u64,
}

impl MaxOfRounds {
    /// Most rounds that are kept (`BBR.ExtraAckedFilterLen`).
    pub(super) const ROUNDS: u64 = 10;

    pub(super) fn update(&mut self, value: u64, round: u64) {
        for skipped in self.round + 1..=round.min(self.round + Self::ROUNDS) {
            self.values[(skipped % Self::ROUNDS) as usize] = 0;
        }
        self.round = round;
        let present = &mut self.values[(round % Self::ROUNDS) as usize];
        *present = (*present).max(value);
    }

    /// Return the maximum of the latest `rounds` rounds.
    pub(super) fn get(&self, rounds: u64) -> u64 {
        let first = (self.round + 1).saturating_sub(rounds.min(Self::ROUNDS));
        let latest = (first..=self.round).map(|round| self.values[(round % Self::ROUNDS) as usize]);
        latest.max().unwrap_or(0)
    }
}

/// The delivery rate that a round sustains: the third quartile of its samples.
///
/// Delayed ACKs arrive together. What is sent between the first and the last of them is then
/// measured with more delivered data, in less time, than the path took. The highest sample of a
/// round is often one of these.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundRate {
    samples: Vec<f64>,
    is_app_limited: bool,
}

impl RoundRate {
    pub(super) fn update(&mut self, delivery_rate: f64, is_app_limited: bool) {
        if delivery_rate > 0.0 {
            self.samples.push(delivery_rate);
            self.is_app_limited |= is_app_limited;
        }
    }

    /// End the round. Return its rate, or 0 without samples, and whether one was app-limited.
    pub(super) fn take(&mut self) -> (f64, bool) {
        let third_quartile = self.samples.len() * 3 / 4;
        let rate = if self.samples.is_empty() {
            0.0
        } else {
            *self.samples.select_nth_unstable_by(third_quartile, f64::total_cmp).1
        };
        self.samples.clear();
        (rate, std::mem::take(&mut self.is_app_limited))
    }
}

/// Notices that the path has become slower.
///
/// The maximum filter keeps a bandwidth for two cycles, up to six seconds. For that time each probe
/// would send at a rate that the path no longer has, and overflow its queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Decline {
    since: Option<Instant>,
    rounds: u32,
    best: f64,
}

impl Decline {
    /// Take the rate of a round that was not app-limited. Return the bandwidth that replaces
    /// `max_bw`, if it is given up.
    pub(super) fn update(&mut self, rate: f64, max_bw: f64, now: Instant) -> Option<f64> {
        if rate >= DECLINE_PART * max_bw {
            *self = Self::default();
            return None;
        }
        let since = *self.since.get_or_insert(now);
        self.rounds += 1;
        self.best = self.best.max(rate);
        if self.rounds < DECLINE_ROUNDS || now < since + DECLINE_TIME {
            return None;
        }
        Some(std::mem::take(self).best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maximum_lasts_for_two_cycles() {
        let mut filter = MaxOfTwoCycles::default();
        filter.update(9.0);
        filter.advance();
        filter.update(5.0);
        assert!((filter.get() - 9.0).abs() < 0.1);
        filter.advance();
        filter.update(6.0);
        assert!((filter.get() - 6.0).abs() < 0.1);
    }

    /// Return after how many milliseconds a bandwidth of 1,000 is given up, and its replacement.
    fn given_up(round: u32, rates: impl IntoIterator<Item = f64>) -> Option<(u32, f64)> {
        let start = Instant::now();
        let mut decline = Decline::default();
        (0..).zip(rates).find_map(|(index, rate)| {
            let after = index * round;
            let now = start + Duration::from_millis(after.into());
            decline.update(rate, 1000.0, now).map(|best| (after, best))
        })
    }

    #[test]
    fn a_bandwidth_is_given_up_after_six_rounds_for_the_best_of_them() {
        let rates = [1000.0, 210.0, 200.0, 220.0, 200.0, 190.0, 200.0];
        assert_eq!(given_up(250, rates), Some((1500, 220.0)));
    }

    #[test]
    fn rounds_of_less_than_a_second_do_not_give_up_a_bandwidth() {
        assert_eq!(given_up(10, [200.0; 100]), None);
        assert_eq!(given_up(10, [200.0; 101]), Some((1000, 200.0)));
    }

    #[test]
    fn a_round_with_half_of_the_bandwidth_confirms_it() {
        assert_eq!(given_up(250, [500.0; 100]), None);
        assert_eq!(given_up(250, [200.0, 200.0, 200.0, 200.0, 900.0].repeat(20)), None);
    }

    #[test]
    fn a_few_high_samples_do_not_raise_the_rate_of_a_round() {
        let mut rate = RoundRate::default();
        assert_eq!(rate.take(), (0.0, false));
        for sample in [6.0, 6.1, 5.8, 9.0, 6.0, 5.9, 6.0, 5.9] {
            rate.update(sample, sample > 8.9);
        }
        assert_eq!(rate.take(), (6.1, true));
        rate.update(5.0, false);
        assert_eq!(rate.take(), (5.0, false));
    }

    #[test]
    fn a_maximum_lasts_for_ten_rounds() {
        let mut filter = MaxOfRounds::default();
        filter.update(9, 3);
        filter.update(5, 12);
        assert_eq!(filter.get(10), 9);
        assert_eq!(filter.get(1), 5);
        filter.update(2, 13);
        assert_eq!(filter.get(10), 5);
        filter.update(1, 40);
        assert_eq!(filter.get(10), 1);
    }
}
