//! The network path model (5.5): bandwidth, and how much may be in flight.

use std::time::Instant;

use super::delivery_rate::RateSample;
use super::filters::{MaxOfRounds, MaxOfTwoCycles};
use super::state_machine::State;
use super::{Bbr, INITIAL_CWND};

/// Loss rate above which the path counts as overfull, while there is a queue (`BBR.LossThresh`).
const LOSS_THRESH: f64 = 0.02;

/// The same while there is no queue. Wireless paths lose more than 2 % at any rate, and sending less
/// does not help. Only a policer or a very short queue loses more than this.
const LOSS_THRESH_WITHOUT_QUEUE: f64 = 0.10;

/// Part of a bound that is kept when it proves too high (`BBR.Beta`).
pub(super) const BETA: f64 = 0.7;

/// Part of `inflight_longterm` that is left to others (`BBR.Headroom`).
const HEADROOM: f64 = 0.15;

impl Bbr {
    /// `BBR.bw` (`BBRBoundBWForModel`).
    pub(super) fn bw(&self) -> f64 {
        let max_bw = self.max_bw.get();
        self.bw_shortterm.map_or(max_bw, |bw| bw.min(max_bw))
    }

    /// A multiple of the bandwidth-delay product, or None without a sample (`BBRBDPMultiple`).
    fn bdp_multiple(&self, bw: f64, gain: f64) -> Option<u64> {
        let min_rtt = self.min_rtt.get().filter(|_| bw > 0.0)?;
        Some((gain * bw * min_rtt.as_secs_f64()) as u64)
    }

    /// `BBRQuantizationBudget`, with the offload budget of 5.5.8.
    fn quantization_budget(&self, inflight_cap: u64) -> u64 {
        let cap = inflight_cap.max(3 * self.send_quantum()).max(self.min_pipe_cwnd());
        if self.state == State::ProbeBwUp { cap + 2 * self.smss } else { cap }
    }

    /// `BBRInflight`.
    pub(super) fn inflight(&self, bw: f64, gain: f64) -> u64 {
        let bdp = self.bdp_multiple(bw, gain).unwrap_or(INITIAL_CWND * self.smss);
        self.quantization_budget(bdp)
    }

    /// `BBRUpdateMaxInflight`.
    pub(super) fn max_inflight(&self) -> u64 {
        let cap = self.bdp_multiple(self.bw(), self.state.cwnd_gain());
        let filter_len = if self.full_bw_reached { MaxOfRounds::ROUNDS } else { 1 };
        let extra_acked = self.extra_acked.get(filter_len);
        self.quantization_budget(cap.unwrap_or(INITIAL_CWND * self.smss) + extra_acked)
    }

    /// `BBRProbeRTTCwnd`.
    pub(super) fn probe_rtt_cwnd(&self) -> u64 {
        let cwnd = self.bdp_multiple(self.bw(), State::ProbeRtt.cwnd_gain());
        cwnd.unwrap_or(0).max(self.min_pipe_cwnd())
    }

    /// `BBRTargetInflight`.
    pub(super) fn target_inflight(&self) -> u64 {
        self.bdp_multiple(self.bw(), 1.0).unwrap_or(INITIAL_CWND * self.smss).min(self.cwnd)
    }

    /// `BBRInflightWithHeadroom`.
    pub(super) fn inflight_with_headroom(&self) -> Option<u64> {
        self.inflight_longterm.map(|longterm| {
            let headroom = ((HEADROOM * longterm as f64) as u64).max(self.smss);
            longterm.saturating_sub(headroom).max(self.min_pipe_cwnd())
        })
    }

    /// `BBRUpdateLatestDeliverySignals`.
    pub(super) fn update_latest_delivery_signals(&mut self, sample: &RateSample) {
        self.loss_round_start = false;
        self.bw_latest = self.bw_latest.max(sample.delivery_rate);
        self.inflight_latest = self.inflight_latest.max(sample.delivered);
        if sample.prior_delivered >= self.loss_round_delivered {
            self.loss_round_delivered = self.rate.delivered;
            self.loss_round_start = true;
        }
    }

    /// `BBRAdvanceLatestDeliverySignals`.
    pub(super) const fn advance_latest_delivery_signals(&mut self, sample: &RateSample) {
        if self.loss_round_start {
            self.bw_latest = sample.delivery_rate;
            self.inflight_latest = sample.delivered;
        }
    }

