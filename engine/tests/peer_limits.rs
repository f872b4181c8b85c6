//! Limits on the datagrams and frames of one peer, and the order within a batch.

mod attacker;
mod fixtures;

use std::time::Duration;

use attacker::{ATTACKER, Attacker, FRAMES, Siege, ack, stream};
use fixtures::{LIMITS, certificate};
use quictunnel_quinn::{Event, PeerLimits};

const PING: u8 = 0x01;

/// A frame that names a stream, and does nothing: MAX_STREAM_DATA with a limit that is not new.
const MAX_STREAM_DATA: [u8; 3] = [0x11, 0, 0];

const TOO_MUCH: Option<(Option<u64>, &str)> = Some((Some(0x2a), "too much before the proof"));
const TOO_MANY_FRAMES: Option<(Option<u64>, &str)> =
    Some((Some(0x02), "too many frames in one packet"));

/// Return the frames that were processed.
fn frames(siege: &mut Siege) -> u64 {
    let received = siege.connection().stats().frame_rx;
    received.ping + received.max_stream_data + received.crypto + received.acks
}

#[test]
fn an_untrusted_peer_gets_a_limited_number_of_datagrams() {
    let mut siege = Siege::new(LIMITS);
    let handshake = siege.connection().stats().udp_rx.datagrams + 1;
    for _ in handshake..LIMITS.unproven_datagrams {
        siege.send(&[PING]);
        siege.answer();
    }
    assert_eq!(siege.closed(), None);
    siege.send(&[PING]);
    siege.answer();
    assert_eq!(siege.closed(), TOO_MUCH);
    assert_eq!(siege.connection().stats().udp_rx.datagrams, LIMITS.unproven_datagrams - 1);
}

#[test]
fn datagrams_that_cannot_be_decrypted_count() {
    let mut siege = Siege::new(LIMITS);
    for _ in 0..LIMITS.unproven_datagrams {
        let mut datagram = siege.attacker.seal(&[PING; 100]);
        *datagram.data.last_mut().expect("it is not empty") ^= 1;
        siege.server.receive(&datagram, siege.now);
    }
    siege.server.take_received(siege.now);
    siege.answer();
    assert_eq!(siege.closed(), TOO_MUCH);
}

#[test]
fn an_untrusted_peer_shares_a_rate_beyond_its_free_datagrams() {
    let mut siege = Siege::new(PeerLimits { unproven_datagram_burst: 0, ..LIMITS });
    for _ in 0..2 * LIMITS.unproven_datagrams {
        siege.send(&[PING]);
        siege.answer();
    }
    assert_eq!(siege.closed(), None);
    let processed = siege.connection().stats().udp_rx.datagrams;
    assert_eq!(processed, LIMITS.unproven_datagrams_free - 1);
    siege.server.trust(siege.key);
    siege.send(&[PING]);
    assert_eq!(siege.connection().stats().udp_rx.datagrams, processed + 1);
}

#[test]
fn an_untrusted_peer_gets_a_limited_number_of_frames() {
    let mut siege = Siege::new(LIMITS);
    while siege.closed().is_none() {
        siege.send(&MAX_STREAM_DATA.repeat(400));
        siege.answer();
    }
    assert_eq!(siege.closed(), TOO_MUCH);
    assert!(frames(&mut siege) <= LIMITS.unproven_frames + 400);
}

#[test]
fn a_trusted_peer_may_send_any_number_of_datagrams_and_frames() {
    let mut siege = Siege::new(LIMITS);
    siege.server.trust(siege.key);
    for _ in 0..2 * LIMITS.unproven_datagrams {
        siege.send(&[PING; 32]);
        siege.answer();
    }
    assert_eq!(siege.closed(), None);
    siege.send(&[PING; 33]);
    siege.answer();
    assert_eq!(siege.closed(), TOO_MANY_FRAMES);
}

#[test]
fn a_packet_may_contain_more_frames_that_name_a_stream() {
    // No stream frame with a purpose is small enough for 512 of them in a packet.
    let limits = PeerLimits { frames_per_packet: 100, ..LIMITS };
    let mut siege = Siege::new(limits);
    siege.server.trust(siege.key);
    siege.send(&stream(0, 0, b"!"));
    siege.send(&MAX_STREAM_DATA.repeat(100));
    siege.answer();
    assert_eq!(siege.closed(), None);
    siege.send(&MAX_STREAM_DATA.repeat(101));
    siege.answer();
    assert_eq!(siege.closed(), TOO_MANY_FRAMES);
}

#[test]
fn padding_is_no_frame() {
    let mut siege = Siege::new(LIMITS);
    siege.server.trust(siege.key);
    siege.send(&[0; FRAMES]);
    siege.send(&[PING]);
    siege.answer();
    assert_eq!(siege.closed(), None);
    assert!(frames(&mut siege) > 0);
}

#[test]
fn a_connection_over_its_limit_sends_one_close_and_ignores_the_rest() {
    let mut siege = Siege::new(LIMITS);
    siege.send(&[PING; 33]);
    assert_eq!(siege.answer(), 1);
    let processed = siege.connection().stats();
    for _ in 0..1000 {
        let late = siege.attacker.seal(&[PING; 20]);
        siege.server.receive(&late, siege.now);
        assert!(siege.server.take_received(siege.now).0.is_empty(), "there is nothing to do");
        assert_eq!(siege.answer(), 0);
    }
    let now_processed = siege.connection().stats();
    assert_eq!(now_processed.udp_rx.datagrams, processed.udp_rx.datagrams);
    assert_eq!(now_processed.udp_rx.ios, processed.udp_rx.ios, "nothing was decrypted");
}

