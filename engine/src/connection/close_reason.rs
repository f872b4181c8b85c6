//! Why a connection was closed. Reason phrases are for logs, and the same in both engines.

use quinn_proto::{ConnectionError, TransportErrorCode};

/// Why a connection was closed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CloseReason {
    /// Application error code. None if QUIC closed the connection.
    pub code: Option<u64>,
    /// Reason phrase.
    pub reason: String,
    /// Whether the peer closed the connection.
    pub by_peer: bool,
    /// Whether the application protocols differ (RFC 7301).
    pub alpn_mismatch: bool,
    /// Whether the peer sent a stateless reset (RFC 9000, 10.3).
    pub stateless_reset: bool,
}

/// First of the transport error codes that carry a TLS alert (RFC 9001, 4.8).
const CRYPTO_ERROR: u64 = 0x100;

const NO_APPLICATION_PROTOCOL: u64 = CRYPTO_ERROR + 120;

impl CloseReason {
    /// This side closed it with an application error code.
    pub(crate) fn by_us(code: u64, reason: String) -> Self {
        Self { code: Some(code), ..Self::local(reason) }
    }

    /// Neither side closed it on purpose.
    pub(crate) fn local(reason: String) -> Self {
        Self { code: None, reason, by_peer: false, alpn_mismatch: false, stateless_reset: false }
    }

    fn by_quic(code: TransportErrorCode, phrase: &str, by_peer: bool) -> Self {
        let code = u64::from(code);
        let mut reason = if code == 0 { String::new() } else { name(code) };
        if !phrase.is_empty() {
            if !reason.is_empty() {
                reason.push_str(": ");
            }
            reason.push_str(phrase);
        }
        let alpn_mismatch = code == NO_APPLICATION_PROTOCOL;
        Self { by_peer, alpn_mismatch, ..Self::local(reason) }
    }
}

impl From<ConnectionError> for CloseReason {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => Self {
                code: Some(close.error_code.into_inner()),
                by_peer: true,
                ..Self::local(String::from_utf8_lossy(&close.reason).into_owned())
            },
            ConnectionError::ConnectionClosed(close) => {
                let phrase = String::from_utf8_lossy(&close.reason).into_owned();
                Self::by_quic(close.error_code, &phrase, true)
            }
            ConnectionError::TransportError(error) => {
                Self::by_quic(error.code, &error.reason, false)
            }
            ConnectionError::TimedOut => Self::local("silent for longer than the hold".to_owned()),
            ConnectionError::Reset => Self {
                by_peer: true,
                stateless_reset: true,
                ..Self::local("the peer no longer knows the connection".to_owned())
            },
            other => Self::local(other.to_string()),
        }
    }
}

/// Return the name of a transport error (RFC 9000, 20.1) or of its TLS alert (RFC 8446, B.2).
fn name(code: u64) -> String {
    let known = match code {
        0x1 | 0x150 => "internal_error",
        0x2 => "connection_refused",
        0x3 => "flow_control_error",
        0x4 => "stream_limit_error",
        0x5 => "stream_state_error",
        0x6 => "final_size_error",
        0x7 => "frame_encoding_error",
        0x8 => "transport_parameter_error",
        0x9 => "connection_id_limit_error",
        0xa => "protocol_violation",
        0xb => "invalid_token",
        0xc => "application_error",
        0xd => "crypto_buffer_exceeded",
        0xe => "key_update_error",
        0xf => "aead_limit_reached",
        0x10 => "no_viable_path",
        0x100 => "close_notify",
        0x10a => "unexpected_message",
        0x114 => "bad_record_mac",
        0x128 => "handshake_failure",
        0x12a => "bad_certificate",
        0x12b => "unsupported_certificate",
        0x12c => "certificate_revoked",
        0x12d => "certificate_expired",
        0x12e => "certificate_unknown",
        0x12f => "illegal_parameter",
        0x130 => "unknown_ca",
        0x131 => "access_denied",
        0x132 => "decode_error",
        0x133 => "decrypt_error",
        0x146 => "protocol_version",
        0x147 => "insufficient_security",
        0x16d => "missing_extension",
        0x16e => "unsupported_extension",
        0x170 => "unrecognized_name",
        0x174 => "certificate_required",
        NO_APPLICATION_PROTOCOL => "no_application_protocol",
        _ => return format!("QUIC error {code:#x}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alpn_mismatch_is_recognised_by_its_alert() {
        let reason = CloseReason::by_quic(TransportErrorCode::crypto(120), "peer says no", true);
        assert!(reason.alpn_mismatch && reason.by_peer);
        assert_eq!(reason.reason, "no_application_protocol: peer says no");
        assert_eq!(reason.code, None);
    }

    #[test]
    fn an_unknown_code_is_shown_as_a_number() {
        let reason = CloseReason::by_quic(TransportErrorCode::crypto(1), "", false);
        assert_eq!(reason.reason, "QUIC error 0x101");
    }
}
