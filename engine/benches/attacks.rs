//! Time that a hostile peer costs per datagram, for one kind of datagram after the other.
//!
//! `cargo bench --no-default-features --bench attacks` prints three tables: a trusted peer without
//! limits, a trusted peer, and an untrusted one. Times are medians, because other programs may run.

#[path = "../tests/attacker/mod.rs"]
mod attacker;
#[path = "../tests/fixtures/mod.rs"]
mod fixtures;

use std::time::{Duration, Instant};

use attacker::{FRAMES, Siege, ack, frame, put, stream};
use fixtures::LIMITS;
use quictunnel_quinn::{Datagram, Event, PeerLimits};
use quinn_proto::VarInt;

/// Datagrams of one attack.
const COUNT: u64 = 4000;

/// Datagrams between two ACKs of the attacker. They are not measured.
const ACK_EVERY: u64 = 8;

/// Bytes of a stream that the attacker has read before the attack with ACK ranges.
const DOWNLOAD: usize = 4_000_000;

const UNLIMITED: PeerLimits = PeerLimits {
    unproven_datagrams: u64::MAX,
    unproven_datagrams_free: u64::MAX,
    unproven_frames: u64::MAX,
    frames_per_packet: u64::MAX / 2,
    link_frames_per_packet: u64::MAX / 2,
    ..LIMITS
};

/// Makes the frames of the attack's datagram with this number. The second argument is the number of
/// frames that a packet may contain.
type MakeFrames = fn(u64, usize) -> Vec<u8>;

enum Attack {
    Frames(MakeFrames),
    Datagrams(fn(&mut Siege, u64) -> Datagram),
}

/// Return as many frames as a packet may contain. The argument counts the frames of all packets.
fn fill(index: u64, most: usize, mut make: impl FnMut(u64) -> Vec<u8>) -> Vec<u8> {
    let mut frames = Vec::new();
    for number in 0..most as u64 {
        let next = make(index * 256 + number);
        if frames.len() + next.len() > FRAMES {
            break;
        }
        frames.extend(next);
    }
    frames
}

/// One-byte pieces of a stream with gaps between them, so that none can be joined to others.
fn pieces(index: u64, most: usize, streams: u64, gaps: u64) -> Vec<u8> {
    fill(index, most, |number| {
        let piece = (number / streams) % gaps;
        stream(4 * (number % streams), 2 * (gaps - piece), b"x")
    })
}

