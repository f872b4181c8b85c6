//! Batch I/O on a UDP socket that was handed to us: many datagrams a system call, where the kernel
//! can (recvmmsg, GRO, GSO). The caller's event loop says when the socket is ready.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use bytes::BytesMut;
use quinn_proto::EcnCodepoint;
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};

/// Bytes of one message: with GRO it holds many datagrams of one sender.
const MESSAGE: usize = 65_536;

/// Messages a system call: more of them are there at the next one, and others have a turn before.
const MESSAGES: usize = if BATCH_SIZE < 8 { BATCH_SIZE } else { 8 };

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

/// What can be read from and written to: an owner of a descriptor.
pub(crate) struct Socket {
    descriptor: Box<dyn AsFd + Send + Sync>,
    state: UdpSocketState,
    buffer: Box<[u8]>,
    /// What the kernel has not taken yet, in order.
    blocked: VecDeque<(Departure, Vec<u8>)>,
}

impl Socket {
    /// Use a duplicate of `descriptor` from now on, with the kernel's offloads switched on.
    pub(crate) fn over(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let descriptor = descriptor.try_clone_to_owned()?;
        let state = UdpSocketState::new((&descriptor).into())?;
        Ok(Self {
            descriptor: Box::new(descriptor),
            state,
            buffer: vec![0; MESSAGE * MESSAGES].into_boxed_slice(),
            blocked: VecDeque::new(),
        })
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
        let mut messages = self.buffer.chunks_mut(MESSAGE).map(IoSliceMut::new);
        let mut slices: [IoSliceMut<'_>; MESSAGES] =
            std::array::from_fn(|_| messages.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
        let socket = self.descriptor.as_fd();
        let count = match self.state.recv((&socket).into(), &mut slices, &mut metas) {
            Ok(count) => count,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
                    _ => Err(error),
                };
            }
        };
        for (meta, message) in metas.iter().zip(slices.iter()).take(count) {
            let mut rest = BytesMut::from(&message[..meta.len]);
            while !rest.is_empty() {
                take(Arrival {
                    remote: meta.addr,
                    local_ip: meta.dst_ip,
                    ecn: meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                    data: rest.split_to(meta.stride.clamp(1, rest.len())),
                });
            }
        }
        Ok(())
    }

    /// Send; what the kernel does not take now is kept. What the network refuses counts as sent.
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

    fn try_send(&self, departure: &Departure, data: &[u8]) -> bool {
        let transmit = quinn_udp::Transmit {
            destination: departure.destination,
            ecn: departure.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents: data,
            segment_size: departure.segment_size,
            src_ip: departure.src_ip,
        };
        let socket = self.descriptor.as_fd();
        match self.state.try_send((&socket).into(), &transmit) {
            Ok(()) => true,
            // Others are lost, as datagrams may be: the way is closed, or they are too large for it.
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}
