//! What two endpoints do for each other, without sockets and without Python.

mod network;

use std::os::fd::AsFd;
use std::time::Duration;

use bytes::Bytes;
use network::{End, Network, certificate, let_in, settings};
use quictunnel_quinn::{
    Closing, Congestion, Datagram, Endpoint, Happening, LINK_WINDOW_UNPROVEN, ResetKey,
    STREAM_WINDOW, STREAM_WINDOW_FIRST, Settings,
};
use quinn_proto::VarInt;

fn bytes(size: usize) -> Bytes {
    (0..size).map(|index| (index % 251) as u8).collect()
}

#[test]
fn both_ends_have_the_same_exporter_and_the_client_sees_the_certificate() {
    let mut net = Network::connected();
    let exporter = net.client.connection().exporter().copied();
    assert_eq!(exporter.as_ref(), net.server.connection().exporter());
    assert!(exporter.is_some_and(|exporter| exporter != [0; 32]));
    assert_eq!(net.client.connection().certificates().len(), 1);
    assert!(net.server.connection().certificates().is_empty());
}

#[test]
fn bytes_arrive_whole_and_in_order_though_every_tenth_datagram_is_lost() {
    for congestion in [Congestion::Bbr, Congestion::Cubic, Congestion::Reno] {
        let mut net = Network::new();
        net.client = End::new(Settings { congestion, ..settings(false) }, "192.0.2.1:5555");
        net.loses_each = 10;
        net.connect();
        net.run_until(|net| net.server.was_told(&Happening::Handshake));
        let stream = net.client.connection().open_stream();
        let data = bytes(300_000);
        net.client.connection().write(stream, data.clone());
        net.client.connection().finish(stream);
        net.run_until(|net| net.server.received.len() == 300_000);
        assert!(net.server.received == data);
    }
}

#[test]
fn a_stream_is_over_when_both_directions_are_and_all_was_read() {
    let mut net = Network::connected();
    let stream = net.client.connection().open_stream();
    net.client.connection().write(stream, Bytes::from_static(b"question"));
    net.client.connection().finish(stream);
    net.run_until(|net| net.server.received == b"question");
    assert!(!net.server.was_told(&Happening::Over(stream)));
    net.server.connection().write(stream, Bytes::from_static(b"answer"));
    net.server.connection().finish(stream);
    net.run_until(|net| net.client.was_told(&Happening::Over(stream)));
    net.run_until(|net| net.server.was_told(&Happening::Over(stream)));
    assert_eq!(net.client.received, b"answer");
    assert_eq!(net.client.connection().stream_count(), 0);
    assert_eq!(net.server.connection().stream_count(), 0);
}

#[test]
fn streams_beyond_the_peers_limit_wait_in_order() {
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
    assert!(net.server.was_told(&Happening::Reset(streams[20], 7)));
}

