//! Datagrams with the little that a stream has to say, once more: where a path loses some, a keystroke
//! among them would wait until its loss shows and for another way across.
//!
//! The copy is the datagram itself, for quinn sends data again only when it is lost. It follows a
//! little later, as losses come several at a time; who has had the first drops it, like any that a
//! network has doubled (RFC 9000, 12.3). Copies are a small part of what is sent, and for the pacer
//! they are sent as others are.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use quinn_proto::{ConnectionStats, Transmit};

use crate::follow::LATER;

/// Bytes that are little: they fit one datagram, with what quinn puts before them.
pub(crate) const LITTLE: usize = 1000;

/// How long a path is taken for one that loses some, after the last that it lost.
const MEMORY: Duration = Duration::from_secs(10);

/// How much later a copy leaves at the least, where a round trip is short.
const AT_LEAST: Duration = Duration::from_millis(2);

/// How much may be copied: a part of what is sent, ...
const PART: f64 = 1.0 / 64.0;

/// ... so many bytes a second besides, for those who send next to nothing, ...
const A_SECOND: f64 = 4096.0;

/// ... and so many at once.
const AT_ONCE: f64 = 8192.0;

/// A datagram that is to be sent once more.
#[derive(Debug)]
struct Repeat {
    due: Instant,
    transmit: Transmit,
    data: Vec<u8>,
}

/// What one connection is to send once more.
#[derive(Debug)]
pub(crate) struct Repeater {
    copies: VecDeque<Repeat>,
    /// The next datagram with data of a stream has the little that one had to say.
    is_expected: bool,
    /// Frames of streams that were sent, ...
    frames: u64,
    /// ... and packets that were lost, when last seen.
    lost: u64,
    lost_at: Option<Instant>,
    /// The path is new until then.
    quiet_until: Instant,
    /// Bytes that may be copied.
    credit: f64,
    credited_at: Instant,
}

