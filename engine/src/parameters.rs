//! Transport parameters (RFC 9000, 18): what a peer has said of itself, where quinn keeps it to
//! itself, and what we say of ourselves, where quinn would say something else.

use std::time::Duration;

use quinn_proto::coding::Codec;
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{Side, VarInt};

/// Transport parameters (RFC 9000, 18.2).
const MAX_IDLE_TIMEOUT: u64 = 0x01;
const INITIAL_MAX_STREAM_DATA_BIDI_LOCAL: u64 = 0x05;
const INITIAL_MAX_STREAM_DATA_BIDI_REMOTE: u64 = 0x06;

/// Return a peer's idle timeout; None if it has none. quinn shows it in no other way.
pub(crate) fn idle_timeout(parameters: &TransportParameters) -> Option<Duration> {
    let encoded = encoded(parameters);
    let (_, value) = each(&encoded).find(|(number, _)| *number == MAX_IDLE_TIMEOUT)?;
    let milliseconds = integer(&mut &*value)?;
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}

/// Return our parameters with other windows of bidirectional streams. quinn lets nobody change them
/// but by writing and reading; the reserved parameter, which means nothing, gets lost on the way.
pub(crate) fn with_stream_windows(
    parameters: &TransportParameters,
    bytes: VarInt,
) -> TransportParameters {
    let (mut changed, mut window) = (Vec::new(), Vec::new());
    bytes.encode(&mut window);
    for (number, value) in each(&encoded(parameters)) {
        let is_window = [INITIAL_MAX_STREAM_DATA_BIDI_LOCAL, INITIAL_MAX_STREAM_DATA_BIDI_REMOTE]
            .contains(&number);
        let value = if is_window { &window } else { value };
        for integer in [number, value.len() as u64] {
            VarInt::from_u64(integer).unwrap_or(VarInt::MAX).encode(&mut changed);
        }
        changed.extend_from_slice(value);
    }
    // As a client reads them: what only a server says is allowed then.
    let read = TransportParameters::read(Side::Client, &mut &changed[..]);
    read.unwrap_or(*parameters) // quinn reads what it has written
}

fn encoded(parameters: &TransportParameters) -> Vec<u8> {
    let mut encoded = Vec::new();
    parameters.write(&mut encoded);
    encoded
}

/// Return the numbers and values of encoded parameters, as far as they are whole.
fn each(mut rest: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let number = integer(&mut rest)?;
        let size = usize::try_from(integer(&mut rest)?).ok()?;
        let (value, after) = rest.split_at_checked(size)?;
        rest = after;
        Some((number, value))
    })
}

/// Read an integer of variable length (RFC 9000, 16).
fn integer(bytes: &mut &[u8]) -> Option<u64> {
    VarInt::decode(bytes).ok().map(VarInt::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(side: Side, encoded: &[u8]) -> TransportParameters {
        TransportParameters::read(side, &mut &*encoded).expect("good parameters")
    }

    #[test]
    fn the_idle_timeout_is_found_among_others() {
        let timeout = |encoded| idle_timeout(&parameters(Side::Client, encoded));
        let found = timeout(&[0x0e, 1, 7, 0x01, 2, 0x7b, 0xbd, 0x03, 2, 0x45, 0xac]);
        assert_eq!(found, Some(Duration::from_millis(15_293)));
        assert_eq!(timeout(&[0x0e, 1, 7]), None);
        assert_eq!(timeout(&[0x01, 1, 0]), None, "none is no timeout at all");
    }

    #[test]
    fn streams_windows_are_changed_and_nothing_else() {
        let reset_token = [&[0x02, 16][..], &[9; 16]].concat(); // only a server has one
        let window = [0x80, 0x80, 0, 0];
        let all = |number, window: &[u8]| {
            [&[0x0e, 1, 7], &[number, window.len() as u8][..], window, &reset_token].concat()
        };
        for number in [0x05, 0x06] {
            let before = parameters(Side::Client, &all(number, &window));
            let wanted = parameters(Side::Client, &all(number, &[0x40, 200]));
            assert_eq!(with_stream_windows(&before, VarInt::from_u32(200)), wanted);
        }
        let before = parameters(Side::Client, &all(0x07, &window));
        assert_eq!(with_stream_windows(&before, VarInt::from_u32(200)), before);
    }
}
