//! What a peer is told at first that it may send on each stream: less than quinn would have it told.
//!
//! quinn has one size for the windows of streams. It tells that size in its transport parameters, and
//! on from an eighth of it that was read, once for each. On their way to TLS the parameters pass here,
//! and name a smaller size: quinn grants more than that to whoever is read, and cannot be sent more
//! than it expects. Whose window has grown keeps it: quinn takes nothing back.

use std::sync::Arc;

use quinn_proto::crypto::{ClientConfig, Keys, ServerConfig, Session, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId};

use crate::parameters::with_stream_windows;
use crate::settings::varint;
use crate::window::STREAM_WINDOW_FIRST;

/// TLS that names the smaller windows.
pub(crate) struct Offer<T>(pub(crate) Arc<T>);

impl<T: ClientConfig> ClientConfig for Offer<T> {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        self.0.clone().start_session(version, server_name, &offered(params))
    }
}

impl<T: ServerConfig> ServerConfig for Offer<T> {
    fn initial_keys(
        &self,
        version: u32,
        dst_cid: &ConnectionId,
    ) -> Result<Keys, UnsupportedVersion> {
        self.0.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.0.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        self.0.clone().start_session(version, &offered(params))
    }
}

fn offered(params: &TransportParameters) -> TransportParameters {
    with_stream_windows(params, varint(STREAM_WINDOW_FIRST))
}
