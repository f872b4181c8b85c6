//! Recordings of connections: what they contain, and what they do not.

mod fixtures;
#[allow(dead_code)] // `endpoints` uses the rest
mod network;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use fixtures::{certificate, settings};
use network::{Host, Network};
use quictunnel_quinn::{Endpoint, Event, RecordedEvents, Settings};
use quinn_proto::VarInt;

const SECRET: &[u8] = b"the secret content of a stream";

/// The recordings of one endpoint.
#[derive(Default)]
struct Recordings(BTreeMap<u64, RecordedEvents>);

impl Recordings {
    fn collect(&mut self, endpoint: &mut Endpoint) {
        for taken in endpoint.take_qlog() {
            let recording = self.0.entry(taken.number).or_default();
            assert!(!recording.is_final, "nothing follows the end");
            recording.events.push_str(&taken.events);
            recording.is_final = taken.is_final;
            recording.is_client |= taken.is_client;
            if recording.connection_id.is_empty() {
                recording.connection_id = taken.connection_id;
            }
        }
    }

    fn only(&self) -> &RecordedEvents {
        assert_eq!(self.0.len(), 1);
        self.0.values().next().expect("there is one")
    }
}

/// Both ends record. They have completed their handshake.
fn recorded(lose_every: u64) -> (Network, Recordings, Recordings) {
    let mut net = Network::new();
    let (chain, key) = certificate();
    let recorded = |accepts| Settings { qlog: true, ..settings(accepts) };
    net.client = Host::new(recorded(false), "192.0.2.1:5555");
    net.server = Host::new(recorded(true), "192.0.2.2:9001");
    net.server.endpoint.set_certificate(&chain, &key).expect("a valid certificate");
    net.lose_every = lose_every;
    net.connect();
    net.run_until(|net| net.server.has_seen(&Event::Handshake));
    net.trust();
    (net, Recordings::default(), Recordings::default())
}

fn collect(net: &mut Network, client: &mut Recordings, server: &mut Recordings) {
    client.collect(&mut net.client.endpoint);
    server.collect(&mut net.server.endpoint);
}

fn count(recording: &RecordedEvents, text: &str) -> usize {
    recording.events.matches(text).count()
}

fn numbers<'a>(recording: &'a RecordedEvents, event: &str, packet: &str) -> Vec<&'a str> {
    let name = format!("\"name\":\"{event}\"");
    let kind = format!("\"packet_type\":\"{packet}\",\"packet_number\":");
    let events = recording.events.split('\u{1e}').filter(|record| record.contains(&name));
    let parts = events.filter_map(|record| record.split_once(&kind));
    parts.filter_map(|(_, rest)| rest.split([',', '}']).next()).collect()
}

#[test]
fn both_ends_record_the_same_connection() {
    let (mut net, mut client, mut server) = recorded(0);
    let stream = net.client.connection().open_stream();
    net.client.connection().write(stream, Bytes::from_static(SECRET));
    net.client.connection().finish(stream);
    net.run_until(|net| net.server.received == SECRET);
    net.run_for(Duration::from_secs(2));
    net.client.connection().close(VarInt::from_u32(0x20), "\"goodbye\"");
    net.run_for(Duration::from_secs(60));
    for host in [&mut net.client, &mut net.server] {
        let key = host.key.expect("a connection");
        host.endpoint.remove(key);
    }
    collect(&mut net, &mut client, &mut server);
    let (client, server) = (client.only(), server.only());
    assert!(client.is_final && server.is_final);
    assert!(client.is_client && !server.is_client);
    assert!(client.connection_id.len() >= 8);
    assert_eq!(client.connection_id, server.connection_id);
    for recording in [client, server] {
        for state in [
            "attempted",
            "handshake_started",
            "handshake_complete",
            "handshake_confirmed",
            "closed",
        ] {
            assert_eq!(count(recording, &format!("\"new\":\"{state}\"")), 1, "{state}");
        }
        for packet in ["initial", "handshake", "1RTT"] {
            let kind = format!("\"packet_type\":\"{packet}\"");
            assert!(count(recording, &kind) >= 2, "{packet}");
        }
        assert!(count(recording, "\"smoothed_rtt\":") > 0);
        assert!(count(recording, "\"is_mtu_probe_packet\":true") > 0);
        assert!(recording.events.contains(r#""reason":"\"goodbye\"""#));
        assert!(!recording.events.contains("secret"));
        assert!(!recording.events.contains("token"), "a token can end the connection");
    }
    assert!(client.events.contains(r#""dst_ip":"192.0.2.2","dst_port":9001"#));
    assert!(server.events.contains(r#""dst_ip":"192.0.2.1","dst_port":5555"#));
    let frame = format!(
        r#"{{"frame_type":"stream","stream_id":{stream},"offset":0,"length":{},"fin":true}}"#,
        SECRET.len()
    );
    assert_eq!(count(client, &frame), 1);
    assert_eq!(count(server, &frame), 1);
    for packet in ["initial", "handshake", "1RTT"] {
        assert_eq!(
            numbers(client, "transport:packet_sent", packet),
            numbers(server, "transport:packet_received", packet),
            "{packet}"
        );
    }
}

#[test]
fn the_packets_that_quinn_declares_lost_are_those_that_were_lost() {
    let (mut net, mut client, mut server) = recorded(10);
    let stream = net.client.connection().open_stream();
    let data = Bytes::from(vec![7; 300_000]);
    net.client.connection().write(stream, data);
    net.client.connection().finish(stream);
    net.run_until(|net| net.server.received.len() == 300_000);
    net.run_for(Duration::from_secs(5));
    collect(&mut net, &mut client, &mut server);
    let (sender, receiver) = (client.only(), server.only());
    let lost = numbers(sender, "recovery:packet_lost", "1RTT");
    let stats = net.client.connection().stats();
    let all = count(sender, "\"name\":\"recovery:packet_lost\"") as u64;
    assert_eq!(all, stats.path.lost_packets);
    assert!(lost.len() > 10);
    let arrived = numbers(receiver, "transport:packet_received", "1RTT");
    let wrong = lost.iter().filter(|number| arrived.contains(number)).count();
    assert_eq!(wrong, 0, "this network delays no packet, so no loss is spurious");
    let sent = numbers(sender, "transport:packet_sent", "1RTT");
    assert!(lost.iter().all(|number| sent.contains(number)));
}

#[test]
fn a_move_is_recorded() {
    let (mut net, mut client, mut server) = recorded(0);
    net.run_for(Duration::from_secs(1));
    let (now, address) = (net.now, "192.0.2.9:7777".parse::<SocketAddr>().expect("an address"));
    net.client.address = address;
    net.client.connection().migrate(now);
    net.run_for(Duration::from_secs(1));
    collect(&mut net, &mut client, &mut server);
    assert_eq!(count(client.only(), "connectivity:path_updated"), 2);
    assert!(server.only().events.contains(r#""dst_ip":"192.0.2.9","dst_port":7777"#));
    assert!(client.only().events.contains("path_challenge"));
}

#[test]
fn without_the_setting_nothing_is_recorded() {
    let mut net = Network::connected();
    assert!(net.client.endpoint.take_qlog().is_empty());
    assert!(net.server.endpoint.take_qlog().is_empty());
}
