"""Which addresses of an origin's services a person can open."""

from __future__ import annotations

import ipaddress

from quictunnel.config.addresses import is_loopback
from quictunnel.config.services import ServiceSettings
from quictunnel.session.urls import SCHEMES, tcp_url, web_url

_SCHEMES_OF_PORTS = {443: "https", 80: "http"}
"""The schemes of a host name's ports if the service is for both protocols. Any other port may have
either scheme."""

_MAX_PORT = 65535


def service_urls(
    service: ServiceSettings, address: str | None, remote_host: str
) -> tuple[str, ...]:
    """Return the URLs of a granted service: only those that are certain.

    A wildcard, and a range of ports, have none.

    :param address: where clients reach it, in the remote's words; None if the remote did not say.
    :param remote_host: the remote's host as configured.
    """
    if address is None:
        return ()
    if service.host is not None:
        return _site_urls(service.host, service, address)
    host, _, port = address.rpartition(":")
    number = _port(port)
    if number is None:
        return ()
    public = _public_host(host.strip("[]"), remote_host)
    return () if public is None else (tcp_url(public, number),)


def _site_urls(host: str, service: ServiceSettings, address: str) -> tuple[str, ...]:
    name, colon, ports = address.partition(":")
    if "*" in host or name != host:
        return ()
    if not colon:
        return (web_url("https", host),)  # a proxy in front of the remote has the certificate
    urls = []
    for port in map(_port, ports.split(",")):
        if service.protocol is not None:
            scheme = SCHEMES[service.protocol]
        else:
            scheme = _SCHEMES_OF_PORTS.get(port or 0, "")
        if port is not None and scheme:
            urls.append(web_url(scheme, host, port))
    return tuple(urls)


def _public_host(host: str, remote_host: str) -> str | None:
    """Return the host of a port at the remote, as clients reach it; None if it is not certain."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.is_unspecified:
        return remote_host
    if address.is_loopback and not (remote_host == "localhost" or is_loopback(remote_host)):
        return None  # only the remote's own machine reaches it
    return host


def _port(text: str) -> int | None:
    """Return the number of a port; None if the text is none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_MAX_PORT))):
        return None
    number = int(text)
    return number if 0 < number <= _MAX_PORT else None
