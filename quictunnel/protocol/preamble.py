"""The preamble: the first bytes of a data stream, which identify the client.

A preamble is a PROXY protocol v2 header with two TLVs, so the origin can pass the same bytes on to
an origin server that understands the protocol:

    0xE0  the service's name in UTF-8 (a type reserved for applications)
    0x05  UNIQUE_ID: the client's id, which both ends log

The command is LOCAL if the client has no known address.
"""

from __future__ import annotations

from dataclasses import dataclass

from quictunnel.errors import ProtocolError
from quictunnel.protocol import proxy_v2
from quictunnel.protocol.address import Address
from quictunnel.protocol.header_collector import HeaderCollector

TYPE_SERVICE = 0xE0
"""The TLV type of the service's name."""


@dataclass(frozen=True, slots=True)
class Preamble:
    """A client and the service it connected to.

    :raises ValueError: one address is given without the other.
    """

    client: Address | None = None
    """The client's address; None if it is unknown."""

    outside: Address | None = None
    """The remote's address that the client connected to. None exactly if `client` is None."""

    service: str | None = None
    """The service's name; None if the header has none."""

    client_id: str | None = None
    """The client's id for logs: at most 128 characters from U+0000 to U+00FF.

    The specification defines it as opaque bytes; each character is one byte. Ours are hex digits.
    """

    def __post_init__(self) -> None:
        """Reject what a header cannot express."""
        if (self.client is None) != (self.outside is None):
            raise ValueError("a preamble has both addresses or neither")


def encode_v2(preamble: Preamble) -> bytes:
    """Return the preamble's bytes.

    :raises ValueError: the id or the name is too long.
    """
    vectors = []
    if preamble.service is not None:
        vectors.append((TYPE_SERVICE, preamble.service.encode()))
    if preamble.client_id is not None:
        if len(preamble.client_id) > proxy_v2.MAX_UNIQUE_ID:
            raise ValueError(f"client id of {len(preamble.client_id)} characters")
        vectors.append((proxy_v2.TYPE_UNIQUE_ID, preamble.client_id.encode("latin-1")))
    return proxy_v2.encode(preamble.client, preamble.outside, vectors)


class PreambleDecoder:
    """Decodes the preamble of one stream. Unusable after it has returned a preamble or raised."""

    __slots__ = ("_collector",)

    def __init__(self) -> None:
        self._collector = HeaderCollector(proxy_v2.MAX_HEADER, proxy_v2.find_end)

    def feed(self, data: bytes) -> tuple[Preamble, bytes] | None:
        """Return the preamble and the bytes after it, or None while the preamble is incomplete.

        :raises ProtocolError: at the first byte that cannot be part of a preamble, or if the
            preamble is longer than `proxy_v2.MAX_HEADER`.
        """
        found = self._collector.feed(data)
        if found is None:
            return None
        header, rest = found
        return _decode(header), rest


def _decode(header: bytes) -> Preamble:
    fields = proxy_v2.decode(header)
    return Preamble(
        client=fields.client,
        outside=fields.outside,
        service=_read_service(fields),
        client_id=fields.client_id(),
    )


def _read_service(fields: proxy_v2.HeaderV2) -> str | None:
    name = fields.value(TYPE_SERVICE)
    try:
        return None if name is None else name.decode()
    except UnicodeDecodeError as exc:
        raise ProtocolError("preamble whose service name is not UTF-8") from exc
