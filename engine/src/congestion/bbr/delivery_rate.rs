//! Delivery rate samples (4.1).
//!
//! quinn reports only when an acknowledged packet was sent. So the per-packet state is kept once for
//! each instant at which something was sent, and is looked up by that instant.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long packet state is kept beyond four round trips. An ACK that comes later gives no sample.
const PACKET_STATE_KEPT: Duration = Duration::from_secs(2);

/// State of the connection when a packet was sent (4.1.2.1.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketState {
    sent_at: Instant,
    /// Bytes delivered until then.
    delivered: u64,
    /// When the last of them was acknowledged.
    delivered_at: Instant,
    /// When the first packet of the same flight was sent.
    first_sent_at: Instant,
    /// Bytes lost until then.
    pub(super) lost: u64,
    /// Bytes in flight, including this packet.
    pub(super) tx_in_flight: u64,
    pub(super) is_app_limited: bool,
}

/// A delivery rate sample, from one ACK (4.1.2.1.3).
#[derive(Clone, Copy, Debug)]
pub(super) struct RateSample {
    /// Bytes per second, or 0 if the interval is too short.
    pub(super) delivery_rate: f64,
    /// Bytes delivered in the interval.
    pub(super) delivered: u64,
    /// Bytes delivered before the newest acknowledged packet was sent.
    pub(super) prior_delivered: u64,
    /// Bytes in flight when that packet was sent.
    pub(super) tx_in_flight: u64,
    /// Bytes lost since then.
    pub(super) lost: u64,
    /// The application had too little to send, so the path may carry more.
    pub(super) is_app_limited: bool,
    /// Bytes that this ACK acknowledges.
    pub(super) newly_acked: u64,
    /// Round-trip time of the newest acknowledged packet.
    pub(super) rtt: Duration,
}

/// Counts what is sent, delivered and lost.
#[derive(Clone, Debug)]
pub(super) struct DeliveryRate {
    /// Packets sent before this time took another path.
    path_since: Instant,
    packets: VecDeque<PacketState>,
    /// Bytes delivered in total.
    pub(super) delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// Bytes lost in total.
    pub(super) lost: u64,
    /// The application is limited until so many bytes are delivered; 0 if it is not.
    app_limited: u64,
    newest_acked: Option<PacketState>,
    newly_acked: u64,
}

