//! What a peer has said of itself in its transport parameters (RFC 9000, 18), where quinn keeps it
//! to itself.

use std::time::Duration;

use quinn_proto::transport_parameters::TransportParameters;

/// Transport parameter (RFC 9000, 18.2).
const MAX_IDLE_TIMEOUT: u64 = 0x01;

/// Return a peer's idle timeout; None if it has none. quinn shows it in no other way.
pub(crate) fn idle_timeout(parameters: &TransportParameters) -> Option<Duration> {
    let mut encoded = Vec::new();
    parameters.write(&mut encoded);
    find_idle_timeout(&encoded)
}

/// Find an idle timeout among encoded transport parameters (RFC 9000, 18).
fn find_idle_timeout(mut parameters: &[u8]) -> Option<Duration> {
    while !parameters.is_empty() {
        let number = variable(&mut parameters)?;
        let size = usize::try_from(variable(&mut parameters)?).ok()?;
        let (mut value, rest) = parameters.split_at_checked(size)?;
        parameters = rest;
        if number == MAX_IDLE_TIMEOUT {
            let milliseconds = variable(&mut value)?;
            return (milliseconds > 0).then(|| Duration::from_millis(milliseconds));
        }
    }
    None
}

/// Read an integer of variable length (RFC 9000, 16).
fn variable(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    let (encoded, rest) = bytes.split_at_checked(1 << (first >> 6))?;
    *bytes = rest;
    let value = encoded.iter().fold(0, |value, &byte| (value << 8) | u64::from(byte));
    Some(value & (u64::MAX >> (64 - 8 * encoded.len()) >> 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_variable_length_are_read() {
        // The examples of RFC 9000, A.1.
        for (encoded, value) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d][..], 494_878_333),
            (&[0x7b, 0xbd][..], 15_293),
            (&[0x25][..], 37),
        ] {
            let mut rest = encoded;
            assert_eq!(variable(&mut rest), Some(value));
            assert!(rest.is_empty());
        }
        assert_eq!(variable(&mut &[0xc2, 0x19][..]), None);
    }

    #[test]
    fn the_idle_timeout_is_found_among_others() {
        let parameters = [0x0f, 2, 7, 7, 0x01, 2, 0x7b, 0xbd, 0x03, 1, 9];
        assert_eq!(find_idle_timeout(&parameters), Some(Duration::from_millis(15_293)));
        assert_eq!(find_idle_timeout(&[0x0f, 2, 7, 7]), None);
        assert_eq!(find_idle_timeout(&[0x01, 1, 0]), None, "none is no timeout at all");
    }
}
