//! Packets that were sent and neither acknowledged nor declared lost.
//!
//! quinn says how many packets it has declared lost, but not which. It declares the oldest ones lost,
//! because both conditions of RFC 9002, 6.1 hold for all older packets as well. So these are the
//! oldest packets below the largest acknowledged one.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Packets that are not ack-eliciting which quinn keeps after the last one that is.
const ACKS_MAX: u64 = 1000;

/// Which packets of a space share their numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Space {
    Initial,
    Handshake,
    Data,
}

impl Space {
    const ALL: [Self; 3] = [Self::Initial, Self::Handshake, Self::Data];

    /// The type of its packets in qlog.
    pub(super) const fn packet_type(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Handshake => "handshake",
            Self::Data => "1RTT",
        }
    }
}

/// The packets of all spaces.
#[derive(Debug, Default)]
pub(super) struct SentPackets {
    spaces: [SpacePackets; 3],
    sent: u64,
}

#[derive(Debug, Default)]
struct SpacePackets {
    /// When each was sent, in the order of all packets of the connection.
    unacknowledged: BTreeMap<u64, u64>,
    largest_acknowledged: Option<u64>,
    largest_ack_eliciting: Option<u64>,
    acks: u64,
}

impl SentPackets {
    /// Note that a packet was sent, which is not a probe of the path's MTU.
    pub(super) fn on_sent(&mut self, space: Space, number: u64, is_ack_eliciting: bool) {
        self.sent += 1;
        let sent = self.sent;
        let packets = &mut self.spaces[space as usize];
        if is_ack_eliciting {
            packets.acks = 0;
            packets.largest_ack_eliciting = Some(number);
        } else if packets.acks > ACKS_MAX {
            let first = packets.largest_ack_eliciting.map_or(0, |largest| largest + 1);
            let oldest = packets.unacknowledged.range(first..).next().map(|(number, _)| *number);
            oldest.and_then(|number| packets.unacknowledged.remove(&number));
        } else {
            packets.acks += 1;
        }
        packets.unacknowledged.insert(number, sent);
    }

    /// Note that the peer has acknowledged packets.
    pub(super) fn on_acknowledged(&mut self, space: Space, numbers: RangeInclusive<u64>) {
        let packets = &mut self.spaces[space as usize];
        packets.largest_acknowledged = packets.largest_acknowledged.max(Some(*numbers.end()));
        let known: Vec<u64> =
            packets.unacknowledged.range(numbers).map(|(number, _)| *number).collect();
        for number in known {
            packets.unacknowledged.remove(&number);
        }
    }

    /// Forget the packets of the handshake: their keys are gone.
    pub(super) fn on_confirmed(&mut self) {
        for space in [Space::Initial, Space::Handshake] {
            self.spaces[space as usize].unacknowledged.clear();
        }
    }

    /// Return the packets that are lost, given their number, and forget them.
    pub(super) fn take_lost(&mut self, count: u64) -> Vec<(Space, u64)> {
        let mut lost = Vec::new();
        while (lost.len() as u64) < count {
            let oldest = Space::ALL.into_iter().filter_map(|space| {
                let packets = &self.spaces[space as usize];
                let (number, sent) = packets.unacknowledged.first_key_value()?;
                let is_overtaken = Some(*number) < packets.largest_acknowledged;
                is_overtaken.then_some((*sent, space, *number))
            });
            let Some((_, space, number)) = oldest.min_by_key(|(sent, ..)| *sent) else { break };
            self.spaces[space as usize].unacknowledged.remove(&number);
            lost.push((space, number));
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(numbers: RangeInclusive<u64>) -> SentPackets {
        let mut packets = SentPackets::default();
        for number in numbers {
            packets.on_sent(Space::Data, number, true);
        }
        packets
    }

    #[test]
    fn the_oldest_packets_are_lost() {
        let mut packets = sent(0..=20);
        packets.on_acknowledged(Space::Data, 2..=2);
        packets.on_acknowledged(Space::Data, 19..=20);
        let lost = packets.take_lost(3);
        assert_eq!(lost, [(Space::Data, 0), (Space::Data, 1), (Space::Data, 3)]);
        assert_eq!(packets.take_lost(1), [(Space::Data, 4)]);
    }

    #[test]
    fn packets_that_nothing_has_overtaken_are_not_lost() {
        let mut packets = sent(0..=3);
        assert_eq!(packets.take_lost(2), []);
        packets.on_acknowledged(Space::Data, 1..=1);
        assert_eq!(packets.take_lost(2), [(Space::Data, 0)]);
    }

    #[test]
    fn spaces_have_numbers_of_their_own() {
        let mut packets = SentPackets::default();
        packets.on_sent(Space::Initial, 0, true);
        packets.on_sent(Space::Handshake, 0, true);
        packets.on_sent(Space::Initial, 1, true);
        packets.on_acknowledged(Space::Initial, 1..=1);
        assert_eq!(packets.take_lost(5), [(Space::Initial, 0)]);
        packets.on_confirmed();
        packets.on_acknowledged(Space::Handshake, 7..=7);
        assert_eq!(packets.take_lost(5), []);
    }

    #[test]
    fn acks_are_forgotten_as_quinn_forgets_them() {
        let mut packets = sent(0..=0);
        for number in 1..=5000 {
            packets.on_sent(Space::Data, number, false);
        }
        let kept = packets.spaces[Space::Data as usize].unacknowledged.len() as u64;
        assert_eq!(kept, 1 + ACKS_MAX + 1);
    }
}
