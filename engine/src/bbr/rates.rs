//! How fast what was sent has arrived: delivery-rate samples (draft-ietf-ccwg-bbr, 4.1).
//!
//! quinn tells of an acknowledged packet when it was sent, and no more. So what a sample starts from
//! is noted once for each moment at which something was sent, and found by that moment again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long notes are kept beyond what round trips take: what is acknowledged later tells of no rate.
const KEPT: Duration = Duration::from_secs(2);

/// How things stood when something was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    at: Instant,
    /// Bytes delivered by then, ...
    delivered: u64,
    /// ... and when the last of them was acknowledged.
    delivered_at: Instant,
    /// When the flight of which it is the last was begun.
    first_sent_at: Instant,
    /// Bytes lost by then.
    pub(super) lost: u64,
    /// Bytes in flight, with these.
    pub(super) in_flight: u64,
    pub(super) is_app_limited: bool,
}

/// What an acknowledgement has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Bytes a second, if it took a time that can be measured.
    pub(super) rate: Option<f64>,
    /// Bytes delivered meanwhile.
    pub(super) delivered: u64,
    /// Bytes that had been delivered when the newest of the acknowledged was sent.
    pub(super) prior_delivered: u64,
    /// Bytes in flight then, ...
    pub(super) in_flight: u64,
    /// ... and lost since.
    pub(super) lost: u64,
    /// There was too little to send: the path may carry more.
    pub(super) is_app_limited: bool,
    /// Bytes acknowledged just now.
    pub(super) newly_acked: u64,
    /// The newest's round trip.
    pub(super) rtt: Duration,
}

/// Counts what is sent, delivered and lost.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    /// What was sent before is of no concern: it took another path.
    began: Instant,
    notes: VecDeque<Sent>,
    /// Bytes, since the beginning.
    pub(super) delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// Bytes, since the beginning.
    pub(super) lost: u64,
    /// There was too little to send until so much is delivered; 0: there is enough.
    app_limited_until: u64,
    newest: Option<(Instant, Sent)>,
    newly_acked: u64,
}

impl Rates {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            began: now,
            notes: VecDeque::new(),
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            lost: 0,
            app_limited_until: 0,
            newest: None,
            newly_acked: 0,
        }
    }

    /// Whether what is sent now tells less than the path could carry.
    pub(super) const fn is_app_limited(&self) -> bool {
        self.app_limited_until > 0
    }

    /// There is too little to send, with so much in flight (4.1.2.4).
    pub(super) fn mark_app_limited(&mut self, in_flight: u64) {
        self.app_limited_until = (self.delivered + in_flight).max(1);
    }

    /// Something is sent, with `before` bytes in flight already.
    pub(super) fn on_sent(&mut self, now: Instant, bytes: u64, before: u64) {
        if before == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        if let Some(last) = self.notes.back_mut().filter(|last| last.at == now) {
            last.in_flight = before + bytes;
            return;
        }
        self.notes.push_back(Sent {
            at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            lost: self.lost,
            in_flight: before + bytes,
            is_app_limited: self.is_app_limited(),
        });
    }

    /// One packet is acknowledged.
    pub(super) fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64) {
        if sent < self.began {
            return;
        }
        self.delivered += bytes;
        self.delivered_at = now;
        self.newly_acked += bytes;
        if self.newest.is_none_or(|(at, _)| sent > at) {
            if let Some(note) = self.find(sent) {
                self.newest = Some((sent, note));
                self.first_sent_at = sent;
            }
        }
    }

    /// One packet is lost, or several, of which this one was sent last.
    pub(super) fn on_lost(&mut self, sent: Instant, bytes: u64) {
        if sent >= self.began {
            self.lost += bytes;
        }
    }

    /// Return what the packets acknowledged since the last time have shown, if it is anything.
    pub(super) fn sample(&mut self, now: Instant, min_rtt: Option<Duration>) -> Option<Sample> {
        if self.app_limited_until > 0 && self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        self.prune(now, min_rtt.unwrap_or_default());
        let newly_acked = std::mem::take(&mut self.newly_acked);
        let (sent, note) = self.newest.take()?;
        let sending = sent.saturating_duration_since(note.first_sent_at);
        let interval = sending.max(self.delivered_at.saturating_duration_since(note.delivered_at));
        let delivered = self.delivered - note.delivered;
        let is_measured = !interval.is_zero() && min_rtt.is_none_or(|least| interval >= least);
        Some(Sample {
            rate: is_measured.then(|| delivered as f64 / interval.as_secs_f64()),
            delivered,
            prior_delivered: note.delivered,
            in_flight: note.in_flight,
            lost: self.lost - note.lost,
            is_app_limited: note.is_app_limited,
            newly_acked,
            rtt: now.saturating_duration_since(sent),
        })
    }

    /// Return how things stood when what was sent at that moment was sent.
    pub(super) fn find(&self, sent: Instant) -> Option<Sent> {
        let after = self.notes.partition_point(|note| note.at <= sent);
        after.checked_sub(1).map(|index| self.notes[index])
    }

    fn prune(&mut self, now: Instant, rtt: Duration) {
        let kept = KEPT + 4 * rtt;
        while self.notes.front().is_some_and(|note| note.at + kept < now) {
            self.notes.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_flow_is_measured_at_its_rate() {
        let (start, tick) = (Instant::now(), Duration::from_millis(1));
        let mut rates = Rates::new(start);
        let mut last = None;
        for step in 0..200_u32 {
            let now = start + step * tick;
            rates.on_sent(now, 1000, 1000 * u64::from(step.min(50)));
            if step >= 50 {
                rates.on_ack(now, start + (step - 50) * tick, 1000);
                last = rates.sample(now, Some(50 * tick));
            }
        }
        let sample = last.expect("a sample");
        let rate = sample.rate.expect("a rate");
        assert!((rate - 1_000_000.0).abs() < 25_000.0, "{rate}");
        assert_eq!(sample.rtt, 50 * tick);
        assert_eq!(sample.in_flight, 51_000);
    }

    #[test]
    fn what_took_another_path_tells_nothing_of_this_one() {
        let (start, tick) = (Instant::now(), Duration::from_millis(1));
        let mut rates = Rates::new(start + 10 * tick);
        rates.on_sent(start + 11 * tick, 1000, 50_000);
        for step in 0..10 {
            rates.on_ack(start + 60 * tick, start + step * tick, 1000);
        }
        rates.on_lost(start + 9 * tick, 1000);
        assert!(rates.sample(start + 60 * tick, None).is_none());
        rates.on_ack(start + 61 * tick, start + 11 * tick, 1000);
        let sample = rates.sample(start + 61 * tick, None).expect("a sample");
        assert_eq!((sample.delivered, sample.newly_acked, sample.lost), (1000, 1000, 0));
    }

    #[test]
    fn too_little_to_send_is_told_of_what_was_sent_then() {
        let (start, tick) = (Instant::now(), Duration::from_millis(1));
        let mut rates = Rates::new(start);
        rates.on_sent(start, 1000, 0);
        rates.mark_app_limited(1000);
        rates.on_sent(start + tick, 1000, 1000);
        rates.on_ack(start + 10 * tick, start, 1000);
        assert!(!rates.sample(start + 10 * tick, None).expect("a sample").is_app_limited);
        rates.on_ack(start + 11 * tick, start + tick, 1000);
        assert!(rates.sample(start + 11 * tick, None).expect("a sample").is_app_limited);
        assert!(!rates.is_app_limited());
    }
}
