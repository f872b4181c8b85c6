//! The frames of a packet in clear (RFC 9000, 19; RFC 9221) as JSON, without their content.

use std::ops::RangeInclusive;

use bytes::Buf;
use quinn_proto::VarInt;
use quinn_proto::coding::Codec;

use super::json::{push, push_hex, push_string};

/// Bytes of the token of a stateless reset, which is a secret.
const RESET_TOKEN: usize = 16;

/// IMMEDIATE_ACK (draft-ietf-quic-ack-frequency), which quinn adds to probes of the path's MTU.
const IMMEDIATE_ACK: u64 = 0x1f;

/// ACK_FREQUENCY, of the same draft.
const ACK_FREQUENCY: u64 = 0xaf;

/// Facts about a packet's frames.
#[derive(Debug, Default)]
pub(super) struct FrameFacts {
    /// Packet numbers that are acknowledged.
    pub(super) acknowledged: Vec<RangeInclusive<u64>>,
    /// Whether the packet must be acknowledged (RFC 9002, 2).
    pub(super) is_ack_eliciting: bool,
    /// Whether there is a HANDSHAKE_DONE.
    pub(super) has_handshake_done: bool,
    /// Whether there are only PINGs and PADDING, as in a probe of the path's MTU.
    pub(super) is_only_ping: bool,
}

/// Append the frames of a packet as a JSON array. An unknown or malformed frame is the last one.
///
/// `ack_delay_exponent` is that of the sender (RFC 9000, 18.2).
pub(super) fn push_frames(
    json: &mut String,
    payload: &[u8],
    ack_delay_exponent: u32,
) -> FrameFacts {
    let mut facts = FrameFacts { is_only_ping: true, ..Default::default() };
    let mut rest = payload;
    json.push('[');
    while !rest.is_empty() {
        if !json.ends_with('[') {
            json.push(',');
        }
        let before = json.len();
        let start = rest;
        if push_frame(json, &mut rest, ack_delay_exponent, &mut facts).is_none() {
            json.truncate(before);
            push_unknown(json, start);
            break;
        }
    }
    json.push(']');
    facts
}

