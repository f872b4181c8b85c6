//! What BBR tries in turns: to find the path's rate, to keep to it, to look for more
//! (draft-ietf-ccwg-bbr, 5.3); and to see the path empty, which is in `probe_rtt`.

use std::time::{Duration, Instant};

use super::rates::Sample;
use super::startup::Plateau;
use super::{BETA, Bbr};

/// 4 ln 2: the least that doubles the rate with each round (2.4).
pub(super) const STARTUP_GAIN: f64 = 2.77;

const DRAIN_GAIN: f64 = 0.5;

/// Not the draft's 0.9, with which the queue that a probe has made takes up to ten round trips to go:
/// others' requests wait in it.
const DOWN_GAIN: f64 = 0.75;

const UP_GAIN: f64 = 1.25;
const WINDOW_GAIN: f64 = 2.0;
const UP_WINDOW_GAIN: f64 = 2.25;
pub(super) const PROBE_RTT_GAIN: f64 = 0.5;

/// How long it is at least until more is tried, and up to how much longer by chance. Not the draft's two
/// seconds and one (5.3.3.8): each probe overflows the queue of those who fill it, and with cubic they
/// had a quarter of the line, or less.
const PROBE_WAIT: (Duration, Duration) = (Duration::from_millis(2500), Duration::from_secs(1));

/// The rounds after which more is tried in any case: a Reno flow would (5.3.3.8).
const PROBE_ROUNDS_MAX: u64 = 63;

/// What is being tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Double the rate with each round until it grows no more.
    Startup,
    /// Empty the queue that this has made.
    Drain,
    /// Send less, until the path holds no queue and others find room.
    Down,
    /// Keep to the measured rate.
    Cruise,
    /// Fill the path, without any queue, ...
    Refill,
    /// ... and try more than the measured rate.
    Up,
    /// Empty the path, to see its round trip.
    ProbeRtt,
}

impl Phase {
    /// Whether it finds out what the path bears: it is not moved by losses at once.
    pub(super) const fn is_probing(self) -> bool {
        matches!(self, Self::Startup | Self::Refill | Self::Up)
    }

    pub(super) const fn is_probe_bandwidth(self) -> bool {
        matches!(self, Self::Down | Self::Cruise | Self::Refill | Self::Up)
    }

    pub(super) const fn rate_gain(self) -> f64 {
        match self {
            Self::Startup => STARTUP_GAIN,
            Self::Drain => DRAIN_GAIN,
            Self::Down => DOWN_GAIN,
            Self::Cruise | Self::Refill | Self::ProbeRtt => 1.0,
            Self::Up => UP_GAIN,
        }
    }

    pub(super) const fn window_gain(self) -> f64 {
        match self {
            Self::Up => UP_WINDOW_GAIN,
            Self::ProbeRtt => PROBE_RTT_GAIN,
            _ => WINDOW_GAIN,
        }
    }
}

/// When more is tried, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probing {
    began: Instant,
    phase_began: Instant,
    wait: Duration,
    since_round: u64,
    /// What is lost now tells how much the path bears.
    is_sampled: bool,
    /// A cycle of the rate's filter ends with the next round.
    pub(super) is_ending: bool,
    /// How the bound rises: packets a window, doubled with each round; and what has risen.
    step: u32,
    acked: u64,
    /// When the path was seen to be empty enough, while it is emptied.
    pub(super) empty_at: Option<Instant>,
    pub(super) has_round: bool,
}

impl Probing {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            began: now,
            phase_began: now,
            wait: PROBE_WAIT.0,
            since_round: 0,
            is_sampled: false,
            is_ending: false,
            step: 0,
            acked: 0,
            empty_at: None,
            has_round: false,
        }
    }

    /// Wait for a time that others do not wait as well. What has happened so far is as good as dice.
    fn pick_wait(&mut self, now: Instant, delivered: u64) {
        let age = now.saturating_duration_since(self.began).as_nanos() as u64;
        let dice = (age ^ delivered.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let chance = (dice >> 40) as f64 / f64::from(1_u32 << 24);
        self.wait = PROBE_WAIT.0 + PROBE_WAIT.1.mul_f64(chance);
    }
}

