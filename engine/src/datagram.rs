//! A datagram that the caller carries, when the endpoint has no socket.

use std::net::{IpAddr, SocketAddr};

use quinn_proto::Transmit;

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
