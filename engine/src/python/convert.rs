//! Conversion of addresses, datagrams and errors between Python and Rust.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::Datagram;

/// (payload, path)
pub(super) type PyDatagram<'py> = (Bound<'py, PyBytes>, PyPath<'py>);
/// The same, with a path that many datagrams share.
pub(super) type PySharedDatagram<'py> = (Bound<'py, PyBytes>, Bound<'py, PyTuple>);
/// (host, port, packed local address or b"")
pub(super) type PyPath<'py> = (String, u16, Bound<'py, PyBytes>);

/// Parse a literal address. An IPv6 address may have a numeric scope.
pub(super) fn socket_address(host: &str, port: u16) -> PyResult<SocketAddr> {
    let parsed = match host.split_once('%') {
        Some((literal, scope)) => literal.parse::<Ipv6Addr>().ok().and_then(|ip| {
            let scope = scope.parse().ok()?;
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope)))
        }),
        None => host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port)),
    };
    parsed.ok_or_else(|| PyValueError::new_err(format!("{host:?} is not a literal IP address")))
}

/// Convert datagrams. Those of one path usually share the path's object, which is parsed once.
pub(super) fn datagrams_from_python(given: &[Bound<'_, PyAny>]) -> PyResult<Vec<Datagram>> {
    let mut datagrams = Vec::with_capacity(given.len());
    let mut previous: Option<(Bound<'_, PyTuple>, SocketAddr, Option<IpAddr>)> = None;
    for datagram in given {
        let (data, path): (Bound<'_, PyBytes>, Bound<'_, PyTuple>) = datagram.extract()?;
        let (peer, local) = match &previous {
            Some((same, peer, local)) if same.is(&path) => (*peer, *local),
            _ => {
                let (host, port, local): (String, u16, Bound<'_, PyBytes>) = path.extract()?;
                (socket_address(&host, port)?, packed(local.as_bytes()))
            }
        };
        datagrams.push(Datagram { data: data.as_bytes().to_vec(), peer, local });
        previous = Some((path, peer, local));
    }
    Ok(datagrams)
}

/// Convert datagrams. Those in a row to one peer share the path's object.
pub(super) fn datagrams_to_python<'py>(
    py: Python<'py>,
    datagrams: &[Datagram],
) -> PyResult<Vec<PySharedDatagram<'py>>> {
    let mut converted: Vec<PySharedDatagram<'py>> = Vec::with_capacity(datagrams.len());
    for (index, datagram) in datagrams.iter().enumerate() {
        let data = PyBytes::new(py, &datagram.data);
        let is_same = index > 0
            && (datagrams[index - 1].peer, datagrams[index - 1].local)
                == (datagram.peer, datagram.local);
        let path = match converted.last() {
            Some((_, path)) if is_same => path.clone(),
            _ => path(py, datagram.peer, datagram.local).into_pyobject(py)?,
        };
        converted.push((data, path));
    }
    Ok(converted)
}

pub(super) fn datagram_to_python<'py>(py: Python<'py>, datagram: &Datagram) -> PyDatagram<'py> {
    (PyBytes::new(py, &datagram.data), path(py, datagram.peer, datagram.local))
}

pub(super) fn path(py: Python<'_>, peer: SocketAddr, local: Option<IpAddr>) -> PyPath<'_> {
    let local = match local {
        None => PyBytes::new(py, &[]),
        Some(IpAddr::V4(ip)) => PyBytes::new(py, &ip.octets()),
        Some(IpAddr::V6(ip)) => PyBytes::new(py, &ip.octets()),
    };
    (peer.ip().to_string(), peer.port(), local)
}

fn packed(address: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(address) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(address).ok().map(IpAddr::from)
}

/// Return the `OSError` that Python's own sockets raise, with errno and the message of strerror.
pub(super) fn os_error(py: Python<'_>, error: &io::Error) -> PyErr {
    let Some(number) = error.raw_os_error() else {
        return PyOSError::new_err(error.to_string());
    };
    let message = py
        .import("os")
        .and_then(|os| os.call_method1("strerror", (number,)))
        .and_then(|message| message.extract::<String>())
        .unwrap_or_else(|_| error.to_string());
    PyOSError::new_err((number, message))
}