#[test]
fn a_closed_connection_answers_fewer_and_fewer_late_datagrams() {
    let mut siege = Siege::new(LIMITS);
    siege.server.trust(siege.key);
    siege.connection().close(0u32.into(), "");
    siege.answer();
    let closes: usize = (0..1000)
        .map(|_| {
            siege.send(&[PING]);
            siege.answer()
        })
        .sum();
    assert_eq!(closes, 10, "after 1, 2, 4, ... 512 datagrams");
}

#[test]
fn late_acks_do_not_keep_the_closed_connection_of_an_untrusted_peer() {
    let mut siege = Siege::new(PeerLimits { unproven_datagrams: 1_000_000, ..LIMITS });
    for _ in 0..10 {
        siege.connection().ping();
        siege.answer();
        let seen = *siege.attacker.seen.last().expect("the server has sent something");
        siege.run_for(Duration::from_secs(5));
        siege.send(&ack(seen));
    }
    assert!(siege.connection().pto() > Duration::from_secs(5), "the peer has stretched it");
    siege.send(&[PING; 33]);
    siege.answer();
    assert!(!siege.connection().is_terminated());
    siege.run_for(Duration::from_secs(4));
    assert!(siege.connection().is_terminated());
}

#[test]
fn a_large_datagram_is_dropped() {
    let mut siege = Siege::new(LIMITS);
    let before = siege.connection().stats().udp_rx.datagrams;
    siege.send(&[PING; 2000]);
    siege.answer();
    assert_eq!(siege.closed(), None);
    assert_eq!(siege.connection().stats().udp_rx.datagrams, before);
}

#[test]
fn trusted_connections_are_served_first_and_each_in_order() {
    let mut siege = Siege::new(LIMITS);
    let trusted = siege.key;
    siege.server.trust(trusted);
    let mut friend = std::mem::replace(
        &mut siege.attacker,
        Attacker::new(ATTACKER, &certificate().0[0], siege.now),
    );
    siege.connect("192.0.2.77:7777");
    let untrusted = siege.key;
    assert_ne!(trusted, untrusted);
    siege.server.take_received(siege.now);
    for index in 0..3u64 {
        let datagram = siege.attacker.seal(&stream(0, index, &[b'a' + index as u8]));
        siege.server.receive(&datagram, siege.now);
        let datagram = friend.seal(&stream(0, index, &[b'0' + index as u8]));
        siege.server.receive(&datagram, siege.now);
    }
    let (touched, _) = siege.server.take_received(siege.now);
    assert_eq!(touched, [trusted, untrusted]);
    for (key, data) in [(trusted, b"012"), (untrusted, b"abc")] {
        let read = siege.server.connection(key).expect("it exists").read(0, 100);
        assert_eq!(read.chunks.concat(), data);
    }
}

#[test]
fn a_new_peer_waits_until_the_others_are_served() {
    let mut siege = Siege::new(LIMITS);
    siege.server.trust(siege.key);
    let trusted = siege.key;
    let (chain, _) = certificate();
    let mut newcomer = Attacker::new("192.0.2.77:7777", &chain[0], siege.now);
    for datagram in newcomer.transmit(siege.now) {
        siege.server.receive(&datagram, siege.now);
    }
    let datagram = siege.attacker.seal(&stream(0, 0, b"!"));
    siege.server.receive(&datagram, siege.now);
    let (touched, incoming) = siege.server.take_received(siege.now);
    assert_eq!(touched, [trusted]);
    assert_eq!(incoming.len(), 1);
    assert!(
        siege.server.with(trusted, |connection| {
            std::iter::from_fn(|| connection.next_event()).any(|event| event == Event::Opened(0))
        }) == Some(true)
    );
    for incoming in incoming {
        siege.server.ignore(incoming);
    }
}

#[test]
fn many_small_frames_are_welcome_if_they_are_read() {
    let mut siege = Siege::new(LIMITS);
    siege.server.trust(siege.key);
    siege.connection().allow_streams(1000);
    siege.answer();
    for offset in 0..500 {
        let frames: Vec<_> = (0..16 * 11)
            .map(|index| stream(4 * (index % 16), 11 * offset + index / 16, b"x"))
            .collect();
        siege.send(&frames.concat());
        for id in 0..16 {
            assert_eq!(siege.connection().read(4 * id, 1000).size, 11);
        }
        siege.answer();
    }
    assert_eq!(siege.closed(), None);
}

#[test]
fn an_untrusted_peer_cannot_move() {
    let mut siege = Siege::new(LIMITS);
    let mut probe = siege.attacker.seal(&[0x1a, 1, 2, 3, 4, 5, 6, 7, 8]);
    probe.peer = "203.0.113.5:53".parse().expect("an address");
    siege.server.receive(&probe, siege.now);
    siege.server.take_received(siege.now);
    let answers = siege.server.transmit(siege.key, siege.now);
    assert!(answers.iter().all(|answer| answer.peer == siege.attacker.address));
    siege.server.trust(siege.key);
    let mut probe = siege.attacker.seal(&[0x1a, 1, 2, 3, 4, 5, 6, 7, 8]);
    probe.peer = "203.0.113.5:53".parse().expect("an address");
    siege.server.receive(&probe, siege.now);
    siege.server.take_received(siege.now);
    let answers = siege.server.transmit(siege.key, siege.now);
    assert!(answers.iter().any(|answer| answer.peer == probe.peer));
}
