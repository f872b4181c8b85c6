//! The Python module. It contains no QUIC: it converts arguments, takes locks, and releases the
//! interpreter while packets are processed.

mod connection;
mod convert;
mod endpoint;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::endpoint::{Endpoint, panic_message};

/// An endpoint, shared with its connections. Any thread may lock it. No thread calls into Python
/// while it holds the lock.
type Shared = Arc<Mutex<Endpoint>>;

fn lock(shared: &Shared) -> MutexGuard<'_, Endpoint> {
    // The endpoint catches panics itself and stays usable, so a poisoned lock is not an error.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Call `operation` on the endpoint with the interpreter released. A panic becomes an exception.
fn detached<R: Send>(
    py: Python<'_>,
    shared: &Shared,
    operation: impl FnOnce(&mut Endpoint) -> R + Send,
) -> PyResult<R> {
    py.detach(|| catch_unwind(AssertUnwindSafe(|| operation(&mut lock(shared)))))
        .map_err(|panic| PyRuntimeError::new_err(panic_message(&*panic)))
}

/// Return the name and version of the QUIC library.
#[pyfunction]
fn version() -> &'static str {
    crate::LIBRARY
}

#[pymodule]
fn quictunnel_quinn(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("API", crate::API)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("STREAM_WINDOW", crate::STREAM_WINDOW)?;
    module.add("STREAM_WINDOW_FIRST", crate::STREAM_WINDOW_FIRST)?;
    module.add("LINK_WINDOW", crate::LINK_WINDOW)?;
    module.add("LINK_WINDOW_UNPROVEN", crate::LINK_WINDOW_UNPROVEN)?;
    module.add("HELLO_WINDOW", crate::HELLO_WINDOW)?;
    module.add_class::<endpoint::PyEndpoint>()?;
    module.add_class::<endpoint::PyIncoming>()?;
    module.add_class::<connection::PyConnection>()?;
    module.add_function(wrap_pyfunction!(version, module)?)
}
