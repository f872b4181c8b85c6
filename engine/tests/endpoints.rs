//! Two endpoints against each other, without Python.

mod fixtures;
mod network;

use std::os::fd::AsFd;
use std::time::Duration;

use bytes::Bytes;
use fixtures::{certificate, settings};
use network::{Host, Network, accept};
use quictunnel_quinn::{
    CloseReason, Congestion, Datagram, Endpoint, Event, HELLO_WINDOW, LINK_WINDOW_UNPROVEN, Peer,
    ResetKey, STREAM_WINDOW, STREAM_WINDOW_FIRST, Settings,
};
use quinn_proto::VarInt;

fn bytes(size: usize) -> Bytes {
    (0..size).map(|index| (index % 251) as u8).collect()
}

#[test]
fn exporters_are_equal_and_the_client_sees_the_certificate() {
    let mut net = Network::connected();
    let exporter = net.client.connection().exporter().copied();
    assert_eq!(exporter.as_ref(), net.server.connection().exporter());
    assert!(exporter.is_some_and(|exporter| exporter != [0; 32]));
    assert_eq!(net.client.connection().certificates().len(), 1);
    assert!(net.server.connection().certificates().is_empty());
}

#[test]
fn data_arrives_in_order_although_every_tenth_datagram_is_lost() {
    for congestion in [Congestion::Bbr, Congestion::Cubic, Congestion::Reno] {
        let mut net = Network::new();
        net.client = Host::new(Settings { congestion, ..settings(false) }, "192.0.2.1:5555");
        net.lose_every = 10;
        net.connect();
        net.run_until(|net| net.server.has_seen(&Event::Handshake));
        let stream = net.client.connection().open_stream();
        let data = bytes(300_000);
        net.client.connection().write(stream, data.clone());
        net.client.connection().finish(stream);
        net.run_until(|net| net.server.received.len() == 300_000);
        assert!(net.server.received == data);
    }
}

#[test]
fn a_stream_ends_when_both_directions_have_ended_and_all_was_read() {
    let mut net = Network::connected();
    let stream = net.client.connection().open_stream();
    net.client.connection().write(stream, Bytes::from_static(b"question"));
    net.client.connection().finish(stream);
    net.run_until(|net| net.server.received == b"question");
    assert!(!net.server.has_seen(&Event::Ended(stream)));
    net.server.connection().write(stream, Bytes::from_static(b"answer"));
    net.server.connection().finish(stream);
    net.run_until(|net| net.client.has_seen(&Event::Ended(stream)));
    net.run_until(|net| net.server.has_seen(&Event::Ended(stream)));
    assert_eq!(net.client.received, b"answer");
    assert_eq!(net.client.connection().stream_count(), 0);
    assert_eq!(net.server.connection().stream_count(), 0);
}

#[test]
fn streams_beyond_the_limit_are_opened_in_order_later() {
    let mut net = Network::connected();
    let streams: Vec<u64> = (0..40).map(|_| net.client.connection().open_stream()).collect();
    for stream in &streams {
        net.client.connection().write(*stream, Bytes::from_static(b"!"));
    }
    net.client.connection().reset(streams[20], VarInt::from_u32(7));
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.server.received.len(), 16);
    net.server.connection().allow_streams(100);
    net.run_until(|net| net.server.received.len() == 39);
    assert!(net.server.has_seen(&Event::Reset(streams[20], 7)));
}

#[test]
fn the_announced_stream_limit_rises_with_the_open_streams() {
    let mut net = Network::connected();
    net.server.connection().allow_streams(5000);
    for _ in 0..6000 {
        let stream = net.client.connection().open_stream();
        net.client.connection().write(stream, Bytes::from_static(b"!"));
    }
    net.run_until(|net| net.server.received.len() == 5000);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.server.received.len(), 5000);
}

