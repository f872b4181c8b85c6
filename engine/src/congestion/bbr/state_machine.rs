//! The state machine (5.3).

use std::time::{Duration, Instant};

use super::Bbr;
use super::delivery_rate::RateSample;

/// Pacing gain of Startup: 4 ln 2, the lowest that doubles the rate in each round
/// (`BBR.StartupPacingGain`).
const STARTUP_PACING_GAIN: f64 = 2.77;

/// Pacing gain of Drain (`BBR.DrainPacingGain`).
const DRAIN_PACING_GAIN: f64 = 0.35;

/// Pacing gain of `ProbeBW_DOWN` (5.3.3.1).
const PROBE_BW_DOWN_PACING_GAIN: f64 = 0.90;

/// Pacing gain of `ProbeBW_UP` (5.3.3.4).
const PROBE_BW_UP_PACING_GAIN: f64 = 1.25;

/// Window gain of all states but two (`BBR.DefaultCwndGain`).
const DEFAULT_CWND_GAIN: f64 = 2.0;

/// Window gain of `ProbeBW_UP` (5.3.3.4).
const PROBE_BW_UP_CWND_GAIN: f64 = 2.25;

/// Window gain of `ProbeRTT` (`BBR.ProbeRTTCwndGain`).
const PROBE_RTT_CWND_GAIN: f64 = 0.5;

/// How long `ProbeRTT` keeps the window small (`BBR.ProbeRTTDuration`).
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);

/// Growth of the delivery rate that shows that the pipe is not full (5.3.1.2).
const FULL_BW_GROWTH: f64 = 1.25;

/// Rounds without growth after which the pipe is full (5.3.1.2).
const FULL_BW_ROUNDS: u8 = 3;

/// Rounds with too much loss that end Startup. The draft has one. A flow that starts beside another
/// meets the other's queue, which overflows before the new flow has found its share.
const STARTUP_LOSS_ROUNDS: u8 = 6;

/// Shortest time between two bandwidth probes (5.3.3.5.3).
const BW_PROBE_WAIT_MIN: Duration = Duration::from_secs(2);

/// Range of the random time that is added to it.
const BW_PROBE_WAIT_RANGE: Duration = Duration::from_secs(1);

/// Most rounds between two bandwidth probes, as a Reno flow would probe (5.3.3.5.3).
const BW_PROBE_MAX_ROUNDS: u64 = 63;

/// A state of the state machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Doubles the rate in each round until the pipe is full.
    Startup,
    /// Drains the queue that Startup has built.
    Drain,
    /// Sends less than the bandwidth, to drain the queue of a probe.
    ProbeBwDown,
    /// Sends at the bandwidth.
    ProbeBwCruise,
    /// Fills the pipe before a probe.
    ProbeBwRefill,
    /// Sends more than the bandwidth, to probe for more.
    ProbeBwUp,
    /// Keeps the window small, to measure the minimum round-trip time.
    ProbeRtt,
}

impl State {
    /// `BBRIsProbingBW`.
    pub(super) const fn is_probing_bw(self) -> bool {
        matches!(self, Self::Startup | Self::ProbeBwRefill | Self::ProbeBwUp)
    }

    /// `IsInAProbeBWState`.
    pub(super) const fn is_probe_bw(self) -> bool {
        matches!(
            self,
            Self::ProbeBwDown | Self::ProbeBwCruise | Self::ProbeBwRefill | Self::ProbeBwUp
        )
    }

    pub(super) const fn pacing_gain(self) -> f64 {
        match self {
            Self::Startup => STARTUP_PACING_GAIN,
            Self::Drain => DRAIN_PACING_GAIN,
            Self::ProbeBwDown => PROBE_BW_DOWN_PACING_GAIN,
            Self::ProbeBwCruise | Self::ProbeBwRefill | Self::ProbeRtt => 1.0,
            Self::ProbeBwUp => PROBE_BW_UP_PACING_GAIN,
        }
    }

