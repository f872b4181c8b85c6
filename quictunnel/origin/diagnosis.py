"""Explains in one sentence why the remote cannot be reached, and what to check."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

from quictunnel.config.addresses import HostPort
from quictunnel.config.proxies import Proxy
from quictunnel.config.settings import LINK_PORT, OUTSIDE
from quictunnel.config.urls import WebSocketUrl
from quictunnel.errors import LinkFailed

NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN})
"""The system's errors for an address that no network of this machine leads to."""

PRIVATE_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
"""Networks that are not reachable from the internet (RFC 1918, RFC 6598, RFC 4193)."""

TIMED_OUT = (
    "no answer from {hosts} on UDP port {port}{hint}: UDP may be blocked on the way; check that "
    "the remote runs, that this is its address and port, and that its firewall or security group "
    "lets UDP port {port} in"
)
"""The sentence for a remote that does not answer."""

TIMED_OUT_PRIVATE = (
    "no answer from {hosts} on UDP port {port}{hint}: this private address is reachable only from "
    "its own network; use the remote's public address, or check that the remote runs"
)
"""The sentence for a remote with a private address that does not answer."""

BLOCKED = (
    "a firewall on the way to {hosts} refuses: open UDP port {port} on the VPS and at its "
    "provider{hint}"
)
"""The sentence after an ICMP message that only firewalls send: host or communication prohibited.

UDP sockets report no other ICMP message as EHOSTUNREACH or EACCES, not even that a host is down."""

SENTENCES = {
    errno.ECONNREFUSED: "nobody listens at {hosts} on UDP port {port}{hint}, or a firewall "
    "refuses: check that the remote runs, and on this port",
    errno.EPERM: "this machine's own firewall blocks outgoing UDP to {hosts}, port {port}",
    errno.EHOSTUNREACH: BLOCKED,
    errno.EACCES: BLOCKED,
    **dict.fromkeys(NO_ROUTE, "no network leads to {hosts}: check that this machine is connected"),
}
"""The sentences for the system's errors."""

CLIENTS_PORT = f" ({OUTSIDE.port} is usually the clients' port; origins connect to {LINK_PORT})"
"""The hint for an origin that is given the remote's default port for clients."""


class Failure(NamedTuple):
    """A failed attempt at one address."""

    host: str
    error: Exception
    """A `LinkFailed` whose cause is the system's error or the timeout; or the timeout itself."""

    @property
    def cause(self) -> BaseException:
        """The underlying error."""
        cause = self.error.__cause__ if isinstance(self.error, LinkFailed) else None
        return cause or self.error

    @property
    def has_no_route(self) -> bool:
        """Whether no network of this machine leads to the address."""
        return isinstance(self.cause, OSError) and self.cause.errno in NO_ROUTE


def explain_unreachable(target: HostPort, failures: Sequence[Failure]) -> str:
    """Return one sentence for all addresses of the remote's name.

    Addresses of a family that this machine does not have, mostly IPv6, are left out if there are
    others.
    """
    relevant = [failure for failure in failures if not failure.has_no_route] or failures
    reasons: dict[str, list[str]] = {}
    for failure in relevant:
        template = _template(failure)
        hosts = reasons.setdefault(template or str(failure.error), [])
        if template is not None:
            hosts.append(_in_brackets(failure.host))
    hint = CLIENTS_PORT if target.port == OUTSIDE.port else ""
    return "; ".join(
        reason.format(hosts=" and ".join(hosts), port=target.port, hint=hint) if hosts else reason
        for reason, hosts in reasons.items()
    )


def explain_lookup_timeout(target: HostPort, time_limit: float) -> str:
    """Return the sentence for a name whose lookup takes longer than `time_limit` seconds."""
    return f"{target.host} does not resolve: no name server answers within {time_limit:g} s"


def explain_websocket(url: WebSocketUrl, error: LinkFailed, proxy: Proxy | None = None) -> str:
    """Return one sentence for a WebSocket that does not carry a link.

    :param proxy: the proxy between this machine and the WebSocket; None for none.
    """
    sentence = str(error)
    if str(url) in sentence:
        return f"over a WebSocket: {sentence}"
    if isinstance(error.__cause__, TimeoutError):
        sentence += (
            f"; check that this network lets TCP port {url.server.port} pass, and whether it needs "
            "a proxy (--proxy)"
            if proxy is None
            else f"; check the URL of the proxy {proxy}, and that it can reach {url.server}"
        )
    return f"over the WebSocket {url}: {sentence}"


def _template(failure: Failure) -> str | None:
    """Return a sentence with places for hosts, port and hint; None if the error says it all."""
    cause = failure.cause
    if isinstance(cause, TimeoutError):  # before OSError, of which it is a subclass
        return TIMED_OUT_PRIVATE if is_private(failure.host) else TIMED_OUT
    return SENTENCES.get(cause.errno or 0) if isinstance(cause, OSError) else None


def is_private(host: str) -> bool:
    """Return whether an address is not reachable from the internet."""
    address = ipaddress.ip_address(host)
    return any(address in network for network in PRIVATE_NETWORKS)


def _in_brackets(host: str) -> str:
    return f"[{host}]" if ":" in host else host