/// Append a frame, and move on to the next one. Return None if it is unknown or malformed.
#[allow(clippy::too_many_lines)] // one arm for each type
fn push_frame(
    json: &mut String,
    rest: &mut &[u8],
    ack_delay_exponent: u32,
    facts: &mut FrameFacts,
) -> Option<()> {
    let kind = integer(rest)?;
    if kind == 0x00 {
        let size = 1 + rest.iter().take_while(|byte| **byte == 0).count();
        rest.advance(size - 1);
        push(json, format_args!(r#"{{"frame_type":"padding","payload_length":{size}}}"#));
        return Some(());
    }
    facts.is_only_ping &= matches!(kind, 0x01 | IMMEDIATE_ACK);
    facts.is_ack_eliciting |= !matches!(kind, 0x02 | 0x03 | 0x1c | 0x1d);
    match kind {
        0x01 => json.push_str(r#"{"frame_type":"ping"}"#),
        0x02 | 0x03 => push_ack(json, rest, kind == 0x03, ack_delay_exponent, facts)?,
        0x04 => {
            let (stream, code, size) = (integer(rest)?, integer(rest)?, integer(rest)?);
            push(
                json,
                format_args!(
                    r#"{{"frame_type":"reset_stream","stream_id":{stream},"error_code":{code},"final_size":{size}}}"#
                ),
            );
        }
        0x05 => {
            let (stream, code) = (integer(rest)?, integer(rest)?);
            push(
                json,
                format_args!(
                    r#"{{"frame_type":"stop_sending","stream_id":{stream},"error_code":{code}}}"#
                ),
            );
        }
        0x06 => {
            let (offset, size) = (integer(rest)?, integer(rest)?);
            take(rest, size)?;
            push(
                json,
                format_args!(r#"{{"frame_type":"crypto","offset":{offset},"length":{size}}}"#),
            );
        }
        0x07 => {
            let size = integer(rest)?;
            take(rest, size)?;
            push(
                json,
                format_args!(
                    r#"{{"frame_type":"new_token","token":{{"raw":{{"length":{size}}}}}}}"#
                ),
            );
        }
        0x08..=0x0f => {
            let stream = integer(rest)?;
            let offset = if kind & 0x04 == 0 { 0 } else { integer(rest)? };
            let size = if kind & 0x02 == 0 { rest.len() as u64 } else { integer(rest)? };
            take(rest, size)?;
            let fin = if kind & 0x01 == 0 { "" } else { r#","fin":true"# };
            push(
                json,
                format_args!(
                    r#"{{"frame_type":"stream","stream_id":{stream},"offset":{offset},"length":{size}{fin}}}"#
                ),
            );
        }
        0x10 => push_number(json, "max_data", "", "maximum", integer(rest)?),
        0x11 => {
            let stream = integer(rest)?;
            let stream = format!(r#","stream_id":{stream}"#);
            push_number(json, "max_stream_data", &stream, "maximum", integer(rest)?);
        }
        0x12 | 0x13 => push_number(json, "max_streams", direction(kind), "maximum", integer(rest)?),
        0x14 => push_number(json, "data_blocked", "", "limit", integer(rest)?),
        0x15 => {
            let stream = integer(rest)?;
            let stream = format!(r#","stream_id":{stream}"#);
            push_number(json, "stream_data_blocked", &stream, "limit", integer(rest)?);
        }
        0x16 | 0x17 => {
            push_number(json, "streams_blocked", direction(kind), "limit", integer(rest)?);
        }
        0x18 => {
            let (number, retire) = (integer(rest)?, integer(rest)?);
            let size = u64::from(*take(rest, 1)?.first()?);
            let id = take(rest, size)?;
            take(rest, RESET_TOKEN as u64)?;
            push(
                json,
                format_args!(
                    r#"{{"frame_type":"new_connection_id","sequence_number":{number},"retire_prior_to":{retire},"connection_id_length":{size},"connection_id":"#
                ),
            );
            push_hex(json, id);
            json.push('}');
        }
        0x19 => push_number(json, "retire_connection_id", "", "sequence_number", integer(rest)?),
        0x1a | 0x1b => {
            let data = take(rest, 8)?;
            let name = if kind == 0x1a { "path_challenge" } else { "path_response" };
            push(json, format_args!(r#"{{"frame_type":"{name}","data":"#));
            push_hex(json, data);
            json.push('}');
        }
        0x1c | 0x1d => push_close(json, rest, kind == 0x1d)?,
        0x1e => {
            facts.has_handshake_done = true;
            json.push_str(r#"{"frame_type":"handshake_done"}"#);
        }
        0x30 | 0x31 => {
            let size = if kind == 0x30 { rest.len() as u64 } else { integer(rest)? };
            take(rest, size)?;
            push_number(json, "datagram", "", "length", size);
        }
        // The drafts of qlog have no names for these two.
        IMMEDIATE_ACK => json.push_str(r#"{"frame_type":"unknown","frame_type_value":31}"#),
        ACK_FREQUENCY => {
            for _ in 0..4 {
                integer(rest)?;
            }
            json.push_str(r#"{"frame_type":"unknown","frame_type_value":175}"#);
        }
        _ => return None,
    }
    Some(())
}

fn push_number(json: &mut String, name: &str, more: &str, key: &str, value: u64) {
    push(json, format_args!(r#"{{"frame_type":"{name}"{more},"{key}":{value}}}"#));
}

const fn direction(kind: u64) -> &'static str {
    if kind & 1 == 0 {
        r#","stream_type":"bidirectional""#
    } else {
        r#","stream_type":"unidirectional""#
    }
}

fn push_ack(
    json: &mut String,
    rest: &mut &[u8],
    has_ecn: bool,
    ack_delay_exponent: u32,
    facts: &mut FrameFacts,
) -> Option<()> {
    let (largest, delay, ranges) = (integer(rest)?, integer(rest)?, integer(rest)?);
    let delay = delay.saturating_mul(1 << ack_delay_exponent) as f64 / 1000.0;
    push(json, format_args!(r#"{{"frame_type":"ack","ack_delay":{delay},"acked_ranges":["#));
    let mut smallest = largest.checked_sub(integer(rest)?)?;
    push(json, format_args!("[{smallest},{largest}]"));
    facts.acknowledged.push(smallest..=largest);
    for _ in 0..ranges {
        let end = smallest.checked_sub(integer(rest)?.checked_add(2)?)?;
        smallest = end.checked_sub(integer(rest)?)?;
        push(json, format_args!(",[{smallest},{end}]"));
        facts.acknowledged.push(smallest..=end);
    }
    json.push(']');
    if has_ecn {
        let (ect0, ect1, ce) = (integer(rest)?, integer(rest)?, integer(rest)?);
        push(json, format_args!(r#","ect0":{ect0},"ect1":{ect1},"ce":{ce}"#));
    }
    json.push('}');
    Some(())
}

fn push_close(json: &mut String, rest: &mut &[u8], is_application: bool) -> Option<()> {
    let code = integer(rest)?;
    let space = if is_application { "application" } else { "transport" };
    push(
        json,
        format_args!(
            r#"{{"frame_type":"connection_close","error_space":"{space}","error_code":{code},"error_code_value":{code}"#
        ),
    );
    if !is_application {
        let trigger = integer(rest)?;
        push(json, format_args!(r#","trigger_frame_type":{trigger}"#));
    }
    let size = integer(rest)?;
    json.push_str(r#","reason":"#);
    push_string(json, &String::from_utf8_lossy(take(rest, size)?));
    json.push('}');
    Some(())
}

fn push_unknown(json: &mut String, mut frame: &[u8]) {
    let length = frame.len();
    let kind = integer(&mut frame).unwrap_or(0);
    push(
        json,
        format_args!(
            r#"{{"frame_type":"unknown","frame_type_value":{kind},"raw":{{"length":{length}}}}}"#
        ),
    );
}

/// Return the next bytes, and move on.
fn take<'a>(rest: &mut &'a [u8], size: u64) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(usize::try_from(size).ok()?)?;
    *rest = after;
    Some(taken)
}

/// Decode a variable-length integer (RFC 9000, 16).
fn integer(rest: &mut &[u8]) -> Option<u64> {
    VarInt::decode(rest).ok().map(VarInt::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(payload: &[u8]) -> (String, FrameFacts) {
        let mut json = String::new();
        let facts = push_frames(&mut json, payload, 3);
        (json, facts)
    }

    #[test]
    fn an_ack_has_its_ranges_and_its_delay() {
        // largest 100, delay 25 << 3 µs, one more range: 98 to 100, gap of 3, 90 to 93
        let (json, facts) = frames(&[0x02, 0x40, 100, 25, 1, 2, 3, 3]);
        assert_eq!(
            json,
            r#"[{"frame_type":"ack","ack_delay":0.2,"acked_ranges":[[98,100],[90,93]]}]"#
        );
        assert_eq!(facts.acknowledged, [98..=100, 90..=93]);
        assert!(!facts.is_ack_eliciting);
    }

    #[test]
    fn the_content_of_frames_is_left_out() {
        let mut payload = vec![0x0b, 4, 3]; // a stream with a length and FIN
        payload.extend(b"abc");
        payload.extend([0x18, 1, 0, 2, 0xaa, 0xbb]);
        payload.extend([9; RESET_TOKEN]);
        payload.extend([0x07, 2, 7, 7]);
        payload.extend([0x30, 8, 8]);
        let (json, facts) = frames(&payload);
        assert_eq!(
            json,
            concat!(
                r#"[{"frame_type":"stream","stream_id":4,"offset":0,"length":3,"fin":true},"#,
                r#"{"frame_type":"new_connection_id","sequence_number":1,"retire_prior_to":0,"#,
                r#""connection_id_length":2,"connection_id":"aabb"},"#,
                r#"{"frame_type":"new_token","token":{"raw":{"length":2}}},"#,
                r#"{"frame_type":"datagram","length":2}]"#
            )
        );
        assert!(facts.is_ack_eliciting);
    }

    #[test]
    fn a_probe_has_only_pings_and_padding() {
        let (json, facts) = frames(&[1, 0, 0, 0]);
        assert_eq!(json, r#"[{"frame_type":"ping"},{"frame_type":"padding","payload_length":3}]"#);
        assert!(facts.is_only_ping);
        assert!(!frames(&[0x1e]).1.is_only_ping);
        assert!(frames(&[0x1e]).1.has_handshake_done);
    }

    #[test]
    fn an_unknown_or_malformed_frame_is_the_last_one() {
        let unknown = r#"[{"frame_type":"ping"},{"frame_type":"unknown","frame_type_value":63,"raw":{"length":3}}]"#;
        assert_eq!(frames(&[1, 0x3f, 1, 1]).0, unknown);
        let (json, _) = frames(&[0x02, 1, 0, 0, 5]); // acknowledges numbers below 0
        assert_eq!(json, r#"[{"frame_type":"unknown","frame_type_value":2,"raw":{"length":5}}]"#);
        assert!(frames(&[0x06, 0, 9, 1]).0.contains("unknown"), "longer than the packet");
    }

    #[test]
    fn a_reason_is_escaped() {
        let mut payload = vec![0x1d, 0x20, 3];
        payload.extend(b"\"\x1e\n");
        assert!(frames(&payload).0.contains(r#""reason":"\"\u001e\u000a""#));
    }
}
