//! `Connection`: one QUIC connection, with quictunnel's engine interface.

use bytes::Bytes;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple};

use super::convert::{PyDatagram, datagram_to_python};
use super::{Shared, detached, lock};
use crate::settings::varint;
use crate::{Clock, Connection, Event};

/// Bytes from which on a Python bytes object is referenced until it is acknowledged. A smaller one is
/// copied.
const ZERO_COPY_MIN: usize = 4096;

/// One QUIC connection.
#[pyclass(name = "Connection", module = "quictunnel_quinn", frozen)]
pub(super) struct PyConnection {
    shared: Shared,
    clock: Clock,
    key: usize,
}

impl PyConnection {
    pub(super) const fn new(shared: Shared, clock: Clock, key: usize) -> Self {
        Self { shared, clock, key }
    }

    pub(super) const fn key(&self) -> usize {
        self.key
    }

    /// Call a short operation. Returns the default value if the connection is gone or panics.
    fn with<R: Default>(&self, operation: impl FnOnce(&mut Connection) -> R) -> R {
        lock(&self.shared).with(self.key, operation).unwrap_or_default()
    }
}

impl Drop for PyConnection {
    fn drop(&mut self) {
        lock(&self.shared).remove(self.key);
    }
}

/// Return `quictunnel.quic.engine.Statistics`, which both engines share.
fn statistics_type(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static TYPE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let found = TYPE.get_or_try_init(py, || {
        py.import("quictunnel.quic.engine")?.getattr("Statistics").map(Bound::unbind)
    })?;
    Ok(found.bind(py))
}

#[pymethods]
impl PyConnection {
    // Status

