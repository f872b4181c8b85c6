//! `Endpoint` and `IncomingConnection`.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::connection::PyConnection;
use super::convert::socket_address;
use super::convert::{
    PyDatagram, PyPath, PySharedDatagram, datagram_to_python, datagrams_from_python,
    datagrams_to_python, os_error, path,
};
use super::{Shared, detached, lock};
use crate::settings::varint;
use crate::{Clock, Congestion, Endpoint, Incoming, Peer, PeerLimits, ResetKey, Settings};

/// System calls of one `receive_ready`.
const READS_MAX: usize = 8;

/// The connections that have received something, and the incoming ones.
type ReceivedBatch = (Vec<Py<PyConnection>>, Vec<PyIncoming>);

/// The events of one recorded connection.
type PyRecordedEvents<'py> = (u64, bool, Bound<'py, PyBytes>, Bound<'py, PyBytes>, bool);

/// An incoming connection that waits for a decision. Dropping it ignores the connection.
#[pyclass(name = "IncomingConnection", module = "quictunnel_quinn")]
pub(super) struct PyIncoming {
    shared: Shared,
    /// None after the decision.
    incoming: Option<Incoming>,
}

#[pymethods]
impl PyIncoming {
    /// Whether the peer's address is validated.
    #[getter]
    fn is_validated(&self) -> bool {
        self.incoming.as_ref().is_some_and(Incoming::is_validated)
    }

    /// The peer's address.
    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> Option<PyPath<'py>> {
        self.incoming.as_ref().map(|incoming| path(py, incoming.peer(), None))
    }
}

impl Drop for PyIncoming {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            lock(&self.shared).ignore(incoming);
        }
    }
}

/// The connections that share a UDP socket.
#[pyclass(name = "Endpoint", module = "quictunnel_quinn", frozen)]
pub(super) struct PyEndpoint {
    shared: Shared,
    clock: Clock,
    connections: Mutex<HashMap<usize, Py<PyConnection>>>,
}

impl PyEndpoint {
    fn add(&self, py: Python<'_>, key: usize) -> PyResult<Py<PyConnection>> {
        let connection = Py::new(py, PyConnection::new(self.shared.clone(), self.clock, key))?;
        self.with_connections(|connections| connections.insert(key, connection.clone_ref(py)));
        Ok(connection)
    }

