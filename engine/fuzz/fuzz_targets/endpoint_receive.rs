//! Any datagrams of a peer, from its first Initial packet to the end of the connection.
//!
//! An input is one byte of options (`Options`) and a list of steps. A step is a byte that selects
//! its kind, a byte that is its argument, two bytes of a length, and that many bytes. Frames are
//! sealed with the connection's real keys, so that an input reaches what follows the decryption.
//! cargo-fuzz turns every panic into a finding, even one that the engine would catch.
#![no_main]

#[path = "../../tests/attacker/mod.rs"]
mod attacker;
#[path = "../../tests/fixtures/mod.rs"]
mod fixtures;

use std::sync::LazyLock;
use std::time::Duration;

use attacker::Siege;
use fixtures::LIMITS;
use libfuzzer_sys::fuzz_target;
use quictunnel_quinn::{Connection, Datagram, Event};
use quinn_proto::VarInt;

/// Steps of an input that are executed.
const STEPS_MAX: usize = 400;

/// Bytes that one datagram carries. More than the engine accepts.
const DATAGRAM_MAX: usize = 1600;

/// Frames of the datagram with which a connection exceeds its limit, at most.
const FRAMES_OF_ONE: u64 = 1472;

static CERTIFICATE: LazyLock<(Vec<Vec<u8>>, Vec<u8>)> = LazyLock::new(fixtures::certificate);

/// Bits of the first byte.
struct Options;

impl Options {
    /// The handshake is complete before the first step.
    const CONNECTED: u8 = 1;
    /// The peer is trusted.
    const TRUSTED: u8 = 2;
    /// The server reads what it receives.
    const READING: u8 = 4;
    /// The server echoes what it reads.
    const ECHOING: u8 = 8;
}

struct Step<'a> {
    kind: u8,
    argument: u8,
    bytes: &'a [u8],
}

fn steps(mut input: &[u8]) -> impl Iterator<Item = Step<'_>> {
    let next = move || {
        let (&[kind, argument, high, low], rest) = input.split_first_chunk()?;
        let size = usize::from(u16::from_be_bytes([high, low])) % (DATAGRAM_MAX + 1);
        let (bytes, rest) = rest.split_at(size.min(rest.len()));
        input = rest;
        Some(Step { kind, argument, bytes })
    };
    std::iter::from_fn(next).take(STEPS_MAX)
}

struct Fuzzed {
    siege: Siege,
    options: u8,
    /// Streams that the peer has opened.
    streams: Vec<u64>,
    /// The latest datagram with the attacker's keys.
    latest: Vec<u8>,
    is_trusted: bool,
    closes: usize,
}

impl Fuzzed {
    fn is(&self, option: u8) -> bool {
        self.options & option != 0
    }

    fn run(&mut self, step: &Step<'_>) {
        let argument = step.argument;
        match step.kind % 16 {
            0..=2 if self.siege.attacker.is_ready() => {
                let datagram = self.siege.attacker.seal(step.bytes);
                self.receive(datagram);
            }
            3 => {
                let sealed = self.siege.attacker.seal_long(argument % 2 == 1, step.bytes);
                if let Some(datagram) = sealed {
                    self.receive(datagram);
                }
            }
            4 => {
                let datagram = self.siege.attacker.datagram(step.bytes.to_vec());
                self.receive(datagram);
            }
            // The latest datagram with some bytes changed, or another one joined to it.
            5 => {
                let mut data = self.latest.clone();
                for pair in step.bytes.chunks_exact(2) {
                    if let Some(byte) = data.get_mut(usize::from(pair[0]) * 6) {
                        *byte ^= pair[1];
                    }
                }
                let datagram = self.siege.attacker.datagram(data);
                self.receive(datagram);
            }
            6 => {
                let mut data = self.latest.clone();
                data.extend_from_slice(step.bytes);
                let datagram = self.siege.attacker.datagram(data);
                self.receive(datagram);
            }
            7 => self.siege.run_for(Duration::from_millis(u64::from(argument))),
            8 => {
                if let (Some(frames), true) =
                    (self.siege.attacker.ack(), self.siege.attacker.is_ready())
                {
                    let datagram = self.siege.attacker.seal(&frames);
                    self.receive(datagram);
                }
            }
            9 => self.act(argument, step.bytes),
            10 if self.siege.attacker.is_ready() => {
                self.siege.attacker.update_keys();
                let datagram = self.siege.attacker.seal(step.bytes);
                self.receive(datagram);
            }
            11 if self.siege.attacker.is_ready() => {
                let mut datagram = self.siege.attacker.seal(step.bytes);
                datagram.peer.set_port(6000 + u16::from(argument));
                self.receive(datagram);
            }
            12 => self.siege.step(),
            13 => {
                self.siege.server.trust(self.siege.key);
                self.is_trusted = true;
            }
            14 if self.siege.attacker.is_ready() => {
                self.siege.connect("192.0.2.77:7777");
                self.streams.clear();
                self.siege.events.clear();
                (self.is_trusted, self.closes) = (false, 0);
            }
            // A batch of two, of which the second one arrives twice.
            _ if self.siege.attacker.is_ready() => {
                let middle = usize::from(argument) % (step.bytes.len() + 1);
                let (first, second) = step.bytes.split_at(middle);
                let datagrams = [first, second].map(|frames| self.siege.attacker.seal(frames));
                for datagram in [&datagrams[0], &datagrams[1], &datagrams[1]] {
                    self.siege.server.receive(datagram, self.siege.now);
                }
            }
            _ => {}
        }
        self.siege.take_received();
        self.siege.answer();
        self.handle_events();
        self.check();
    }

