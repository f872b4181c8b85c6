//! Batch I/O on a UDP socket: many datagrams per system call, with recvmmsg, GRO and GSO where the
//! kernel has them. The caller's event loop waits for readiness.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};

use bytes::BytesMut;
use quinn_proto::{EcnCodepoint, Transmit};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};

use crate::datagram::{Datagram, is_carried};

/// Bytes of a receive buffer. With GRO, one buffer holds many datagrams of one sender.
const BUFFER_SIZE: usize = 65_536;

/// Receive buffers per system call. A small number gives other callbacks of the event loop a turn.
const BUFFERS: usize = if BATCH_SIZE < 8 { BATCH_SIZE } else { 8 };

/// Received bytes from which on the buffer itself is passed on. Less than that is copied out.
const ZERO_COPY_MIN: usize = BUFFER_SIZE / 2;

/// Most bytes of one write: 65,535 for the IP packet, minus the headers.
const WRITE_MAX: usize = 65_000;

const IS_LINUX: bool = cfg!(target_os = "linux");

/// A received datagram.
pub(crate) struct Received {
    pub(crate) remote: SocketAddr,
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) ecn: Option<EcnCodepoint>,
    pub(crate) data: BytesMut,
}

/// The peer of a connected socket. quinn's clients ignore datagrams from any address but the one
/// they dialled (RFC 9000, 9), so the connection sees `known_as` on every path.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Address that the socket is connected to.
    pub real: SocketAddr,
    /// Address that the connection has dialled.
    pub known_as: SocketAddr,
}

/// A UDP socket, the datagrams that the kernel has not accepted yet, and those that are not for UDP.
pub(crate) struct Socket {
    descriptor: OwnedFd,
    /// None if the socket is not connected.
    peer: Option<Peer>,
    state: UdpSocketState,
    /// Receive buffers. A buffer that is passed on is replaced.
    buffers: Vec<BytesMut>,
    /// Writes that the kernel has not accepted yet, in order.
    blocked: VecDeque<(Transmit, Vec<u8>)>,
    /// Datagrams for paths other than UDP, which the caller has not taken yet.
    carried: Vec<Datagram>,
    /// The latest send error that the caller has not asked for yet.
    send_error: Option<io::Error>,
}

impl Socket {
    /// Duplicate `descriptor` and enable the kernel's offloads.
    pub(crate) fn new(descriptor: BorrowedFd<'_>, peer: Option<Peer>) -> io::Result<Self> {
        let descriptor = descriptor.try_clone_to_owned()?;
        let state = UdpSocketState::new((&descriptor).into())?;
        let buffers = (0..BUFFERS).map(|_| BytesMut::zeroed(BUFFER_SIZE)).collect();
        Ok(Self {
            descriptor,
            peer,
            state,
            buffers,
            blocked: VecDeque::new(),
            carried: Vec::new(),
            send_error: None,
        })
    }

    /// Return the latest send error since the last call.
    pub(crate) const fn take_send_error(&mut self) -> Option<io::Error> {
        self.send_error.take()
    }

    /// Return the datagrams for paths other than UDP since the last call.
    pub(crate) fn take_carried(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.carried)
    }

    /// Return how many datagrams of `size` bytes fit one write.
    pub(crate) fn max_segments(&self, size: usize) -> usize {
        self.state.max_gso_segments().min(WRITE_MAX / size.max(1)).max(1)
    }

    pub(crate) fn is_full(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Return whether a datagram for this address need not wait.
    pub(crate) fn has_room_for(&self, destination: SocketAddr) -> bool {
        !self.is_full() || self.is_carried(destination)
    }

    /// Return whether this destination is a path other than UDP. A connected socket has only its
    /// peer, whatever address the connection knows it by.
    fn is_carried(&self, destination: SocketAddr) -> bool {
        self.peer.is_none() && is_carried(destination)
    }

    /// Make one system call to receive, and pass each datagram to `handle`. Return whether
    /// the kernel has no more datagrams.
    ///
    /// A bound socket drops datagrams whose source is the address of a path other than UDP. It is
    /// forged: the engine would take them for datagrams of that path.
    ///
    /// # Errors
    /// ICMP reported an error for an earlier datagram. Nothing was received, and nothing is lost.
    pub(crate) fn receive(&mut self, mut handle: impl FnMut(Received)) -> io::Result<bool> {
        let mut metas = [RecvMeta::default(); BUFFERS];
        let known_as = self.peer.map(|peer| peer.known_as);
        let is_bound = self.peer.is_none();
        let mut buffers = self.buffers.iter_mut();
        let mut slices: [IoSliceMut<'_>; BUFFERS] = std::array::from_fn(|_| {
            IoSliceMut::new(buffers.next().map_or(&mut [], |buffer| &mut buffer[..]))
        });
        let received = self.state.recv((&self.descriptor).into(), &mut slices, &mut metas);
        let count = match received {
            Ok(count) => count,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(true),
                    _ => Err(error),
                };
            }
        };
        for (meta, buffer) in metas.iter().zip(&mut self.buffers).take(count) {
            if is_bound && is_carried(meta.addr) {
                continue;
            }
            let mut rest = if meta.len < ZERO_COPY_MIN {
                BytesMut::from(&buffer[..meta.len])
            } else {
                let mut whole = std::mem::replace(buffer, BytesMut::zeroed(BUFFER_SIZE));
                whole.truncate(meta.len);
                whole
            };
            while !rest.is_empty() {
                handle(Received {
                    remote: known_as.unwrap_or(meta.addr),
                    local_ip: meta.dst_ip,
                    ecn: meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                    data: rest.split_to(meta.stride.clamp(1, rest.len())),
                });
            }
        }
        Ok(count < BUFFERS)
    }

    /// Send, or queue if the kernel's buffer is full. A datagram that the network rejects counts as
    /// sent, and sets the send error. Datagrams for other paths than UDP wait for `take_carried`.
    pub(crate) fn send(&mut self, transmit: Transmit, data: &[u8]) {
        if self.is_carried(transmit.destination) {
            self.carried.extend(Datagram::split(&transmit, data));
        } else if self.is_full() || !self.try_send(&transmit, data) {
            self.blocked.push_back((transmit, data.to_vec()));
        }
    }

    /// Send the queued writes. Return whether none is left.
    pub(crate) fn flush(&mut self) -> bool {
        while let Some((transmit, data)) = self.blocked.pop_front() {
            if !self.try_send(&transmit, &data) {
                self.blocked.push_front((transmit, data));
                return false;
            }
        }
        true
    }

    fn try_send(&mut self, transmit: &Transmit, data: &[u8]) -> bool {
        let transmit = quinn_udp::Transmit {
            destination: self.peer.map_or(transmit.destination, |peer| peer.real),
            ecn: transmit.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents: data,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        let mut sent = self.state.try_send((&self.descriptor).into(), &transmit);
        // On Linux, the error may be a pending one about an earlier datagram, perhaps of another
        // connection. The error queue, which the caller reads, has it.
        if IS_LINUX && sent.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
            sent = self.state.try_send((&self.descriptor).into(), &transmit);
        }
        match sent {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // To QUIC this is a lost datagram. The path may be down, or the MTU too small.
            Err(error) => {
                self.send_error = Some(error);
                true
            }
        }
    }
}
