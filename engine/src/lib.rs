//! quictunnel's fast QUIC engine: quinn-proto behind the interface of quictunnel's links.
//!
//! The heart is sans-IO: `endpoint` leads datagrams to connections, which begin at its `door`;
//! `connection` is one of them, `streams` its streams, and `sending` what these have to send.
//! `socket` moves datagrams in batches where a UDP socket is there. `python` shows all of it to
//! Python and knows no QUIC; the rest knows no Python.

mod bbr;
mod clock;
mod closing;
mod congestion;
mod connection;
mod datagram;
mod door;
mod endpoint;
mod follow;
mod hearing;
mod offer;
mod pacing;
mod parameters;
#[cfg(feature = "python")]
mod python;
mod resets;
mod sending;
mod settings;
mod socket;
mod streams;
mod tls;
mod watch;
mod window;

pub use clock::Clock;
pub use closing::Closing;
pub use congestion::Congestion;
pub use connection::{Connection, Happening};
pub use datagram::Datagram;
pub use door::Newcomer;
pub use endpoint::Endpoint;
pub use resets::ResetKey;
pub use settings::Settings;
pub use socket::Peer;
pub use streams::Taken;
pub use tls::EXPORTER_SIZE;
pub use window::{LINK_WINDOW, LINK_WINDOW_UNPROVEN, STREAM_WINDOW, STREAM_WINDOW_FIRST};

/// The number of the interface to Python: raised when one side must know of the other's change.
pub const API: u32 = 4;

/// The library beneath, and its version; a test holds it against Cargo.lock.
pub const LIBRARY: &str = "quinn-proto 0.11.19";
