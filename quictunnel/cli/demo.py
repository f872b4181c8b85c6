"""`quictunnel demo`: a remote, an origin and a web page, all on this machine, in one process.

They are the real ones, over real sockets on loopback: a link, tokens, proofs, a PROXY header.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from quictunnel import __version__
from quictunnel.cli import options
from quictunnel.cli.demo_site import Site
from quictunnel.cli.output import say, say_styled
from quictunnel.cli.role_runner import run
from quictunnel.config.addresses import HostPort
from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.settings import EngineName, OriginSettings, RemoteSettings
from quictunnel.config.state import load_or_make_certificate
from quictunnel.config.tokens import Token
from quictunnel.errors import QuictunnelError
from quictunnel.events import Event, ServicesGranted
from quictunnel.observe import logging_setup as logs
from quictunnel.observe.event_log import EventLog
from quictunnel.origin.client import Origin
from quictunnel.protocol.address import Address
from quictunnel.quic import select
from quictunnel.remote.server import Remote

READY_TIMEOUT = 20.0
"""Seconds for the origin to be welcomed, which on loopback takes some milliseconds."""

FETCH_TIMEOUT = 20.0
"""Seconds for the page to come."""

GRACE = 2.0
"""Seconds for a browser that still loads the page when the demo ends."""

MAX_PAGE = 1 << 20
"""Bytes of an answer that are read; the page has some thousand."""

LOOPBACK = "127.0.0.1"

Once = Annotated[
    bool,
    typer.Option(
        "--once",
        metavar="",
        envvar="QUICTUNNEL_ONCE",
        help="End after the page has been fetched, instead of waiting for Ctrl-C.",
    ),
]


def demo(
    *,
    once: Once = False,
    engine: options.Engine = "auto",
    log_format: options.LogFormatOption = "text",
    log_level: options.LogLevelOption = "warning",
) -> None:
    """See it work: a remote, an origin and a small web page, all on this machine.

    The page is fetched through the tunnel, each step is shown, and then it is yours to open in a
    browser until Ctrl-C. Nothing is kept, and nothing is reachable from other machines.
    """
    logs.setup(log_format, log_level)
    with tempfile.TemporaryDirectory(prefix="quictunnel-demo-") as directory:
        asyncio.run(_show(Path(directory), engine, once=once))


async def _show(directory: Path, engine: EngineName, *, once: bool) -> None:
    role = Demo(directory, engine)

    def started() -> None:
        say(f"ready: {role.url} through the tunnel -> {role.site_address}")
        if once:
            role.drain()
        else:
            say_styled("\n  Open ", (role.url, "bold underline"), "  Ctrl-C ends it.\n")

    await run(role, started)


class Demo:
    """Both roles and the site, as one role."""

    def __init__(self, directory: Path, engine: EngineName) -> None:
        self._engine: EngineName = engine
        self._token = Token.new()
        self._site = Site()
        self._remote = Remote(
            RemoteSettings(
                listen=HostPort(LOOPBACK, 0),
                outside=HostPort(LOOPBACK, 0),
                state_dir=directory,
                grace=GRACE,
                engine=engine,
            ),
            (self._token,),
            CertificateFiles(*load_or_make_certificate(directory)),
            emit=EventLog(logging.getLogger("quictunnel.remote")),
        )
        self._log_origin_event = EventLog(logging.getLogger("quictunnel.origin"))
        self._origin: Origin | None = None
        self._welcomed = asyncio.Event()
        self._step = 0

    @property
    def url(self) -> str:
        """Where the page is found, through the tunnel; from `start` on."""
        return f"http://{self._remote.outside_address}/"

    @property
    def site_address(self) -> Address:
        """Where the page is served, behind the tunnel; from `start` on."""
        return self._site.address

    async def start(self) -> None:
        """Start all three, one after the other, and fetch the page.

        :raises QuictunnelError: when the page does not come as it should, or the engine cannot be
            used.
        """
        engine = select(self._engine, None)
        say(f"quictunnel {__version__}: the whole path, on this machine")
        await self._site.start()
        self._show("origin server", f"a web page on tcp {self._site.address}, behind the tunnel")
        await self._remote.start()
        remote = self._remote
        self._show(
            "remote", f"link udp {remote.link_address}, outside tcp {remote.outside_address}"
        )
        await self._start_origin(remote.link_address)
        self._show(
            "origin",
            f"linked over QUIC, by {engine.name}; both ends proved that they know the token",
        )
        visit = await _fetch(remote.outside_address)
        milliseconds = visit.seconds * 1000
        self._show("client", f"{visit.size:,} bytes through the tunnel, in {milliseconds:.1f} ms")
        self._show("page", f"names its visitor: {visit.client}, the client's own address")

    async def wait_closed(self) -> None:
        """Wait until both roles have ended; raises what ended them."""
        if self._origin is not None:
            await self._origin.wait_closed()
        self._remote.drain()
        await self._remote.wait_closed()
        self._site.close()

    def drain(self) -> None:
        """Let who is loading the page finish, then end: first the remote, where clients come."""
        self._remote.drain()
        if self._origin is not None:
            self._origin.drain()

    def abort(self) -> None:
        """End at once."""
        self._remote.abort()
        if self._origin is not None:
            self._origin.abort()
        self._site.close()

    # -- Inside

    async def _start_origin(self, link: Address) -> None:
        site = self._site.address
        self._origin = Origin(
            OriginSettings(
                remote=HostPort(link.host, link.port),
                origin=HostPort(site.host, site.port),
                token=self._token,
                name="demo",
                proxy_protocol="v2",
                grace=GRACE,
                engine=self._engine,
            ),
            emit=self._origin_event,
        )
        await self._origin.start()
        ended = asyncio.ensure_future(self._origin.wait_closed())
        welcomed = asyncio.ensure_future(self._welcomed.wait())
        try:
            await asyncio.wait(
                [ended, welcomed], timeout=READY_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
            )
            if ended.done():
                ended.result()  # raises why it ended before it began
            if not welcomed.done():
                raise QuictunnelError("the origin was not welcomed by the remote in time")
        finally:
            ended.cancel()
            welcomed.cancel()

    def _origin_event(self, event: Event) -> None:
        self._log_origin_event(event)
        if isinstance(event, ServicesGranted):
            self._welcomed.set()

    def _show(self, who: str, what: str) -> None:
        self._step += 1
        say_styled(f"  {self._step}  ", (f"{who:<14}", "bold"), f" {what}")


@dataclass(frozen=True, slots=True)
class _Visit:
    """What the fetch of the page showed."""

    size: int
    seconds: float
    client: Address


async def _fetch(outside: Address) -> _Visit:
    """Fetch the page as a client.

    :raises QuictunnelError: when it does not come, or does not name this client.
    """
    begin = time.perf_counter()
    try:
        async with asyncio.timeout(FETCH_TIMEOUT):
            reader, writer = await asyncio.open_connection(outside.host, outside.port)
            with contextlib.closing(writer):
                client = Address.of(writer.get_extra_info("sockname"))
                writer.write(f"GET / HTTP/1.1\r\nHost: {outside}\r\n\r\n".encode())
                answer = await _read_answer(reader)
    except TimeoutError:
        raise QuictunnelError("the page did not come through the tunnel in time") from None
    except OSError as exc:
        raise QuictunnelError(f"the page did not come through the tunnel: {exc}") from exc
    seconds = time.perf_counter() - begin
    head, _, page = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 ") or str(client).encode() not in page:
        raise QuictunnelError("what came through the tunnel is not the demo's page")
    return _Visit(len(answer), seconds, client)


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    """Read to the end, `MAX_PAGE` bytes at most."""
    answer = b""
    while len(answer) <= MAX_PAGE and (piece := await reader.read(1 << 16)):
        answer += piece
    return answer
