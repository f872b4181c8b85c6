//! BBR (draft-ietf-ccwg-bbr-04). Section numbers in this directory are those of this revision, and
//! names are the draft's. engine/README.md lists where this implementation departs from it.
//!
//! This file has the steps per event and the control parameters, `model` the network path model,
//! and `state_machine` the states. quinn reports losses in sums, after the ACK that reveals them, so
//! the steps that need each lost packet are missing: `BBRInflightAtLoss`, and the count of lost
//! ranges in Startup.

mod delivery_rate;
mod filters;
mod min_rtt;
mod model;
mod state_machine;

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::RttEstimator;
use quinn_proto::congestion::Controller;

use super::ControlState;
use crate::pacing::quantum;
use delivery_rate::{DeliveryRate, RateSample};
use filters::{Decline, MaxOfRounds, MaxOfTwoCycles, RoundRate};
use min_rtt::MinRtt;
use state_machine::{FullPipe, State};

/// Initial congestion window in packets (`C.InitialCwnd`; RFC 9002, 7.2).
const INITIAL_CWND: u64 = 10;

/// Smallest congestion window in packets (`BBR.MinPipeCwnd`).
const MIN_PIPE_CWND_PACKETS: u64 = 4;

/// Part of the bandwidth that pacing leaves unused (`BBR.PacingMarginPercent` = 1).
const PACING_MARGIN: f64 = 0.01;

/// The controller of one path. Sizes are in bytes, rates in bytes per second.
#[derive(Clone, Debug)]
pub(super) struct Bbr {
    control: Arc<ControlState>,
    smss: u64,
    rate: DeliveryRate,

    // Control parameters (2.3)
    cwnd: u64,
    prior_cwnd: u64,
    pacing_rate: f64,

    // Network path model (2.8 to 2.11)
    min_rtt: MinRtt,
    max_bw: MaxOfTwoCycles,
    round_rate: RoundRate,
    decline: Decline,
    bw_shortterm: Option<f64>,
    inflight_longterm: Option<u64>,
    inflight_shortterm: Option<u64>,
    bw_latest: f64,
    inflight_latest: u64,
    extra_acked: MaxOfRounds,
    extra_acked_interval_start: Instant,
    extra_acked_delivered: u64,

    // Rounds (5.5.1)
    round_count: u64,
    round_start: bool,
    next_round_delivered: u64,

    // Loss rounds (5.5.10.3)
    loss_in_round: bool,
    ce_in_round: bool,
    loss_round_start: bool,
    loss_round_delivered: u64,
    /// Bytes delivered and lost when the loss round started.
    loss_round_base: (u64, u64),
    /// Rounds of Startup with a loss rate above the threshold.
    startup_loss_rounds: u8,

    // State machine (5.3)
    state: State,
    full_pipe: FullPipe,
    full_bw_reached: bool,
    /// The window was full in the present round, and in the previous one.
    is_cwnd_limited: [bool; 2],
    idle_restart: bool,
    cycle_stamp: Instant,
    bw_probe_wait: Duration,
    rounds_since_bw_probe: u64,
    /// Packets sent while probing for bandwidth are being acknowledged.
    bw_probe_samples: bool,
    /// One round after the end of a bandwidth probe, its samples end (`ACKS_PROBE_STOPPING`).
    is_probe_stopping: bool,
    bw_probe_up_rounds: u32,
    bw_probe_up_acks: u64,
    probe_up_cnt: u64,
    probe_rtt_done_stamp: Option<Instant>,
    probe_rtt_round_done: bool,
}

impl Bbr {
    /// Start a path (`BBROnInit`).
    pub(super) fn new(now: Instant, mtu: u16, control: Arc<ControlState>) -> Self {
        let smss = u64::from(mtu);
        let bbr = Self {
            control,
            smss,
            rate: DeliveryRate::new(now),
            cwnd: INITIAL_CWND * smss,
            prior_cwnd: 0,
            // BBRInitPacingRate without a round-trip time: as if it were 1 ms.
            pacing_rate: State::Startup.pacing_gain() * (INITIAL_CWND * smss) as f64 * 1000.0,
            min_rtt: MinRtt::new(now),
            max_bw: MaxOfTwoCycles::default(),
            round_rate: RoundRate::default(),
            decline: Decline::default(),
            bw_shortterm: None,
            inflight_longterm: None,
            inflight_shortterm: None,
            bw_latest: 0.0,
            inflight_latest: 0,
            extra_acked: MaxOfRounds::default(),
            extra_acked_interval_start: now,
            extra_acked_delivered: 0,
            round_count: 0,
            round_start: false,
            next_round_delivered: 0,
            loss_in_round: false,
            ce_in_round: false,
            loss_round_start: false,
            loss_round_delivered: 0,
            loss_round_base: (0, 0),
            startup_loss_rounds: 0,
            state: State::Startup,
            full_pipe: FullPipe::default(),
            full_bw_reached: false,
            is_cwnd_limited: [false; 2],
            idle_restart: false,
            cycle_stamp: now,
            bw_probe_wait: Duration::ZERO,
            rounds_since_bw_probe: 0,
            bw_probe_samples: false,
            is_probe_stopping: false,
            bw_probe_up_rounds: 0,
            bw_probe_up_acks: 0,
            probe_up_cnt: u64::MAX,
            probe_rtt_done_stamp: None,
            probe_rtt_round_done: false,
        };
        bbr.publish();
        bbr
    }

