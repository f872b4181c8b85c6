"""The live page of the demo's origin, with a download and a button that cuts the network."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources

from quictunnel.admin.extension import PageExtension
from quictunnel.admin.interface import AdminInterface
from quictunnel.cli.administration import Administration
from quictunnel.cli.demo_download import SHA256, SIZE
from quictunnel.cli.demo_network import DemoNetwork
from quictunnel.config.addresses import LOOPBACK_ADDRESS, HostPort
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink
from quictunnel.origin.client import Origin

CUT = 5.0
"""Seconds that the button cuts the network for."""


class DemoAdmin:
    """The admin interface of the demo's origin.

    :param log: receives the origin's events too.
    :param drain: ends the demo in order.
    """

    def __init__(self, log: EventSink, drain: Callable[[], None]) -> None:
        self._drain = drain
        self._administration = Administration(log)
        self.emit: EventSink = self._administration.emit
        """The sink for the origin's events."""
        self._interface: AdminInterface | None = None

    @property
    def url(self) -> str:
        """The page's address, from `start` on."""
        if self._interface is None:
            raise RuntimeError("the admin interface has not been started")
        return f"http://{self._interface.address}/"

    async def start(self, origin: Origin, site: str, download: str, network: DemoNetwork) -> None:
        """Serve the page on a free port of the loopback address.

        :param site: the web origin of the demo's site through the tunnel.
        :param download: the URL of the download.
        :param network: the network that the button cuts.
        """
        extension = PageExtension(
            script=_script(site, download),
            actions={"cut": lambda: network.cut(CUT)},
            sources=(site,),
        )
        managed = self._administration.manage(
            "origin", origin, _Control(self._drain), extension=extension
        )
        self._interface = AdminInterface(managed, HostPort(LOOPBACK_ADDRESS, 0), emit=self.emit)
        try:
            await self._interface.bind()
            await self._interface.start()
        except BaseException:
            await self._interface.close()
            raise

    async def close(self) -> None:
        """Stop serving. It may be called again, and before `start`."""
        if self._interface is not None:
            await self._interface.close()


class _Control:
    """Ends the demo on request."""

    def __init__(self, drain: Callable[[], None]) -> None:
        self._drain = drain

    def drain(self) -> None:
        self._drain()

    def reload(self) -> tuple[str, ...]:
        raise SettingsError("the demo has no configuration file")


def _script(site: str, download: str) -> str:
    """Return the script of the panel, with the demo's constants in front."""
    constants = {
        "SITE": site,
        "DOWNLOAD": download,
        "SIZE": SIZE,
        "SHA256": SHA256,
        "SECONDS": CUT,
    }
    lines = [f"const {name} = {json.dumps(value)};\n" for name, value in constants.items()]
    panel = resources.files("quictunnel.cli").joinpath("demo_panel.js").read_text("utf-8")
    return "".join(lines) + panel
