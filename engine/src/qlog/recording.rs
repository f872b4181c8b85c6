//! The events of one connection.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use quinn_proto::ConnectionStats;

use super::frames::push_frames;
use super::json::{push, push_hex, push_string};
use super::sent_packets::{SentPackets, Space};
use super::sink::SharedSink;
use crate::congestion::ControlState;
use crate::connection::CloseReason;

/// Bit of the first byte that packets with a long header have (RFC 9000, 17.2).
const LONG_HEADER: u8 = 0x80;

/// The exponent of ACK delays: quinn's, and the default, which both engines use (RFC 9000, 18.2).
const ACK_DELAY_EXPONENT: u32 = 3;

/// A recording, shared by a connection and its keys.
#[derive(Clone, Debug)]
pub(crate) struct SharedRecording(Arc<Mutex<Recording>>);

#[derive(Debug)]
struct Recording {
    sink: SharedSink,
    number: u64,
    start: Instant,
    sent_packets: SentPackets,
    lost_packets: u64,
    mtu: u16,
    metrics: Metrics,
    is_confirmed: bool,
}

/// The values of `metrics_updated` events. An event has those that have changed.
#[derive(Clone, Copy, Debug, Default)]
struct Metrics {
    /// Microseconds.
    smoothed_rtt: u128,
    /// Microseconds.
    min_rtt: u128,
    congestion_window: u64,
    bytes_in_flight: u64,
    /// Bits per second.
    pacing_rate: u64,
}

impl SharedRecording {
    /// Start to record a connection.
    pub(crate) fn start(sink: &SharedSink, is_client: bool) -> Self {
        let number = sink.next_number();
        sink.update(number, |waiting| waiting.is_client = is_client);
        let recording = Self(Arc::new(Mutex::new(Recording {
            sink: sink.clone(),
            number,
            start: Instant::now(),
            sent_packets: SentPackets::default(),
            lost_packets: 0,
            mtu: 0,
            metrics: Metrics::default(),
            is_confirmed: false,
        })));
        recording.on_state("attempted");
        recording
    }