impl Bbr {
    /// Go on to what is to be tried next, if it is time (5.2.3).
    pub(super) fn advance(&mut self, sample: &Sample, in_flight: u64, now: Instant) {
        if self.is_round_start && !sample.is_app_limited {
            self.plateau.add(sample.rate.unwrap_or(0.0));
        }
        if self.phase == Phase::Startup {
            self.is_path_full |= self.plateau.is_reached;
            if self.is_path_full {
                self.phase = Phase::Drain;
            }
        }
        if self.phase == Phase::Drain && in_flight <= self.inflight(self.max_rate.get(), 1.0) {
            self.start_down(now);
        }
        if self.is_path_full {
            self.raise_bound(sample);
            self.cycle(sample, in_flight, now);
        }
        self.check_probe_rtt(in_flight, now);
        self.is_restarting = false;
    }

    // Trying more

    fn cycle(&mut self, sample: &Sample, in_flight: u64, now: Instant) {
        match self.phase {
            Phase::Down | Phase::Cruise if self.is_time_to_probe(now) => self.start_refill(now),
            Phase::Down => {
                let room = self.inflight(self.max_rate.get(), 1.0);
                if in_flight <= self.bound_with_headroom().map_or(room, |bound| bound.min(room)) {
                    self.enter(Phase::Cruise, now);
                }
            }
            Phase::Refill if self.is_round_start => {
                self.probing.is_sampled = true;
                self.start_up(sample, now);
            }
            Phase::Up if self.is_held_by_bound() => {
                self.plateau = Plateau::from(sample.rate.unwrap_or(0.0));
            }
            // While none of it waits, the path carries more than is known yet.
            Phase::Up if self.plateau.is_reached && !self.trips.show_empty_path() => {
                self.start_down(now);
            }
            _ => {}
        }
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.probing.phase_began = now;
    }

    pub(super) fn start_down(&mut self, now: Instant) {
        self.probing.pick_wait(now, self.rates.delivered);
        self.probing.since_round = self.rounds;
        self.probing.is_ending = true;
        self.probing.began = now;
        self.start_round();
        self.enter(Phase::Down, now);
    }

    fn start_refill(&mut self, now: Instant) {
        self.reset_short_term();
        self.probing.step = 0;
        self.probing.acked = 0;
        self.start_round();
        self.enter(Phase::Refill, now);
    }

    fn start_up(&mut self, sample: &Sample, now: Instant) {
        self.start_round();
        self.plateau = Plateau::from(sample.rate.unwrap_or(0.0));
        self.enter(Phase::Up, now);
    }

    fn is_time_to_probe(&self, now: Instant) -> bool {
        let packets = self.inflight(self.model_rate(), 1.0) / self.mss;
        let is_due = now.saturating_duration_since(self.probing.began) > self.probing.wait;
        is_due || self.rounds - self.probing.since_round >= packets.min(PROBE_ROUNDS_MAX)
    }

    /// Whether more could be sent if it were not for the bound.
    fn is_held_by_bound(&self) -> bool {
        let is_full = self.is_full[0] || self.is_full[1];
        is_full && self.bound.is_some_and(|bound| self.window >= bound)
    }

    /// What was borne may be borne again, and a little more may be tried (5.3.3.6).
    fn raise_bound(&mut self, sample: &Sample) {
        if self.probing.is_ending && self.is_round_start {
            self.probing.is_ending = false;
            self.probing.is_sampled = false;
            if self.phase.is_probe_bandwidth() && !sample.is_app_limited {
                self.max_rate.advance();
            }
        }
        let Some(bound) = self.bound else { return };
        let has_queue = self.trips.has_queue();
        if self.losses.are_too_many(sample.lost, sample.in_flight, self.mss, has_queue) {
            return;
        }
        let mut raised = bound.max(sample.in_flight);
        if self.phase == Phase::Up && self.is_held_by_bound() {
            self.probing.acked += sample.newly_acked;
            let a_packet = (self.window >> self.probing.step.min(30)).max(self.mss);
            raised += self.probing.acked / a_packet * self.mss;
            self.probing.acked %= a_packet;
            if self.is_round_start {
                self.probing.step += 1;
            }
        }
        self.bound = Some(raised);
    }

    /// More is lost than the path loses anyway, of what was sent with so much in flight (5.3.3.5).
    pub(super) fn on_overfull(
        &mut self,
        in_flight: u64,
        is_app_limited: bool,
        is_marked: bool,
        now: Instant,
    ) {
        if is_marked && !self.phase.is_probing() && self.is_round_start {
            self.lower_short_term();
        }
        if !self.probing.is_sampled {
            return;
        }
        self.probing.is_sampled = false;
        if !is_app_limited {
            let target = self.inflight(self.model_rate(), 1.0).min(self.window) as f64;
            self.bound = Some(in_flight.max((BETA * target) as u64));
        }
        if self.phase == Phase::Up {
            self.start_down(now);
        }
    }
}