impl Repeater {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            copies: VecDeque::new(),
            is_expected: false,
            frames: 0,
            lost: 0,
            lost_at: None,
            quiet_until: now,
            credit: AT_ONCE,
            credited_at: now,
        }
    }

    /// When a copy is to be taken.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.copies.front().map(|copy| copy.due)
    }

    /// A stream has handed over the little that it had to say: it is in the datagram that comes next.
    pub(crate) const fn expect(&mut self) {
        self.is_expected = true;
    }

    /// quinn has given `data`, a datagram or several: keep a copy of the first if it is wanted.
    pub(crate) fn listen(
        &mut self,
        transmit: &Transmit,
        data: &[u8],
        stats: &ConnectionStats,
        now: Instant,
    ) {
        self.earn(data.len(), now);
        let (frames, lost) = (stats.frame_tx.stream, stats.path.lost_packets);
        if lost != std::mem::replace(&mut self.lost, lost) {
            self.lost_at = Some(now);
        }
        if frames == std::mem::replace(&mut self.frames, frames) {
            return; // it has no data of streams
        }
        let is_expected = std::mem::take(&mut self.is_expected) && now >= self.quiet_until;
        if is_expected && self.lost_at.is_some_and(|at| now < at + MEMORY) {
            let due = now + stats.path.rtt.mul_f32(LATER).max(AT_LEAST);
            let size = transmit.segment_size.unwrap_or(data.len()).min(data.len());
            self.keep(transmit, &data[..size], due);
        }
    }

    /// Write the next copy to `buffer` if it is due.
    pub(crate) fn take(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Transmit> {
        if self.deadline()? > now {
            return None;
        }
        let copy = self.copies.pop_front()?;
        buffer.extend_from_slice(&copy.data);
        Some(copy.transmit)
    }

    /// Send none of those that wait: the path is another one, or nothing is to be said any more.
    ///
    /// Nor any other soon: until quinn has found that an address is the peer's, or has gone back to the
    /// one before, three times as much may be sent there as came from there (RFC 9000, 9.3.1), and it
    /// does not count copies among that. It takes three probe timeouts, which is less.
    pub(crate) fn forget(&mut self, now: Instant) {
        self.copies.clear();
        self.quiet_until = now + MEMORY;
    }

    fn earn(&mut self, sent: usize, now: Instant) {
        let since = now.saturating_duration_since(self.credited_at).as_secs_f64();
        self.credited_at = now;
        self.credit = (self.credit + sent as f64 * PART + since * A_SECOND).min(AT_ONCE);
    }

    fn keep(&mut self, transmit: &Transmit, data: &[u8], due: Instant) {
        if self.credit < data.len() as f64 {
            return;
        }
        self.credit -= data.len() as f64;
        let transmit = Transmit {
            destination: transmit.destination,
            // As the first, for it is acknowledged as that where the first is lost.
            ecn: transmit.ecn,
            size: data.len(),
            segment_size: None,
            src_ip: transmit.src_ip,
        };
        self.copies.push_back(Repeat { due, transmit, data: data.to_vec() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);
    const SIZE: usize = 1000;

    /// A connection that sends batches of ten datagrams, with data of streams.
    struct Sender {
        repeater: Repeater,
        stats: ConnectionStats,
    }

    impl Sender {
        fn new(now: Instant) -> Self {
            let mut stats = ConnectionStats::default();
            stats.path.rtt = RTT;
            Self { repeater: Repeater::new(now), stats }
        }

        fn lose(&mut self) {
            self.stats.path.lost_packets += 1;
        }

        /// Send a batch, of which the first datagram is full of `mark`.
        fn send(&mut self, mark: u8, now: Instant) {
            self.stats.frame_tx.stream += 1;
            self.send_no_data(mark, now);
        }

        fn send_no_data(&mut self, mark: u8, now: Instant) {
            let mut data = vec![0; 10 * SIZE];
            data[..SIZE].fill(mark);
            let transmit = Transmit {
                destination: ([127, 0, 0, 1], 9).into(),
                ecn: None,
                size: data.len(),
                segment_size: Some(SIZE),
                src_ip: None,
            };
            self.repeater.listen(&transmit, &data, &self.stats, now);
        }

        /// Send the little that a stream has to say.
        fn say(&mut self, mark: u8, now: Instant) {
            self.repeater.expect();
            self.send(mark, now);
        }

        /// What is sent once more by then: the first byte of each.
        fn copies(&mut self, now: Instant) -> Vec<u8> {
            let (mut marks, mut data) = (Vec::new(), Vec::new());
            while let Some(copy) = self.repeater.take(now, &mut data) {
                assert_eq!((copy.size, copy.segment_size, data.len()), (SIZE, None, SIZE));
                marks.push(data[0]);
                data.clear();
            }
            marks
        }
    }

    #[test]
    fn what_little_a_stream_says_is_sent_once_more_where_some_is_lost() {
        let now = Instant::now();
        let mut sender = Sender::new(now);
        sender.lose();
        sender.say(1, now);
        sender.send(2, now);
        let due = now + RTT.mul_f32(LATER);
        assert_eq!(sender.repeater.deadline(), Some(due));
        assert!(sender.copies(now + RTT / 16).is_empty());
        assert_eq!(sender.copies(due), [1]);
        assert_eq!(sender.repeater.deadline(), None);
    }

    #[test]
    fn it_is_in_the_next_datagram_with_data() {
        let now = Instant::now();
        let mut sender = Sender::new(now);
        sender.lose();
        sender.repeater.expect();
        sender.send_no_data(1, now);
        sender.send(2, now);
        assert_eq!(sender.copies(now + RTT), [2]);
    }

    #[test]
    fn nothing_is_sent_once_more_where_nothing_is_lost() {
        let now = Instant::now();
        let mut sender = Sender::new(now);
        sender.say(1, now);
        sender.lose();
        sender.say(2, now);
        sender.say(3, now + MEMORY);
        assert_eq!(sender.copies(now + 2 * MEMORY), [2]);
    }

    #[test]
    fn copies_are_a_small_part_of_what_is_sent() {
        let now = Instant::now();
        let mut sender = Sender::new(now);
        sender.lose();
        for _ in 0..1000 {
            sender.say(1, now);
        }
        let copies = sender.copies(now + RTT).len();
        assert_eq!(copies, (AT_ONCE as usize + 1000 * 10 * SIZE / 64) / SIZE);
    }

    #[test]
    fn little_may_always_be_copied() {
        let now = Instant::now();
        let mut sender = Sender::new(now);
        sender.lose();
        for _ in 0..100 {
            sender.say(1, now);
        }
        sender.copies(now + RTT);
        sender.say(2, now + Duration::from_secs(1));
        assert_eq!(sender.copies(now + 2 * RTT + Duration::from_secs(1)), [2]);
    }

    #[test]
    fn nothing_is_sent_once_more_on_a_path_that_is_new() {
        let now = Instant::now();
        let mut sender = Sender::new(now);
        sender.lose();
        sender.say(1, now);
        sender.repeater.forget(now);
        sender.lose();
        sender.say(2, now + RTT);
        assert!(sender.copies(now + MEMORY).is_empty());
        sender.lose();
        sender.say(3, now + MEMORY);
        assert_eq!(sender.copies(now + MEMORY + RTT), [3]);
    }
}