    /// Record a state of the connection.
    pub(crate) fn on_state(&self, state: &str) {
        self.event("connectivity:connection_state_updated", |json| {
            push(json, format_args!(r#"{{"new":"{state}"}}"#));
        });
    }

    /// Name the recording after the destination connection ID of the client's first packet.
    pub(crate) fn set_connection_id(&self, id: &[u8]) {
        self.with(|recording| {
            recording.sink.update(recording.number, |waiting| {
                if waiting.connection_id.is_empty() {
                    waiting.connection_id = id.to_vec();
                }
            });
        });
    }

    /// Record where datagrams are sent to. The event is our own: the drafts have none.
    pub(crate) fn on_path(&self, peer: SocketAddr) {
        self.event("connectivity:path_updated", |json| {
            let (host, port) = (peer.ip().to_canonical(), peer.port());
            push(json, format_args!(r#"{{"dst_ip":"{host}","dst_port":{port}}}"#));
        });
    }

    /// Record a packet that is about to be encrypted, with its header in clear.
    pub(super) fn on_sent(
        &self,
        space: Space,
        number: u64,
        packet: &[u8],
        header: usize,
        tag: usize,
    ) {
        self.with(|recording| {
            let payload = &packet[header..packet.len() - tag];
            let mut data = String::new();
            push_header(&mut data, space, number, &packet[..header]);
            data.push_str(r#""frames":"#);
            let facts = push_frames(&mut data, payload, ACK_DELAY_EXPONENT);
            push(&mut data, format_args!(r#","raw":{{"length":{}}}"#, packet.len()));
            let is_probe =
                facts.is_only_ping && packet.len() > usize::from(recording.mtu.max(1200));
            if is_probe {
                data.push_str(r#","is_mtu_probe_packet":true"#);
            } else {
                recording.sent_packets.on_sent(space, number, facts.is_ack_eliciting);
            }
            data.push('}');
            recording.event("transport:packet_sent", |json| json.push_str(&data));
            recording.confirm(facts.has_handshake_done);
        });
    }

    /// Record a packet that was decrypted.
    pub(super) fn on_received(
        &self,
        space: Space,
        number: u64,
        header: &[u8],
        payload: &[u8],
        tag: usize,
    ) {
        self.with(|recording| {
            let mut data = String::new();
            push_header(&mut data, space, number, header);
            data.push_str(r#""frames":"#);
            let facts = push_frames(&mut data, payload, ACK_DELAY_EXPONENT);
            let length = header.len() + payload.len() + tag;
            push(&mut data, format_args!(r#","raw":{{"length":{length}}}}}"#));
            for numbers in facts.acknowledged {
                recording.sent_packets.on_acknowledged(space, numbers);
            }
            recording.event("transport:packet_received", |json| json.push_str(&data));
            recording.confirm(facts.has_handshake_done);
        });
    }

    /// Record what has changed in quinn's statistics.
    pub(crate) fn on_stats(&self, stats: &ConnectionStats, control: &ControlState) {
        self.with(|recording| {
            let path = &stats.path;
            let lost = path.lost_packets - recording.lost_packets;
            recording.lost_packets = path.lost_packets;
            if lost > 0 {
                for (space, number) in recording.sent_packets.take_lost(lost) {
                    let kind = space.packet_type();
                    recording.event("recovery:packet_lost", |json| {
                        push(
                            json,
                            format_args!(
                                r#"{{"header":{{"packet_type":"{kind}","packet_number":{number}}}}}"#
                            ),
                        );
                    });
                }
            }
            if path.current_mtu != recording.mtu {
                let old = std::mem::replace(&mut recording.mtu, path.current_mtu);
                recording.event("connectivity:mtu_updated", |json| {
                    let old = if old == 0 { String::new() } else { format!(r#""old":{old},"#) };
                    push(json, format_args!(r#"{{{old}"new":{}}}"#, path.current_mtu));
                });
            }
            let metrics = Metrics {
                smoothed_rtt: path.rtt.as_micros(),
                min_rtt: path.min_rtt.as_micros(),
                congestion_window: control.window(),
                bytes_in_flight: control.in_flight(),
                pacing_rate: control.pacing_rate().unwrap_or(0).saturating_mul(8),
            };
            let before = std::mem::replace(&mut recording.metrics, metrics);
            let changes = metrics.changes(before, control.acks() > 0);
            if !changes.is_empty() {
                recording.event("recovery:metrics_updated", |json| {
                    push(json, format_args!("{{{}}}", &changes[1..]));
                });
            }
        });
    }

    /// Record the end of the connection.
    pub(crate) fn on_closed(&self, reason: &CloseReason) {
        self.event("connectivity:connection_closed", |json| {
            let owner = if reason.by_peer { "remote" } else { "local" };
            push(json, format_args!(r#"{{"owner":"{owner}""#));
            if let Some(code) = reason.code {
                push(json, format_args!(r#","application_code":{code}"#));
            }
            json.push_str(r#","reason":"#);
            push_string(json, &reason.reason);
            if reason.stateless_reset {
                json.push_str(r#","trigger":"stateless_reset""#);
            }
            json.push('}');
        });
        self.on_state("closed");
    }

    /// There is nothing more to record.
    pub(crate) fn finish(&self) {
        self.with(|recording| {
            recording.sink.update(recording.number, |waiting| waiting.is_final = true);
        });
    }

    fn event(&self, name: &str, push_data: impl FnOnce(&mut String)) {
        self.with(|recording| recording.event(name, push_data));
    }

    fn with<R>(&self, operation: impl FnOnce(&mut Recording) -> R) -> R {
        operation(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Recording {
    /// Append an event: a record of a JSON text sequence.
    fn event(&mut self, name: &str, push_data: impl FnOnce(&mut String)) {
        let time = self.start.elapsed().as_micros() as f64 / 1000.0;
        self.sink.update(self.number, |waiting| {
            let json = &mut waiting.events;
            push(json, format_args!("\u{1e}{{\"time\":{time},\"name\":\"{name}\",\"data\":"));
            push_data(json);
            json.push_str("}\n");
        });
    }

    fn confirm(&mut self, has_handshake_done: bool) {
        if has_handshake_done && !std::mem::replace(&mut self.is_confirmed, true) {
            self.sent_packets.on_confirmed();
            self.event("connectivity:connection_state_updated", |json| {
                json.push_str(r#"{"new":"handshake_confirmed"}"#);
            });
        }
    }
}

impl Metrics {
    /// Return what differs from earlier metrics, each with a comma in front.
    fn changes(self, before: Self, has_rtt: bool) -> String {
        let mut json = String::new();
        let times = [
            ("smoothed_rtt", self.smoothed_rtt, before.smoothed_rtt),
            ("min_rtt", self.min_rtt, before.min_rtt),
        ];
        for (name, now, before) in times {
            if now != before && has_rtt {
                push(&mut json, format_args!(r#","{name}":{}"#, now as f64 / 1000.0));
            }
        }
        let counts = [
            ("congestion_window", self.congestion_window, before.congestion_window),
            ("bytes_in_flight", self.bytes_in_flight, before.bytes_in_flight),
            ("pacing_rate", self.pacing_rate, before.pacing_rate),
        ];
        for (name, now, before) in counts {
            if now != before {
                push(&mut json, format_args!(r#","{name}":{now}"#));
            }
        }
        json
    }
}

/// Append the start of a packet's data with its header: the type, the number and connection IDs.
fn push_header(json: &mut String, space: Space, number: u64, header: &[u8]) {
    let kind = space.packet_type();
    push(json, format_args!(r#"{{"header":{{"packet_type":"{kind}","packet_number":{number}"#));
    if let Some((destination, source)) = connection_ids(header) {
        json.push_str(r#","dcid":"#);
        push_hex(json, destination);
        if let Some(source) = source {
            json.push_str(r#","scid":"#);
            push_hex(json, source);
        }
    }
    json.push_str("},");
}

/// Return the destination and the source connection ID of a header in clear. A short header has no
/// source.
fn connection_ids(header: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let first = *header.first()?;
    if first & LONG_HEADER == 0 {
        let number = usize::from(first & 3) + 1;
        return Some((header.get(1..header.len().checked_sub(number)?)?, None));
    }
    let (size, rest) = header.get(5..)?.split_first()?;
    let (destination, rest) = rest.split_at_checked(usize::from(*size))?;
    let (size, rest) = rest.split_first()?;
    Some((destination, Some(rest.get(..usize::from(*size))?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_ids_are_found_in_both_kinds_of_headers() {
        let long = [0xc0, 0, 0, 0, 1, 2, 7, 8, 1, 9, 0, 5];
        assert_eq!(connection_ids(&long), Some((&[7, 8][..], Some(&[9][..]))));
        assert_eq!(connection_ids(&[0x41, 7, 8, 0, 0]), Some((&[7, 8][..], None)));
        assert_eq!(connection_ids(&[]), None);
        assert_eq!(connection_ids(&long[..7]), None);
    }

    #[test]
    fn only_metrics_that_have_changed_are_recorded() {
        let before = Metrics { congestion_window: 5, ..Default::default() };
        let after = Metrics { min_rtt: 1500, bytes_in_flight: 7, ..before };
        assert_eq!(after.changes(before, true), r#","min_rtt":1.5,"bytes_in_flight":7"#);
        assert_eq!(after.changes(before, false), r#","bytes_in_flight":7"#);
        assert_eq!(before.changes(before, true), "");
    }
}