    pub(super) const fn cwnd_gain(self) -> f64 {
        match self {
            Self::ProbeBwUp => PROBE_BW_UP_CWND_GAIN,
            Self::ProbeRtt => PROBE_RTT_CWND_GAIN,
            _ => DEFAULT_CWND_GAIN,
        }
    }
}

/// The "full pipe" estimator (5.3.1.2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FullPipe {
    full_bw: f64,
    full_bw_count: u8,
    pub(super) full_bw_now: bool,
}

impl FullPipe {
    /// `BBRResetFullBW`, with a baseline.
    fn from_rate(full_bw: f64) -> Self {
        Self { full_bw, ..Self::default() }
    }

    /// `BBRCheckFullBWReached`.
    pub(super) fn update(&mut self, sample: &RateSample, round_start: bool) {
        if self.full_bw_now || !round_start || sample.is_app_limited {
            return;
        }
        if sample.delivery_rate >= FULL_BW_GROWTH * self.full_bw {
            *self = Self::from_rate(sample.delivery_rate);
            return;
        }
        self.full_bw_count += 1;
        self.full_bw_now = self.full_bw_count >= FULL_BW_ROUNDS;
    }
}

impl Bbr {
    // Startup and Drain (5.3.1, 5.3.2)

    /// A loss round of Startup has lost too much (`BBRCheckStartupHighLoss`).
    pub(super) fn check_startup_high_loss(&mut self) {
        self.startup_loss_rounds += 1;
        if self.startup_loss_rounds >= STARTUP_LOSS_ROUNDS {
            self.full_bw_reached = true;
            let bdp = self.inflight(self.max_bw.get(), 1.0);
            self.inflight_longterm = Some(bdp.max(self.inflight_latest));
        }
    }

    /// `BBRCheckStartupDone`.
    pub(super) fn check_startup_done(&mut self) {
        self.full_bw_reached |= self.full_pipe.full_bw_now;
        if self.state == State::Startup && self.full_bw_reached {
            self.state = State::Drain;
        }
    }

    /// `BBRCheckDrainDone`.
    pub(super) fn check_drain_done(&mut self, in_flight: u64, now: Instant) {
        if self.state == State::Drain && in_flight <= self.inflight(self.bw(), 1.0) {
            self.start_probe_bw_down(now);
        }
    }

    // ProbeBW (5.3.3)

    /// `BBRUpdateProbeBWCyclePhase`.
    pub(super) fn update_probe_bw_cycle(
        &mut self,
        sample: &RateSample,
        in_flight: u64,
        now: Instant,
    ) {
        if !self.full_bw_reached {
            return;
        }
        self.adapt_long_term_model(sample);
        match self.state {
            State::ProbeBwDown | State::ProbeBwCruise if self.is_time_to_probe_bw(now) => {
                self.start_probe_bw_refill();
            }
            State::ProbeBwDown if self.is_time_to_cruise(in_flight) => {
                self.state = State::ProbeBwCruise;
            }
            State::ProbeBwRefill if self.round_start => {
                self.bw_probe_samples = true;
                self.start_probe_bw_up(sample);
            }
            State::ProbeBwUp => self.check_time_to_go_down(sample, now),
            _ => {}
        }
    }

    pub(super) fn start_probe_bw_down(&mut self, now: Instant) {
        self.reset_congestion_signals();
        self.probe_up_cnt = u64::MAX;
        self.pick_probe_wait(now);
        self.cycle_stamp = now;
        self.is_probe_stopping = true;
        self.start_round();
        self.state = State::ProbeBwDown;
    }

    fn start_probe_bw_refill(&mut self) {
        self.reset_short_term_model();
        self.bw_probe_up_rounds = 0;
        self.bw_probe_up_acks = 0;
        self.is_probe_stopping = false;
        self.start_round();
        self.state = State::ProbeBwRefill;
    }

    fn start_probe_bw_up(&mut self, sample: &RateSample) {
        self.start_round();
        self.full_pipe = FullPipe::from_rate(sample.delivery_rate);
        self.state = State::ProbeBwUp;
        self.raise_inflight_longterm_slope();
    }

