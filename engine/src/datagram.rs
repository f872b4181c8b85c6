//! A datagram on its way by hand, where no socket is attached.

use std::net::{IpAddr, SocketAddr};

use quinn_proto::Transmit;

use crate::socket::Departure;

/// A datagram: payload, the peer's address, and our own where it is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Datagram {
    /// The UDP payload.
    pub data: Vec<u8>,
    /// Where it comes from, or goes to.
    pub peer: SocketAddr,
    /// The local address that it came to, or is to leave from.
    pub local: Option<IpAddr>,
}

impl Datagram {
    pub(crate) fn of(transmit: &Transmit, data: &[u8]) -> Self {
        Self { data: data.to_vec(), peer: transmit.destination, local: transmit.src_ip }
    }

    pub(crate) fn departure(&self) -> Departure {
        Departure { destination: self.peer, ecn: None, segment_size: None, src_ip: self.local }
    }
}

/// Where quinn wants a write to go.
pub(crate) fn departure(transmit: &Transmit) -> Departure {
    Departure {
        destination: transmit.destination,
        ecn: transmit.ecn,
        segment_size: transmit.segment_size,
        src_ip: transmit.src_ip,
    }
}
