"""QUIC links and streams. A stream is an `asyncio.Transport`.

`listen` and `dial` create links, which call a `LinkProtocol`. `engines` holds the QUIC engines,
`path` how datagrams travel.
"""

from quictunnel.quic.dialer import MonitorFactory, dial
from quictunnel.quic.engines.selection import EngineKind, installed, report_selected, select
from quictunnel.quic.link import Link, LinkProtocol, LinkStatistics
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
    "LinkStatistics",
    "Listener",
    "MonitorFactory",
    "NetworkMonitor",
    "ServerTls",
    "Stream",
    "dial",
    "installed",
    "listen",
    "report_selected",
    "select",
]
