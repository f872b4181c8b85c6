//! `Connection`: one QUIC connection, with the interface that quictunnel's links ask of an engine.

use bytes::Bytes;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyTuple};
use quinn_proto::VarInt;

use super::convert::{PyDatagram, datagram_to_python};
use super::{Shared, lock, work};
use crate::{Clock, Connection, Happening};

/// Bytes from which on Python's object is kept until all of it is acknowledged, and not copied.
const KEPT_MIN: usize = 4096;

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

    /// Ask or tell the connection something small. One that the engine has failed in has no answer
    /// but the one that nothing has.
    fn with<R: Default>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        lock(&self.shared).with(self.key, act).unwrap_or_default()
    }
}

impl Drop for PyConnection {
    fn drop(&mut self) {
        lock(&self.shared).remove(self.key);
    }
}

fn code(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

#[pymethods]
impl PyConnection {
    // Facts

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
    fn heard_at(&self) -> Option<f64> {
        self.with(|connection| connection.heard_at()).map(|at| self.clock.seconds(at))
    }

    #[getter]
    fn answered_at(&self) -> f64 {
        self.with(|connection| connection.answered_at()).map_or(0.0, |at| self.clock.seconds(at))
    }

    #[getter]
    fn is_terminated(&self) -> bool {
        lock(&self.shared).connection(self.key).is_none_or(|connection| connection.is_terminated())
    }

    #[getter]
    fn unacknowledged(&self) -> bool {
        self.with(|connection| connection.is_unanswered())
    }

    #[getter]
    fn alpn_mismatch(&self) -> bool {
        self.with(|connection| connection.is_alpn_mismatch())
    }

    /// Whether it ended because the peer does not know it any more.
    #[getter]
    fn forgotten_by_peer(&self) -> bool {
        self.with(|connection| connection.is_forgotten_by_peer())
    }

    #[getter]
    fn stream_count(&self) -> usize {
        self.with(|connection| connection.stream_count())
    }

    /// quinn's figures of the path, for logs: congestion window, losses, bytes, datagrams.
    #[getter]
    fn statistics(&self) -> (u64, u64, u64, u64, u64, u64, u16) {
        self.with(|connection| {
            let stats = connection.stats();
            (
                stats.path.cwnd,
                stats.path.lost_packets,
                stats.udp_tx.bytes,
                stats.udp_rx.bytes,
                stats.udp_tx.datagrams,
                stats.udp_rx.datagrams,
                stats.path.current_mtu,
            )
        })
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
        let taken = self.with(|connection| connection.read(stream_id, limit));
        let data = PyBytes::new_with(py, taken.size, |buffer| {
            let mut rest = buffer;
            for piece in &taken.pieces {
                let (place, after) = rest.split_at_mut(piece.len());
                place.copy_from_slice(piece);
                rest = after;
            }
            Ok(())
        })?;
        Ok((data, taken.fin))
    }

    fn write(&self, stream_id: u64, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = match data.cast::<PyBytes>() {
            Ok(bytes) => bytes.clone(),
            // Any other buffer may change under our hands: Python makes bytes of it first.
            Err(_) => data.py().get_type::<PyBytes>().call1((data,))?.cast_into::<PyBytes>()?,
        };
        let bytes = if bytes.as_bytes().len() < KEPT_MIN {
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
        self.with(|connection| connection.stop_reading(stream_id, self::code(code)));
    }

    #[pyo3(signature = (stream_id, code))]
    fn reset(&self, stream_id: u64, code: u64) {
        self.with(|connection| connection.reset(stream_id, self::code(code)));
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
    fn relocate(&self, now: f64) {
        let now = self.clock.instant(now);
        self.with(|connection| connection.relocate(now));
    }

    #[pyo3(signature = (code, reason))]
    fn close_with(&self, code: u64, reason: &str) {
        self.with(|connection| connection.close(self::code(code), reason));
    }

    // Time and datagrams

    fn transmit<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Vec<PyDatagram<'py>>> {
        let now = self.clock.instant(now);
        let datagrams = work(py, &self.shared, |endpoint| endpoint.transmit(self.key, now))?;
        Ok(datagrams.iter().map(|datagram| datagram_to_python(py, datagram)).collect())
    }

    /// Send through the endpoint's socket; return how many writes that took.
    fn send(&self, py: Python<'_>, now: f64) -> PyResult<usize> {
        let now = self.clock.instant(now);
        work(py, &self.shared, |endpoint| endpoint.send(self.key, now))
    }

    fn deadline(&self) -> Option<f64> {
        self.with(Connection::deadline).map(|at| self.clock.deadline(at))
    }

    fn expire(&self, py: Python<'_>, now: f64) -> PyResult<()> {
        let now = self.clock.instant(now);
        work(py, &self.shared, |endpoint| endpoint.expire(self.key, now))
    }

    /// Tell the observer what has happened since the last call.
    fn dispatch(&self, py: Python<'_>, observer: &Bound<'_, PyAny>) -> PyResult<()> {
        while let Some(happening) = self.with(Connection::next_happening) {
            match happening {
                Happening::Handshake => observer.call_method0(intern!(py, "on_handshake"))?,
                Happening::Opened(stream) => {
                    observer.call_method1(intern!(py, "on_stream_opened"), (stream,))?
                }
                Happening::Readable(stream) => {
                    observer.call_method1(intern!(py, "on_stream_readable"), (stream,))?
                }
                Happening::Reset(stream, code) => {
                    observer.call_method1(intern!(py, "on_stream_reset"), (stream, code))?
                }
                Happening::Stopped(stream, code) => {
                    observer.call_method1(intern!(py, "on_stream_stopped"), (stream, code))?
                }
                Happening::Over(stream) => {
                    observer.call_method1(intern!(py, "on_stream_ended"), (stream,))?
                }
                Happening::Closed(closing) => {
                    let by_peer = [("by_peer", closing.by_peer)];
                    let by_peer = pyo3::types::IntoPyDict::into_py_dict(by_peer, py)?;
                    let told = (closing.code, closing.reason);
                    observer.call_method(intern!(py, "on_closed"), told, Some(&by_peer))?
                }
            };
        }
        Ok(())
    }
}
