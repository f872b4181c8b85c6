"""The PROXY protocol's binary header, version 2: its frame, its addresses, its list of TLVs.

Source: HAProxy's proxy-protocol.txt, section 2.2. What quictunnel's own TLVs mean is not known
here, but in `preamble`.

    12 bytes  signature
    1 byte    version (high half: 2), command (low half: 0 LOCAL, 1 PROXY)
    1 byte    family (high half), transport (low half)
    2 bytes   length of all that follows
    ...       client address, outside address, client port, outside port
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
"""The greatest length that is accepted. A header is meant to fit one small packet (536 bytes), so
this leaves room for the TLVs of others, and yet many waiting clients cannot cost much memory."""

MAX_UNIQUE_ID = 128
"""Section 2.2.5."""

TYPE_CRC32C = 0x03
TYPE_UNIQUE_ID = 0x05

_START = struct.Struct("!12sBBH")
_VECTOR = struct.Struct("!BH")
_PORTS = struct.Struct("!HH")

MAX_HEADER = _START.size + MAX_BLOCK

_VERSION = 0x2
_LOCAL = 0x0
_PROXY = 0x1

_UNSPEC = 0x00
_TCP4 = 0x11
_TCP6 = 0x21

# A tunnel for TCP has no use for the addresses of UNIX sockets and of datagrams. For valid
# combinations that a receiver does not support, section 2.2 has it fall back to UNSPEC rather than
# refuse: the connection is good, its client unknown.
_ADDRESS_SIZES = {_TCP4: 12, 0x12: 12, _TCP6: 36, 0x22: 36, 0x31: 216, 0x32: 216}
"""The bytes of both addresses and ports, by family and transport."""

_BLOCKS = {_TCP4: struct.Struct("!4s4sHH"), _TCP6: struct.Struct("!16s16sHH")}
"""Both addresses and ports, by family and transport, where they are TCP's."""

_MAX_FAMILY = 0x3
_MAX_TRANSPORT = 0x2


class HeaderV2(NamedTuple):
    """What a header of version 2 says."""

    client: Address | None
    """The source. None where none is given, or it is not TCP's."""

    outside: Address | None
    """The destination that the client had in mind. None exactly where `client` is."""

    vectors: tuple[tuple[int, bytes], ...] = ()
    """The TLVs, as type and value, in their order."""

    def value(self, kind: int) -> bytes | None:
        """Return the value of the one TLV of this type, or None; ProtocolError if it stands twice.

        The specification leaves it open what two would mean, so that two readers of one header
        might differ, and that is how one of them is deceived.
        """
        values = [value for type_, value in self.vectors if type_ == kind]
        if len(values) > 1:
            raise ProtocolError(f"PROXY header with {len(values)} TLVs of type {kind:#04x}")
        return values[0] if values else None

    def client_id(self) -> str | None:
        """Return the id that the sender gave to the connection, or None. Raises ProtocolError.

        It is opaque bytes, one of them a character, so that any id can be written to a log and
        passed on unchanged.
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
    """Return a header: command PROXY with both addresses, or LOCAL where either is None.

    Where one is IPv4 and the other IPv6, as with sockets that take both, both are written as IPv6.
    Raises ValueError for TLVs that do not fit.
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
    """Return how long the header is that begins with `start`, or None while that is not told.

    Raises ProtocolError at the first byte that cannot be in a header, and for one longer than
    MAX_HEADER.
    """
    if not start.startswith(SIGNATURE) and not SIGNATURE.startswith(start[: len(SIGNATURE)]):
        raise ProtocolError("not a PROXY header")
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
    """Return what a header says that is as long as `find_end` told. Raises ProtocolError."""
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
    """Return whether either half says UNSPEC, and the other half is one that exists."""
    high, low = family >> 4, family & 0xF
    return (high == 0 and low <= _MAX_TRANSPORT) or (low == 0 and high <= _MAX_FAMILY)


def _read_addresses(header: bytes, family: int) -> tuple[Address, Address] | tuple[None, None]:
    """Return client and outside address, if the family is one for TCP."""
    block = _BLOCKS.get(family)
    if block is None:
        return None, None
    client, outside, client_port, outside_port = block.unpack_from(header, _START.size)
    return Address.unpack(client, client_port), _unpack_outside(outside, outside_port)


_unpack_outside = lru_cache(maxsize=64)(Address.unpack)  # of which a proxy has few


def _read_vectors(header: bytes, at: int) -> tuple[tuple[int, bytes], ...]:
    """Return the TLVs that fill the header from `at` to its end, the checksum being right."""
    vectors, sums = _find_vectors(header, at)
    if len(sums) > 1:
        raise ProtocolError(f"PROXY header with {len(sums)} checksums")
    for place in sums:
        _check_crc32c(header, place)
    return tuple(vectors)


def _read_any_vectors(header: bytes, family: int) -> tuple[tuple[int, bytes], ...]:
    """Return the TLVs of a header whose block a receiver has to skip, whatever stands in it.

    With LOCAL and UNSPEC, section 2.2 lets a sender put there what it likes, so that what is no
    list of TLVs is no error. HAProxy, and we ourselves, write the TLVs of such a header at once.
    """
    if family != _UNSPEC:
        return ()
    try:
        _find_vectors(header, _START.size)
    except ProtocolError:
        return ()
    return _read_vectors(header, _START.size)


def _find_vectors(header: bytes, at: int) -> tuple[list[tuple[int, bytes]], list[slice]]:
    """Return the TLVs from `at` to the header's end, and the places of checksums among them."""
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
    """Raise ProtocolError unless the checksum at `place` is the header's own (section 2.2.3)."""
    stored = header[place]
    blanked = header[: place.start] + bytes(len(stored)) + header[place.stop :]
    if len(stored) != 4 or crc32c(blanked) != int.from_bytes(stored):
        raise ProtocolError("PROXY header with a wrong checksum")
