"""Decodes the PROXY header of a proxy in front of the remote, version 1 or 2.

Unlike in a preamble, TLV types from 0xE0 on belong to the sender, such as a cloud's load balancer.
None of them names a service.
"""

from __future__ import annotations

from quictunnel.protocol import proxy_v1, proxy_v2
from quictunnel.protocol.header_collector import HeaderCollector
from quictunnel.protocol.preamble import Preamble


class ProxyDecoder:
    """Decodes the PROXY header of one connection. Unusable after it has returned or raised.

    Use it only for connections that must begin with a header. Settings decide that, never the
    bytes received: otherwise any client could claim any address (proxy-protocol.txt, section 2).
    """

    def __init__(self) -> None:
        self._collector = HeaderCollector(proxy_v2.MAX_HEADER, _find_end)

    def feed(self, data: bytes) -> tuple[Preamble, bytes] | None:
        """Return the client and the bytes after the header, or None while it is incomplete.

        The preamble has no service. Its addresses are None for the proxy's own connections, such
        as health checks, and if the proxy does not know them.

        :raises ProtocolError: at the first byte that cannot be part of a header, or if the header
            is longer than its version's MAX_HEADER.
        """
        found = self._collector.feed(data)
        if found is None:
            return None
        header, rest = found
        return _decode(header), rest


def _is_v1(start: bytes | bytearray) -> bool:
    return start.startswith(b"P")  # version 2's signature begins with CR


def _find_end(start: bytes | bytearray) -> int | None:
    return proxy_v1.find_end(start) if _is_v1(start) else proxy_v2.find_end(start)


def _decode(header: bytes) -> Preamble:
    if _is_v1(header):
        return proxy_v1.decode(header)
    fields = proxy_v2.decode(header)
    return Preamble(client=fields.client, outside=fields.outside, client_id=fields.client_id())
