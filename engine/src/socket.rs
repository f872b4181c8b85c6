//! Batch I/O on a UDP socket that was handed to us: many datagrams a system call, where the kernel
//! can (recvmmsg, GRO, GSO). The caller's event loop says when the socket is ready.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};

use bytes::BytesMut;
use quinn_proto::EcnCodepoint;
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};

/// Bytes of one message: with GRO it holds many datagrams of one sender.
const MESSAGE: usize = 65_536;

/// Messages a system call: more of them are there at the next one, and others have a turn before.
const MESSAGES: usize = if BATCH_SIZE < 8 { BATCH_SIZE } else { 8 };

/// Bytes from which on a message is handed on with its memory, and not copied out of it.
const KEPT_MIN: usize = MESSAGE / 2;

/// Bytes in one write: an IP packet's 65,535 less the headers.
const WRITE_MAX: usize = 65_000;

/// A datagram that has come.
pub(crate) struct Arrival {
    pub(crate) remote: SocketAddr,
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) ecn: Option<EcnCodepoint>,
    pub(crate) data: BytesMut,
}

/// Datagrams of one size (the last may be smaller) for one peer.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(crate) destination: SocketAddr,
    pub(crate) ecn: Option<EcnCodepoint>,
    pub(crate) segment_size: Option<usize>,
    pub(crate) src_ip: Option<IpAddr>,
}

/// The one peer of a connected socket, and the address under which its connection knows it: that of
/// the first path, whatever paths come after. quinn's clients know no other (RFC 9000, 9).
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Where datagrams go to, and all come from.
    pub real: SocketAddr,
    /// What the connection takes it for.
    pub known_as: SocketAddr,
}

/// A duplicate of a UDP socket's descriptor, and what the kernel has not taken.
pub(crate) struct Socket {
    descriptor: OwnedFd,
    /// Whom it is connected to; None if it hears everybody.
    peer: Option<Peer>,
    state: UdpSocketState,
    /// What messages are read into. A long one is handed on with its memory, and replaced.
    messages: Vec<BytesMut>,
    /// What the kernel has not taken yet, in order.
    blocked: VecDeque<(Departure, Vec<u8>)>,
    /// The last refusal that nobody has asked about yet.
    trouble: Option<io::Error>,
}

impl Socket {
    /// Use a duplicate of `descriptor` from now on, with the kernel's offloads switched on.
    pub(crate) fn over(descriptor: BorrowedFd<'_>, peer: Option<Peer>) -> io::Result<Self> {
        let descriptor = descriptor.try_clone_to_owned()?;
        let state = UdpSocketState::new((&descriptor).into())?;
        let messages = (0..MESSAGES).map(|_| BytesMut::zeroed(MESSAGE)).collect();
        Ok(Self { descriptor, peer, state, messages, blocked: VecDeque::new(), trouble: None })
    }

    /// Why something could not be sent, if that has happened since the last call.
    pub(crate) const fn take_trouble(&mut self) -> Option<io::Error> {
        self.trouble.take()
    }

    /// How many datagrams of `size` bytes one write can hold.
    pub(crate) fn segments(&self, size: usize) -> usize {
        self.state.max_gso_segments().min(WRITE_MAX / size.max(1)).max(1)
    }

    pub(crate) fn is_full(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Hand what has come to `take`, as one system call gives it.
    ///
    /// # Errors
    /// Word of an earlier datagram of ours (ICMP), on a connected socket.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(Arrival)) -> io::Result<()> {
        let mut metas = [RecvMeta::default(); MESSAGES];
        let known_as = self.peer.map(|peer| peer.known_as);
        let mut messages = self.messages.iter_mut();
        let mut slices: [IoSliceMut<'_>; MESSAGES] = std::array::from_fn(|_| {
            IoSliceMut::new(messages.next().map_or(&mut [], |message| &mut message[..]))
        });
        let received = self.state.recv((&self.descriptor).into(), &mut slices, &mut metas);
        let count = match received {
            Ok(count) => count,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
                    _ => Err(error),
                };
            }
        };
        for (meta, message) in metas.iter().zip(&mut self.messages).take(count) {
            let mut rest = if meta.len < KEPT_MIN {
                BytesMut::from(&message[..meta.len])
            } else {
                let mut whole = std::mem::replace(message, BytesMut::zeroed(MESSAGE));
                whole.truncate(meta.len);
                whole
            };
            while !rest.is_empty() {
                take(Arrival {
                    remote: known_as.unwrap_or(meta.addr),
                    local_ip: meta.dst_ip,
                    ecn: meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                    data: rest.split_to(meta.stride.clamp(1, rest.len())),
                });
            }
        }
        Ok(())
    }

    /// Send; what the kernel does not take now is kept. What the network refuses counts as sent, and
    /// is the trouble that is told.
    pub(crate) fn send(&mut self, departure: Departure, data: &[u8]) {
        if self.is_full() || !self.try_send(&departure, data) {
            self.blocked.push_back((departure, data.to_vec()));
        }
    }

    /// Send what was kept; return whether all of it is gone.
    pub(crate) fn flush(&mut self) -> bool {
        while let Some((departure, data)) = self.blocked.pop_front() {
            if !self.try_send(&departure, &data) {
                self.blocked.push_front((departure, data));
                return false;
            }
        }
        true
    }

    fn try_send(&mut self, departure: &Departure, data: &[u8]) -> bool {
        let transmit = quinn_udp::Transmit {
            destination: self.peer.map_or(departure.destination, |peer| peer.real),
            ecn: departure.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents: data,
            segment_size: departure.segment_size,
            src_ip: departure.src_ip,
        };
        match self.state.try_send((&self.descriptor).into(), &transmit) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // Others are lost, as datagrams may be: the way is closed, or they are too large for it.
            Err(error) => {
                self.trouble = Some(error);
                true
            }
        }
    }
}
