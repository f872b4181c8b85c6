//! A datagram that the caller carries: when the endpoint has no socket, or on a path other than UDP.

use std::net::{IpAddr, SocketAddr};

use quinn_proto::Transmit;

/// First half of the IPv6 addresses that stand for paths other than UDP: those of 100::/64, which
/// are never routed (RFC 6666).
const CARRIED: [u16; 4] = [0x100, 0, 0, 0];

/// Return whether an address stands for a path other than UDP.
pub(crate) fn is_carried(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(address) if address.ip().segments()[..4] == CARRIED)
}

/// A datagram: payload, the peer's address, and the local address if it is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Datagram {
    /// UDP payload.
    pub data: Vec<u8>,
    /// Source of a received datagram, destination of a sent one.
    pub peer: SocketAddr,
    /// Local address that it was received on, or that it is sent from.
    pub local: Option<IpAddr>,
}

impl Datagram {
    pub(crate) fn from_transmit(transmit: &Transmit, data: &[u8]) -> Self {
        Self { data: data.to_vec(), peer: transmit.destination, local: transmit.src_ip }
    }

    /// Return the datagrams of one write, which all have the same size except for the last.
    pub(crate) fn split(transmit: &Transmit, data: &[u8]) -> impl Iterator<Item = Self> {
        let size = transmit.segment_size.unwrap_or(data.len()).max(1);
        data.chunks(size).map(|data| Self::from_transmit(transmit, data))
    }

    pub(crate) fn transmit(&self) -> Transmit {
        Transmit {
            destination: self.peer,
            ecn: None,
            size: self.data.len(),
            segment_size: None,
            src_ip: self.local,
        }
    }
}
