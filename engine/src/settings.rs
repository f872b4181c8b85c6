//! What is the same for all connections, and what quinn is told of it.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::congestion::{Congestion, WatchedFactory};
use crate::resets::{ResetKey, endpoint_config};
use crate::watch::Watch;
use crate::window::{LINK_WINDOW_UNPROVEN, STREAM_WINDOW};

/// UDP payload that every path carries (RFC 9000, 14), ...
const BASE_MTU: u16 = 1200;

/// ... and what is searched for: Ethernet's 1500 bytes less IPv6's and UDP's headers.
pub(crate) const MTU_MAX: u16 = 1452;

/// QUIC version 1 (RFC 9000), and no draft of it.
const VERSION: u32 = 1;

/// quinn's send window before the congestion window is known.
pub(crate) const SEND_WINDOW: u64 = 1024 * 1024;

/// How many packets must overtake one for it to be lost (RFC 9002, 6.1.1, which allows more than its
/// three): on a path with jitter many do. With fewer, time tells.
const REORDERING: u32 = 14;

/// How many round trips after it was sent a packet is lost that later ones have overtaken. RFC 9002,
/// 6.1.2 recommends nine eighths and allows others: a request that is lost comes that much sooner.
/// Where jitter of a tenth lets packets overtake, downloads have 90 % of the line, and would have 94.
pub(crate) const OVERDUE: f32 = 1.08;

/// The round-trip time assumed before the first sample: what is lost first is sent again after 300 ms.
pub(crate) const INITIAL_RTT: Duration = Duration::from_millis(100);

/// What is the same for all connections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The application protocol (RFC 7301).
    pub alpn: String,
    /// How long a silent connection is kept.
    pub hold: Duration,
    /// How many streams a peer may have open at first.
    pub streams: u64,
    /// Bytes that all connections together may hold unread before their peers are slowed.
    pub unread_limit: u64,
    /// Who decides how much may be in flight.
    pub congestion: Congestion,
    /// What the tokens of stateless resets follow from; none for one that ends with the endpoint.
    pub reset_key: Option<ResetKey>,
    /// Whether others may begin connections here.
    pub accepts: bool,
}

impl Settings {
    /// quinn's settings of a socket.
    ///
    /// # Errors
    /// In words: what QUIC cannot express.
    pub(crate) fn endpoint(&self) -> Result<EndpointConfig, String> {
        let idle = IdleTimeout::try_from(self.hold);
        idle.map_err(|_| "the hold is too long for QUIC".to_owned())?;
        let mut config = endpoint_config(self.reset_key.as_ref());
        config.supported_versions(vec![VERSION]);
        Ok(config)
    }

    /// quinn's settings of a connection.
    pub(crate) fn transport(&self, watch: Arc<Watch>) -> TransportConfig {
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.upper_bound(MTU_MAX);
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(varint(self.streams))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .stream_receive_window(varint(STREAM_WINDOW))
            .receive_window(varint(LINK_WINDOW_UNPROVEN))
            .send_window(SEND_WINDOW)
            .packet_threshold(REORDERING)
            .time_threshold(OVERDUE)
            .initial_rtt(INITIAL_RTT)
            .initial_mtu(BASE_MTU)
            .mtu_discovery_config(Some(mtu))
            .max_idle_timeout(IdleTimeout::try_from(self.hold).ok())
            .congestion_controller_factory(Arc::new(WatchedFactory {
                algorithm: self.congestion,
                watch,
            }));
        transport
    }
}

pub(crate) fn varint(value: u64) -> VarInt {
    VarInt::from_u64(value).unwrap_or(VarInt::MAX)
}