    /// `BBRResetCongestionSignals`.
    pub(super) const fn reset_congestion_signals(&mut self) {
        self.loss_in_round = false;
        self.ce_in_round = false;
        self.bw_latest = 0.0;
        self.inflight_latest = 0;
    }

    /// `BBRUpdateCongestionSignals`, and `BBRCheckStartupHighLoss` (5.3.1.3).
    pub(super) fn update_congestion_signals(&mut self, sample: &RateSample, now: Instant) {
        self.update_max_bw(sample, now);
        if !self.loss_round_start {
            return;
        }
        let is_too_much = self.ce_in_round || self.loss_in_round && self.is_round_lossy();
        if is_too_much && !self.state.is_probing_bw() {
            self.lower_short_term_bounds();
        }
        if is_too_much && self.state == State::Startup {
            self.check_startup_high_loss();
        }
        self.loss_in_round = false;
        self.ce_in_round = false;
        self.loss_round_base = (self.rate.delivered, self.rate.lost);
    }

    /// 5.5.5, `BBRUpdateMaxBw`, and 5.5.1, `BBRUpdateRound`.
    fn update_max_bw(&mut self, sample: &RateSample, now: Instant) {
        self.round_start = sample.prior_delivered >= self.next_round_delivered;
        self.is_cwnd_limited[0] |= self.control.take_cwnd_limited();
        if self.round_start {
            self.start_round();
            self.round_count += 1;
            self.rounds_since_bw_probe += 1;
            self.is_cwnd_limited = [false, self.is_cwnd_limited[0]];
        }
        let round = if self.round_start { self.round_rate.take() } else { (0.0, false) };
        self.round_rate.update(sample.delivery_rate, sample.is_app_limited);
        // The draft always uses each sample.
        let (rate, is_app_limited) = if self.full_bw_reached {
            round
        } else {
            (sample.delivery_rate, sample.is_app_limited)
        };
        if rate >= self.max_bw.get() || !is_app_limited {
            self.max_bw.update(rate);
        }
        if self.full_bw_reached && rate > 0.0 && !is_app_limited {
            if let Some(bw) = self.decline.update(rate, self.max_bw.get(), now) {
                self.max_bw = MaxOfTwoCycles::from_value(bw);
            }
        }
    }

    pub(super) const fn start_round(&mut self) {
        self.next_round_delivered = self.rate.delivered;
    }

    /// 5.5.9, `BBRUpdateACKAggregation`.
    pub(super) fn update_ack_aggregation(&mut self, sample: &RateSample, now: Instant) {
        let interval = now.saturating_duration_since(self.extra_acked_interval_start);
        let mut expected = (self.bw() * interval.as_secs_f64()) as u64;
        if self.extra_acked_delivered <= expected {
            self.extra_acked_delivered = 0;
            self.extra_acked_interval_start = now;
            expected = 0;
        }
        self.extra_acked_delivered += sample.newly_acked;
        let extra = (self.extra_acked_delivered - expected).min(self.cwnd);
        self.extra_acked.update(extra, self.round_count);
    }

    /// The loss rate above which the path counts as overfull.
    fn loss_thresh(&self) -> f64 {
        if self.min_rtt.has_queue() { LOSS_THRESH } else { LOSS_THRESH_WITHOUT_QUEUE }
    }

    /// 5.5.10.2, `IsInflightTooHigh`.
    pub(super) fn is_inflight_too_high(&self, lost: u64, tx_in_flight: u64) -> bool {
        lost as f64 > tx_in_flight as f64 * self.loss_thresh()
    }

    /// Whether the loss round lost more than the threshold. The draft responds to any loss.
    fn is_round_lossy(&self) -> bool {
        let delivered = self.rate.delivered - self.loss_round_base.0;
        let lost = self.rate.lost - self.loss_round_base.1;
        self.is_inflight_too_high(lost, delivered + lost)
    }

