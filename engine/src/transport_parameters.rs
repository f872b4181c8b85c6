//! Transport parameters (RFC 9000, 18.2) that quinn does not expose: the peer's idle timeout, and a
//! smaller initial window for our streams.
//!
//! quinn has one window size for streams. It announces that size in its transport parameters, and
//! grants more once an eighth of it has been read. `InitialStreamWindow` replaces the announced
//! size with `STREAM_WINDOW_FIRST`, so that a stream that is never read holds less.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::coding::Codec;
use quinn_proto::crypto::{ClientConfig, Keys, ServerConfig, Session, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side, VarInt};

use crate::connection::STREAM_WINDOW_FIRST;
use crate::settings::varint;

const MAX_IDLE_TIMEOUT: u64 = 0x01;
const INITIAL_MAX_STREAM_DATA_BIDI_LOCAL: u64 = 0x05;
const INITIAL_MAX_STREAM_DATA_BIDI_REMOTE: u64 = 0x06;

/// A TLS configuration that announces the smaller stream window.
pub(crate) struct InitialStreamWindow<T>(pub(crate) Arc<T>);

impl<T: ClientConfig> ClientConfig for InitialStreamWindow<T> {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        self.0.clone().start_session(version, server_name, &announced(params))
    }
}

impl<T: ServerConfig> ServerConfig for InitialStreamWindow<T> {
    fn initial_keys(
        &self,
        version: u32,
        dst_cid: &ConnectionId,
    ) -> Result<Keys, UnsupportedVersion> {
        self.0.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.0.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        self.0.clone().start_session(version, &announced(params))
    }
}

fn announced(params: &TransportParameters) -> TransportParameters {
    with_stream_windows(params, varint(STREAM_WINDOW_FIRST))
}

/// Return a peer's idle timeout, or None if it has none.
pub(crate) fn idle_timeout(parameters: &TransportParameters) -> Option<Duration> {
    let encoded = encode(parameters);
    let (_, value) = decode(&encoded).find(|(id, _)| *id == MAX_IDLE_TIMEOUT)?;
    let milliseconds = integer(&mut &*value)?;
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}

/// Return the parameters with other initial windows for bidirectional streams.
///
/// quinn has no setters, so the parameters are encoded, edited and decoded. The reserved parameter
/// (RFC 9000, 18.1) has no meaning and is lost on the way.
fn with_stream_windows(parameters: &TransportParameters, bytes: VarInt) -> TransportParameters {
    let (mut edited, mut window) = (Vec::new(), Vec::new());
    bytes.encode(&mut window);
    for (id, value) in decode(&encode(parameters)) {
        let is_window =
            [INITIAL_MAX_STREAM_DATA_BIDI_LOCAL, INITIAL_MAX_STREAM_DATA_BIDI_REMOTE].contains(&id);
        let value = if is_window { &window } else { value };
        for integer in [id, value.len() as u64] {
            varint(integer).encode(&mut edited);
        }
        edited.extend_from_slice(value);
    }
    // Decode as a client: it accepts the parameters that only a server may send.
    let decoded = TransportParameters::read(Side::Client, &mut &edited[..]);
    decoded.unwrap_or(*parameters)
}

fn encode(parameters: &TransportParameters) -> Vec<u8> {
    let mut encoded = Vec::new();
    parameters.write(&mut encoded);
    encoded
}

/// Return the IDs and values of encoded parameters, up to the first that is incomplete.
fn decode(mut rest: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let id = integer(&mut rest)?;
        let size = usize::try_from(integer(&mut rest)?).ok()?;
        let (value, after) = rest.split_at_checked(size)?;
        rest = after;
        Some((id, value))
    })
}

/// Decode a variable-length integer (RFC 9000, 16).
fn integer(bytes: &mut &[u8]) -> Option<u64> {
    VarInt::decode(bytes).ok().map(VarInt::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(side: Side, encoded: &[u8]) -> TransportParameters {
        TransportParameters::read(side, &mut &*encoded).expect("valid parameters")
    }

    #[test]
    fn the_idle_timeout_is_found_among_other_parameters() {
        let timeout = |encoded| idle_timeout(&parameters(Side::Client, encoded));
        let found = timeout(&[0x0e, 1, 7, 0x01, 2, 0x7b, 0xbd, 0x03, 2, 0x45, 0xac]);
        assert_eq!(found, Some(Duration::from_millis(15_293)));
        assert_eq!(timeout(&[0x0e, 1, 7]), None);
        assert_eq!(timeout(&[0x01, 1, 0]), None, "0 means no timeout");
    }

    #[test]
    fn only_the_stream_windows_are_replaced() {
        let reset_token = [&[0x02, 16][..], &[9; 16]].concat(); // only a server sends one
        let window = [0x80, 0x80, 0, 0];
        let all = |id, window: &[u8]| {
            [&[0x0e, 1, 7], &[id, window.len() as u8][..], window, &reset_token].concat()
        };
        for id in [0x05, 0x06] {
            let before = parameters(Side::Client, &all(id, &window));
            let wanted = parameters(Side::Client, &all(id, &[0x40, 200]));
            assert_eq!(with_stream_windows(&before, VarInt::from_u32(200)), wanted);
        }
        let before = parameters(Side::Client, &all(0x07, &window));
        assert_eq!(with_stream_windows(&before, VarInt::from_u32(200)), before);
    }
}
