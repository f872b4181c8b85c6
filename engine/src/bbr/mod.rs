//! BBR, version 3: a model of the path, its rate and its round trip, by which to send
//! (draft-ietf-ccwg-bbr; sections are those of its revision 02).
//!
//! quinn's own is of version 1, is paced by its window alone, and falls short on lossy paths. This
//! one says at which rate to send (`pacing`); tells losses by chance from those by congestion
//! (`losses`, where it leaves the draft); takes a round trip as short as the shortest for a sign that
//! the queue is empty, so that it seldom needs to empty it (`filters`); and gives up a rate that is gone
//! (`decline`). What it learns is in `model`, what it tries in turns in `phases`, `startup` and
//! `probe_rtt`. Not done: what the draft asks of senders that know each packet of a loss, for quinn
//! tells of losses in sums.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::RttEstimator;
use quinn_proto::congestion::Controller;

use crate::watch::Watch;
use decline::Decline;
use filters::{MaxOfRounds, MaxOfTwo, RoundTrips, Sustained};
use losses::Losses;
use phases::Phase;
use rates::Rates;
use startup::Plateau;

mod decline;
mod filters;
mod losses;
mod model;
mod phases;
mod probe_rtt;
mod rates;
mod startup;
mod yielding;

/// Packets that may be in flight at first (RFC 9002, 7.2) ...
const INITIAL_WINDOW: u64 = 10;

/// ... and at least (2.7: `BBRMinPipeCwnd`).
const MIN_WINDOW: u64 = 4;

/// The share of the measured rate at which to send while there is a queue, so that it is emptied
/// (2.5: `BBRPacingMarginPercent`; the draft always sends so).
const MARGIN: f64 = 0.99;

/// What is kept of a bound when it has proven too high (2.7: `BBRBeta`).
const BETA: f64 = 0.7;

/// What is left free below the most that the path has borne (2.7: `BBRHeadroom`), ...
const HEADROOM: f64 = 0.15;

/// ... and where a part of that was a queue: flows that fill it would else get less than a quarter.
const HEADROOM_QUEUE: f64 = 0.33;

/// Added to what may be in flight, of the rate: event loops see acknowledgements late.
const LATENESS: Duration = Duration::from_millis(2);

/// The controller of one path.
#[derive(Clone, Debug)]
pub(crate) struct Bbr {
    watch: Arc<Watch>,
    mss: u64,
    rates: Rates,
    trips: RoundTrips,
    losses: Losses,
    window: u64,
    window_before_probe: u64,
    rate: f64,

    // The model
    max_rate: MaxOfTwo,
    decline: Decline,
    /// What this round's samples show.
    sustained: Sustained,
    extra_acked: MaxOfRounds,
    extra_since: Instant,
    extra_delivered: u64,
    /// The most that may be in flight in the long term, as losses have shown; ...
    bound: Option<u64>,
    /// ... and in the short term, with the rate.
    short_bound: Option<u64>,
    short_rate: Option<f64>,
    /// The best rate of this round in startup, and what the last one has sustained later.
    latest_rate: f64,
    /// The most that was delivered in a round trip of this round.
    latest_delivered: u64,

    // Rounds
    rounds: u64,
    round_ends_at: u64,
    is_round_start: bool,
    /// Rounds in which a queue has stayed though nothing more was tried.
    queued_rounds: u32,
    /// The queue of the round before, in round trips.
    last_queue: f64,
    /// The window was in the way in this round, or the one before.
    is_full: [bool; 2],

    // What is being tried
    phase: Phase,
    plateau: Plateau,
    /// The best rate of startup's rounds, and how many of them have lost too much.
    startup_rate: f64,
    lossy_rounds: u8,
    is_path_full: bool,
    probing: phases::Probing,
    is_restarting: bool,
}

