"""Which addresses of a remote's services a person can open."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from quictunnel.config.hosts import HOST_PROTOCOLS, HostProtocol
from quictunnel.protocol.address import Address
from quictunnel.remote.routes import Route
from quictunnel.session.urls import SCHEMES, tcp_url, web_url


def service_urls(
    route: Route,
    *,
    outside: Address,
    named: Mapping[HostProtocol, Address],
    has_sockets: bool,
) -> tuple[str, ...]:
    """Return the URLs of a service: only those that are certain.

    A wildcard has none, and neither has a port at every address of the machine, whose public name
    is not known here.

    :param outside: the outside address.
    :param named: the addresses of the listeners for host names.
    :param has_sockets: whether an HTTP proxy in front, such as Caddy, serves host names.
    """
    if route.host is not None:
        return _site_urls(route.host, route.protocol, named, has_sockets=has_sockets)
    if ipaddress.ip_address(outside.host).is_unspecified:
        return ()
    if route.ports is None:
        return (tcp_url(outside.host, outside.port),)
    return (tcp_url(outside.host, route.ports.first),) if route.ports.size == 1 else ()


def _site_urls(
    host: str,
    protocol: HostProtocol | None,
    named: Mapping[HostProtocol, Address],
    *,
    has_sockets: bool,
) -> tuple[str, ...]:
    if "*" in host:
        return ()
    protocols = HOST_PROTOCOLS if protocol is None else (protocol,)
    urls = [web_url(SCHEMES[each], host, named[each].port) for each in protocols if each in named]
    if has_sockets and "http" in protocols:
        urls.append(web_url("https", host))  # the proxy in front has the certificate
    return tuple(dict.fromkeys(urls))
