"""QUIC: sockets, links, and streams that are `asyncio.Transport`s; what bytes mean is not known.

`listen` and `dial` make links; a role subclasses `LinkProtocol` to be told of them. Which QUIC
engine stands beneath is the choice of `engines`.
"""

from quictunnel.link.dialler import Watch, dial
from quictunnel.link.engines import EngineKind, installed
from quictunnel.link.engines import announce as announce_engine
from quictunnel.link.engines import choose as choose_engine
from quictunnel.link.link import Link
from quictunnel.link.listener import Listener, listen
from quictunnel.link.neighbours import LinkProtocol
from quictunnel.link.network import NetworkWatch
from quictunnel.link.settings import ClientTls, LinkSettings, ServerTls
from quictunnel.link.stream import Stream

__all__ = [
    "ClientTls",
    "EngineKind",
    "Link",
    "LinkProtocol",
    "LinkSettings",
    "Listener",
    "NetworkWatch",
    "ServerTls",
    "Stream",
    "Watch",
    "announce_engine",
    "choose_engine",
    "dial",
    "installed",
    "listen",
]
