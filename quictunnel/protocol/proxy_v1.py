r"""The PROXY protocol's header of version 1, which is a line of text. No I/O.

Source: HAProxy's proxy-protocol.txt, section 2.1.

    PROXY TCP4 192.0.2.7 198.51.100.1 51334 9000\r\n
    PROXY TCP6 2001:db8::7 2001:db8::1 51334 9000\r\n
    PROXY UNKNOWN\r\n

It can name neither a service nor an id.
"""

from __future__ import annotations

import ipaddress
import re

from quictunnel.errors import ProtocolError
from quictunnel.protocol.address import Address
from quictunnel.protocol.preamble import Preamble

MAX_HEADER = 107
"""The longest line, with its CRLF: two addresses of full length after UNKNOWN."""

START = b"PROXY "

_PORT = re.compile(r"0|[1-9][0-9]{0,4}")


def encode_v1(preamble: Preamble) -> bytes:
    """Return the line for a client, its family that of the addresses; UNKNOWN where none is known.

    Where one address is IPv4 and the other IPv6, both are written as IPv6.
    """
    client, outside = preamble.client, preamble.outside
    if client is None or outside is None:
        return b"PROXY UNKNOWN\r\n"
    if client.is_ipv6 or outside.is_ipv6:
        family, source, target = "TCP6", _ipv6_text(client), _ipv6_text(outside)
    else:
        family, source, target = "TCP4", client.host, outside.host
    return f"PROXY {family} {source} {target} {client.port} {outside.port}\r\n".encode()


def _ipv6_text(address: Address) -> str:
    if address.is_ipv6:
        return address.host
    # Hexadecimal digits and colons only: the specification knows no dots in IPv6 addresses.
    digits = address.packed.hex()
    return f"::ffff:{digits[:4]}:{digits[4:]}"


def find_end(start: bytes | bytearray) -> int | None:
    """Return how long the line is that begins with `start`, or None while its end is not there.

    Raises ProtocolError at the first byte that cannot be in such a line, for one that ends
    in anything but CRLF, and for one longer than MAX_HEADER.
    """
    if not START.startswith(start[: len(START)]):
        raise ProtocolError("not a PROXY header")
    newline = start.find(b"\n", 0, MAX_HEADER)
    if newline < 0:
        if len(start) >= MAX_HEADER:
            raise ProtocolError(f"PROXY line of more than {MAX_HEADER} bytes")
        return None
    if start[newline - 1] != ord("\r"):
        raise ProtocolError("PROXY line that does not end in CRLF")
    return newline + 1


def decode(header: bytes) -> Preamble:
    """Return what a line says that is as long as `find_end` told. Raises ProtocolError."""
    fields = header.removeprefix(START).removesuffix(b"\r\n").split(b" ")
    if fields[0] == b"UNKNOWN":
        return Preamble()  # what follows is to be ignored
    try:
        family, client, outside, client_port, outside_port = [f.decode("ascii") for f in fields]
        return Preamble(
            client=_read_address(family, client, client_port),
            outside=_read_address(family, outside, outside_port),
        )
    except ValueError as exc:
        raise ProtocolError("malformed PROXY line") from exc


def _read_address(family: str, host: str, port: str) -> Address:
    """Raise ValueError for text that the specification does not allow."""
    match family:
        case "TCP4":
            ipaddress.IPv4Address(host)
        case "TCP6":
            ipaddress.IPv6Address(host)
        case _:
            raise ValueError("no such family")
    if not _PORT.fullmatch(port):
        raise ValueError("no decimal port")
    return Address(host, int(port))