#[test]
fn thousands_of_streams_may_be_open_though_few_are_made_ready() {
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
fn an_endpoint_that_was_started_again_says_that_it_knows_nobody() {
    let keyed = |key| Settings { reset_key: Some(ResetKey::new(key)), ..settings(true) };
    for (key, is_believed) in [(&b"the same key"[..], true), (&b"another one"[..], false)] {
        let mut net = Network::new();
        let (chain, private) = certificate();
        net.server = End::new(keyed(b"the same key"), "192.0.2.2:9001");
        net.server.endpoint.set_certificate(&chain, &private).expect("a good certificate");
        net.connect();
        net.run_until(|net| net.server.was_told(&Happening::Handshake));
        net.run_for(Duration::from_secs(1));
        net.server = End::new(keyed(key), "192.0.2.2:9001");
        net.client.connection().ping();
        net.run_for(Duration::from_secs(1));
        assert_eq!(net.client.is_closed(), is_believed);
        assert_eq!(net.client.connection().is_forgotten_by_peer(), is_believed);
    }
}

#[test]
fn a_reset_and_a_stop_are_told_with_their_codes() {
    let mut net = Network::connected();
    let reset = net.client.connection().open_stream();
    let stopped = net.client.connection().open_stream();
    for stream in [reset, stopped] {
        net.client.connection().write(stream, Bytes::from_static(b"!"));
    }
    net.run_until(|net| net.server.received.len() == 2);
    net.client.connection().reset(reset, VarInt::from_u32(16));
    net.server.connection().stop_reading(stopped, VarInt::from_u32(17));
    net.run_until(|net| net.server.was_told(&Happening::Reset(reset, 16)));
    net.run_until(|net| net.client.was_told(&Happening::Stopped(stopped, 17)));
    assert!(net.server.was_told(&Happening::Stopped(reset, 16)));
    assert_eq!(net.client.connection().unsent(stopped), 0);
}

#[test]
fn a_reset_is_no_orderly_end_though_all_else_was_over_before_it() {
    let mut net = Network::connected();
    let stream = net.client.connection().open_stream();
    net.client.connection().write(stream, Bytes::from_static(b"!"));
    net.run_until(|net| net.server.received == b"!");
    net.server.connection().finish(stream);
    net.run_for(Duration::from_millis(12)); // it has arrived, and its acknowledgement is due
    net.client.connection().reset(stream, VarInt::from_u32(16));
    net.run_until(|net| net.server.was_told(&Happening::Reset(stream, 16)));
    let over = net.server.told.iter().position(|told| *told == Happening::Over(stream));
    let reset = net.server.told.iter().position(|told| *told == Happening::Reset(stream, 16));
    assert!(over.is_none_or(|over| reset.is_some_and(|reset| reset < over)));
}

#[test]
fn a_stream_that_was_reset_from_above_is_not_told_of_again() {
    let mut net = Network::connected();
    let stream = net.client.connection().open_stream();
    net.client.connection().write(stream, Bytes::from_static(b"!"));
    net.run_until(|net| net.server.received == b"!");
    net.client.connection().reset(stream, VarInt::from_u32(16));
    net.server.connection().reset(stream, VarInt::from_u32(17));
    net.run_for(Duration::from_secs(1));
    for end in [&net.client, &net.server] {
        for told in [Happening::Reset(stream, 16), Happening::Stopped(stream, 16)] {
            assert!(!end.was_told(&told));
        }
        assert!(!end.was_told(&Happening::Over(stream)));
    }
}

#[test]
fn what_is_not_read_stops_at_the_streams_first_window_and_no_other_stream() {
    let mut net = Network::connected();
    net.server.reads = false;
    let stalled = net.client.connection().open_stream();
    let size = STREAM_WINDOW_FIRST as usize + 1_000_000;
    net.client.connection().write(stalled, bytes(size));
    net.run_for(Duration::from_secs(30));
    assert_eq!(net.client.connection().unsent(stalled), 1_000_000);
    net.server.reads = true;
    let other = net.client.connection().open_stream();
    net.client.connection().write(other, bytes(100_000));
    net.run_until(|net| net.server.received.len() == 100_000);
    net.server.read(stalled);
    net.run_until(|net| net.server.received.len() == 100_000 + size);
}

#[test]
fn a_stream_has_the_large_window_once_an_eighth_of_it_was_read() {
    let mut net = Network::connected();
    net.server.reads = false;
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
fn the_loss_of_the_last_packet_shows_in_a_round_trip_and_one_ping_is_all_that_it_takes() {
    let mut net = Network::connected();
    net.run_for(Duration::from_secs(10)); // until the path's MTU is known
    let stream = net.client.connection().open_stream();
    let pings = net.client.connection().stats().frame_tx.ping;
    net.is_cut = true;
    net.client.connection().write(stream, Bytes::from_static(b"!"));
    net.run_for(Duration::from_millis(1));
    net.is_cut = false;
    net.run_for(5 * net.delay);
    assert_eq!(net.server.received, b"!", "after two round trips and a half");
    net.run_for(Duration::from_secs(60));
    // One behind what was lost, and one behind what was sent for it.
    assert_eq!(net.client.connection().stats().frame_tx.ping, pings + 2);
}

#[test]
fn an_unproven_peer_has_a_small_window() {
    let mut net = Network::new();
    net.connect();
    net.run_until(|net| net.server.was_told(&Happening::Handshake));
    net.server.reads = false;
    let stream = net.client.connection().open_stream();
    let size = 2 * LINK_WINDOW_UNPROVEN as usize;
    net.client.connection().write(stream, bytes(size));
    net.run_for(Duration::from_secs(10));
    assert_eq!(net.client.connection().unsent(stream), size / 2);
}

#[test]
fn a_newcomer_may_have_to_show_that_its_address_is_its_own() {
    let mut net = Network::new();
    net.welcome = |endpoint, newcomer, now| {
        if newcomer.is_validated() {
            return let_in(endpoint, newcomer, now);
        }
        endpoint.retry(newcomer);
        None
    };
    net.connect();
    net.run_until(|net| net.server.was_told(&Happening::Handshake));
}

#[test]
fn who_speaks_another_version_is_told_ours() {
    let mut net = Network::new();
    let (ours, theirs) = ([7; 8], [9; 11]);
    let mut hello = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8];
    hello.extend(ours);
    hello.push(11);
    hello.extend(theirs);
    hello.resize(1200, 0);
    let datagram = Datagram { data: hello, peer: net.client.address, local: None };
    net.server.endpoint.receive(&datagram, net.now);
    let answers = net.server.endpoint.answers();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].data[1..7], [0, 0, 0, 0, 11, 9]);
    assert!(answers[0].data.ends_with(&[0, 0, 0, 1]));
    assert!(net.server.endpoint.arrived(net.now).1.is_empty());
}