#[test]
fn a_restarted_endpoint_sends_stateless_resets() {
    let keyed = |key| Settings { reset_key: Some(ResetKey::new(key)), ..settings(true) };
    for (key, is_accepted) in [(&b"the same key"[..], true), (&b"another one"[..], false)] {
        let mut net = Network::new();
        let (chain, private) = certificate();
        net.server = Host::new(keyed(b"the same key"), "192.0.2.2:9001");
        net.server.endpoint.set_certificate(&chain, &private).expect("a valid certificate");
        net.connect();
        net.run_until(|net| net.server.has_seen(&Event::Handshake));
        net.run_for(Duration::from_secs(1));
        net.server = Host::new(keyed(key), "192.0.2.2:9001");
        net.client.connection().ping();
        net.run_for(Duration::from_secs(1));
        assert_eq!(net.client.is_closed(), is_accepted);
        assert_eq!(net.client.connection().is_stateless_reset(), is_accepted);
    }
}

#[test]
fn reset_and_stop_are_reported_with_their_codes() {
    let mut net = Network::connected();
    let reset = net.client.connection().open_stream();
    let stopped = net.client.connection().open_stream();
    for stream in [reset, stopped] {
        net.client.connection().write(stream, Bytes::from_static(b"!"));
    }
    net.run_until(|net| net.server.received.len() == 2);
    net.client.connection().reset(reset, VarInt::from_u32(16));
    net.server.connection().stop_reading(stopped, VarInt::from_u32(17));
    net.run_until(|net| net.server.has_seen(&Event::Reset(reset, 16)));
    net.run_until(|net| net.client.has_seen(&Event::Stopped(stopped, 17)));
    assert!(net.server.has_seen(&Event::Stopped(reset, 16)));
    assert_eq!(net.client.connection().unsent(stopped), 0);
}

#[test]
fn a_reset_is_reported_before_the_end_of_its_stream() {
    let mut net = Network::connected();
    let stream = net.client.connection().open_stream();
    net.client.connection().write(stream, Bytes::from_static(b"!"));
    net.run_until(|net| net.server.received == b"!");
    net.server.connection().finish(stream);
    net.run_for(Duration::from_millis(12)); // FIN has arrived, and its ACK is due
    net.client.connection().reset(stream, VarInt::from_u32(16));
    net.run_until(|net| net.server.has_seen(&Event::Reset(stream, 16)));
    let over = net.server.events.iter().position(|event| *event == Event::Ended(stream));
    let reset = net.server.events.iter().position(|event| *event == Event::Reset(stream, 16));
    assert!(over.is_none_or(|over| reset.is_some_and(|reset| reset < over)));
}

#[test]
fn no_events_follow_a_local_reset() {
    let mut net = Network::connected();
    let stream = net.client.connection().open_stream();
    net.client.connection().write(stream, Bytes::from_static(b"!"));
    net.run_until(|net| net.server.received == b"!");
    net.client.connection().reset(stream, VarInt::from_u32(16));
    net.server.connection().reset(stream, VarInt::from_u32(17));
    net.run_for(Duration::from_secs(1));
    for host in [&net.client, &net.server] {
        for event in [Event::Reset(stream, 16), Event::Stopped(stream, 16)] {
            assert!(!host.has_seen(&event));
        }
        assert!(!host.has_seen(&Event::Ended(stream)));
    }
}

#[test]
fn a_stream_that_is_not_read_stalls_at_its_first_window_and_alone() {
    let mut net = Network::connected();
    net.server.is_reading = false;
    let stalled = net.client.connection().open_stream();
    let size = STREAM_WINDOW_FIRST as usize + 1_000_000;
    net.client.connection().write(stalled, bytes(size));
    net.run_for(Duration::from_secs(30));
    assert_eq!(net.client.connection().unsent(stalled), 1_000_000);
    net.server.is_reading = true;
    let other = net.client.connection().open_stream();
    net.client.connection().write(other, bytes(100_000));
    net.run_until(|net| net.server.received.len() == 100_000);
    net.server.read(stalled);
    net.run_until(|net| net.server.received.len() == 100_000 + size);
}

#[test]
fn a_stream_gets_the_large_window_once_an_eighth_of_it_was_read() {
    let mut net = Network::connected();
    net.server.is_reading = false;
    let stream = net.client.connection().open_stream();
    let size = 2 * STREAM_WINDOW as usize;
    let eighth = STREAM_WINDOW as usize / 8;
    net.client.connection().write(stream, bytes(size));
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.server.connection().read(stream, eighth - 1).size, eighth - 1);
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.client.connection().unsent(stream), size - STREAM_WINDOW_FIRST as usize);
    assert_eq!(net.server.connection().read(stream, 1).size, 1);
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.client.connection().unsent(stream), size - eighth - STREAM_WINDOW as usize);
}

