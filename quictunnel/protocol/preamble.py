"""The preamble: the first bytes of a data stream, which say who the client is. No I/O.

A preamble is a PROXY protocol header of version 2 with two TLVs in it, so that an origin can
hand the same bytes to an origin server that understands that protocol:

    0xE0  the service's name, in UTF-8 (a type that the specification leaves to applications)
    0x05  UNIQUE_ID: the client's id, which both ends write into their logs

A stream whose client has no known address bears the command LOCAL.
"""

from __future__ import annotations

from dataclasses import dataclass

from quictunnel.errors import ProtocolError
from quictunnel.protocol import proxy_v2
from quictunnel.protocol.address import Address
from quictunnel.protocol.header_collector import HeaderCollector

TYPE_SERVICE = 0xE0


@dataclass(frozen=True, slots=True)
class Preamble:
    """Who a client is and what it wants. Raises ValueError for one address without the other."""

    client: Address | None = None
    """Where the client is; None where that is not known."""

    outside: Address | None = None
    """The address of the remote to which the client connected. None exactly where `client` is."""

    service: str | None = None
    """The name of the service that the client wants, or None where the header names none."""

    client_id: str | None = None
    """An id of the client for logs, of 128 characters from U+0000 to U+00FF at most.

    The specification calls it opaque bytes: each character is one of them. Ours are hex digits.
    """

    def __post_init__(self) -> None:
        """Hold what the header cannot express away from it."""
        if (self.client is None) != (self.outside is None):
            raise ValueError("a preamble has both addresses or neither")


def encode_v2(preamble: Preamble) -> bytes:
    """Return the preamble's bytes. Raises ValueError for an id or a name that is too long."""
    vectors = []
    if preamble.service is not None:
        vectors.append((TYPE_SERVICE, preamble.service.encode()))
    if preamble.client_id is not None:
        if len(preamble.client_id) > proxy_v2.MAX_UNIQUE_ID:
            raise ValueError(f"client id of {len(preamble.client_id)} characters")
        vectors.append((proxy_v2.TYPE_UNIQUE_ID, preamble.client_id.encode("latin-1")))
    return proxy_v2.encode(preamble.client, preamble.outside, vectors)


class PreambleDecoder:
    """Reads one preamble from the first bytes of a stream.

    A decoder is for one stream: once it has returned a preamble or raised, it is spent.
    """

    __slots__ = ("_collector",)

    def __init__(self) -> None:
        self._collector = HeaderCollector(proxy_v2.MAX_HEADER, proxy_v2.find_end)

    def feed(self, data: bytes) -> tuple[Preamble, bytes] | None:
        """Return the preamble and the client's bytes after it, or None while there must come more.

        Raises ProtocolError at the first byte that cannot be in a preamble, and for a preamble
        of more than `proxy_v2.MAX_HEADER` bytes.
        """
        found = self._collector.feed(data)
        if found is None:
            return None
        header, rest = found
        return _decode(header), rest


def _decode(header: bytes) -> Preamble:
    facts = proxy_v2.decode(header)
    return Preamble(
        client=facts.client,
        outside=facts.outside,
        service=_read_service(facts),
        client_id=facts.client_id(),
    )


def _read_service(facts: proxy_v2.HeaderV2) -> str | None:
    name = facts.value(TYPE_SERVICE)
    try:
        return None if name is None else name.decode()
    except UnicodeDecodeError as exc:
        raise ProtocolError("preamble with a service's name that is not UTF-8") from exc
