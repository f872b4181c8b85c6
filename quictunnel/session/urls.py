"""Writes the addresses of services as URLs that a person can open."""

from __future__ import annotations

from collections.abc import Mapping

from quictunnel.config.addresses import HostPort
from quictunnel.config.hosts import HostProtocol
from quictunnel.config.urls import DEFAULT_PORTS

SCHEMES: Mapping[HostProtocol, str] = {"tls": "https", "http": "http"}
"""The scheme of a site's URL, by the protocol that clients speak to the remote."""


def web_url(scheme: str, host: str, port: int | None = None) -> str:
    """Return the URL of a site, without the port if it is the scheme's own.

    :param scheme: `http` or `https`.
    :param port: None for the scheme's own.
    """
    if port is None or port == DEFAULT_PORTS[scheme]:
        return f"{scheme}://{host}/"
    return f"{scheme}://{host}:{port}/"


def tcp_url(host: str, port: int) -> str:
    """Return the URL of a TCP port.

    :param host: a name, or an IP address without brackets.
    """
    return f"tcp://{HostPort(host, port)}"
