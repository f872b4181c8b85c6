//! When startup has found what the path carries (draft-ietf-ccwg-bbr, 5.3.1). What is sent until then
//! is in `phases`.

use super::Bbr;

/// Growth by so much in a round is growth, ...
const GROWTH: f64 = 1.25;

/// ... and so many rounds without make a plateau.
const PLATEAU_ROUNDS: u8 = 3;

/// So many rounds with too many losses end startup, ...
const LOSSY_ROUNDS: u8 = 6;

/// ... one more if the last of them has grown by so much in spite of them.
const LOSSY_GROWTH: f64 = 1.1;

/// Whether the rate still grows (5.3.1.2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plateau {
    rate: f64,
    rounds: u8,
    pub(super) is_reached: bool,
}

impl Plateau {
    pub(super) fn from(rate: f64) -> Self {
        Self { rate, ..Self::default() }
    }

    /// A round is over.
    pub(super) fn add(&mut self, rate: f64) {
        if rate >= GROWTH * self.rate {
            *self = Self::from(rate);
        } else if !self.is_reached {
            self.rounds += 1;
            self.is_reached = self.rounds >= PLATEAU_ROUNDS;
        }
    }
}

impl Bbr {
    /// A round of startup is over. Too many losses show that the path is full (5.3.1.3), but not at
    /// once: who comes last meets the others' queue, which may overflow for what one of them just
    /// tries; and what they then give up is found by going on. Nor for as long as it grows: those who
    /// fill queues would have given up nearly all by then.
    pub(super) fn end_startup_if_overfull(&mut self, lost_too_much: bool) {
        let grows = self.latest_rate >= LOSSY_GROWTH * self.startup_rate;
        self.startup_rate = self.startup_rate.max(self.latest_rate);
        self.lossy_rounds += u8::from(lost_too_much);
        if lost_too_much && self.lossy_rounds >= LOSSY_ROUNDS + u8::from(grows) {
            self.is_path_full = true;
            let pipe = self.inflight(self.max_rate.get(), 1.0);
            self.bound = Some(pipe.max(self.latest_delivered));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::watch::Watch;

    /// Return after how many rounds startup ends: each has a rate, and has lost too much or not.
    fn ends_after(rounds: &[(f64, bool)]) -> Option<usize> {
        let mut bbr = Bbr::new(Instant::now(), 1200, Watch::default().into());
        let ended = rounds.iter().position(|&(rate, lost_too_much)| {
            bbr.latest_rate = rate;
            bbr.end_startup_if_overfull(lost_too_much);
            bbr.is_path_full
        });
        assert_eq!(bbr.bound.is_some(), ended.is_some());
        ended.map(|before| before + 1)
    }

    const LOST: (f64, bool) = (1e5, true);

    #[test]
    fn an_overflow_of_others_does_not_end_startup() {
        assert_eq!(ends_after(&[(1e5, false), LOST, LOST, (2e5, false)]), None);
    }

    #[test]
    fn six_rounds_that_lose_too_much_end_it() {
        assert_eq!(ends_after(&[LOST; 9]), Some(6));
        let others = [(1e5, false), LOST].into_iter().cycle().take(20).collect::<Vec<_>>();
        assert_eq!(ends_after(&others), Some(12), "those between do not count");
    }

    #[test]
    fn a_seventh_ends_it_though_it_grows() {
        let doubled = (0..9).map(|round| (f64::from(1 << round), true)).collect::<Vec<_>>();
        assert_eq!(ends_after(&doubled), Some(7));
    }
}
