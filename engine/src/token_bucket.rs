//! A token bucket: limits how often something happens.

use std::time::{Duration, Instant};

/// A bucket that starts full.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    /// Time in which one token is added.
    interval: Duration,
    /// Time in which an empty bucket fills.
    fill_time: Duration,
    /// When the bucket is full if no more tokens are taken. None before the first is taken.
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// Create a bucket that holds `burst` tokens, and to which `rate` are added per second, at
    /// least one.
    pub(crate) fn new(rate: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / rate.max(1);
        Self { interval, fill_time: interval.saturating_mul(burst), full_at: None }
    }

    /// Take a token and return true, unless the bucket is empty.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + self.interval;
        let is_taken = full_at.duration_since(now) <= self.fill_time;
        if is_taken {
            self.full_at = Some(full_at);
        }
        is_taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Return how many tokens can be taken.
    fn empty(bucket: &mut TokenBucket, now: Instant) -> usize {
        (0..1000).take_while(|_| bucket.take(now)).count()
    }

    #[test]
    fn a_bucket_starts_full_and_fills_at_its_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 20);
        assert_eq!(empty(&mut bucket, start), 20);
        assert_eq!(empty(&mut bucket, start + Duration::from_millis(500)), 5);
        assert_eq!(empty(&mut bucket, start + Duration::from_millis(550)), 0);
        assert_eq!(empty(&mut bucket, start + Duration::from_millis(600)), 1);
    }

    #[test]
    fn a_bucket_never_holds_more_than_its_burst() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 20);
        assert!(bucket.take(start));
        assert_eq!(empty(&mut bucket, start + Duration::from_secs(3600)), 20);
    }

    #[test]
    fn a_rate_of_zero_is_one() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(0, 1);
        assert_eq!(empty(&mut bucket, start), 1);
        assert_eq!(empty(&mut bucket, start + Duration::from_secs(1)), 1);
    }
}
