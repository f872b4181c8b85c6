//! What is remembered of samples: the most, or the least, of the latest of them.

use std::time::{Duration, Instant};

/// How long a minimum of round trips is believed (draft-ietf-ccwg-bbr, 2.8: `MinRTTFilterLen`).
const MIN_RTT_KEPT: Duration = Duration::from_secs(10);

/// After how long the path is emptied to see its round trip again (`ProbeRTTInterval`).
const PROBE_RTT_AFTER: Duration = Duration::from_secs(5);

/// A round trip within this of the minimum shows that the queue is empty: nothing need be emptied.
/// Event loops answer some hundredths later than at their best.
const AS_GOOD: (f64, Duration) = (1.05, Duration::from_micros(200));

/// The greatest value of this cycle and the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MaxOfTwo {
    this: f64,
    last: f64,
}

impl MaxOfTwo {
    /// Begin anew with a value.
    pub(super) const fn from(value: f64) -> Self {
        Self { this: value, last: 0.0 }
    }

    pub(super) const fn get(&self) -> f64 {
        self.this.max(self.last)
    }

    pub(super) const fn add(&mut self, value: f64) {
        self.this = self.this.max(value);
    }

    /// A cycle is over; one without any value does not count.
    pub(super) fn advance(&mut self) {
        if self.this > 0.0 {
            self.last = std::mem::take(&mut self.this);
        }
    }
}

/// The rate that a round has sustained: what a quarter of its samples exceed.
///
/// Acknowledgements that were held up come together, and what is sent between the first and the last
/// of them goes out while some have yet to be counted: its sample has them too, in less time than they
/// took. The greatest of a round's samples is one of those. (The middle one is too small where the rate
/// grows in that round, because somebody else makes room.)
#[derive(Clone, Debug, Default)]
pub(super) struct Sustained {
    rates: Vec<f64>,
    is_app_limited: bool,
}

impl Sustained {
    pub(super) fn add(&mut self, rate: f64, is_app_limited: bool) {
        self.rates.push(rate);
        self.is_app_limited |= is_app_limited;
    }

    /// A round is over: return its rate, if there was any, and whether there was ever too little to
    /// send.
    pub(super) fn end_round(&mut self) -> Option<(f64, bool)> {
        let is_app_limited = std::mem::take(&mut self.is_app_limited);
        let mut rates = std::mem::take(&mut self.rates);
        let place = rates.len() * 3 / 4;
        let found = (!rates.is_empty())
            .then(|| (*rates.select_nth_unstable_by(place, f64::total_cmp).1, is_app_limited));
        rates.clear();
        self.rates = rates; // with its memory
        found
    }
}

/// The greatest value of the last ten rounds, in two halves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MaxOfRounds {
    values: MaxOfTwo,
    began: u64,
}

impl MaxOfRounds {
    const HALF: u64 = 5;

    pub(super) fn add(&mut self, value: f64, round: u64) {
        if round >= self.began + Self::HALF {
            self.values.last = std::mem::take(&mut self.values.this);
            self.began = round;
        }
        self.values.add(value);
    }

    pub(super) const fn get(&self) -> f64 {
        self.values.get()
    }
}

/// The path's round trip without any queue, and whether there is one now.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrips {
    least: Option<Duration>,
    least_at: Instant,
    /// The least since the path was last seen empty.
    fresh: Option<Duration>,
    fresh_at: Instant,
    /// The least of the present half of a round trip, and of the one before.
    recent: [Option<Duration>; 2],
    recent_since: Instant,
    /// Nothing as short was seen for so long that the path is to be emptied.
    pub(super) is_stale: bool,
}

