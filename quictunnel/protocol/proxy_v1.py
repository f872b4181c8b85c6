r"""The PROXY protocol's header, version 1: a line of text.

Source: HAProxy's proxy-protocol.txt, section 2.1.

    PROXY TCP4 192.0.2.7 198.51.100.1 51334 9000\r\n
    PROXY TCP6 2001:db8::7 2001:db8::1 51334 9000\r\n
    PROXY UNKNOWN\r\n

It carries neither a service nor an id.
"""

from __future__ import annotations

import ipaddress
import re

from quictunnel.errors import ProtocolError
from quictunnel.protocol.address import Address
from quictunnel.protocol.preamble import Preamble

MAX_HEADER = 107
"""Length of the longest line with CRLF: UNKNOWN and two IPv6 addresses of full length."""

START = b"PROXY "

_PORT = re.compile(r"0|[1-9][0-9]{0,4}")


def encode_v1(preamble: Preamble) -> bytes:
    """Return the line for a client, or the UNKNOWN line if its address is unknown.

    If one address is IPv4 and the other IPv6, both are written as IPv6.
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
    # The specification allows no dots in IPv6 addresses.
    digits = address.packed.hex()
    return f"::ffff:{digits[:4]}:{digits[4:]}"


def find_end(start: bytes | bytearray) -> int | None:
    """Return the length of the line that begins with `start`, or None while it is incomplete.

    :raises ProtocolError: at the first byte that cannot be part of a line, or if the line does not
        end in CRLF or is longer than MAX_HEADER.
    """
    if not START.startswith(start[: len(START)]):
        raise ProtocolError("no PROXY header")
    newline = start.find(b"\n", 0, MAX_HEADER)
    if newline < 0:
        if len(start) >= MAX_HEADER:
            raise ProtocolError(f"PROXY line of more than {MAX_HEADER} bytes")
        return None
    if start[newline - 1] != ord("\r"):
        raise ProtocolError("PROXY line that does not end in CRLF")
    return newline + 1


def decode(header: bytes) -> Preamble:
    """Return the content of a complete line.

    :raises ProtocolError: the line is malformed.
    """
    fields = header.removeprefix(START).removesuffix(b"\r\n").split(b" ")
    if fields[0] == b"UNKNOWN":
        return Preamble()  # receivers ignore the rest of the line
    try:
        family, client, outside, client_port, outside_port = [f.decode("ascii") for f in fields]
        return Preamble(
            client=_read_address(family, client, client_port),
            outside=_read_address(family, outside, outside_port),
        )
    except ValueError as exc:
        raise ProtocolError("malformed PROXY line") from exc


def _read_address(family: str, host: str, port: str) -> Address:
    """Return an address; raise ValueError if the specification does not allow its text."""
    match family:
        case "TCP4":
            ipaddress.IPv4Address(host)
        case "TCP6":
            ipaddress.IPv6Address(host)
        case _:
            raise ValueError("unknown family")
    if not _PORT.fullmatch(port):
        raise ValueError("not a decimal port")
    return Address(host, int(port))