impl DeliveryRate {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            path_since: now,
            packets: VecDeque::new(),
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            lost: 0,
            app_limited: 0,
            newest_acked: None,
            newly_acked: 0,
        }
    }

    pub(super) const fn is_app_limited(&self) -> bool {
        self.app_limited > 0
    }

    /// Mark everything up to the bytes in flight as application-limited (4.1.2.4).
    pub(super) fn mark_app_limited(&mut self, in_flight: u64) {
        self.app_limited = (self.delivered + in_flight).max(1);
    }

    /// A packet is sent, with `in_flight` bytes in flight before it (4.1.2.2).
    pub(super) fn on_sent(&mut self, now: Instant, bytes: u64, in_flight: u64) {
        if in_flight == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        if let Some(last) = self.packets.back_mut().filter(|last| last.sent_at == now) {
            last.tx_in_flight = in_flight + bytes;
            return;
        }
        self.packets.push_back(PacketState {
            sent_at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            lost: self.lost,
            tx_in_flight: in_flight + bytes,
            is_app_limited: self.is_app_limited(),
        });
    }

    /// A packet is acknowledged (4.1.2.3).
    pub(super) fn on_acked(&mut self, now: Instant, sent: Instant, bytes: u64) {
        if sent < self.path_since {
            return;
        }
        self.delivered += bytes;
        self.delivered_at = now;
        self.newly_acked += bytes;
        if self.newest_acked.is_none_or(|newest| sent > newest.sent_at) {
            if let Some(packet) = self.packet_sent_at(sent) {
                self.newest_acked = Some(PacketState { sent_at: sent, ..packet });
                self.first_sent_at = sent;
            }
        }
    }

    /// Packets are lost. `sent` is the time of the newest one.
    pub(super) fn on_lost(&mut self, sent: Instant, bytes: u64) {
        if sent >= self.path_since {
            self.lost += bytes;
        }
    }

    /// Return a sample of the packets acknowledged since the last call, if there is one.
    pub(super) fn sample(&mut self, now: Instant, min_rtt: Option<Duration>) -> Option<RateSample> {
        if self.app_limited > 0 && self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        self.discard_old(now, min_rtt.unwrap_or_default());
        let newly_acked = std::mem::take(&mut self.newly_acked);
        let packet = self.newest_acked.take()?;
        let send_elapsed = packet.sent_at.saturating_duration_since(packet.first_sent_at);
        let ack_elapsed = self.delivered_at.saturating_duration_since(packet.delivered_at);
        let interval = send_elapsed.max(ack_elapsed);
        let delivered = self.delivered - packet.delivered;
        let is_measured = !interval.is_zero() && min_rtt.is_none_or(|min_rtt| interval >= min_rtt);
        let delivery_rate =
            if is_measured { delivered as f64 / interval.as_secs_f64() } else { 0.0 };
        Some(RateSample {
            delivery_rate,
            delivered,
            prior_delivered: packet.delivered,
            tx_in_flight: packet.tx_in_flight,
            lost: self.lost - packet.lost,
            is_app_limited: packet.is_app_limited,
            newly_acked,
            rtt: now.saturating_duration_since(packet.sent_at),
        })
    }

    /// Return the state of the packet that was sent at this time.
    pub(super) fn packet_sent_at(&self, sent: Instant) -> Option<PacketState> {
        let after = self.packets.partition_point(|packet| packet.sent_at <= sent);
        after.checked_sub(1).map(|index| self.packets[index])
    }

    fn discard_old(&mut self, now: Instant, rtt: Duration) {
        let kept = PACKET_STATE_KEPT + 4 * rtt;
        while self.packets.front().is_some_and(|packet| packet.sent_at + kept < now) {
            self.packets.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    #[test]
    fn a_steady_flow_is_measured_at_its_rate() {
        let start = Instant::now();
        let mut rate = DeliveryRate::new(start);
        let mut last = None;
        for step in 0..200_u32 {
            let now = start + step * TICK;
            rate.on_sent(now, 1000, 1000 * u64::from(step.min(50)));
            if step >= 50 {
                rate.on_acked(now, start + (step - 50) * TICK, 1000);
                last = rate.sample(now, Some(50 * TICK));
            }
        }
        let sample = last.expect("a sample");
        assert!((sample.delivery_rate - 1_000_000.0).abs() < 25_000.0, "{sample:?}");
        assert_eq!(sample.rtt, 50 * TICK);
        assert_eq!(sample.tx_in_flight, 51_000);
    }

    #[test]
    fn packets_of_the_previous_path_are_ignored() {
        let start = Instant::now();
        let mut rate = DeliveryRate::new(start + 10 * TICK);
        rate.on_sent(start + 11 * TICK, 1000, 50_000);
        for step in 0..10 {
            rate.on_acked(start + 60 * TICK, start + step * TICK, 1000);
        }
        rate.on_lost(start + 9 * TICK, 1000);
        assert!(rate.sample(start + 60 * TICK, None).is_none());
        rate.on_acked(start + 61 * TICK, start + 11 * TICK, 1000);
        let sample = rate.sample(start + 61 * TICK, None).expect("a sample");
        assert_eq!((sample.delivered, sample.newly_acked, sample.lost), (1000, 1000, 0));
    }

    #[test]
    fn only_packets_sent_while_app_limited_give_app_limited_samples() {
        let start = Instant::now();
        let mut rate = DeliveryRate::new(start);
        rate.on_sent(start, 1000, 0);
        rate.mark_app_limited(1000);
        rate.on_sent(start + TICK, 1000, 1000);
        rate.on_acked(start + 10 * TICK, start, 1000);
        assert!(!rate.sample(start + 10 * TICK, None).expect("a sample").is_app_limited);
        rate.on_acked(start + 11 * TICK, start + TICK, 1000);
        assert!(rate.sample(start + 11 * TICK, None).expect("a sample").is_app_limited);
        assert!(!rate.is_app_limited());
    }
}
