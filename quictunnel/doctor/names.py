"""Check: the remote's name resolves to addresses that this machine has a route to."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Sequence

from quictunnel.config.addresses import HostPort
from quictunnel.doctor.check import Check
from quictunnel.doctor.finding import Finding, failed, ok
from quictunnel.origin.diagnosis import is_private
from quictunnel.quic.path.udp import open_connected
from quictunnel.session.resolver import resolve

FAR_AWAY = {4: "192.0.2.1", 6: "2001:db8::1"}
"""An address of each family that no network has (RFC 5737, RFC 3849). A machine with a default
route of the family has a route to it."""

_FAMILIES = {4: "IPv4", 6: "IPv6"}
_RECORDS = {4: "A", 6: "AAAA"}


class RemoteName(Check):
    """Resolves the remote's name.

    :param target: the remote.
    """

    title = "name of the remote"
    time_limit = 12.0

    def __init__(self, target: HostPort) -> None:
        self.target = target
        self.addresses: list[str] = []
        """The addresses to which this machine has a route, in the system's order."""

    async def run(self) -> list[Finding]:
        """Look up the name, and ask the system for a route to each address."""
        host = self.target.host
        try:
            found = await resolve(self.target)
        except socket.gaierror as exc:
            return [failed(self.title, f"{host} does not resolve: {exc.strerror}", _advice(exc))]
        except OSError as exc:
            sentence = f"{host} cannot be looked up: {exc.strerror or exc}"
            return [failed(self.title, sentence, "check this machine's network and name servers")]
        self.addresses = [address for address in found if _has_route(address, self.target.port)]
        if not self.addresses:
            return [self._unreachable(found)]
        named = ", ".join(map(_describe, found))
        if found == [host]:
            return [
                ok(self.title, f"{_describe(host)} is an address, and this machine has a route")
            ]
        return [ok(self.title, f"{host} has the address {named}")]

    def _unreachable(self, found: Sequence[str]) -> Finding:
        host = self.target.host
        families = {_family(address) for address in found}
        own = {family for family, address in FAR_AWAY.items() if _has_route(address, 9)}
        shown = ", ".join(found)
        if len(families) == 1 and own - families:
            (only,) = families
            other = 4 if only == 6 else 6
            return failed(
                self.title,
                f"{host} has only {_FAMILIES[only]} addresses ({shown}), and this machine has no "
                f"{_FAMILIES[only]}",
                f"give the name an {_RECORDS[other]} record with the remote's {_FAMILIES[other]} "
                f"address, or use a network that has {_FAMILIES[only]}",
            )
        return failed(
            self.title,
            f"this machine has no route to {shown}",
            "check that it is connected: Wi-Fi, cable, VPN; 'ip route' lists its routes",
        )


def _has_route(address: str, port: int) -> bool:
    """Return whether the system has a route to an address. Connecting UDP sends nothing."""
    with contextlib.suppress(OSError), open_connected(address, port):
        return True
    return False


def _advice(exc: socket.gaierror) -> str:
    if exc.errno == socket.EAI_AGAIN:
        return "no name server answers: check this machine's network, and /etc/resolv.conf"
    return (
        "check the spelling of the name, and that it has an A or AAAA record: 'getent ahosts NAME' "
        "asks the same"
    )


def _family(address: str) -> int:
    return ipaddress.ip_address(address).version


def _describe(address: str) -> str:
    return f"{address} (private)" if is_private(address) else address
