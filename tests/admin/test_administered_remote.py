"""A remote and its admin interface as one role: they start and end together."""

from __future__ import annotations

import asyncio
import socket

import pytest

from quictunnel.admin.role import AdministeredRemote
from quictunnel.config.addresses import HostPort
from quictunnel.errors import SettingsError
from quictunnel.events import discard_event

REQUEST = b"GET /caddy/ask?domain=www.test HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class EndableRemote:
    """A remote whose end the test decides."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failure: Exception | None = None
        self.ended = asyncio.Event()

    def has_site(self, name: str) -> bool:
        return name == "www.test"

    async def start(self) -> None:
        self.calls.append("start")
        if self.failure is not None:
            raise self.failure

    async def wait_closed(self) -> None:
        await self.ended.wait()
        if self.failure is not None:
            raise self.failure

    def drain(self) -> None:
        self.calls.append("drain")

    def abort(self) -> None:
        self.calls.append("abort")


@pytest.fixture
def remote():
    return EndableRemote()


@pytest.fixture
def role(remote):
    return AdministeredRemote(remote, HostPort("127.0.0.1", 0), emit=discard_event)


async def ask(role: AdministeredRemote) -> bytes:
    reader, writer = await asyncio.open_connection(role.address.host, role.address.port)
    writer.write(REQUEST)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_the_interface_answers_from_the_start_until_the_remote_has_ended(role, remote):
    await role.start()
    assert (await ask(role)).startswith(b"HTTP/1.1 200 ")
    closing = asyncio.create_task(role.wait_closed())
    role.drain()
    assert (await ask(role)).startswith(b"HTTP/1.1 200 ")
    remote.ended.set()
    await closing
    with pytest.raises(ConnectionRefusedError):
        await ask(role)
    assert remote.calls == ["start", "drain"]


async def test_an_error_of_the_remote_ends_the_interface_and_is_raised(role, remote):
    await role.start()
    remote.failure = ZeroDivisionError()
    remote.ended.set()
    with pytest.raises(ZeroDivisionError):
        await role.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await ask(role)


async def test_a_remote_that_cannot_start_leaves_no_interface(role, remote):
    remote.failure = SettingsError("no such address")
    with pytest.raises(SettingsError):
        await role.start()
    with pytest.raises(ConnectionRefusedError):
        await ask(role)


async def test_an_address_in_use_is_noticed_before_the_remote_starts(remote):
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = HostPort("127.0.0.1", other.getsockname()[1])
        role = AdministeredRemote(remote, listen, emit=discard_event)
        with pytest.raises(SettingsError, match="--admin PORT selects another port"):
            await role.start()
    assert remote.calls == []


async def test_abort_ends_the_remote_at_once(role, remote):
    await role.start()
    role.abort()
    remote.ended.set()
    await role.wait_closed()
    assert remote.calls == ["start", "abort"]