#[test]
fn an_untrusted_peer_has_a_small_window() {
    let mut net = Network::new();
    net.connect();
    net.run_until(|net| net.server.has_seen(&Event::Handshake));
    net.server.is_reading = false;
    net.client.is_reading = false;
    let stream = net.client.connection().open_stream();
    net.client.connection().write(stream, bytes(1_000_000));
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.client.connection().unsent(stream), 1_000_000 - HELLO_WINDOW as usize);
    net.server.connection().write(stream, bytes(2_000_000));
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.server.connection().unsent(stream), 2_000_000 - LINK_WINDOW_UNPROVEN as usize);
    assert!(!net.server.is_closed() && !net.client.is_closed());
}

#[test]
fn a_retry_validates_the_address() {
    let mut net = Network::new();
    net.decide = |endpoint, incoming, now| {
        if incoming.is_validated() {
            return accept(endpoint, incoming, now);
        }
        endpoint.retry(incoming);
        None
    };
    net.connect();
    net.run_until(|net| net.server.has_seen(&Event::Handshake));
}

#[test]
fn an_unknown_version_is_answered_with_version_negotiation() {
    let mut net = Network::new();
    let (ours, theirs) = ([7; 8], [9; 11]);
    let mut hello = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8];
    hello.extend(ours);
    hello.push(11);
    hello.extend(theirs);
    hello.resize(1200, 0);
    let datagram = Datagram { data: hello, peer: net.client.address, local: None };
    net.server.endpoint.receive(&datagram, net.now);
    assert!(net.server.endpoint.take_received(net.now).1.is_empty());
    let responses = net.server.endpoint.take_responses();
    assert_eq!(responses.len(), 1);
    assert_eq!(responses[0].data[1..7], [0, 0, 0, 0, 11, 9]);
    assert!(responses[0].data.ends_with(&[0, 0, 0, 1]));
}

/// An address that stands for a path other than UDP.
const CARRIED: &str = "[100::7]:443";

fn udp_socket() -> std::net::UdpSocket {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_nonblocking(true).expect("a socket");
    socket
}

#[test]
fn datagrams_for_another_path_than_udp_do_not_reach_the_socket() {
    let socket = udp_socket();
    let mut net = Network::new();
    net.client.address = CARRIED.parse().expect("an address");
    net.server.endpoint.attach(socket.as_fd(), None).expect("a descriptor");
    net.connect();
    net.run_until(|net| net.server.has_seen(&Event::Handshake));
    net.trust();
    let stream = net.server.connection().open_stream();
    let data = bytes(1_000_000);
    net.server.connection().write(stream, data.clone());
    net.run_until(|net| net.client.received.len() == 1_000_000);
    assert!(net.client.received == data);
    assert!(net.server.endpoint.take_send_error().is_none());
    assert!(net.server.endpoint.take_carried().is_empty());
}

#[test]
fn a_connected_socket_sends_to_its_peer_whatever_address_was_dialled() {
    let (socket, server) = (udp_socket(), udp_socket());
    socket.connect(server.local_addr().expect("it is bound")).expect("a route");
    let peer = Peer {
        real: server.local_addr().expect("it is bound"),
        known_as: CARRIED.parse().expect("an address"),
    };
    let mut net = Network::new();
    net.server.address = peer.known_as;
    net.client.endpoint.attach(socket.as_fd(), Some(peer)).expect("a descriptor");
    net.connect();
    let key = net.client.key.expect("it was dialled");
    assert_eq!(net.client.endpoint.send(key, net.now), 1);
    assert!(net.client.endpoint.take_carried().is_empty());
    assert!(server.recv(&mut [0; 2000]).is_ok_and(|size| size >= 1200));
}

#[test]
fn endpoints_talk_through_sockets() {
    let sockets = [udp_socket(), udp_socket()];
    let mut net = Network::new();
    for (host, socket) in [&mut net.client, &mut net.server].into_iter().zip(&sockets) {
        host.endpoint.attach(socket.as_fd(), None).expect("a descriptor");
        host.address = socket.local_addr().expect("it is bound");
    }
    net.connect();
    let mut stream = None;
    let data = bytes(1_000_000);
    for _ in 0..200_000 {
        net.turn_with_sockets();
        if stream.is_none() && net.server.has_seen(&Event::Handshake) {
            net.trust();
            let opened = net.client.connection().open_stream();
            net.client.connection().write(opened, data.clone());
            stream = Some(opened);
        }
        if net.server.received.len() == data.len() {
            break;
        }
        std::thread::yield_now();
    }
    assert!(net.server.received == data);
}

