//! The path's minimum round-trip time (5.5.7, 5.3.4.3), and whether its queue is empty now.

use std::time::{Duration, Instant};

/// How long a minimum is used (`BBR.MinRTTFilterLen`).
const MIN_RTT_FILTER_LEN: Duration = Duration::from_secs(10);

/// Time without a sample as short as the minimum after which `ProbeRTT` starts
/// (`BBR.ProbeRTTInterval`).
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);

/// Samples within this factor of the minimum count as equal to it. Event loops respond a few percent
/// later than at their best.
const MIN_RTT_TOLERANCE: f64 = 1.05;

/// Samples within this time of the minimum count as equal to it, on paths with a short round trip.
const MIN_RTT_TOLERANCE_TIME: Duration = Duration::from_micros(200);

/// Part of the minimum by which all recent samples must exceed it to show a queue.
const QUEUE_PART: u32 = 8;

/// Time by which they must exceed it at least.
const QUEUE_MIN: Duration = Duration::from_millis(2);

/// Tracks minima of the round-trip time.
#[derive(Clone, Copy, Debug)]
pub(super) struct MinRtt {
    min_rtt: Option<Duration>,
    min_rtt_stamp: Instant,
    probe_rtt_min_delay: Option<Duration>,
    probe_rtt_min_stamp: Instant,
    pub(super) probe_rtt_expired: bool,
    /// Minimum of the present half of a round trip, and of the previous half.
    recent: [Option<Duration>; 2],
    recent_since: Instant,
}

impl MinRtt {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            min_rtt: None,
            min_rtt_stamp: now,
            probe_rtt_min_delay: None,
            probe_rtt_min_stamp: now,
            probe_rtt_expired: false,
            recent: [None; 2],
            recent_since: now,
        }
    }

    /// Return `BBR.min_rtt`, once there is a sample.
    pub(super) const fn get(&self) -> Option<Duration> {
        self.min_rtt
    }

    /// Take a sample (`BBRUpdateMinRTT`).
    pub(super) fn update(&mut self, rtt: Duration, now: Instant) {
        self.probe_rtt_expired = now > self.probe_rtt_min_stamp + PROBE_RTT_INTERVAL;
        // The draft takes a new stamp only for a shorter sample.
        let is_minimal = self.probe_rtt_min_delay.is_none_or(|min| is_about(rtt, min));
        if is_minimal || self.probe_rtt_expired {
            let is_shorter = self.probe_rtt_min_delay.is_none_or(|min| rtt < min);
            if is_shorter || self.probe_rtt_expired {
                self.probe_rtt_min_delay = Some(rtt);
            }
            self.probe_rtt_min_stamp = now;
            self.probe_rtt_expired &= !is_minimal;
        }
        let is_expired = now > self.min_rtt_stamp + MIN_RTT_FILTER_LEN;
        if let Some(delay) = self.probe_rtt_min_delay {
            if is_expired || self.min_rtt.is_none_or(|min| delay <= min) {
                self.min_rtt = Some(delay);
                self.min_rtt_stamp = self.probe_rtt_min_stamp;
            }
        }
        self.update_recent(rtt, now);
    }

    /// `ProbeRTT` has ended: schedule the next one.
    pub(super) const fn on_probe_rtt_done(&mut self, now: Instant) {
        self.probe_rtt_min_stamp = now;
        self.probe_rtt_expired = false;
    }

    fn update_recent(&mut self, rtt: Duration, now: Instant) {
        if now.saturating_duration_since(self.recent_since) > self.min_rtt.unwrap_or(rtt) / 2 {
            self.recent = [None, self.recent[0]];
            self.recent_since = now;
        }
        self.recent[0] = Some(self.recent[0].map_or(rtt, |min| min.min(rtt)));
    }

    /// Return the minimum and the recent minimum, once there are samples.
    fn minima(&self) -> Option<(Duration, Duration)> {
        self.min_rtt.zip(self.recent.into_iter().flatten().min())
    }

    /// Whether some recent packets met an empty queue.
    pub(super) fn is_queue_empty(&self) -> bool {
        self.minima().is_none_or(|(min, recent)| is_about(recent, min))
    }

    /// Whether all recent packets waited in a queue.
    pub(super) fn has_queue(&self) -> bool {
        self.minima().is_some_and(|(min, recent)| recent > min + (min / QUEUE_PART).max(QUEUE_MIN))
    }
}

fn is_about(rtt: Duration, min: Duration) -> bool {
    rtt <= min.mul_f64(MIN_RTT_TOLERANCE) || rtt <= min + MIN_RTT_TOLERANCE_TIME
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn probe_rtt_is_not_needed_while_the_queue_is_often_empty() {
        let start = Instant::now();
        let mut min_rtt = MinRtt::new(start);
        for second in 0..60 {
            min_rtt.update((50 + second % 3) * MS, start + second * 1000 * MS);
            assert!(!min_rtt.probe_rtt_expired && min_rtt.is_queue_empty());
        }
        assert_eq!(min_rtt.get(), Some(50 * MS));
    }

    #[test]
    fn a_standing_queue_starts_probe_rtt_and_a_longer_path_is_accepted() {
        let start = Instant::now();
        let mut min_rtt = MinRtt::new(start);
        min_rtt.update(50 * MS, start);
        min_rtt.update(80 * MS, start + 4000 * MS);
        min_rtt.update(80 * MS, start + 4100 * MS);
        min_rtt.update(80 * MS, start + 4200 * MS);
        assert!(!min_rtt.probe_rtt_expired && min_rtt.has_queue() && !min_rtt.is_queue_empty());
        min_rtt.update(80 * MS, start + 6000 * MS);
        assert!(min_rtt.probe_rtt_expired);
        assert_eq!(min_rtt.get(), Some(50 * MS));
        min_rtt.update(81 * MS, start + 10_500 * MS);
        assert_eq!(min_rtt.get(), Some(80 * MS));
    }

    #[test]
    fn jitter_is_not_a_queue() {
        let start = Instant::now();
        let mut min_rtt = MinRtt::new(start);
        for step in 0..1000 {
            min_rtt.update(50 * MS + step % 20 * MS, start + step * MS);
        }
        assert!(!min_rtt.has_queue());
    }
}