    #[getter]
    fn exporter<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let exporter = self.with(|connection| connection.exporter().copied());
        PyBytes::new(py, exporter.as_ref().map_or(&[], |exporter| &exporter[..]))
    }

    #[getter]
    fn peer_certificates<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let chain = self.with(|connection| connection.certificates().to_vec());
        PyTuple::new(py, chain.iter().map(|der| PyBytes::new(py, der)))
    }

    #[getter]
    fn rtt(&self) -> Option<f64> {
        self.with(|connection| connection.rtt().map(|rtt| rtt.as_secs_f64()))
    }

    #[getter]
    fn pto(&self) -> f64 {
        self.with(|connection| connection.pto().as_secs_f64())
    }

    #[getter]
    fn hold(&self) -> f64 {
        self.with(|connection| connection.hold().as_secs_f64())
    }

    #[getter]
    fn peer(&self) -> Option<(String, u16)> {
        self.with(|connection| Some(connection.peer()))
            .map(|peer| (peer.ip().to_string(), peer.port()))
    }

    #[getter]
    fn latest_sent<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let sent = self.with(|connection| connection.latest_sent());
        PyBytes::new(py, sent.as_ref().map_or(&[], |bytes| &bytes[..]))
    }

    #[getter]
    fn heard_at(&self) -> Option<f64> {
        self.with(|connection| connection.last_received_at()).map(|at| self.clock.seconds(at))
    }

    #[getter]
    fn answered_at(&self) -> f64 {
        self.with(|connection| connection.last_acked_at()).map_or(0.0, |at| self.clock.seconds(at))
    }

    #[getter]
    fn is_terminated(&self) -> bool {
        lock(&self.shared).connection(self.key).is_none_or(|connection| connection.is_terminated())
    }

    #[getter]
    fn unacknowledged(&self) -> bool {
        self.with(|connection| connection.is_unacknowledged())
    }

    #[getter]
    fn alpn_mismatch(&self) -> bool {
        self.with(|connection| connection.is_alpn_mismatch())
    }

    /// Whether a stateless reset ended the connection.
    #[getter]
    fn forgotten_by_peer(&self) -> bool {
        self.with(|connection| connection.is_stateless_reset())
    }

    #[getter]
    fn stream_count(&self) -> usize {
        self.with(|connection| connection.stream_count())
    }

    #[getter]
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (rtt, stats) = self.with(|connection| (connection.rtt(), connection.stats()));
        let fields = (
            rtt.map(|rtt| rtt.as_secs_f64()),
            stats.path.cwnd,
            stats.path.current_mtu,
            stats.udp_tx.bytes,
            stats.udp_rx.bytes,
            stats.path.sent_packets,
            stats.path.lost_packets,
            stats.path.lost_bytes,
        );
        statistics_type(py)?.call1(fields)
    }

    // Streams

    fn open_stream(&self) -> u64 {
        self.with(Connection::open_stream)
    }

    fn read<'py>(
        &self,
        py: Python<'py>,
        stream_id: u64,
        limit: usize,
    ) -> PyResult<(Bound<'py, PyBytes>, bool)> {
        let read = self.with(|connection| connection.read(stream_id, limit));
        let data = PyBytes::new_with(py, read.size, |buffer| {
            let mut rest = buffer;
            for chunk in &read.chunks {
                let (target, after) = rest.split_at_mut(chunk.len());
                target.copy_from_slice(chunk);
                rest = after;
            }
            Ok(())
        })?;
        Ok((data, read.fin))
    }

    fn write(&self, stream_id: u64, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = match data.cast::<PyBytes>() {
            Ok(bytes) => bytes.clone(),
            // The caller may modify any other buffer later, so Python makes a copy first.
            Err(_) => data.py().get_type::<PyBytes>().call1((data,))?.cast_into::<PyBytes>()?,
        };
        let bytes = if bytes.as_bytes().len() < ZERO_COPY_MIN {
            Bytes::copy_from_slice(bytes.as_bytes())
        } else {
            Bytes::from_owner(PyBackedBytes::from(bytes))
        };
        self.with(|connection| connection.write(stream_id, bytes));
        Ok(())
    }

    fn finish(&self, stream_id: u64) {
        self.with(|connection| connection.finish(stream_id));
    }

    #[pyo3(signature = (stream_id, code))]
    fn stop_reading(&self, stream_id: u64, code: u64) {
        self.with(|connection| connection.stop_reading(stream_id, varint(code)));
    }

    #[pyo3(signature = (stream_id, code))]
    fn reset(&self, stream_id: u64, code: u64) {
        self.with(|connection| connection.reset(stream_id, varint(code)));
    }

    fn unsent(&self, stream_id: u64) -> usize {
        self.with(|connection| connection.unsent(stream_id))
    }

    #[getter]
    fn share(&self) -> usize {
        self.with(|connection| connection.share())
    }

    fn allow_streams(&self, count: u64) {
        self.with(|connection| connection.allow_streams(count));
    }

    // The connection

    fn trust(&self) {
        lock(&self.shared).trust(self.key);
    }

    fn ping(&self) {
        self.with(Connection::ping);
    }

    fn revive(&self, now: f64) {
        let now = self.clock.instant(now);
        self.with(|connection| connection.revive(now));
    }

    #[pyo3(name = "move")]
    fn migrate(&self, now: f64) {
        let now = self.clock.instant(now);
        self.with(|connection| connection.migrate(now));
    }

    #[pyo3(signature = (code, reason))]
    fn close_with(&self, code: u64, reason: &str) {
        self.with(|connection| connection.close(varint(code), reason));
    }

    // Time and datagrams

    fn transmit<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Vec<PyDatagram<'py>>> {
        let now = self.clock.instant(now);
        let datagrams = detached(py, &self.shared, |endpoint| endpoint.transmit(self.key, now))?;
        Ok(datagrams.iter().map(|datagram| datagram_to_python(py, datagram)).collect())
    }

    /// Send through the endpoint's socket. Return the number of writes.
    fn send(&self, py: Python<'_>, now: f64) -> PyResult<usize> {
        let now = self.clock.instant(now);
        detached(py, &self.shared, |endpoint| endpoint.send(self.key, now))
    }

    fn deadline(&self) -> Option<f64> {
        self.with(Connection::deadline).map(|at| self.clock.deadline(at))
    }

    fn expire(&self, py: Python<'_>, now: f64) -> PyResult<()> {
        let now = self.clock.instant(now);
        detached(py, &self.shared, |endpoint| endpoint.expire(self.key, now))
    }

    /// Report the events since the last call to the observer.
    fn dispatch(&self, py: Python<'_>, observer: &Bound<'_, PyAny>) -> PyResult<()> {
        while let Some(event) = self.with(Connection::next_event) {
            match event {
                Event::Handshake => observer.call_method0(intern!(py, "on_handshake"))?,
                Event::Opened(stream) => {
                    observer.call_method1(intern!(py, "on_stream_opened"), (stream,))?
                }
                Event::Readable(stream) => {
                    observer.call_method1(intern!(py, "on_stream_readable"), (stream,))?
                }
                Event::Reset(stream, code) => {
                    observer.call_method1(intern!(py, "on_stream_reset"), (stream, code))?
                }
                Event::Stopped(stream, code) => {
                    observer.call_method1(intern!(py, "on_stream_stopped"), (stream, code))?
                }
                Event::Ended(stream) => {
                    observer.call_method1(intern!(py, "on_stream_ended"), (stream,))?
                }
                Event::Closed(reason) => {
                    let by_peer = [("by_peer", reason.by_peer)];
                    let by_peer = pyo3::types::IntoPyDict::into_py_dict(by_peer, py)?;
                    let arguments = (reason.code, reason.reason);
                    observer.call_method(intern!(py, "on_closed"), arguments, Some(&by_peer))?
                }
            };
        }
        Ok(())
    }
}