impl Bbr {
    pub(crate) fn new(now: Instant, mtu: u16, watch: Arc<Watch>) -> Self {
        let mss = u64::from(mtu);
        let bbr = Self {
            watch,
            mss,
            rates: Rates::new(now),
            trips: RoundTrips::new(now),
            losses: Losses::new(),
            window: INITIAL_WINDOW * mss,
            window_before_probe: 0,
            rate: phases::STARTUP_GAIN * (INITIAL_WINDOW * mss) as f64 * 1000.0,
            max_rate: MaxOfTwo::default(),
            decline: Decline::default(),
            sustained: Sustained::default(),
            extra_acked: MaxOfRounds::default(),
            extra_since: now,
            extra_delivered: 0,
            bound: None,
            short_bound: None,
            short_rate: None,
            latest_rate: 0.0,
            latest_delivered: 0,
            rounds: 0,
            round_ends_at: 0,
            is_round_start: false,
            queued_rounds: 0,
            last_queue: 0.0,
            is_full: [false; 2],
            phase: Phase::Startup,
            plateau: Plateau::default(),
            startup_rate: 0.0,
            lossy_rounds: 0,
            is_path_full: false,
            probing: phases::Probing::new(now),
            is_restarting: false,
        };
        bbr.publish();
        bbr
    }

    // What follows from it

    /// Set the rate (5.6.2).
    fn set_rate(&mut self, gain: f64) {
        let model = self.model_rate();
        let rate = if model > 0.0 {
            let margin = if self.trips.show_empty_path() { 1.0 } else { MARGIN };
            gain * model * margin
        } else if let Some(rtt) = self.trips.least() {
            gain * (INITIAL_WINDOW * self.mss) as f64 / rtt.as_secs_f64()
        } else {
            return;
        };
        if self.is_path_full || rate > self.rate || self.max_rate.get() == 0.0 {
            self.rate = rate;
        }
    }

    /// Set the window (5.6.4).
    fn set_window(&mut self, newly_acked: u64) {
        let most = self.inflight(self.model_rate(), self.phase.window_gain())
            + self.extra_acked.get() as u64;
        if self.is_path_full {
            self.window = (self.window + newly_acked).min(most);
        } else if self.window < most || self.rates.delivered < INITIAL_WINDOW * self.mss {
            self.window += newly_acked;
        }
        if self.phase == Phase::ProbeRtt {
            self.window = self.window.min(self.probe_rtt_window());
        }
        let long = match self.phase {
            Phase::Down | Phase::Refill | Phase::Up => self.bound,
            Phase::Cruise | Phase::ProbeRtt => self.bound_with_headroom(),
            Phase::Startup | Phase::Drain => None,
        };
        for bound in [long, self.short_bound].into_iter().flatten() {
            self.window = self.window.min(bound);
        }
        self.window = self.window.max(MIN_WINDOW * self.mss);
    }

    fn publish(&self) {
        self.watch.steer((self.rate as u64).max(self.mss), self.window);
    }
}

impl Controller for Bbr {
    fn on_sent(&mut self, now: Instant, bytes: u64, _last_packet_number: u64) {
        let before = self.watch.under_way().saturating_sub(bytes);
        if self.watch.take_ran_dry() {
            self.rates.mark_app_limited(before);
        }
        if before == 0 && self.rates.is_app_limited() {
            self.is_restarting = true; // 5.4.1
            self.extra_since = now;
            self.extra_delivered = 0;
            if self.phase.is_probe_bandwidth() {
                self.set_rate(1.0);
                self.publish();
            }
        }
        self.rates.on_sent(now, bytes, before);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        _app_limited: bool,
        _rtt: &RttEstimator,
    ) {
        self.rates.on_ack(now, sent, bytes);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        _app_limited: bool,
        _largest_packet_num_acked: Option<u64>,
    ) {
        let Some(sample) = self.rates.sample(now, self.trips.least()) else { return };
        self.trips.add(sample.rtt, now);
        self.learn(&sample, now);
        self.learn_aggregation(sample.newly_acked, now);
        self.advance(&sample, in_flight, now);
        self.set_rate(self.phase.rate_gain());
        self.set_window(sample.newly_acked);
        self.publish();
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.rates.on_lost(sent, lost_bytes);
        let is_marked = lost_bytes == 0; // by ECN
        if is_persistent_congestion {
            self.window = MIN_WINDOW * self.mss; // it comes back with what is acknowledged
        } else if let Some(note) = self.rates.find(sent) {
            let lost = self.rates.lost - note.lost;
            let has_queue = self.trips.has_queue();
            if is_marked || self.losses.are_too_many(lost, note.in_flight, self.mss, has_queue) {
                self.on_overfull(note.in_flight, note.is_app_limited, is_marked, now);
            }
        }
        self.publish();
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mss = u64::from(new_mtu);
        self.window = self.window.max(MIN_WINDOW * self.mss);
        self.publish();
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_WINDOW * self.mss
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
