"""The PROXY protocol's header, version 2: frame, addresses and TLVs.

Source: HAProxy's proxy-protocol.txt, section 2.2. `preamble` defines quictunnel's own TLVs.

    12 bytes  signature
    1 byte    version (high half: 2), command (low half: 0 LOCAL, 1 PROXY)
    1 byte    family (high half), transport (low half)
    2 bytes   length of the rest
    ...       source address, destination address, source port, destination port
    ...       TLVs: type (1 byte), length (2 bytes), value
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from quictunnel.errors import ProtocolError
from quictunnel.protocol.address import Address
from quictunnel.protocol.crc32c import crc32c

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

MAX_BLOCK = 2048
"""Largest accepted length of the part after the frame, in bytes. A header is meant to fit a packet
of 536 bytes. This leaves room for other senders' TLVs, and bounds the memory of waiting clients."""

MAX_UNIQUE_ID = 128
"""Largest length of a UNIQUE_ID in bytes (section 2.2.5)."""

TYPE_CRC32C = 0x03
TYPE_UNIQUE_ID = 0x05

_START = struct.Struct("!12sBBH")
_VECTOR = struct.Struct("!BH")
_PORTS = struct.Struct("!HH")

MAX_HEADER = _START.size + MAX_BLOCK
"""Largest accepted length of a header in bytes."""

_VERSION = 0x2
_LOCAL = 0x0
_PROXY = 0x1

_UNSPEC = 0x00
_TCP4 = 0x11
_TCP6 = 0x21

# A TCP tunnel has no use for the addresses of UNIX sockets and datagrams. A receiver treats valid
# combinations that it does not support as UNSPEC (section 2.2): the client is unknown.
_ADDRESS_SIZES = {_TCP4: 12, 0x12: 12, _TCP6: 36, 0x22: 36, 0x31: 216, 0x32: 216}
"""Size of both addresses and ports in bytes, by family and transport."""

_BLOCKS = {_TCP4: struct.Struct("!4s4sHH"), _TCP6: struct.Struct("!16s16sHH")}
"""Format of both addresses and ports, by family and transport, for TCP."""

_MAX_FAMILY = 0x3
_MAX_TRANSPORT = 0x2


class HeaderV2(NamedTuple):
    """The content of a header."""

    client: Address | None
    """The source address; None if there is none or it is not TCP."""

    outside: Address | None
    """The destination address. None exactly if `client` is None."""

    vectors: tuple[tuple[int, bytes], ...] = ()
    """Type and value of each TLV, in order."""

    def value(self, kind: int) -> bytes | None:
        """Return the value of the TLV of this type, or None.

        :raises ProtocolError: there are two. The specification does not define their meaning, and
            an attacker could exploit readers that differ.
        """
        values = [value for type_, value in self.vectors if type_ == kind]
        if len(values) > 1:
            raise ProtocolError(f"PROXY header with {len(values)} TLVs of type {kind:#04x}")
        return values[0] if values else None

    def client_id(self) -> str | None:
        """Return the UNIQUE_ID, or None. Each of its opaque bytes becomes one character.

        :raises ProtocolError: it is too long, or there are two.
        """
        value = self.value(TYPE_UNIQUE_ID)
        if value is None:
            return None
        if len(value) > MAX_UNIQUE_ID:
            raise ProtocolError(f"PROXY header with a unique id of {len(value)} bytes")
        return value.decode("latin-1")


def encode(
    client: Address | None, outside: Address | None, vectors: Iterable[tuple[int, bytes]] = ()
) -> bytes:
    """Return a header: command PROXY with both addresses, or LOCAL if either is None.

    If one address is IPv4 and the other IPv6, both are written as IPv6.

    :raises ValueError: the TLVs do not fit.
    """
    if client is None or outside is None:
        command, family, addresses = _LOCAL, _UNSPEC, b""
    else:
        command, family = _PROXY, _TCP4
        near, far = client.packed, outside.packed
        if len(near) != 4 or len(far) != 4:
            family, near, far = _TCP6, client.packed_ipv6, outside.packed_ipv6
        addresses = near + far + _PORTS.pack(client.port, outside.port)
    vectors = tuple(vectors)
    size = len(addresses)
    for _, value in vectors:
        size += _VECTOR.size + len(value)
    if size > MAX_BLOCK:
        raise ValueError(f"PROXY header of {size} bytes, more than {MAX_BLOCK}")
    header = _START.pack(SIGNATURE, _VERSION << 4 | command, family, size) + addresses
    for kind, value in vectors:
        header += _VECTOR.pack(kind, len(value)) + value
    return header


