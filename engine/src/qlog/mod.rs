//! qlog: a record of what each connection sends and receives, for tools such as qvis.
//!
//! quinn has a qlog feature, but its events lack frames, its round-trip times have the wrong unit, and
//! it needs a dozen more crates. Here, `keys` wraps the keys of TLS and sees each packet in clear,
//! with its number. `frames` turns a packet's frames into JSON, `sent_packets` finds out which packets
//! were lost, `recording` makes the events, and `sink` keeps them until Python takes them.
//!
//! The events follow draft-ietf-quic-qlog-main-schema-04 and -quic-events-04. They contain no
//! application data, no keys and no tokens.

mod frames;
mod json;
mod keys;
mod recording;
mod sent_packets;
mod sink;

pub(crate) use keys::{Accepting, RecordedClient, RecordedServer};
pub(crate) use recording::SharedRecording;
pub use sink::RecordedEvents;
pub(crate) use sink::SharedSink;