    fn receive(&mut self, datagram: Datagram) {
        self.siege.server.receive(&datagram, self.siege.now);
        self.latest = datagram.data;
    }

    /// Do what a link does by itself.
    fn act(&mut self, argument: u8, bytes: &[u8]) {
        let (key, now) = (self.siege.key, self.siege.now);
        let stream = self.streams.get(usize::from(argument >> 4)).copied();
        let code = VarInt::from_u32(u32::from(argument));
        self.siege.server.with(key, |connection| match (argument % 12, stream) {
            (0, Some(stream)) => connection.write(stream, bytes.to_vec().into()),
            (1, Some(stream)) => connection.finish(stream),
            (2, Some(stream)) => connection.reset(stream, code),
            (3, Some(stream)) => connection.stop_reading(stream, code),
            (4, Some(stream)) => drop(connection.read(stream, bytes.len())),
            (5, _) => connection.ping(),
            (6, _) => connection.revive(now),
            (7, _) => connection.close(code, &String::from_utf8_lossy(bytes)),
            (8, _) => connection.allow_streams(u64::from(argument)),
            (9, _) => {
                let stream = connection.open_stream();
                connection.write(stream, vec![7; 100 * bytes.len()].into());
            }
            _ => {}
        });
    }

    fn handle_events(&mut self) {
        let (is_reading, is_echoing) = (self.is(Options::READING), self.is(Options::ECHOING));
        for event in std::mem::take(&mut self.siege.events) {
            match event {
                Event::Opened(stream) => self.streams.push(stream),
                Event::Readable(stream) if is_reading => {
                    self.siege.server.with(self.siege.key, |connection| {
                        let read = connection.read(stream, 1 << 16);
                        for chunk in read.chunks.into_iter().filter(|_| is_echoing) {
                            connection.write(stream, chunk);
                        }
                        if read.fin && is_echoing {
                            connection.finish(stream);
                        }
                    });
                }
                Event::Closed(_) => self.closes += 1,
                _ => {}
            }
        }
        assert!(self.closes <= 1, "a connection closes once");
    }

    /// Check the limits.
    fn check(&mut self) {
        let is_trusted = self.is_trusted;
        self.siege.server.with(self.siege.key, |connection| {
            let received = connection.stats();
            assert!(connection.stream_count() <= 1000);
            if !is_trusted {
                assert!(received.udp_rx.datagrams <= LIMITS.unproven_datagrams);
                assert!(received.frame_rx.ping <= LIMITS.unproven_frames + FRAMES_OF_ONE);
            }
        });
    }

    /// Whatever has happened, a closed connection is given up.
    fn finish(&mut self) {
        self.siege.server.with(self.siege.key, |connection| {
            connection.close(VarInt::from_u32(0), "");
        });
        self.handle_events();
        let key = self.siege.key;
        for _ in 0..1000 {
            let Some(connection) = self.siege.server.connection(key) else { return };
            let Some(due) = connection.deadline() else { break };
            self.siege.now = self.siege.now.max(due);
            self.siege.server.expire(key, self.siege.now);
            self.siege.answer();
        }
        let connection = self.siege.server.connection(key);
        assert!(connection.is_none_or(|connection: &mut Connection| connection.is_terminated()));
        self.siege.server.remove(key);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&options, rest)) = input.split_first() else { return };
    let siege = Siege::prepared(LIMITS, &CERTIFICATE);
    let mut fuzzed = Fuzzed {
        siege,
        options,
        streams: Vec::new(),
        latest: Vec::new(),
        is_trusted: false,
        closes: 0,
    };
    if fuzzed.is(Options::CONNECTED) {
        fuzzed.siege.handshake();
        if fuzzed.is(Options::TRUSTED) {
            fuzzed.siege.server.trust(fuzzed.siege.key);
            fuzzed.is_trusted = true;
        }
        fuzzed.latest = fuzzed.siege.attacker.seal(&[0; 100]).data;
    } else {
        let first = fuzzed.siege.attacker.transmit(fuzzed.siege.now);
        fuzzed.latest = first.last().expect("an Initial packet").data.clone();
    }
    for step in steps(rest) {
        fuzzed.run(&step);
    }
    fuzzed.finish();
});