    /// 5.5.10.2, `BBRHandleLostPacket`, for all packets that quinn reports at once.
    pub(super) fn handle_lost_packets(&mut self, sent: Instant, lost_bytes: u64, now: Instant) {
        let is_ce = lost_bytes == 0;
        if !self.loss_in_round {
            self.loss_round_delivered = self.rate.delivered;
            self.loss_round_base = (self.rate.delivered, self.rate.lost.saturating_sub(lost_bytes));
        }
        self.loss_in_round = true;
        self.ce_in_round |= is_ce;
        if !self.bw_probe_samples {
            return;
        }
        let Some(packet) = self.rate.packet_sent_at(sent) else { return };
        if is_ce || self.is_inflight_too_high(self.rate.lost - packet.lost, packet.tx_in_flight) {
            self.handle_inflight_too_high(packet.tx_in_flight, packet.is_app_limited, now);
        }
    }

    /// `BBRHandleInflightTooHigh`.
    fn handle_inflight_too_high(&mut self, tx_in_flight: u64, is_app_limited: bool, now: Instant) {
        self.bw_probe_samples = false; // respond once per probe
        if !is_app_limited {
            let target = (BETA * self.target_inflight() as f64) as u64;
            self.inflight_longterm = Some(tx_in_flight.max(target));
        }
        if self.state == State::ProbeBwUp {
            self.start_probe_bw_down(now);
        }
    }

    /// 5.5.10.3, `BBRInitLowerBounds` and `BBRLossLowerBounds`.
    fn lower_short_term_bounds(&mut self) {
        let bw = self.bw_shortterm.unwrap_or(self.max_bw.get());
        self.bw_shortterm = Some(self.bw_latest.max(BETA * bw));
        let inflight = self.inflight_shortterm.unwrap_or(self.cwnd);
        self.inflight_shortterm = Some(self.inflight_latest.max((BETA * inflight as f64) as u64));
    }

    /// `BBRResetShortTermModel`.
    pub(super) const fn reset_short_term_model(&mut self) {
        self.bw_shortterm = None;
        self.inflight_shortterm = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::congestion::ControlState;

    const MS: Duration = Duration::from_millis(1);

    /// Return the model of a path with these round-trip times, one every 10 ms.
    fn path(round_trips: &[u32]) -> Bbr {
        let start = Instant::now();
        let mut bbr = Bbr::new(start, 1000, ControlState::default().into());
        for (index, rtt) in (0..).zip(round_trips) {
            bbr.min_rtt.update(*rtt * MS, start + 10 * index * MS);
        }
        bbr
    }

    #[test]
    fn losses_without_a_queue_are_tolerated_up_to_a_tenth() {
        let bbr = path(&[50]);
        assert!(!bbr.is_inflight_too_high(99_000, 1_000_000));
        assert!(bbr.is_inflight_too_high(101_000, 1_000_000));
    }

    #[test]
    fn losses_with_a_queue_are_tolerated_up_to_two_percent() {
        let bbr = path(&[50, 90, 90, 90, 90, 90, 90, 90]);
        assert!(!bbr.is_inflight_too_high(19_000, 1_000_000));
        assert!(bbr.is_inflight_too_high(21_000, 1_000_000));
    }

    #[test]
    fn a_ce_mark_lowers_the_short_term_bounds() {
        let mut bbr = path(&[50]);
        bbr.state = State::ProbeBwCruise;
        bbr.max_bw.update(1_000_000.0);
        bbr.handle_lost_packets(Instant::now(), 0, Instant::now());
        let sample = RateSample {
            delivery_rate: 0.0,
            delivered: 0,
            prior_delivered: 0,
            tx_in_flight: 0,
            lost: 0,
            is_app_limited: false,
            newly_acked: 1000,
            rtt: 50 * MS,
        };
        bbr.update_latest_delivery_signals(&sample);
        bbr.update_congestion_signals(&sample, Instant::now());
        assert!((bbr.bw() - 700_000.0).abs() < 1.0, "{}", bbr.bw());
    }

    #[test]
    fn headroom_is_left_below_the_long_term_bound() {
        let mut bbr = path(&[50]);
        assert_eq!(bbr.inflight_with_headroom(), None);
        bbr.inflight_longterm = Some(100_000);
        assert_eq!(bbr.inflight_with_headroom(), Some(85_000));
        bbr.inflight_longterm = Some(4_200);
        assert_eq!(bbr.inflight_with_headroom(), Some(4_000), "at least four packets");
    }
}
