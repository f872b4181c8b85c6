//! The engine as Python sees it. Nothing here knows QUIC: arguments are turned, locks taken, and
//! the interpreter let go of while packets are worked on.

mod connection;
mod convert;
mod endpoint;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::endpoint::{Endpoint, words_of};

/// An endpoint that its connections share. Python's threads may meet here; each waits for the
/// other, and none calls into Python while it holds the lock.
type Shared = Arc<Mutex<Endpoint>>;

fn lock(shared: &Shared) -> MutexGuard<'_, Endpoint> {
    // After a panic that was caught below the endpoint is as whole as the other side of a network.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Work on packets: without the interpreter's lock, and with a panic made an exception.
fn work<R: Send>(
    py: Python<'_>,
    shared: &Shared,
    act: impl FnOnce(&mut Endpoint) -> R + Send,
) -> PyResult<R> {
    py.detach(|| catch_unwind(AssertUnwindSafe(|| act(&mut lock(shared)))))
        .map_err(|panic| PyRuntimeError::new_err(words_of(&*panic)))
}

/// The version of the library beneath, with its name.
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
    module.add_class::<endpoint::PyEndpoint>()?;
    module.add_class::<endpoint::PyNewcomer>()?;
    module.add_class::<connection::PyConnection>()?;
    module.add_function(wrap_pyfunction!(version, module)?)
}