#[test]
fn through_sockets_the_same_happens() {
    let bind = || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_nonblocking(true).expect("a socket");
        socket
    };
    let sockets = [bind(), bind()];
    let mut net = Network::new();
    for (end, socket) in [&mut net.client, &mut net.server].into_iter().zip(&sockets) {
        end.endpoint.attach(socket.as_fd(), None).expect("a descriptor");
        end.address = socket.local_addr().expect("it is bound");
    }
    net.connect();
    let mut stream = None;
    let data = bytes(1_000_000);
    for _ in 0..200_000 {
        net.turn_with_sockets();
        if stream.is_none() && net.server.was_told(&Happening::Handshake) {
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
fn a_connection_goes_on_from_another_address() {
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
    net.client.connection().relocate(now);
    net.run_for(Duration::from_secs(2));
    assert_eq!(net.client.received.len(), 500_000, "within two seconds, back-off or not");
    assert_eq!(net.server.connection().peer(), net.client.address);
}

#[test]
fn a_close_is_told_to_both_and_nothing_is_left() {
    let mut net = Network::connected();
    net.client.connection().close(VarInt::from_u32(0x21), "going home");
    net.run_until(|net| net.server.is_closed());
    assert!(net.server.was_told(&Happening::Closed(Closing {
        code: Some(0x21),
        reason: "going home".to_owned(),
        by_peer: true,
        alpn_mismatch: false,
        forgotten: false,
    })));
    net.run_for(Duration::from_secs(5));
    assert!(net.client.connection().is_terminated());
    assert!(net.server.connection().is_terminated());
}

#[test]
fn to_forget_one_that_is_over_harms_nobody_who_came_since() {
    let mut net = Network::connected();
    let first = net.server.key;
    net.client.connection().close(VarInt::from_u32(0), "");
    net.run_until(|net| net.server.is_closed());
    net.run_for(Duration::from_secs(5));
    net.server.told.clear();
    net.connect();
    net.run_until(|net| net.server.was_told(&Happening::Handshake));
    assert_ne!(net.server.key, first);
    net.server.endpoint.forget(first.expect("there was one"));
    assert_eq!(net.server.endpoint.connection_count(), 1);
    let stream = net.client.connection().open_stream();
    net.client.connection().write(stream, Bytes::from_static(b"!"));
    net.run_until(|net| net.server.received == b"!");
}

#[test]
fn ends_with_different_protocols_part_and_know_why() {
    let mut net = Network::new();
    let alpn = "something/else".to_owned();
    net.client = End::new(Settings { alpn, ..settings(false) }, "192.0.2.1:5555");
    net.connect();
    net.run_until(|net| net.client.is_closed());
    assert!(net.client.connection().is_alpn_mismatch());
}

#[test]
fn silence_for_longer_than_the_smaller_hold_is_the_end() {
    let mut net = Network::new();
    let hold = Duration::from_secs(4);
    net.client = End::new(Settings { hold, ..settings(false) }, "192.0.2.1:5555");
    net.connect();
    net.run_until(|net| net.server.was_told(&Happening::Handshake));
    assert_eq!(net.server.connection().hold(), hold);
    net.is_cut = true;
    net.run_until(|net| net.client.is_closed() && net.server.is_closed());
}

#[test]
fn where_the_engine_fails_the_connection_ends_and_no_other() {
    let mut net = Network::connected();
    let key = net.client.key.expect("there is a connection");
    assert!(net.client.endpoint.with(key, |_| panic!("on purpose")).is_none());
    net.run_for(Duration::from_millis(10));
    assert!(net.client.is_closed());
    assert!(net.client.connection().is_terminated());
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused_in_words() {
    let mut endpoint = Endpoint::new(settings(true)).expect("good settings");
    let ((chain, _), (_, other)) = (certificate(), certificate());
    assert!(!endpoint.set_certificate(&chain, &other).expect_err("not its key").is_empty());
    assert!(!endpoint.set_certificate(&chain, b"junk").expect_err("no key").is_empty());
}
