//! When a rate that was measured is there no more. The draft believes the best of two cycles of probes
//! (draft-ietf-ccwg-bbr, 5.5.6), which take up to seven seconds: a path that has become slower would be
//! filled at its old rate with each probe until then, and its queue overflow by all that is too much.

use std::time::{Duration, Instant};

use super::Bbr;
use super::filters::MaxOfTwo;

/// Who gets less than so much of what is believed, ...
const PART: f64 = 0.5;

/// ... in so many rounds one after another, ...
const ROUNDS: u32 = 6;

/// ... and for so long, where rounds are short, will not get it again by asking for all of it.
const AT_LEAST: Duration = Duration::from_secs(1);

impl Bbr {
    /// A round in which there was enough to send has sustained so much.
    pub(super) fn give_up_a_rate_that_is_gone(&mut self, rate: f64, now: Instant) {
        if let Some(instead) = self.decline.add(rate, self.max_rate.get(), now) {
            self.max_rate = MaxOfTwo::from(instead);
        }
    }
}

/// The rounds that have fallen short of the rate that is believed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Decline {
    since: Option<Instant>,
    rounds: u32,
    /// The best rate of them.
    best: f64,
}

impl Decline {
    /// Take the rate of a round in which there was enough to send. Return what to believe in place of
    /// `believed` if that is gone.
    fn add(&mut self, rate: f64, believed: f64, now: Instant) -> Option<f64> {
        if rate >= PART * believed {
            *self = Self::default();
            return None;
        }
        let since = *self.since.get_or_insert(now);
        self.rounds += 1;
        self.best = self.best.max(rate);
        if self.rounds < ROUNDS || now < since + AT_LEAST {
            return None;
        }
        Some(std::mem::take(self).best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Return after how many milliseconds 1,000 is given up for what, given a round each `every`.
    fn given_up(every: u32, rates: impl IntoIterator<Item = f64>) -> Option<(u32, f64)> {
        let start = Instant::now();
        let mut decline = Decline::default();
        (0..).zip(rates).find_map(|(round, rate)| {
            let after = round * every;
            decline.add(rate, 1000.0, start + after * MS).map(|instead| (after, instead))
        })
    }

    #[test]
    fn a_rate_that_nothing_comes_near_for_six_rounds_is_given_up_for_the_best_of_them() {
        let rates = [1000.0, 210.0, 200.0, 220.0, 200.0, 190.0, 200.0];
        assert_eq!(given_up(250, rates), Some((1500, 220.0)));
    }

    #[test]
    fn what_is_short_for_less_than_a_second_is_a_pause() {
        assert_eq!(given_up(10, [200.0; 100]), None);
        assert_eq!(given_up(10, [200.0; 101]), Some((1000, 200.0)));
    }

    #[test]
    fn who_gets_half_of_it_or_has_it_back_for_a_round_goes_by_it() {
        assert_eq!(given_up(250, [500.0; 100]), None);
        assert_eq!(given_up(250, [200.0, 200.0, 200.0, 200.0, 900.0].repeat(20)), None);
    }
}