def find_end(start: bytes | bytearray) -> int | None:
    """Return the length of the header that begins with `start`, or None if it is not known yet.

    :raises ProtocolError: at the first byte that cannot be part of a header, or if the header is
        longer than MAX_HEADER.
    """
    if not start.startswith(SIGNATURE) and not SIGNATURE.startswith(start[: len(SIGNATURE)]):
        raise ProtocolError("no PROXY header")
    if len(start) < _START.size:
        return None
    _, version_command, _, size = _START.unpack_from(start)
    if version_command >> 4 != _VERSION:
        raise ProtocolError(f"PROXY header of version {version_command >> 4}")
    if version_command & 0xF not in (_LOCAL, _PROXY):
        raise ProtocolError(f"PROXY header with command {version_command & 0xF:#x}")
    if size > MAX_BLOCK:
        raise ProtocolError(f"PROXY header of {size} bytes, more than {MAX_BLOCK}")
    end: int = _START.size + size
    return end


def decode(header: bytes) -> HeaderV2:
    """Return the content of a complete header.

    :raises ProtocolError: the header is malformed.
    """
    _, version_command, family, _ = _START.unpack_from(header)
    if version_command & 0xF == _LOCAL or _is_unspecified(family):
        return HeaderV2(None, None, _read_any_vectors(header, family))
    size = _ADDRESS_SIZES.get(family)
    if size is None:
        raise ProtocolError(f"PROXY header with family and transport {family:#04x}")
    if len(header) < _START.size + size:
        raise ProtocolError("PROXY header too short for its addresses")
    client, outside = _read_addresses(header, family)
    return HeaderV2(client, outside, _read_vectors(header, _START.size + size))


def _is_unspecified(family: int) -> bool:
    """Return whether either half is UNSPEC and the other half is valid."""
    high, low = family >> 4, family & 0xF
    return (high == 0 and low <= _MAX_TRANSPORT) or (low == 0 and high <= _MAX_FAMILY)


def _read_addresses(header: bytes, family: int) -> tuple[Address, Address] | tuple[None, None]:
    """Return source and destination address, if they are TCP addresses."""
    block = _BLOCKS.get(family)
    if block is None:
        return None, None
    client, outside, client_port, outside_port = block.unpack_from(header, _START.size)
    return Address.unpack(client, client_port), _unpack_outside(outside, outside_port)


_unpack_outside = lru_cache(maxsize=64)(Address.unpack)  # a proxy has few


def _read_vectors(header: bytes, at: int) -> tuple[tuple[int, bytes], ...]:
    """Return the TLVs from `at` to the end of the header, and verify the checksum."""
    vectors, sums = _find_vectors(header, at)
    if len(sums) > 1:
        raise ProtocolError(f"PROXY header with {len(sums)} checksums")
    for place in sums:
        _check_crc32c(header, place)
    return tuple(vectors)


def _read_any_vectors(header: bytes, family: int) -> tuple[tuple[int, bytes], ...]:
    """Return the TLVs of a LOCAL or UNSPEC header.

    Section 2.2 lets a sender put anything into such a header, so bytes that are not TLVs are not an
    error. HAProxy and quictunnel write the TLVs right after the frame.
    """
    if family != _UNSPEC:
        return ()
    try:
        _find_vectors(header, _START.size)
    except ProtocolError:
        return ()
    return _read_vectors(header, _START.size)


def _find_vectors(header: bytes, at: int) -> tuple[list[tuple[int, bytes]], list[slice]]:
    """Return the TLVs from `at` to the end of the header, and the positions of checksums."""
    vectors, sums = [], []
    length = len(header)
    while at < length:
        start = at + _VECTOR.size
        if start > length:
            raise ProtocolError("PROXY header that ends within a TLV")
        kind, size = _VECTOR.unpack_from(header, at)
        at = start + size
        if at > length:
            raise ProtocolError("PROXY header with a TLV longer than itself")
        vectors.append((kind, header[start:at]))
        if kind == TYPE_CRC32C:
            sums.append(slice(start, at))
    return vectors, sums


def _check_crc32c(header: bytes, place: slice) -> None:
    """Verify the checksum at `place` (section 2.2.3).

    :raises ProtocolError: it is wrong.
    """
    stored = header[place]
    blanked = header[: place.start] + bytes(len(stored)) + header[place.stop :]
    if len(stored) != 4 or crc32c(blanked) != int.from_bytes(stored):
        raise ProtocolError("PROXY header with a wrong checksum")
