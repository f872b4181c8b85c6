"""QUIC: sockets, links, and streams that are `asyncio.Transport`s; what bytes mean is not known.

`listen` and `dial` make links; a role subclasses `LinkProtocol` to be told of them. Which QUIC
engine stands beneath is the choice of `engines`.
"""

from quictunnel.quic.dialer import Watch, dial
from quictunnel.quic.engines.selection import EngineKind, installed
from quictunnel.quic.engines.selection import announce as announce_engine
from quictunnel.quic.engines.selection import choose as choose_engine
from quictunnel.quic.link import Link
from quictunnel.quic.link_protocol import LinkProtocol
from quictunnel.quic.listener import Listener, listen
from quictunnel.quic.path.network_monitor import NetworkMonitor
from quictunnel.quic.settings import ClientTls, LinkSettings, ServerTls
from quictunnel.quic.stream import Stream

__all__ = [
    "ClientTls",
    "EngineKind",
    "Link",
    "LinkProtocol",
    "LinkSettings",
    "Listener",
    "NetworkMonitor",
    "ServerTls",
    "Stream",
    "Watch",
    "announce_engine",
    "choose_engine",
    "dial",
    "installed",
    "listen",
]