    fn with_connections<R>(
        &self,
        operation: impl FnOnce(&mut HashMap<usize, Py<PyConnection>>) -> R,
    ) -> R {
        operation(&mut self.connections.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn received_batch(
        &self,
        py: Python<'_>,
        touched: &[usize],
        incoming: Vec<Incoming>,
    ) -> ReceivedBatch {
        let touched = self.with_connections(|connections| {
            let found = touched.iter().filter_map(|key| connections.get(key));
            found.map(|connection| connection.clone_ref(py)).collect()
        });
        let shared = &self.shared;
        let incoming = incoming
            .into_iter()
            .map(|incoming| PyIncoming { shared: shared.clone(), incoming: Some(incoming) })
            .collect();
        (touched, incoming)
    }
}

#[pymethods]
impl PyEndpoint {
    #[new]
    #[pyo3(signature = (
        *, alpn, hold, streams, unread_limit, congestion, reset_key, accepts, unproven_datagrams,
        unproven_datagrams_free, unproven_datagrams_per_second, unproven_datagram_burst,
        unproven_frames, frames_per_packet, link_frames_per_packet, too_much, violation, qlog, now
    ))]
    #[allow(clippy::too_many_arguments)] // keyword arguments
    fn new(
        alpn: String,
        hold: f64,
        streams: u64,
        unread_limit: u64,
        congestion: Option<&str>,
        reset_key: Option<&[u8]>,
        accepts: bool,
        unproven_datagrams: u64,
        unproven_datagrams_free: u64,
        unproven_datagrams_per_second: u32,
        unproven_datagram_burst: u32,
        unproven_frames: u64,
        frames_per_packet: u64,
        link_frames_per_packet: u64,
        too_much: u64,
        violation: u64,
        qlog: bool,
        now: f64,
    ) -> PyResult<Self> {
        let name = congestion.unwrap_or("bbr");
        let congestion = Congestion::from_name(name)
            .ok_or_else(|| PyValueError::new_err(format!("unknown congestion control {name:?}")))?;
        let hold = Duration::try_from_secs_f64(hold)
            .map_err(|error| PyValueError::new_err(format!("hold: {error}")))?;
        let reset_key = reset_key.map(ResetKey::new);
        let limits = PeerLimits {
            unproven_datagrams,
            unproven_datagrams_free,
            unproven_datagrams_per_second,
            unproven_datagram_burst,
            unproven_frames,
            frames_per_packet,
            link_frames_per_packet,
            too_much: varint(too_much),
            violation: varint(violation),
        };
        let settings = Settings {
            alpn,
            hold,
            streams,
            unread_limit,
            congestion,
            reset_key,
            accepts,
            qlog,
            limits,
        };
        let endpoint = Endpoint::new(settings).map_err(PyValueError::new_err)?;
        Ok(Self {
            shared: Arc::new(Mutex::new(endpoint)),
            clock: Clock::starting_at(now),
            connections: Mutex::default(),
        })
    }

    /// Use this certificate for new connections: the chain as DER, and its key as PKCS #8.
    #[allow(clippy::needless_pass_by_value)] // pyo3 extracts owned values
    fn set_certificate(&self, py: Python<'_>, chain: Vec<Vec<u8>>, key: Vec<u8>) -> PyResult<()> {
        detached(py, &self.shared, |endpoint| endpoint.set_certificate(&chain, &key))?
            .map_err(PyValueError::new_err)
    }

    /// Dial a literal address.
    #[allow(clippy::needless_pass_by_value)] // pyo3 extracts owned values
    fn connect(
        &self,
        py: Python<'_>,
        peer: (String, u16),
        server_name: Option<String>,
        now: f64,
    ) -> PyResult<Py<PyConnection>> {
        let address = socket_address(&peer.0, peer.1)?;
        let name = server_name.unwrap_or_else(|| address.ip().to_string());
        let now = self.clock.instant(now);
        let key = detached(py, &self.shared, |endpoint| endpoint.connect(address, &name, now))?
            .map_err(PyValueError::new_err)?;
        self.add(py, key)
    }

    /// Accept a connection. None if its first packet is not valid.
    fn accept(
        &self,
        py: Python<'_>,
        incoming: &Bound<'_, PyIncoming>,
        now: f64,
    ) -> PyResult<Option<Py<PyConnection>>> {
        let Some(incoming) = incoming.borrow_mut().incoming.take() else { return Ok(None) };
        let now = self.clock.instant(now);
        let key = detached(py, &self.shared, |endpoint| endpoint.accept(incoming, now))?;
        key.map(|key| self.add(py, key)).transpose()
    }

    /// Respond with a Retry packet.
    fn retry(&self, py: Python<'_>, incoming: &Bound<'_, PyIncoming>) -> PyResult<()> {
        match incoming.borrow_mut().incoming.take() {
            Some(incoming) => detached(py, &self.shared, |endpoint| endpoint.retry(incoming)),
            None => Ok(()),
        }
    }

    /// Drop an incoming connection without a response.
    fn ignore(&self, py: Python<'_>, incoming: &Bound<'_, PyIncoming>) -> PyResult<()> {
        match incoming.borrow_mut().incoming.take() {
            Some(incoming) => detached(py, &self.shared, |endpoint| endpoint.ignore(incoming)),
            None => Ok(()),
        }
    }

    /// Number of connections that datagrams are routed to.
    #[getter]
    fn connection_count(&self) -> usize {
        lock(&self.shared).connection_count()
    }

    /// Return the events of recorded connections since the last call: the recording's number,
    /// whether this end has dialled, the connection ID, the events, and whether they are the last.
    fn take_qlog<'py>(&self, py: Python<'py>) -> PyResult<Vec<PyRecordedEvents<'py>>> {
        let taken = detached(py, &self.shared, Endpoint::take_qlog)?;
        let events = taken.iter().map(|taken| {
            let id = PyBytes::new(py, &taken.connection_id);
            let events = PyBytes::new(py, taken.events.as_bytes());
            (taken.number, taken.is_client, id, events, taken.is_final)
        });
        Ok(events.collect())
    }

    /// Route no more datagrams to a connection.
    fn discard(&self, connection: &Bound<'_, PyConnection>) {
        let key = connection.get().key();
        lock(&self.shared).discard(key);
        let connection = self.with_connections(|connections| connections.remove(&key));
        drop(connection); // after the lock is released: this may be the last reference
    }

    /// Route datagrams. Return the connections that have received something, and incoming ones.
    #[allow(clippy::needless_pass_by_value)] // pyo3 extracts owned values
    fn receive(
        &self,
        py: Python<'_>,
        datagrams: Vec<Bound<'_, PyAny>>,
        now: f64,
    ) -> PyResult<ReceivedBatch> {
        let datagrams = datagrams_from_python(&datagrams)?;
        let now = self.clock.instant(now);
        let (touched, incoming) = detached(py, &self.shared, |endpoint| {
            for datagram in &datagrams {
                endpoint.receive(datagram, now);
            }
            endpoint.take_received(now)
        })?;
        Ok(self.received_batch(py, &touched, incoming))
    }

    /// Return the responses to peers without a connection.
    fn transmit<'py>(&self, py: Python<'py>) -> Vec<PyDatagram<'py>> {
        let responses = lock(&self.shared).take_responses();
        responses.iter().map(|datagram| datagram_to_python(py, datagram)).collect()
    }

    /// Return the datagrams for paths other than UDP that the attached socket was given.
    fn take_carried<'py>(&self, py: Python<'py>) -> PyResult<Vec<PySharedDatagram<'py>>> {
        let carried = lock(&self.shared).take_carried();
        datagrams_to_python(py, &carried)
    }

    // With a socket

    /// Attach a duplicate of this UDP socket's descriptor, in place of the previous socket.
    #[pyo3(signature = (fd, peer=None, known_as=None))]
    #[allow(clippy::needless_pass_by_value)] // pyo3 extracts owned values
    fn attach(
        &self,
        py: Python<'_>,
        fd: i32,
        peer: Option<(String, u16)>,
        known_as: Option<(String, u16)>,
    ) -> PyResult<u64> {
        if fd < 0 {
            return Err(PyValueError::new_err("the socket is closed"));
        }
        // SAFETY: the caller's socket object keeps the descriptor open during this call, and it is
        // duplicated before the call returns.
        #[allow(unsafe_code)]
        let descriptor = unsafe { BorrowedFd::borrow_raw(fd) };
        let peer = match (peer, known_as) {
            (Some(real), Some(known_as)) => Some(Peer {
                real: socket_address(&real.0, real.1)?,
                known_as: socket_address(&known_as.0, known_as.1)?,
            }),
            _ => None,
        };
        lock(&self.shared).attach(descriptor, peer).map_err(|error| os_error(py, &error))
    }

    /// Detach the socket with this number, unless another socket has replaced it.
    fn detach(&self, number: u64) {
        lock(&self.shared).detach(number);
    }

    /// Return the latest send error since the last call.
    fn take_send_error(&self, py: Python<'_>) -> Option<PyErr> {
        let error = lock(&self.shared).take_send_error();
        error.map(|error| os_error(py, &error))
    }

    /// Do what `receive` does with the datagrams of the attached socket: one system call, or more
    /// while they bring nothing. Return also whether the kernel has no more datagrams.
    fn receive_ready(
        &self,
        py: Python<'_>,
        now: f64,
    ) -> PyResult<(Vec<Py<PyConnection>>, Vec<PyIncoming>, bool)> {
        let now = self.clock.instant(now);
        let (received, (touched, incoming)) = detached(py, &self.shared, |endpoint| {
            let mut reads = 1;
            loop {
                let received = endpoint.receive_ready(now);
                let (touched, incoming) = endpoint.take_received(now);
                let is_last = !touched.is_empty() || !incoming.is_empty() || reads == READS_MAX;
                if is_last || !matches!(received, Ok(false)) {
                    return (received, (touched, incoming));
                }
                reads += 1;
            }
        })?;
        let is_drained = received.map_err(|error| os_error(py, &error))?;
        let (touched, incoming) = self.received_batch(py, &touched, incoming);
        Ok((touched, incoming, is_drained))
    }

    /// Send the queued datagrams. Return whether none is left.
    fn flush(&self, py: Python<'_>) -> PyResult<bool> {
        detached(py, &self.shared, Endpoint::flush)
    }

    /// Whether the kernel's send buffer is full.
    #[getter]
    fn is_full(&self) -> bool {
        lock(&self.shared).is_full()
    }
}
