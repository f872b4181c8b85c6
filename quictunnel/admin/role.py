"""A remote together with its admin interface, as one role."""

from __future__ import annotations

from quictunnel.admin.app import make_app
from quictunnel.admin.caddy import ask_route
from quictunnel.admin.server import AdminServer
from quictunnel.config.addresses import HostPort
from quictunnel.events import EventSink
from quictunnel.protocol.address import Address
from quictunnel.remote.server import Remote


class AdministeredRemote:
    """Starts and ends a remote and its admin interface together.

    The interface answers while the remote drains, and ends after it.

    :param listen: a loopback address for the interface.
    """

    def __init__(self, remote: Remote, listen: HostPort, *, emit: EventSink) -> None:
        self._remote = remote
        self._server = AdminServer(listen, make_app([ask_route(remote.has_site)], emit=emit))

    @property
    def address(self) -> Address:
        """The interface's address, from `start` on."""
        return self._server.address

    async def start(self) -> None:
        """Bind all addresses, then accept origins, clients and admin requests.

        :raises SettingsError: an address is taken, not this machine's, or not allowed; or the
            engine cannot be used.
        """
        self._server.bind()
        try:
            await self._remote.start()
            await self._server.serve()
        except BaseException:
            await self._server.close()
            raise

    async def wait_closed(self) -> None:
        """Wait until both have ended, and raise the error that ended the remote, if one did."""
        try:
            await self._remote.wait_closed()
        finally:
            await self._server.close()

    def drain(self) -> None:
        """End the remote in order. The interface ends after it."""
        self._remote.drain()

    def abort(self) -> None:
        """End the remote at once. The interface ends after it."""
        self._remote.abort()
