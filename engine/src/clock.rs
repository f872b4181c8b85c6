//! Converts between the caller's clock, in seconds, and quinn's instants.
//!
//! The system clock is read once, at the start, so that tests and benchmarks can run in virtual
//! time.

use std::time::{Duration, Instant};

/// Seconds added to a deadline for the caller. Without them, rounding could wake the caller just
/// before the deadline.
const ROUNDING: f64 = 1e-6;

/// Maps one moment of the caller's clock to an instant.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    seconds: f64,
}

impl Clock {
    /// Create a clock on which `seconds` of the caller's clock is the present instant.
    #[must_use]
    pub fn starting_at(seconds: f64) -> Self {
        Self { origin: Instant::now(), seconds }
    }

    /// Return the instant at which the caller's clock shows `seconds`. It is never before the start.
    #[must_use]
    pub fn instant(&self, seconds: f64) -> Instant {
        let since = Duration::try_from_secs_f64(seconds - self.seconds);
        self.origin + since.unwrap_or_default()
    }

    /// Return what the caller's clock shows at `instant`.
    #[must_use]
    pub fn seconds(&self, instant: Instant) -> f64 {
        self.seconds + instant.saturating_duration_since(self.origin).as_secs_f64()
    }

    /// Return a time on the caller's clock at which a deadline of `instant` is certainly due.
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
    fn times_before_the_start_are_the_start() {
        let clock = Clock::starting_at(100.0);
        assert_eq!(clock.instant(50.0), clock.origin);
        assert_eq!(clock.instant(f64::NAN), clock.origin);
    }
}
