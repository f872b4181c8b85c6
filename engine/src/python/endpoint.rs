//! `Endpoint` and `Newcomer`: the connections of one socket, and who would join them.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::connection::PyConnection;
use super::convert::socket_address;
use super::convert::{PyDatagram, PyPath, datagram, datagram_to_python, os_error, path};
use super::{Shared, lock, work};
use crate::{Clock, Congestion, Endpoint, Newcomer, Peer, ResetKey, Settings};

type Arrivals = (Vec<Py<PyConnection>>, Vec<PyNewcomer>);

/// Somebody who wants a connection and waits to hear.
#[pyclass(name = "Newcomer", module = "quictunnel_quinn")]
pub(super) struct PyNewcomer {
    shared: Shared,
    newcomer: Option<Newcomer>,
}

#[pymethods]
impl PyNewcomer {
    /// Whether it has shown that its address is its own.
    #[getter]
    fn is_validated(&self) -> bool {
        self.newcomer.as_ref().is_some_and(Newcomer::is_validated)
    }

    /// Where it comes from.
    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> Option<PyPath<'py>> {
        self.newcomer.as_ref().map(|newcomer| path(py, newcomer.peer(), None))
    }
}

impl Drop for PyNewcomer {
    fn drop(&mut self) {
        if let Some(newcomer) = self.newcomer.take() {
            lock(&self.shared).ignore(newcomer);
        }
    }
}

/// All connections of one UDP socket.
#[pyclass(name = "Endpoint", module = "quictunnel_quinn", frozen)]
pub(super) struct PyEndpoint {
    shared: Shared,
    clock: Clock,
    connections: Mutex<HashMap<usize, Py<PyConnection>>>,
}

impl PyEndpoint {
    fn introduce(&self, py: Python<'_>, key: usize) -> PyResult<Py<PyConnection>> {
        let connection = Py::new(py, PyConnection::new(self.shared.clone(), self.clock, key))?;
        self.known(|known| known.insert(key, connection.clone_ref(py)));
        Ok(connection)
    }

