"""A remote and an origin in one process, over loopback, with real sockets on every side."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from dataclasses import replace

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.services import ProxyProtocol, ServiceSettings
from quictunnel.config.settings import OriginSettings, RemoteSettings
from quictunnel.config.state import load_or_make_certificate
from quictunnel.config.tokens import Token
from quictunnel.errors import Refused, SettingsError
from quictunnel.events import Event, ServicesGranted
from quictunnel.observe.event_log import EventLog
from quictunnel.origin.client import Origin
from quictunnel.remote.server import Remote
from testkit.tunnel import LOOPBACK


class AsyncTcpPeer:
    """One end of a TCP connection that a test controls."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self, count: int) -> bytes:
        return await self.reader.readexactly(count)

    async def receive_all(self) -> bytes:
        return await self.reader.read()

    def send_eof(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def is_reset(self) -> bool:
        try:
            await self.reader.read()
        except ConnectionResetError:
            return True
        return False


class RolesInProcess:
    """An origin server, a remote, origins for it, and clients, all in one process."""

    def __init__(self, tmp_path, engines) -> None:
        self.engines = engines
        self.token = Token.new()
        self.certificates = CertificateFiles(*load_or_make_certificate(tmp_path))
        self.remote_settings = RemoteSettings(
            listen=HostPort(LOOPBACK, 0),
            outside=HostPort(LOOPBACK, 0),
            state_dir=tmp_path,
            grace=5.0,
            engine=engines[1],
        )
        self.served: asyncio.Queue[AsyncTcpPeer] = asyncio.Queue()
        self.ready: asyncio.Queue[ServicesGranted] = asyncio.Queue()
        self.remote_events: list[Event] = []
        self.origin_events: list[Event] = []
        self.server: asyncio.Server
        self.remote: Remote
        self._remote_log = EventLog(logging.getLogger("quictunnel.remote"))
        self._peers: list[AsyncTcpPeer] = []
        self._roles: list[Remote | Origin] = []

    async def start(self) -> RolesInProcess:
        self.server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.remote = await self.start_remote()
        return self

    @property
    def port(self) -> int:
        """The remote's port for origins."""
        return self.remote.link_address.port

    async def start_remote(self, **settings) -> Remote:
        remote = Remote(
            replace(self.remote_settings, **settings),
            (self.token,),
            self.certificates,
            emit=self._remote_event,
        )
        self._roles.append(remote)
        await remote.start()
        return remote

    async def start_origin(
        self,
        *,
        port: int | None = None,
        target: HostPort | None = None,
        proxy_protocol: ProxyProtocol = "off",
        **settings,
    ) -> Origin:
        server = HostPort(LOOPBACK, self.server.sockets[0].getsockname()[1])
        service = ServiceSettings(target=target or server, proxy_protocol=proxy_protocol)
        origin = Origin(
            OriginSettings(
                **{
                    "remote": HostPort(LOOPBACK, port or self.remote.link_address.port),
                    "services": (service,),
                    "token": self.token,
                    "name": "box",
                    "grace": 5.0,
                    "engine": self.engines[0],
                    **settings,
                }
            ),
            emit=self._origin_event,
        )
        self._roles.append(origin)
        await origin.start()
        return origin

    async def up(self, **settings) -> Origin:
        origin = await self.start_origin(**settings)
        await self.ready.get()
        return origin

    async def connect(self) -> AsyncTcpPeer:
        client = AsyncTcpPeer(
            *await asyncio.open_connection(LOOPBACK, self.remote.outside_address.port)
        )
        self._peers.append(client)
        return client

    async def pair(self) -> tuple[AsyncTcpPeer, AsyncTcpPeer]:
        """Return a new client and its connection at the origin server."""
        return await self.connect(), await self.served.get()

    async def end(self) -> None:
        for peer in self._peers:
            peer.writer.transport.abort()
        self.server.close()
        for role in self._roles:
            role.abort()
            with contextlib.suppress(Refused, SettingsError):
                await role.wait_closed()

    def _remote_event(self, event: Event) -> None:
        self.remote_events.append(event)
        self._remote_log(event)

    def _origin_event(self, event: Event) -> None:
        self.origin_events.append(event)
        if isinstance(event, ServicesGranted):
            self.ready.put_nowait(event)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = AsyncTcpPeer(reader, writer)
        self._peers.append(peer)
        self.served.put_nowait(peer)


async def refused(origin: Origin) -> Refused:
    with pytest.raises(Refused) as caught:
        await origin.wait_closed()
    return caught.value