    /// `BBRPickProbeWait`. The time and the bytes delivered so far are random enough to keep flows
    /// from probing together.
    fn pick_probe_wait(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.cycle_stamp).as_nanos() as u64;
        let mixed = elapsed ^ self.rate.delivered.rotate_left(32);
        let random = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let fraction = (random >> 40) as f64 / f64::from(1_u32 << 24);
        self.rounds_since_bw_probe = (random >> 39) & 1;
        self.bw_probe_wait = BW_PROBE_WAIT_MIN + BW_PROBE_WAIT_RANGE.mul_f64(fraction);
    }

    /// `BBRIsTimeToProbeBW`, with `BBRIsRenoCoexistenceProbeTime`.
    fn is_time_to_probe_bw(&self, now: Instant) -> bool {
        let rounds = (self.target_inflight() / self.smss).min(BW_PROBE_MAX_ROUNDS);
        now > self.cycle_stamp + self.bw_probe_wait || self.rounds_since_bw_probe >= rounds
    }

    /// `BBRIsTimeToCruise`.
    fn is_time_to_cruise(&self, in_flight: u64) -> bool {
        let has_headroom = self.inflight_with_headroom().is_none_or(|bound| in_flight <= bound);
        has_headroom && in_flight <= self.inflight(self.max_bw.get(), 1.0)
    }

    /// `BBRIsTimeToGoDown`.
    fn check_time_to_go_down(&mut self, sample: &RateSample, now: Instant) {
        if self.is_limited_by_longterm() {
            self.full_pipe = FullPipe::from_rate(sample.delivery_rate);
        } else if self.full_pipe.full_bw_now && !self.min_rtt.is_queue_empty() {
            // While the queue is empty, the path carries more than was measured. The draft goes down.
            self.start_probe_bw_down(now);
        }
    }

    fn is_limited_by_longterm(&self) -> bool {
        let is_cwnd_limited = self.is_cwnd_limited[0] || self.is_cwnd_limited[1];
        is_cwnd_limited && self.inflight_longterm.is_some_and(|longterm| self.cwnd >= longterm)
    }

    /// `BBRRaiseInflightLongtermSlope`.
    fn raise_inflight_longterm_slope(&mut self) {
        let growth_this_round = self.smss << self.bw_probe_up_rounds;
        self.bw_probe_up_rounds = (self.bw_probe_up_rounds + 1).min(30);
        self.probe_up_cnt = (self.cwnd / growth_this_round).max(1);
    }

    /// `BBRAdaptLongTermModel`.
    fn adapt_long_term_model(&mut self, sample: &RateSample) {
        if self.is_probe_stopping && self.round_start {
            self.is_probe_stopping = false;
            self.bw_probe_samples = false;
            if self.state.is_probe_bw() && !sample.is_app_limited {
                self.max_bw.advance();
            }
        }
        let Some(longterm) = self.inflight_longterm else { return };
        if self.is_inflight_too_high(sample.lost, sample.tx_in_flight) {
            return;
        }
        self.inflight_longterm = Some(longterm.max(sample.tx_in_flight));
        if self.state == State::ProbeBwUp {
            self.probe_inflight_longterm_upward(sample);
        }
    }

    /// `BBRProbeInflightLongtermUpward`.
    fn probe_inflight_longterm_upward(&mut self, sample: &RateSample) {
        if !self.is_limited_by_longterm() {
            return;
        }
        self.bw_probe_up_acks += sample.newly_acked;
        let delta = self.bw_probe_up_acks / self.probe_up_cnt;
        self.bw_probe_up_acks -= delta * self.probe_up_cnt;
        self.inflight_longterm = self.inflight_longterm.map(|longterm| longterm + delta);
        if self.round_start {
            self.raise_inflight_longterm_slope();
        }
    }

    // ProbeRTT (5.3.4)

    /// `BBRCheckProbeRTT`.
    pub(super) fn check_probe_rtt(&mut self, in_flight: u64, now: Instant) {
        let is_due = self.min_rtt.probe_rtt_expired && !self.idle_restart;
        if self.state != State::ProbeRtt && is_due {
            self.state = State::ProbeRtt;
            self.prior_cwnd = self.cwnd;
            self.probe_rtt_done_stamp = None;
            self.is_probe_stopping = true;
            self.start_round();
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(in_flight, now);
        }
        self.idle_restart = false;
    }

    /// `BBRHandleProbeRTT`.
    fn handle_probe_rtt(&mut self, in_flight: u64, now: Instant) {
        self.rate.mark_app_limited(in_flight);
        if self.probe_rtt_done_stamp.is_some() {
            self.probe_rtt_round_done |= self.round_start;
            if self.probe_rtt_round_done {
                self.check_probe_rtt_done(now);
            }
        } else if in_flight <= self.probe_rtt_cwnd() {
            self.probe_rtt_done_stamp = Some(now + PROBE_RTT_DURATION);
            self.probe_rtt_round_done = false;
            self.start_round();
        }
    }

    /// `BBRCheckProbeRTTDone`, with `BBRExitProbeRTT`.
    pub(super) fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt_done_stamp.is_none_or(|done| now <= done) {
            return;
        }
        self.min_rtt.on_probe_rtt_done(now);
        self.cwnd = self.cwnd.max(self.prior_cwnd);
        self.reset_short_term_model();
        if self.full_bw_reached {
            self.start_probe_bw_down(now);
            self.state = State::ProbeBwCruise;
        } else {
            self.state = State::Startup;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::ControlState;

    fn sample(delivery_rate: f64) -> RateSample {
        RateSample {
            delivery_rate,
            delivered: 0,
            prior_delivered: 0,
            tx_in_flight: 0,
            lost: 0,
            is_app_limited: false,
            newly_acked: 1000,
            rtt: Duration::from_millis(50),
        }
    }

    #[test]
    fn the_pipe_is_full_after_three_rounds_without_growth() {
        let mut pipe = FullPipe::default();
        for rate in [1.0, 2.0, 2.1, 2.2, 2.6, 2.7, 2.8] {
            pipe.update(&sample(rate), true);
            assert!(!pipe.full_bw_now, "{rate}");
        }
        pipe.update(&RateSample { is_app_limited: true, ..sample(2.8) }, true);
        pipe.update(&sample(2.8), false);
        assert!(!pipe.full_bw_now);
        pipe.update(&sample(2.8), true);
        assert!(pipe.full_bw_now);
    }

    #[test]
    fn rounds_with_too_much_loss_end_startup() {
        let now = Instant::now();
        let mut bbr = Bbr::new(now, 1000, ControlState::default().into());
        for _ in 1..STARTUP_LOSS_ROUNDS {
            bbr.check_startup_high_loss();
            bbr.check_startup_done();
            assert_eq!(bbr.state, State::Startup);
        }
        bbr.check_startup_high_loss();
        bbr.check_startup_done();
        assert_eq!(bbr.state, State::Drain);
        assert!(bbr.inflight_longterm.is_some());
    }

    #[test]
    fn probe_rtt_lasts_200_ms_and_a_round() {
        let start = Instant::now();
        let ms = Duration::from_millis(1);
        let mut bbr = Bbr::new(start, 1000, ControlState::default().into());
        bbr.full_bw_reached = true;
        bbr.min_rtt.update(50 * ms, start);
        bbr.min_rtt.update(80 * ms, start + 6000 * ms);
        bbr.check_probe_rtt(1_000, start + 6000 * ms);
        assert_eq!(bbr.state, State::ProbeRtt);
        bbr.check_probe_rtt(1_000, start + 6300 * ms);
        assert_eq!(bbr.state, State::ProbeRtt, "no round has ended");
        bbr.round_start = true;
        bbr.check_probe_rtt(1_000, start + 6300 * ms);
        assert_eq!(bbr.state, State::ProbeBwCruise);
    }
}
