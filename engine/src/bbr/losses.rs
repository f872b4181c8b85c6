//! What losses say of how much the path bears (draft-ietf-ccwg-bbr, 5.5.10).
//!
//! Here is where this differs from the draft, which takes 2 % for the most that a path loses without
//! being overfull. A wireless one loses more at any rate, and slowing down does not help it. So what
//! a path loses while nothing queues up is taken for its habit, and only what goes beyond that for
//! congestion, more readily if packets also wait.

/// What is lost beyond a path's habit of twice as much, of what is in flight, with a queue (2.7:
/// `BBRLossThresh`), ...
const EXCESS: f64 = 0.02;

/// ... and with none, where a short queue has overflowed, or somebody enforces a rate.
const EXCESS_UNQUEUED: f64 = 0.10;

/// The most that is believed to be a habit.
const HABIT_MAX: f64 = 0.05;

/// How quickly habits are learned: the weight of a round.
const WEIGHT: f64 = 1.0 / 16.0;

/// Packets lost by mere chance.
const CHANCE: u64 = 3;

/// Tells losses by congestion from others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Losses {
    habit: f64,
    /// Bytes lost and delivered before this round.
    lost: u64,
    delivered: u64,
}

impl Losses {
    pub(super) const fn new() -> Self {
        Self { habit: 0.0, lost: 0, delivered: 0 }
    }

    /// Whether `lost` bytes of `sent` in flight are too many.
    pub(super) fn are_too_many(&self, lost: u64, sent: u64, mss: u64, has_queue: bool) -> bool {
        let excess = if has_queue { EXCESS } else { EXCESS_UNQUEUED };
        let bearable = sent as f64 * (2.0 * self.habit + excess);
        lost as f64 > bearable + (CHANCE * mss) as f64
    }

    /// A round is over, given what was lost and delivered in all; return whether it lost too much.
    pub(super) fn end_round(
        &mut self,
        lost: u64,
        delivered: u64,
        mss: u64,
        has_queue: bool,
    ) -> bool {
        let (round_lost, round_delivered) = (lost - self.lost, delivered - self.delivered);
        (self.lost, self.delivered) = (lost, delivered);
        let sent = round_lost + round_delivered;
        if sent == 0 {
            return false;
        }
        if !has_queue {
            let rate = round_lost as f64 / sent as f64;
            self.habit += (rate.min(HABIT_MAX) - self.habit) * WEIGHT;
        }
        self.are_too_many(round_lost, sent, mss, has_queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u64 = 1000;

    /// A path that has lost so much of each thousand packets for a while, with no queue.
    fn accustomed_to(lost: u64) -> Losses {
        let mut losses = Losses::new();
        for round in 1..100 {
            let so_far = round * lost * MSS;
            let is_too_much = losses.end_round(so_far, round * 1000 * MSS - so_far, MSS, false);
            assert!(!is_too_much);
        }
        losses
    }

    #[test]
    fn a_path_that_loses_three_percent_is_not_overfull_by_that() {
        let losses = accustomed_to(30);
        assert!(!losses.are_too_many(60 * MSS, 1000 * MSS, MSS, true));
        assert!(losses.are_too_many(90 * MSS, 1000 * MSS, MSS, true));
        assert!(!losses.are_too_many(90 * MSS, 1000 * MSS, MSS, false));
        assert!(losses.are_too_many(200 * MSS, 1000 * MSS, MSS, false));
    }

    #[test]
    fn a_clean_path_that_queues_and_loses_is_overfull() {
        let losses = accustomed_to(0);
        assert!(losses.are_too_many(30 * MSS, 1000 * MSS, MSS, true));
        assert!(!losses.are_too_many(3 * MSS, 20 * MSS, MSS, true), "that may be chance");
    }

    #[test]
    fn what_is_lost_while_packets_wait_is_no_habit() {
        let mut losses = Losses::new();
        for round in 1..100 {
            losses.end_round(round * 300 * MSS, round * 700 * MSS, MSS, true);
        }
        assert!(losses.are_too_many(40 * MSS, 1000 * MSS, MSS, true));
    }
}
