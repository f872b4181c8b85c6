//! quictunnel's fast QUIC engine: quinn-proto behind quictunnel's engine interface.
//!
//! The core is sans-IO. `endpoint` routes datagrams to connections, `connection` is one of them,
//! and `streams` are its streams. `socket` reads and writes a UDP socket in batches. `qlog` records
//! connections, if that is asked for. `python` exposes the engine to Python and contains no QUIC; no
//! other module depends on Python.

mod clock;
mod congestion;
mod connection;
mod datagram;
mod endpoint;
mod pacing;
#[cfg(feature = "python")]
mod python;
mod qlog;
mod settings;
mod socket;
mod stateless_reset;
mod streams;
mod tls;
mod token_bucket;
mod transport_parameters;

pub use clock::Clock;
pub use congestion::Congestion;
pub use connection::{
    CloseReason, Connection, Event, HELLO_WINDOW, LINK_WINDOW, LINK_WINDOW_UNPROVEN, PeerLimits,
    STREAM_WINDOW, STREAM_WINDOW_FIRST,
};
pub use datagram::Datagram;
pub use endpoint::{Endpoint, Incoming};
pub use qlog::RecordedEvents;
pub use settings::Settings;
pub use socket::Peer;
pub use stateless_reset::ResetKey;
pub use streams::ReadChunks;
pub use tls::EXPORTER_SIZE;

/// Version of the interface to Python. Both sides must have the same number, so any change to
/// the interface raises it.
pub const API: u32 = 9;

/// Name and version of the QUIC library. A test compares the version with Cargo.lock.
pub const LIBRARY: &str = "quinn-proto 0.11.19";