    fn known<R>(&self, act: impl FnOnce(&mut HashMap<usize, Py<PyConnection>>) -> R) -> R {
        act(&mut self.connections.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn arrivals(&self, py: Python<'_>, touched: &[usize], newcomers: Vec<Newcomer>) -> Arrivals {
        let touched = self.known(|known| {
            touched.iter().filter_map(|key| known.get(key).map(|it| it.clone_ref(py))).collect()
        });
        let shared = &self.shared;
        let newcomers = newcomers
            .into_iter()
            .map(|newcomer| PyNewcomer { shared: shared.clone(), newcomer: Some(newcomer) })
            .collect();
        (touched, newcomers)
    }
}

#[pymethods]
impl PyEndpoint {
    #[new]
    #[pyo3(signature = (
        *, alpn, hold, streams, unread_limit, congestion, reset_key, accepts, now
    ))]
    #[allow(clippy::too_many_arguments)] // Python names them
    fn new(
        alpn: String,
        hold: f64,
        streams: u64,
        unread_limit: u64,
        congestion: Option<&str>,
        reset_key: Option<&[u8]>,
        accepts: bool,
        now: f64,
    ) -> PyResult<Self> {
        let name = congestion.unwrap_or("bbr");
        let congestion = Congestion::named(name)
            .ok_or_else(|| PyValueError::new_err(format!("no congestion control {name:?}")))?;
        let hold = Duration::try_from_secs_f64(hold)
            .map_err(|error| PyValueError::new_err(format!("the hold: {error}")))?;
        let reset_key = reset_key.map(ResetKey::new);
        let settings =
            Settings { alpn, hold, streams, unread_limit, congestion, reset_key, accepts };
        let endpoint = Endpoint::new(settings).map_err(PyValueError::new_err)?;
        Ok(Self {
            shared: Arc::new(Mutex::new(endpoint)),
            clock: Clock::starting_at(now),
            connections: Mutex::default(),
        })
    }

    /// Show this certificate from now on: a chain as DER, and its key as PKCS #8.
    #[allow(clippy::needless_pass_by_value)] // what Python hands over
    fn set_certificate(&self, py: Python<'_>, chain: Vec<Vec<u8>>, key: Vec<u8>) -> PyResult<()> {
        work(py, &self.shared, |endpoint| endpoint.set_certificate(&chain, &key))?
            .map_err(PyValueError::new_err)
    }

    /// Begin a connection to a literal address.
    #[allow(clippy::needless_pass_by_value)] // what Python hands over
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
        let key = work(py, &self.shared, |endpoint| endpoint.connect(address, &name, now))?
            .map_err(PyValueError::new_err)?;
        self.introduce(py, key)
    }

    /// Let a newcomer in; None if its first packet proves to be no good.
    fn accept(
        &self,
        py: Python<'_>,
        newcomer: &Bound<'_, PyNewcomer>,
        now: f64,
    ) -> PyResult<Option<Py<PyConnection>>> {
        let Some(newcomer) = newcomer.borrow_mut().newcomer.take() else { return Ok(None) };
        let now = self.clock.instant(now);
        let key = work(py, &self.shared, |endpoint| endpoint.accept(newcomer, now))?;
        key.map(|key| self.introduce(py, key)).transpose()
    }

    /// Ask a newcomer to show that its address is its own.
    #[pyo3(signature = (newcomer, now=0.0))]
    fn retry(&self, py: Python<'_>, newcomer: &Bound<'_, PyNewcomer>, now: f64) -> PyResult<()> {
        let _ = now; // tokens bear the time of day
        match newcomer.borrow_mut().newcomer.take() {
            Some(newcomer) => work(py, &self.shared, |endpoint| endpoint.retry(newcomer)),
            None => Ok(()),
        }
    }

    /// Leave a newcomer without an answer.
    fn ignore(&self, py: Python<'_>, newcomer: &Bound<'_, PyNewcomer>) -> PyResult<()> {
        match newcomer.borrow_mut().newcomer.take() {
            Some(newcomer) => work(py, &self.shared, |endpoint| endpoint.ignore(newcomer)),
            None => Ok(()),
        }
    }

    /// How many connections datagrams are led to.
    #[getter]
    fn connection_count(&self) -> usize {
        lock(&self.shared).connection_count()
    }

    /// Lead nothing to the connection any more.
    fn forget(&self, connection: &Bound<'_, PyConnection>) {
        let key = connection.get().key();
        lock(&self.shared).forget(key);
        let known = self.known(|known| known.remove(&key));
        drop(known); // outside of the lock: it may be the last
    }

    /// Take datagrams; return whom something has come for, and who is new.
    #[allow(clippy::needless_pass_by_value)] // what Python hands over
    fn receive(
        &self,
        py: Python<'_>,
        datagrams: Vec<Bound<'_, PyAny>>,
        now: f64,
    ) -> PyResult<Arrivals> {
        let datagrams: Vec<_> = datagrams.iter().map(datagram).collect::<PyResult<_>>()?;
        let now = self.clock.instant(now);
        let (touched, newcomers) = work(py, &self.shared, |endpoint| {
            for datagram in &datagrams {
                endpoint.receive(datagram, now);
            }
            endpoint.arrived(now)
        })?;
        Ok(self.arrivals(py, &touched, newcomers))
    }

    /// Return the endpoint's own answers to those who have no connection.
    fn transmit<'py>(&self, py: Python<'py>) -> Vec<PyDatagram<'py>> {
        let answers = lock(&self.shared).answers();
        answers.iter().map(|datagram| datagram_to_python(py, datagram)).collect()
    }

    // With a socket

    /// Use a duplicate of this UDP socket's descriptor, in place of the one before.
    #[pyo3(signature = (fd, peer=None, known_as=None))]
    #[allow(clippy::needless_pass_by_value)] // what Python hands over
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
        // SAFETY: the descriptor is duplicated before this call returns, while the caller's socket
        // object, which Python keeps alive meanwhile, holds it open.
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

    /// Let go of the socket of that number, unless another one has taken its place.
    fn detach(&self, number: u64) {
        lock(&self.shared).detach(number);
    }

    /// Why something could not be sent, if that has happened since the last call.
    fn take_trouble(&self, py: Python<'_>) -> Option<PyErr> {
        let trouble = lock(&self.shared).take_trouble();
        trouble.map(|error| os_error(py, &error))
    }

    /// Read what waits in the socket, as one system call gives it.
    fn receive_ready(&self, py: Python<'_>, now: f64) -> PyResult<Arrivals> {
        let now = self.clock.instant(now);
        let (received, (touched, newcomers)) = work(py, &self.shared, |endpoint| {
            let received = endpoint.receive_ready(now);
            (received, endpoint.arrived(now))
        })?;
        received.map_err(|error| os_error(py, &error))?;
        Ok(self.arrivals(py, &touched, newcomers))
    }

    /// Send what the kernel did not take; return whether all of it is gone.
    fn flush(&self, py: Python<'_>) -> PyResult<bool> {
        work(py, &self.shared, Endpoint::flush)
    }

    /// Whether the kernel takes no more for the moment.
    #[getter]
    fn is_full(&self) -> bool {
        lock(&self.shared).is_full()
    }
}
