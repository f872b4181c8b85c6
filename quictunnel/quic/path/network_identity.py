"""Identifies the network that this machine is in, by its default gateway. Linux only.

It reads files in /proc, which takes less than a millisecond. Machines elsewhere, and networks
without an IPv4 gateway, have no identity.
"""

from __future__ import annotations

import array
import contextlib
import ipaddress
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROC = Path("/proc/self/net")
"""The directory of the tables `route` and `arp` (proc(5)). A service with ProcSubset=pid has no
/proc/net (systemd.exec(5))."""

_GATEWAY = 0x2  # RTF_GATEWAY (linux/route.h)
_UNKNOWN = "00:00:00:00:00:00"  # the address of a neighbour that has not answered yet
_GET_SSID = 0x8B1B  # SIOCGIWESSID (linux/wireless.h)
_MAX_SSID = 32  # bytes


@dataclass(frozen=True, slots=True)
class Gateway:
    """The router that a machine sends packets to the internet to."""

    interface: str
    """The name of the interface that leads to it."""
    address: str
    """Its IPv4 address."""


def network_identity(
    proc: Path = PROC, read_ssid: Callable[[str], str | None] | None = None
) -> str | None:
    """Return a text that differs from network to network, or None.

    It is the gateway with its hardware address, or with the name of the Wi-Fi network while the
    hardware address is not known.

    :param proc: the directory of the tables.
    :param read_ssid: returns the name of the Wi-Fi network of an interface, if there is one; by
        default, it asks the kernel.
    """
    try:
        gateway = default_gateway((proc / "route").read_text(errors="replace"))
        if gateway is None:
            return None
        neighbours = (proc / "arp").read_text(errors="replace")
    except OSError:
        return None  # not Linux, or /proc is not mounted
    hardware = hardware_address(neighbours, gateway)
    if hardware is not None:
        return f"{gateway.address} at {hardware}"
    ssid = (read_ssid or wifi_name)(gateway.interface)
    return None if ssid is None else f"{gateway.address} in {ssid}"


def default_gateway(routes: str) -> Gateway | None:
    """Return the gateway of the default route with the least metric.

    :param routes: the content of /proc/self/net/route.
    """
    found = sorted(_default_routes(routes), key=lambda route: route[0])
    return found[0][1] if found else None


def _default_routes(routes: str) -> Iterator[tuple[int, Gateway]]:
    for line in routes.splitlines()[1:]:
        with contextlib.suppress(ValueError):  # a line of another format
            interface, destination, gateway, flags, _, _, metric, mask, *_ = line.split()
            if int(destination, 16) == int(mask, 16) == 0 and int(flags, 16) & _GATEWAY:
                # The kernel writes the address as a number in the byte order of the machine.
                packed = int(gateway, 16).to_bytes(4, sys.byteorder)
                address = str(ipaddress.IPv4Address(packed))
                yield int(metric), Gateway(interface, address)


def hardware_address(neighbours: str, gateway: Gateway) -> str | None:
    """Return the hardware address of a gateway; None if it is not known.

    :param neighbours: the content of /proc/self/net/arp.
    """
    for line in neighbours.splitlines()[1:]:
        columns = line.split()
        if len(columns) == 6 and (columns[0], columns[5]) == (gateway.address, gateway.interface):
            return None if columns[3] == _UNKNOWN else columns[3].lower()
    return None


def wifi_name(interface: str) -> str | None:
    """Return the name of the Wi-Fi network of an interface; None if it has none.

    Kernels without the Wireless Extensions do not tell.
    """
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    name = array.array("B", bytes(_MAX_SSID + 1))
    address, _ = name.buffer_info()
    request = bytearray(struct.pack("16sPHH", interface.encode()[:15], address, _MAX_SSID, 0))
    request += bytes(40 - len(request))  # struct iwreq may be larger than what is used of it
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, _GET_SSID, request)
    except OSError:
        return None  # the interface is not wireless
    return name.tobytes().rstrip(b"\0").decode(errors="replace") or None
