//! Seeing the path empty, where no round trip has shown it for long (draft-ietf-ccwg-bbr, 5.3.4).

use std::time::{Duration, Instant};

use super::phases::{PROBE_RTT_GAIN, Phase};
use super::{Bbr, MIN_WINDOW};

/// How long the path is kept nearly empty.
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);

impl Bbr {
    pub(super) fn probe_rtt_window(&self) -> u64 {
        let pipe = self.pipe(self.model_rate(), PROBE_RTT_GAIN).unwrap_or(0);
        pipe.max(MIN_WINDOW * self.mss)
    }

    pub(super) fn check_probe_rtt(&mut self, in_flight: u64, now: Instant) {
        if self.phase != Phase::ProbeRtt {
            if self.trips.is_stale && !self.is_restarting {
                self.window_before_probe = self.window;
                self.probing.empty_at = None;
                self.probing.is_ending = true;
                self.start_round();
                self.enter(Phase::ProbeRtt, now);
            }
            return;
        }
        self.rates.mark_app_limited(in_flight);
        match self.probing.empty_at {
            None if in_flight <= self.probe_rtt_window() => {
                self.probing.empty_at = Some(now);
                self.probing.has_round = false;
                self.start_round();
            }
            Some(at) => {
                self.probing.has_round |= self.is_round_start;
                if self.probing.has_round && now > at + PROBE_RTT_TIME {
                    self.end_probe_rtt(now);
                }
            }
            None => {}
        }
    }

    fn end_probe_rtt(&mut self, now: Instant) {
        self.trips.was_probed(now);
        self.window = self.window.max(self.window_before_probe);
        self.reset_short_term();
        if self.is_path_full {
            self.start_down(now);
            self.enter(Phase::Cruise, now);
        } else {
            self.enter(Phase::Startup, now);
        }
    }
}