impl RoundTrips {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            least: None,
            least_at: now,
            fresh: None,
            fresh_at: now,
            recent: [None; 2],
            recent_since: now,
            is_stale: false,
        }
    }

    pub(super) const fn least(&self) -> Option<Duration> {
        self.least
    }

    /// Take a sample (5.3: `BBRUpdateMinRTT`).
    pub(super) fn add(&mut self, rtt: Duration, now: Instant) {
        self.is_stale = now > self.fresh_at + PROBE_RTT_AFTER;
        let is_fresh = self.fresh.is_none_or(|fresh| is_as_good(rtt, fresh));
        if is_fresh || self.is_stale {
            self.fresh_at = now;
            if self.is_stale || self.fresh.is_none_or(|fresh| rtt < fresh) {
                self.fresh = Some(rtt);
            }
        }
        if is_fresh {
            self.is_stale = false;
        }
        let is_old = now > self.least_at + MIN_RTT_KEPT;
        if let Some(fresh) = self.fresh {
            if is_old || self.least.is_none_or(|least| fresh <= least) {
                self.least = Some(fresh);
                self.least_at = self.fresh_at;
            }
        }
        self.look(rtt, now);
    }

    /// The path has just been emptied.
    pub(super) const fn was_probed(&mut self, now: Instant) {
        self.fresh_at = now;
        self.is_stale = false;
    }

    fn look(&mut self, rtt: Duration, now: Instant) {
        if now.saturating_duration_since(self.recent_since) > self.least.unwrap_or(rtt) / 2 {
            self.recent = [None, self.recent[0]];
            self.recent_since = now;
        }
        self.recent[0] = Some(self.recent[0].map_or(rtt, |least| least.min(rtt)));
    }

    /// The shortest of all and of late, once there are some.
    fn shortest(&self) -> Option<(Duration, Duration)> {
        self.least.zip(self.recent.into_iter().flatten().min())
    }

    /// How much longer the shortest of late was than the least of all, in parts of that.
    pub(super) fn queue(&self) -> f64 {
        self.shortest().map_or(0.0, |(least, recent)| recent.div_duration_f64(least) - 1.0)
    }

    /// Whether some packets have lately waited for nothing.
    pub(super) fn show_empty_path(&self) -> bool {
        self.shortest().is_none_or(|(least, recent)| is_as_good(recent, least))
    }

    /// Whether packets have lately waited in a queue, all of them.
    pub(super) fn has_queue(&self) -> bool {
        self.shortest().is_some_and(|(least, recent)| {
            recent > least + (least / 8).max(Duration::from_millis(2))
        })
    }
}

fn is_as_good(rtt: Duration, least: Duration) -> bool {
    rtt <= least.mul_f64(AS_GOOD.0) || rtt <= least + AS_GOOD.1
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_round_sustains_what_more_than_a_few_of_its_samples_show() {
        let mut sustained = Sustained::default();
        assert_eq!(sustained.end_round(), None);
        for rate in [6.0, 6.1, 5.8, 9.0, 6.0, 5.9, 6.0, 5.9] {
            sustained.add(rate, rate > 8.9);
        }
        assert_eq!(sustained.end_round(), Some((6.1, true)));
        sustained.add(5.0, false);
        assert_eq!(sustained.end_round(), Some((5.0, false)));
    }

    #[test]
    fn a_path_that_is_seen_empty_is_not_emptied() {
        let start = Instant::now();
        let mut trips = RoundTrips::new(start);
        for second in 0..60 {
            trips.add((50 + second % 3) * MS, start + second * 1000 * MS);
            assert!(!trips.is_stale && trips.show_empty_path());
        }
        assert_eq!(trips.least(), Some(50 * MS));
    }

    #[test]
    fn a_queue_that_stays_is_to_be_emptied_and_a_longer_path_believed() {
        let start = Instant::now();
        let mut trips = RoundTrips::new(start);
        trips.add(50 * MS, start);
        trips.add(80 * MS, start + 4000 * MS);
        trips.add(80 * MS, start + 4100 * MS);
        trips.add(80 * MS, start + 4200 * MS);
        assert!(!trips.is_stale && trips.has_queue() && !trips.show_empty_path());
        trips.add(80 * MS, start + 6000 * MS);
        assert!(trips.is_stale);
        assert_eq!(trips.least(), Some(50 * MS));
        trips.add(81 * MS, start + 10_500 * MS);
        assert_eq!(trips.least(), Some(80 * MS));
    }

    #[test]
    fn jitter_is_no_queue() {
        let start = Instant::now();
        let mut trips = RoundTrips::new(start);
        for step in 0..1000 {
            trips.add(50 * MS + step % 20 * MS, start + step * MS);
        }
        assert!(!trips.has_queue());
    }

    #[test]
    fn maxima_are_forgotten_after_two_cycles() {
        let mut filter = MaxOfTwo::default();
        filter.add(9.0);
        filter.advance();
        filter.advance();
        filter.add(5.0);
        assert!((filter.get() - 9.0).abs() < 0.1);
        filter.advance();
        filter.add(6.0);
        assert!((filter.get() - 6.0).abs() < 0.1);
    }
}
