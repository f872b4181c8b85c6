"""What a proxy in front of the remote says about a client: a PROXY header of either version.

This reads other people's headers, where `preamble` reads our own: the types from 0xE0 on belong to
whoever sends them (clouds use them), so none of them names a service here.
"""

from __future__ import annotations

from quictunnel.protocol import proxy_v1, proxy_v2
from quictunnel.protocol.header_collector import HeaderCollector
from quictunnel.protocol.preamble import Preamble


class ProxyDecoder:
    """Reads one PROXY header, of version 1 or 2, from the first bytes of a connection.

    A decoder is for one connection: once it has returned a preamble or raised, it is spent.
    It is for connections that must begin with a header; whether to expect one is for the settings
    to say and never for the bytes, or any client could claim any address (section 2).
    """

    def __init__(self) -> None:
        self._collector = HeaderCollector(proxy_v2.MAX_HEADER, _find_end)

    def feed(self, data: bytes) -> tuple[Preamble, bytes] | None:
        """Return who the client is and its bytes after the header, or None while more must come.

        The preamble names no service; its addresses are None where the proxy speaks for itself
        (a health check) or does not know them. Raises ProtocolError at the first byte that
        cannot be in a header, and for a header longer than its version's MAX_HEADER.
        """
        found = self._collector.feed(data)
        if found is None:
            return None
        header, rest = found
        return _decode(header), rest


def _is_v1(start: bytes | bytearray) -> bool:
    return start.startswith(b"P")  # which the other version's signature does not


def _find_end(start: bytes | bytearray) -> int | None:
    return proxy_v1.find_end(start) if _is_v1(start) else proxy_v2.find_end(start)


def _decode(header: bytes) -> Preamble:
    if _is_v1(header):
        return proxy_v1.decode(header)
    facts = proxy_v2.decode(header)
    return Preamble(client=facts.client, outside=facts.outside, client_id=facts.client_id())