#[test]
fn a_connection_migrates_to_another_address() {
    let mut net = Network::connected();
    let stream = net.client.connection().open_stream();
    net.client.connection().write(stream, Bytes::from_static(b"before"));
    net.run_until(|net| net.server.received == b"before");
    net.is_cut = true;
    net.server.connection().write(stream, bytes(500_000));
    net.run_for(Duration::from_secs(90));
    net.is_cut = false;
    net.client.address = "198.51.100.7:7777".parse().expect("an address");
    let now = net.now;
    net.client.connection().migrate(now);
    net.run_for(Duration::from_secs(2));
    assert_eq!(net.client.received.len(), 500_000, "within two seconds, whatever the back-off was");
    assert_eq!(net.server.connection().peer(), net.client.address);
}

#[test]
fn a_close_reaches_both_sides_and_leaves_no_state() {
    let mut net = Network::connected();
    net.client.connection().close(VarInt::from_u32(0x21), "going home");
    net.run_until(|net| net.server.is_closed());
    assert!(net.server.has_seen(&Event::Closed(CloseReason {
        code: Some(0x21),
        reason: "going home".to_owned(),
        by_peer: true,
        alpn_mismatch: false,
        stateless_reset: false,
    })));
    net.run_for(Duration::from_secs(5));
    assert!(net.client.connection().is_terminated());
    assert!(net.server.connection().is_terminated());
}

#[test]
fn discarding_a_drained_connection_does_not_affect_a_newer_one() {
    let mut net = Network::connected();
    let first = net.server.key;
    net.client.connection().close(VarInt::from_u32(0), "");
    net.run_until(|net| net.server.is_closed());
    net.run_for(Duration::from_secs(5));
    net.server.events.clear();
    net.connect();
    net.run_until(|net| net.server.has_seen(&Event::Handshake));
    assert_ne!(net.server.key, first);
    net.server.endpoint.discard(first.expect("there is a connection"));
    assert_eq!(net.server.endpoint.connection_count(), 1);
    let stream = net.client.connection().open_stream();
    net.client.connection().write(stream, Bytes::from_static(b"!"));
    net.run_until(|net| net.server.received == b"!");
}

#[test]
fn an_alpn_mismatch_is_reported() {
    let mut net = Network::new();
    let alpn = "something/else".to_owned();
    net.client = Host::new(Settings { alpn, ..settings(false) }, "192.0.2.1:5555");
    net.connect();
    net.run_until(|net| net.client.is_closed());
    assert!(net.client.connection().is_alpn_mismatch());
}

#[test]
fn silence_longer_than_the_smaller_hold_closes_both_sides() {
    let mut net = Network::new();
    let hold = Duration::from_secs(4);
    net.client = Host::new(Settings { hold, ..settings(false) }, "192.0.2.1:5555");
    net.connect();
    net.run_until(|net| net.server.has_seen(&Event::Handshake));
    assert_eq!(net.server.connection().hold(), hold);
    net.is_cut = true;
    net.run_until(|net| net.client.is_closed() && net.server.is_closed());
}

#[test]
fn a_panic_ends_its_connection() {
    let mut net = Network::connected();
    let key = net.client.key.expect("there is a connection");
    assert!(net.client.endpoint.with(key, |_| panic!("on purpose")).is_none());
    net.run_for(Duration::from_millis(10));
    assert!(net.client.is_closed());
    assert!(net.client.connection().is_terminated());
}

#[test]
fn a_key_that_does_not_match_the_certificate_is_rejected() {
    let mut endpoint = Endpoint::new(settings(true)).expect("valid settings");
    let ((chain, _), (_, other)) = (certificate(), certificate());
    assert!(
        !endpoint.set_certificate(&chain, &other).expect_err("the key does not match").is_empty()
    );
    assert!(!endpoint.set_certificate(&chain, b"junk").expect_err("not a key").is_empty());
}