#[allow(clippy::too_many_lines)] // a list
fn attacks() -> Vec<(&'static str, Attack)> {
    use Attack::{Datagrams, Frames};
    vec![
        (
            "honest: a full packet of stream data",
            Frames(|index, _| {
                let data = [7; FRAMES - 12];
                stream(0, index * data.len() as u64, &data)
            }),
        ),
        ("PADDING", Frames(|_, _| vec![0; FRAMES])),
        ("PING", Frames(|index, most| fill(index, most, |_| vec![0x01]))),
        ("STREAM, empty", Frames(|index, most| fill(index, most, |_| frame(0x0a, &[0, 0])))),
        (
            "STREAM, empty, 16 streams",
            Frames(|index, most| fill(index, most, |number| frame(0x0a, &[4 * (number % 16), 0]))),
        ),
        (
            "STREAM, one byte again and again",
            Frames(|index, most| fill(index, most, |_| stream(0, 1000, b"x"))),
        ),
        ("STREAM, one-byte pieces with gaps", Frames(|index, most| pieces(index, most, 1, 1000))),
        ("STREAM, pieces in 16 streams", Frames(|index, most| pieces(index, most, 16, 1000))),
        (
            "STREAM, overlapping pieces of 200 bytes",
            Frames(|index, most| {
                fill(index, most, |number| stream(0, 2 + (number * 7919) % 100_000, &[7; 200]))
            }),
        ),
        (
            "CRYPTO, one-byte pieces with gaps",
            Frames(|index, most| {
                fill(index, most, |number| {
                    let mut frame = frame(0x06, &[2000 - 2 * (number % 900), 1]);
                    frame.push(7);
                    frame
                })
            }),
        ),
        ("ACK of one packet", Frames(|index, most| fill(index, most, |_| ack(0)))),
        (
            "ACK with hundreds of ranges",
            Datagrams(|siege, _| {
                // Only numbers that were seen: quinn leaves some out.
                let numbers: Vec<u64> =
                    siege.attacker.seen.iter().rev().step_by(2).copied().collect();
                let numbers = &numbers[..numbers.len().min((FRAMES - 20) / 2)];
                let mut frames = frame(0x02, &[numbers[0], 0, numbers.len() as u64 - 1, 0]);
                for pair in numbers.windows(2) {
                    put(&mut frames, pair[0] - pair[1] - 2);
                    put(&mut frames, 0);
                }
                siege.attacker.seal(&frames)
            }),
        ),
        ("MAX_DATA", Frames(|index, most| fill(index, most, |number| frame(0x10, &[number])))),
        (
            "MAX_STREAM_DATA",
            Frames(|index, most| fill(index, most, |number| frame(0x11, &[0, (1 << 20) + number]))),
        ),
        ("MAX_STREAMS", Frames(|index, most| fill(index, most, |_| frame(0x12, &[1 << 20])))),
        (
            "STOP_SENDING",
            Frames(|index, most| fill(index, most, |number| frame(0x05, &[4 * (number % 16), 0]))),
        ),
        (
            "RESET_STREAM of new streams",
            Frames(|index, most| {
                let number = if most < 16 { most as u64 } else { 16 };
                fill(0, number as usize, |stream| frame(0x04, &[4 * (16 * index + stream), 0, 0]))
            }),
        ),
        (
            "RETIRE_CONNECTION_ID",
            Frames(|index, most| fill(0, most.min(1), |_| frame(0x19, &[1 + index]))),
        ),
        (
            "RETIRE_CONNECTION_ID, retired before",
            Frames(|index, most| fill(index, most, |_| frame(0x19, &[1]))),
        ),
        (
            "NEW_CONNECTION_ID that retires the last",
            Frames(|index, most| {
                fill(0, most.min(1), |_| {
                    let sequence = 20 + index;
                    let mut frame = frame(0x18, &[sequence, sequence, 8]);
                    frame.extend_from_slice(&sequence.to_be_bytes());
                    frame.extend_from_slice(&[sequence as u8; 16]);
                    frame
                })
            }),
        ),
        (
            "PATH_CHALLENGE",
            Frames(|index, most| {
                fill(index, most, |number| [&[0x1a][..], &number.to_be_bytes()].concat())
            }),
        ),
        (
            "PATH_CHALLENGE, each from another address",
            Datagrams(|siege, index| {
                let mut datagram = siege.attacker.seal(&[0x1a, 1, 2, 3, 4, 5, 6, 7, 8]);
                datagram.peer.set_port(1 + (index % 60_000) as u16);
                datagram
            }),
        ),
        (
            "PING, each from another address",
            Datagrams(|siege, index| {
                let mut datagram = siege.attacker.seal(&[0x01]);
                datagram.peer.set_ip([198, 51, 100, (index % 250) as u8].into());
                datagram
            }),
        ),
        (
            "key update in each packet",
            Datagrams(|siege, _| {
                siege.attacker.update_keys();
                siege.attacker.seal(&[0x01])
            }),
        ),
        (
            "cannot be decrypted",
            Datagrams(|siege, _| {
                let mut datagram = siege.attacker.seal(&[0x01; FRAMES]);
                *datagram.data.last_mut().expect("a tag") ^= 1;
                datagram
            }),
        ),
        (
            "unknown connection",
            Datagrams(|siege, index| {
                let mut datagram = siege.attacker.seal(&[0x01; FRAMES]);
                datagram.data[1..9].copy_from_slice(&index.to_be_bytes());
                datagram
            }),
        ),
        (
            "late, after the close",
            Datagrams(|siege, index| {
                if index == 0 {
                    siege.connection().close(VarInt::from_u32(0), "");
                }
                siege.attacker.seal(&[0x01; 500])
            }),
        ),
    ]
}

