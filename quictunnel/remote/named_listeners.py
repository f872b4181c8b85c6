"""The shared listeners: clients of all host names arrive there, and their first bytes name one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from quictunnel.config.addresses import HostPort
from quictunnel.config.hosts import HostProtocol
from quictunnel.events import EventSink
from quictunnel.protocol.address import Address
from quictunnel.relay.tcp_options import KeepAlive
from quictunnel.remote.acceptor import CLIENT_KEEPALIVE, relayed
from quictunnel.remote.name_readers import Find, HttpNameReader, NameReader, TlsNameReader
from quictunnel.remote.outside_listener import OutsideListener

_READERS: dict[HostProtocol, Callable[[Find], NameReader]] = {
    "tls": TlsNameReader,
    "http": HttpNameReader,
}


class NamedListener:
    """A listener whose clients name the host that they want.

    :param protocol: the protocol of its clients.
    :param find: returns the route of a name.
    :param new_client: makes the protocol of a client whose name is not known yet.
    :param keep_alive: when the kernel probes clients.
    """

    def __init__(
        self,
        listen: HostPort,
        protocol: HostProtocol,
        find: Find,
        new_client: Callable[[NameReader], asyncio.Protocol],
        *,
        emit: EventSink,
        keep_alive: KeepAlive = CLIENT_KEEPALIVE,
    ) -> None:
        self.protocol = protocol
        make_reader = _READERS[protocol]
        self._listener = OutsideListener(
            listen,
            relayed(lambda: new_client(make_reader(find))),
            emit=emit,
            option=f"--{protocol}",
            keep_alive=keep_alive,
        )

    @property
    def address(self) -> Address:
        """The bound address, from `bind` on."""
        return self._listener.address

    @property
    def port(self) -> int:
        """The bound port, from `bind` on."""
        return self.address.port

    async def bind(self) -> None:
        """Bind the address.

        :raises SettingsError: it is taken, not this machine's, or not allowed.
        """
        await self._listener.bind()

    def serve(self) -> None:
        """Accept clients."""
        self._listener.serve()

    def set_keep_alive(self, keep_alive: KeepAlive) -> None:
        """Set when the kernel probes clients that connect from now on."""
        self._listener.set_keep_alive(keep_alive)

    def close(self) -> None:
        """Stop accepting clients. Accepted clients stay connected."""
        self._listener.close()
