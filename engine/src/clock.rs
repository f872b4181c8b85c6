//! Time: the caller's seconds, as the event loop counts them, and quinn's instants. No clock is read
//! after the beginning, so that time can be simulated.

use std::time::{Duration, Instant};

/// Added to a deadline that is handed out: whoever wakes up then must find it due, whatever the
/// rounding of seconds.
const ROUNDING: f64 = 1e-6;

/// Joins a moment of the caller's clock, in seconds, to an instant.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    seconds: f64,
}

impl Clock {
    /// Let `seconds` of the caller's clock be this very instant.
    #[must_use]
    pub fn starting_at(seconds: f64) -> Self {
        Self { origin: Instant::now(), seconds }
    }

    /// The instant at which the caller's clock shows `seconds`; never before the beginning.
    #[must_use]
    pub fn instant(&self, seconds: f64) -> Instant {
        let since = Duration::try_from_secs_f64(seconds - self.seconds);
        self.origin + since.unwrap_or_default()
    }

    /// What the caller's clock shows at `instant`.
    #[must_use]
    pub fn seconds(&self, instant: Instant) -> f64 {
        self.seconds + instant.saturating_duration_since(self.origin).as_secs_f64()
    }

    /// The same, and late enough that the deadline is due then.
    #[must_use]
    pub fn deadline(&self, instant: Instant) -> f64 {
        self.seconds(instant) + ROUNDING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_due_when_the_clock_shows_it() {
        let clock = Clock::starting_at(1_234_567.890_123);
        for nanos in [1, 333, 1_000_001, 12_345_678_901] {
            let at = clock.origin + Duration::from_nanos(nanos);
            assert!(clock.instant(clock.deadline(at)) >= at);
        }
    }

    #[test]
    fn nothing_is_before_the_beginning() {
        let clock = Clock::starting_at(100.0);
        assert_eq!(clock.instant(50.0), clock.origin);
        assert_eq!(clock.instant(f64::NAN), clock.origin);
    }
}