    /// 5.2.3, `BBRUpdateModelAndState`.
    fn update_model_and_state(&mut self, sample: &RateSample, in_flight: u64, now: Instant) {
        self.update_latest_delivery_signals(sample);
        self.update_congestion_signals(sample, now);
        self.update_ack_aggregation(sample, now);
        self.full_pipe.update(sample, self.round_start);
        self.check_startup_done();
        self.check_drain_done(in_flight, now);
        self.update_probe_bw_cycle(sample, in_flight, now);
        self.min_rtt.update(sample.rtt, now);
        self.check_probe_rtt(in_flight, now);
        self.advance_latest_delivery_signals(sample);
    }

    /// 5.4.1, `BBRHandleRestartFromIdle`.
    fn handle_restart_from_idle(&mut self, in_flight: u64, now: Instant) {
        if in_flight > 0 || !self.rate.is_app_limited() {
            return;
        }
        self.idle_restart = true;
        self.extra_acked_interval_start = now;
        self.extra_acked_delivered = 0;
        if self.state.is_probe_bw() {
            self.set_pacing_rate(1.0);
            self.publish();
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(now);
        }
    }

    /// 5.6.2, `BBRSetPacingRateWithGain`.
    fn set_pacing_rate(&mut self, gain: f64) {
        let rate = if self.bw() > 0.0 {
            gain * self.bw() * (1.0 - PACING_MARGIN)
        } else if let Some(min_rtt) = self.min_rtt.get() {
            // BBRInitPacingRate, now that there is a round-trip time
            self.pacing_rate = 0.0;
            gain * (INITIAL_CWND * self.smss) as f64 / min_rtt.as_secs_f64()
        } else {
            return;
        };
        if self.full_bw_reached || rate > self.pacing_rate {
            self.pacing_rate = rate;
        }
    }

    /// 5.6.3, `BBRSetSendQuantum`.
    fn send_quantum(&self) -> u64 {
        quantum(self.pacing_rate as u64, self.smss)
    }

    /// 5.6.4.6, `BBRSetCwnd`.
    fn set_cwnd(&mut self, newly_acked: u64) {
        let max_inflight = self.max_inflight();
        if self.full_bw_reached {
            self.cwnd = (self.cwnd + newly_acked).min(max_inflight);
        } else if self.cwnd < max_inflight || self.rate.delivered < INITIAL_CWND * self.smss {
            self.cwnd += newly_acked;
        }
        self.cwnd = self.cwnd.max(self.min_pipe_cwnd());
        if self.state == State::ProbeRtt {
            self.cwnd = self.cwnd.min(self.probe_rtt_cwnd());
        }
        self.bound_cwnd_for_model();
    }

    /// 5.6.4.7, `BBRBoundCwndForModel`.
    fn bound_cwnd_for_model(&mut self) {
        let longterm = match self.state {
            State::ProbeBwCruise | State::ProbeRtt => self.inflight_with_headroom(),
            State::ProbeBwDown | State::ProbeBwRefill | State::ProbeBwUp => self.inflight_longterm,
            State::Startup | State::Drain => None,
        };
        for cap in [longterm, self.inflight_shortterm].into_iter().flatten() {
            self.cwnd = self.cwnd.min(cap.max(self.min_pipe_cwnd()));
        }
    }

    const fn min_pipe_cwnd(&self) -> u64 {
        MIN_PIPE_CWND_PACKETS * self.smss
    }

    fn publish(&self) {
        self.control.publish((self.pacing_rate as u64).max(self.smss), self.cwnd);
    }
}

impl Controller for Bbr {
    fn on_sent(&mut self, now: Instant, bytes: u64, _last_packet_number: u64) {
        let in_flight = self.control.in_flight().saturating_sub(bytes);
        if self.control.take_app_limited() {
            self.rate.mark_app_limited(in_flight);
        }
        self.handle_restart_from_idle(in_flight, now);
        self.rate.on_sent(now, bytes, in_flight);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        _app_limited: bool,
        _rtt: &RttEstimator,
    ) {
        self.rate.on_acked(now, sent, bytes);
    }

    /// 5.2.3, `BBRUpdateOnACK`.
    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        _app_limited: bool,
        _largest_packet_num_acked: Option<u64>,
    ) {
        let Some(sample) = self.rate.sample(now, self.min_rtt.get()) else { return };
        self.update_model_and_state(&sample, in_flight, now);
        self.set_pacing_rate(self.state.pacing_gain());
        self.set_cwnd(sample.newly_acked);
        self.publish();
    }

    /// 5.2.4, `BBRUpdateOnLoss`. quinn reports a CE mark as a congestion event without lost bytes.
    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.rate.on_lost(sent, lost_bytes);
        if is_persistent_congestion {
            self.cwnd = self.min_pipe_cwnd(); // RFC 9002, 7.6.2
        } else {
            self.handle_lost_packets(sent, lost_bytes, now);
        }
        self.publish();
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.smss = u64::from(new_mtu);
        self.cwnd = self.cwnd.max(self.min_pipe_cwnd());
        self.publish();
    }

    fn window(&self) -> u64 {
        self.cwnd
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_CWND * self.smss
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