/// The measured costs of an attack.
#[derive(Default)]
struct Cost {
    receiving: Vec<Duration>,
    answering: Vec<Duration>,
    answers: usize,
    closed: Option<String>,
}

fn run(attack: &Attack, limits: PeerLimits, is_trusted: bool) -> Cost {
    let mut siege = Siege::new(limits);
    if is_trusted {
        siege.server.trust(siege.key);
        siege.connection().allow_streams(100_000);
    }
    if matches!(attack, Attack::Datagrams(_)) && is_trusted {
        download(&mut siege);
    }
    let most = usize::try_from(limits.frames_per_packet).unwrap_or(usize::MAX);
    let mut cost = Cost::default();
    for index in 0..COUNT {
        siege.now += Duration::from_micros(100);
        if index % ACK_EVERY == 0 {
            acknowledge(&mut siege);
        }
        let datagram = match attack {
            Attack::Frames(make) => siege.attacker.seal(&make(index, most)),
            Attack::Datagrams(make) => make(&mut siege, index),
        };
        let start = Instant::now();
        siege.server.receive(&datagram, siege.now);
        siege.server.take_received(siege.now);
        let received = Instant::now();
        while siege.server.with(siege.key, |connection| {
            let event = connection.next_event();
            match event {
                Some(Event::Reset(stream, _) | Event::Stopped(stream, _)) => {
                    connection.reset(stream, VarInt::from_u32(0));
                }
                Some(Event::Readable(0)) => drop(connection.read(0, 1 << 20)),
                _ => {}
            }
            if let Some(Event::Closed(reason)) = &event {
                cost.closed = Some(reason.reason.clone());
            }
            event.is_some()
        }) == Some(true)
        {}
        let answers = siege.server.transmit(siege.key, siege.now);
        let answered = Instant::now();
        cost.receiving.push(received - start);
        cost.answering.push(answered - received);
        cost.answers += answers.len();
        for answer in answers {
            siege.attacker.receive(&answer.data, siege.now);
        }
        // The reason is empty if the attack itself has closed the connection.
        if cost.closed.as_ref().is_some_and(|reason| !reason.is_empty()) {
            break;
        }
    }
    cost
}

/// Let the attacker read some data, so that the server has sent thousands of packets.
fn download(siege: &mut Siege) {
    siege.send(&stream(0, 0, b"?"));
    siege.connection().write(0, vec![7; DOWNLOAD].into());
    siege.send(&frame(0x10, &[1 << 40]));
    siege.send(&frame(0x11, &[0, 1 << 40]));
    for _ in 0..1000 {
        siege.run_for(Duration::from_millis(1));
        acknowledge(siege);
    }
    assert_eq!(siege.connection().unsent(0), 0, "the download takes less than a second");
}

fn acknowledge(siege: &mut Siege) {
    if let Some(frames) = siege.attacker.ack() {
        siege.send(&frames);
    }
}

fn main() {
    for (title, limits, is_trusted) in [
        ("A trusted peer, no limits", UNLIMITED, true),
        ("A trusted peer", LIMITS, true),
        ("An untrusted peer", LIMITS, false),
    ] {
        println!("\n{title}\n");
        println!(
            "| attack | datagrams | us each | p99 | us to answer | all, ms | answers | closed |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        for (name, attack) in attacks() {
            let Cost { mut receiving, mut answering, answers, closed } =
                run(&attack, limits, is_trusted);
            let count = receiving.len();
            let all: Duration = receiving.iter().chain(&answering).sum();
            receiving.sort();
            answering.sort();
            println!(
                "| {name} | {count} | {:.1} | {:.1} | {:.1} | {:.1} | {answers} | {} |",
                microseconds(receiving[count / 2]),
                microseconds(receiving[count * 99 / 100]),
                microseconds(answering[count / 2]),
                microseconds(all) / 1e3,
                closed.unwrap_or_default(),
            );
        }
    }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
