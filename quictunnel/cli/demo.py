"""`quictunnel demo`: a remote, an origin and a web page in one process on this machine.

It uses the real roles over loopback, with a token, proofs and a PROXY protocol header. The link's
datagrams go through a forwarder, so that the network can be cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import time
from pathlib import Path
from typing import Annotated

from quictunnel import __version__
from quictunnel.cli import logging_setup, options
from quictunnel.cli.demo_admin import DemoAdmin
from quictunnel.cli.demo_network import DemoNetwork
from quictunnel.cli.demo_site import DOWNLOAD_PATH, Site
from quictunnel.cli.open_browser import has_browser, open_page
from quictunnel.cli.output import print_line, print_styled
from quictunnel.cli.role_runner import run
from quictunnel.config.addresses import LOOPBACK_ADDRESS, HostPort
from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.services import ServiceSettings
from quictunnel.config.settings import EngineName, OriginSettings, RemoteSettings
from quictunnel.config.state import load_or_make_certificate
from quictunnel.config.tokens import Token
from quictunnel.errors import QuictunnelError
from quictunnel.events import Event, LinkDropped, ServicesGranted, discard_event
from quictunnel.observe.event_log import EventLog
from quictunnel.origin.client import Origin
from quictunnel.protocol.address import Address
from quictunnel.quic.engines.selection import select
from quictunnel.remote.server import Remote

READY_TIMEOUT = 20.0
"""Seconds in which the remote must welcome the origin."""

FETCH_TIMEOUT = 20.0
"""Seconds in which the page must arrive."""

GRACE = 2.0
"""Seconds that a browser has to finish loading the page when the demo ends."""

Once = Annotated[
    bool,
    options.OPTIONS.option(
        "--once",
        "End after the page has been fetched.",
        metavar="",
    ),
]


NoOpen = Annotated[
    bool,
    options.OPTIONS.option(
        "--no-open",
        "Do not open the live page in a browser.",
        metavar="",
    ),
]


def demo(
    *,
    once: Once = False,
    no_open: NoOpen = False,
    engine: options.Engine = "auto",
    log_format: options.LogFormatOption = "text",
    log_level: options.LogLevelOption = "warning",
) -> None:
    """Try it: run a remote, an origin and a small web page on this machine.

    Examples:
      quictunnel demo
      quictunnel demo --once

    It fetches the page through the tunnel and shows each step. Then it opens the live page, if
    this terminal belongs to a desktop. There you can cut the network in the middle of a download,
    and see how the connection survives. It runs until you press Ctrl-C. Other machines cannot
    reach it, and it leaves no files.
    """
    logging_setup.setup(log_format, log_level)
    with tempfile.TemporaryDirectory(prefix="quictunnel-demo-") as directory:
        asyncio.run(_show(Path(directory), engine, once=once, may_open=not no_open))


async def _show(directory: Path, engine: EngineName, *, once: bool, may_open: bool) -> None:
    role = Demo(directory, engine)

    def started() -> None:
        print_line(f"ready: {role.url} through the tunnel -> {role.site_address}")
        if once:
            role.drain()
            return
        print_line("")
        print_styled("  Page through the tunnel  ", (role.url, "bold underline"))
        print_styled("  Live page                ", (role.live_page_url, "bold underline"))
        print_line("")
        print_line(
            "  Cut the network on the live page while a download runs. Ctrl-C ends the demo."
        )
        print_line("")
        if may_open and has_browser():
            open_page(role.live_page_url)

    await run(role, started, emit=discard_event)


class Demo:
    """Both roles and the site, as one role."""

    def __init__(self, directory: Path, engine: EngineName) -> None:
        self._engine: EngineName = engine
        self._token = Token.new()
        self._site = Site()
        self._network = DemoNetwork(LOOPBACK_ADDRESS)
        self._admin = DemoAdmin(self._on_origin_event, self.drain)
        self._remote = Remote(
            RemoteSettings(
                listen=HostPort(LOOPBACK_ADDRESS, 0),
                outside=HostPort(LOOPBACK_ADDRESS, 0),
                state_dir=directory,
                grace=GRACE,
                engine=engine,
            ),
            (self._token,),
            CertificateFiles(*load_or_make_certificate(directory)),
            emit=EventLog(logging.getLogger("quictunnel.remote")),
        )
        self._log_origin = EventLog(logging.getLogger("quictunnel.origin"))
        self._origin: Origin | None = None
        self._welcomed = asyncio.Event()
        self._is_stopping = False
        self._step = 0

    @property
    def url(self) -> str:
        """The page's address through the tunnel, from `start` on."""
        return f"http://{self._remote.outside_address}/"

    @property
    def site_address(self) -> Address:
        """The web server's own address, from `start` on."""
        return self._site.address

    @property
    def live_page_url(self) -> str:
        """The address of the origin's live page, from `start` on."""
        return self._admin.url

    async def start(self) -> None:
        """Start the site, the remote and the origin, and fetch the page.

        :raises QuictunnelError: the page does not arrive, or the engine cannot be used.
        """
        engine = select(self._engine, None)
        print_line(f"quictunnel {__version__}: the whole path on this machine")
        await self._site.start()
        self._show("origin server", f"serves a web page on TCP {self._site.address}")
        await self._remote.start()
        link, outside = self._remote.link_address, self._remote.outside_address
        self._show("remote", f"accepts origins on UDP {link} and clients on TCP {outside}")
        self._network.start(link)
        origin = await self._start_origin(self._network.address)
        self._show("origin", f"connected over QUIC ({engine.name}); both ends proved the token")
        start = time.perf_counter()
        size, client = await _fetch(outside)
        milliseconds = (time.perf_counter() - start) * 1000
        self._show("client", f"received {size:,} bytes in {milliseconds:.1f} ms")
        self._show("page", f"shows the client's own address, {client}")
        site = self.url.removesuffix("/")
        await self._admin.start(origin, site, site + DOWNLOAD_PATH, self._network)
        self._show("live page", "shows the link, and has a button that cuts the network")

    async def wait_closed(self) -> None:
        """Wait until both roles have ended, and raise the error that ended them."""
        try:
            if self._origin is not None:
                await self._origin.wait_closed()
            self._remote.drain()
            await self._remote.wait_closed()
        finally:
            await self._admin.close()
            self._network.close()
            self._site.close()

    def drain(self) -> None:
        """Let browsers finish loading the page, then end."""
        self._is_stopping = True
        self._remote.drain()
        if self._origin is not None:
            self._origin.drain()

    def abort(self) -> None:
        """End at once."""
        self._is_stopping = True
        self._remote.abort()
        if self._origin is not None:
            self._origin.abort()
        self._site.close()

    # -- Inside

    async def _start_origin(self, link: Address) -> Origin:
        site = self._site.address
        origin = self._origin = Origin(
            OriginSettings(
                remote=HostPort(link.host, link.port),
                services=(
                    ServiceSettings(target=HostPort(site.host, site.port), proxy_protocol="v2"),
                ),
                token=self._token,
                name="demo",
                grace=GRACE,
                engine=self._engine,
            ),
            emit=self._admin.emit,
        )
        await origin.start()
        ended = asyncio.ensure_future(origin.wait_closed())
        welcomed = asyncio.ensure_future(self._welcomed.wait())
        try:
            await asyncio.wait(
                [ended, welcomed], timeout=READY_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
            )
            if ended.done():
                ended.result()  # raises the error that ended it
            if not welcomed.done():
                raise QuictunnelError("the remote did not welcome the origin in time")
        finally:
            ended.cancel()
            welcomed.cancel()
        return origin

    def _on_origin_event(self, event: Event) -> None:
        if isinstance(event, ServicesGranted):
            self._welcomed.set()
        if not (self._is_stopping and isinstance(event, LinkDropped)):
            self._log_origin(event)

    def _show(self, subject: str, text: str) -> None:
        self._step += 1
        print_styled(f"  {self._step}  ", (f"{subject:<14}", "bold"), f" {text}")


async def _fetch(outside: Address) -> tuple[int, Address]:
    """Fetch the page as a client; return the response's size and the client's address.

    :raises QuictunnelError: it does not arrive, or does not show this client's address.
    """
    try:
        async with asyncio.timeout(FETCH_TIMEOUT):
            reader, writer = await asyncio.open_connection(outside.host, outside.port)
            with contextlib.closing(writer):
                client = Address.of(writer.get_extra_info("sockname"))
                writer.write(f"GET / HTTP/1.1\r\nHost: {outside}\r\n\r\n".encode())
                response = await reader.read()
    except TimeoutError:
        raise QuictunnelError("the page did not arrive through the tunnel in time") from None
    except OSError as exc:
        raise QuictunnelError(f"the page did not arrive through the tunnel: {exc}") from exc
    head, _, page = response.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 ") or str(client).encode() not in page:
        raise QuictunnelError("the tunnel did not return the demo's page")
    return len(response), client
