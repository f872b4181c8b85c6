//! Settings that all connections share, and the quinn configuration made from them.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::crypto::ServerConfig as ServerCrypto;
use quinn_proto::{
    EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, Side, TransportConfig, VarInt,
};

use crate::congestion::{Congestion, ControlState, MonitoredFactory};
use crate::connection::{PeerLimits, STREAM_WINDOW, unproven_window};
use crate::stateless_reset::{ResetKey, endpoint_config};

/// Smallest UDP payload that every QUIC path must carry (RFC 9000, 14).
const BASE_MTU: u16 = 1200;

/// Largest UDP payload that path MTU discovery tries: Ethernet's 1500 bytes minus the IPv6 and UDP
/// headers.
pub(crate) const MTU_MAX: u16 = 1452;

/// Largest UDP payload that is received: Ethernet's 1500 bytes minus the IPv4 and UDP headers. Peers
/// are told (RFC 9000, 18.2: `max_udp_payload_size`), and larger datagrams are dropped.
pub(crate) const PAYLOAD_MAX: u16 = 1472;

/// Bytes that are kept for one incoming connection beyond its first datagram, while it waits for a
/// decision. The rest of a ClientHello fits.
const INCOMING_BUFFER: u64 = 16 * 1024;

/// The same for all incoming connections together.
const INCOMING_BUFFERS: u64 = 1024 * 1024;

/// The only QUIC version that is supported: 1 (RFC 9000).
const VERSION: u32 = 1;

/// quinn's send window until the congestion window is known.
pub(crate) const SEND_WINDOW: u64 = 1024 * 1024;

/// Packets by which a packet must be overtaken to be declared lost. RFC 9002, 6.1.1 recommends 3,
/// but on a path with jitter more packets than that are reordered.
const PACKET_THRESHOLD: u32 = 14;

/// Round trips after which an overtaken packet is declared lost (RFC 9002, 6.1.2).
pub(crate) const TIME_THRESHOLD: f32 = 9.0 / 8.0;

/// Round-trip time assumed before the first sample. A lost first flight is sent again after 300 ms.
pub(crate) const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Settings that all connections of an endpoint share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Application protocol (RFC 7301).
    pub alpn: String,
    /// Idle timeout (RFC 9000, 10.1).
    pub hold: Duration,
    /// Streams that a peer may have open until `Connection::allow_streams` raises the limit.
    pub streams: u64,
    /// Unread bytes that all connections together may hold before flow control slows their peers.
    pub unread_limit: u64,
    /// Congestion control algorithm.
    pub congestion: Congestion,
    /// Key of the stateless reset tokens. None for a random key.
    pub reset_key: Option<ResetKey>,
    /// Whether the endpoint accepts incoming connections.
    pub accepts: bool,
    /// Whether connections are recorded, for `Endpoint::take_qlog`.
    pub qlog: bool,
    /// Limits on what a peer may cost.
    pub limits: PeerLimits,
}

impl Settings {
    /// Return quinn's configuration of an endpoint.
    ///
    /// # Errors
    /// The hold is too long for QUIC's idle timeout.
    pub(crate) fn endpoint(&self) -> Result<EndpointConfig, String> {
        let idle = IdleTimeout::try_from(self.hold);
        idle.map_err(|_| "the hold is too long for QUIC".to_owned())?;
        let mut config = endpoint_config(self.reset_key.as_ref());
        config.supported_versions(vec![VERSION]);
        config.max_udp_payload_size(PAYLOAD_MAX).map_err(|error| error.to_string())?;
        Ok(config)
    }

    /// Return quinn's configuration of an accepted connection.
    pub(crate) fn server(
        &self,
        crypto: Arc<dyn ServerCrypto>,
        control: Arc<ControlState>,
    ) -> Arc<ServerConfig> {
        let mut config = ServerConfig::with_crypto(crypto);
        config
            .incoming_buffer_size(INCOMING_BUFFER)
            .incoming_buffer_size_total(INCOMING_BUFFERS)
            .transport_config(Arc::new(self.transport(Side::Server, control)));
        Arc::new(config)
    }

    /// Return quinn's configuration of a connection.
    pub(crate) fn transport(&self, side: Side, control: Arc<ControlState>) -> TransportConfig {
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.upper_bound(MTU_MAX);
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(varint(self.streams))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .stream_receive_window(varint(STREAM_WINDOW))
            .receive_window(varint(unproven_window(side)))
            .send_window(SEND_WINDOW)
            .packet_threshold(PACKET_THRESHOLD)
            .time_threshold(TIME_THRESHOLD)
            .initial_rtt(INITIAL_RTT)
            .initial_mtu(BASE_MTU)
            .mtu_discovery_config(Some(mtu))
            .max_idle_timeout(IdleTimeout::try_from(self.hold).ok())
            .congestion_controller_factory(Arc::new(MonitoredFactory {
                algorithm: self.congestion,
                control,
            }));
        transport
    }
}

pub(crate) fn varint(value: u64) -> VarInt {
    VarInt::from_u64(value).unwrap_or(VarInt::MAX)
}
