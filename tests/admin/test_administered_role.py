"""A role and its admin interface: they start and end together, and load what they need late."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from observed_role import managed_role

from quictunnel.admin import interface as module
from quictunnel.admin.interface import AdminInterface
from quictunnel.admin.role import AdministeredRole
from quictunnel.admin.runtime import running_roles
from quictunnel.config.addresses import HostPort
from quictunnel.config.admin_token import AdminToken
from quictunnel.errors import SettingsError
from quictunnel.events import AdminSocketNotCreated, InternalErrorOccurred

REQUEST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LOOPBACK = HostPort("127.0.0.1", 0)
TOKEN = AdminToken("4f1c9ad2e07b35886d1f")


class Administered:
    """A role with its interface, the events, and requests."""

    def __init__(self, listen: HostPort | None = None, token: AdminToken | None = None) -> None:
        self.events = []
        self.managed = managed_role()
        self.role = self.managed.role
        self.interface = AdminInterface(self.managed, listen, token, emit=self.events.append)
        self.whole = AdministeredRole(self.role, self.interface)

    @property
    def path(self) -> Path:
        return self.interface._unix.path

    async def ask(self, request: bytes = REQUEST) -> bytes:
        return await _exchange(*await asyncio.open_unix_connection(self.path), request)

    async def ask_tcp(self, request: bytes = REQUEST) -> bytes:
        address = self.interface.address
        streams = await asyncio.open_connection(address.host, address.port)
        return await _exchange(*streams, request)

    async def end(self) -> None:
        self.role.ended.set()
        await self.whole.wait_closed()


async def _exchange(reader, writer, request: bytes) -> bytes:
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.fixture(autouse=True)
def runtime(runtime):
    """Use a runtime directory of the test."""
    return runtime


async def test_the_interface_answers_from_the_start_until_the_role_has_ended():
    administered = Administered(LOOPBACK)
    await administered.whole.start()
    assert (await administered.ask()).startswith(b"HTTP/1.1 200 ")
    assert (await administered.ask_tcp()).startswith(b"HTTP/1.1 200 ")
    closing = asyncio.create_task(administered.whole.wait_closed())
    administered.whole.drain()
    assert (await administered.ask()).startswith(b"HTTP/1.1 200 ")
    path = administered.path
    administered.role.ended.set()
    await closing
    assert not path.exists()
    assert administered.role.calls == ["start", "drain"]
    assert administered.events == []


async def test_the_body_of_a_response_does_not_wait_for_the_acknowledgement_of_its_head():
    administered = Administered(LOOPBACK)
    await administered.whole.start()
    address = administered.interface.address
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(REQUEST.replace(b"close", b"keep-alive"))
    await reader.readuntil(b"\r\n\r\n")
    (connection,) = (await administered.interface._load()).tcp._state.connections
    accepted = connection.transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    writer.close()
    await administered.end()


async def test_requests_that_come_at_once_are_all_answered():
    administered = Administered()
    await administered.whole.start()
    answers = await asyncio.gather(*(administered.ask() for _ in range(10)))
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    await administered.end()


async def test_an_open_stream_of_events_does_not_delay_the_end(monkeypatch):
    monkeypatch.setattr("quictunnel.admin.server.SHUTDOWN_TIMEOUT", 1000.0)
    administered = Administered()
    await administered.whole.start()
    stream = asyncio.create_task(administered.ask(REQUEST.replace(b"/livez", b"/api/v1/events")))
    async with asyncio.timeout(20):
        while administered.interface._loading is None:  # noqa: ASYNC110 - the server is elsewhere
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await administered.end()
        assert b"text/event-stream" in await stream


async def test_connections_that_send_nothing_load_nothing_and_end_with_the_role():
    administered = Administered()
    await administered.whole.start()
    reader, writer = await asyncio.open_unix_connection(administered.path)
    await asyncio.sleep(0.01)
    assert administered.interface._loading is None
    await administered.end()
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()


def test_the_application_is_imported_at_the_first_request_only():
    script = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from observed_role import managed_role
from quictunnel.admin.interface import AdminInterface

async def main():
    interface = AdminInterface(managed_role(), emit=print)
    await interface.start()
    assert not {"starlette", "uvicorn"} & set(sys.modules), "imported at the start"
    reader, writer = await asyncio.open_unix_connection(interface._unix.path)
    writer.write(b"GET /livez HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
    assert b" 200 " in await reader.read()
    assert {"starlette", "uvicorn"} <= set(sys.modules)
    await interface.close()

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def test_an_error_of_the_role_ends_the_interface_and_is_raised():
    administered = Administered(LOOPBACK)
    await administered.whole.start()
    path = administered.path
    administered.role.failure = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await administered.end()
    assert not path.exists()


async def test_a_role_that_cannot_start_leaves_no_interface():
    administered = Administered(LOOPBACK)
    administered.role.failure = SettingsError("no such address")
    with pytest.raises(SettingsError):
        await administered.whole.start()
    assert running_roles() == []


async def test_an_address_in_use_is_noticed_before_the_role_starts():
    with socket.create_server(("127.0.0.1", 0)) as other:
        administered = Administered(HostPort("127.0.0.1", other.getsockname()[1]))
        with pytest.raises(SettingsError, match="--admin PORT selects another port"):
            await administered.whole.start()
    assert administered.role.calls == []


async def test_abort_ends_the_role_at_once():
    administered = Administered()
    await administered.whole.start()
    administered.whole.abort()
    await administered.end()
    assert administered.role.calls == ["start", "abort"]


async def test_without_a_socket_the_role_starts_and_says_why(runtime):
    (runtime / "quictunnel").touch()
    administered = Administered()
    await administered.whole.start()
    (event,) = administered.events
    assert isinstance(event, AdminSocketNotCreated)
    assert event.path.startswith(f"{runtime}/quictunnel/remote-")
    assert "cannot be created" in event.reason
    await administered.end()


async def test_an_application_that_cannot_be_loaded_is_an_internal_error(monkeypatch):
    monkeypatch.setattr(module, "APPLICATION", "quictunnel.admin.missing")
    administered = Administered()
    await administered.whole.start()
    with contextlib.suppress(ConnectionResetError):
        assert await administered.ask() == b""
    assert [type(event) for event in administered.events] == [InternalErrorOccurred]
    await administered.end()


async def test_ipv6_loopback_is_served():
    administered = Administered(HostPort("::1", 0))
    await administered.whole.start()
    assert str(administered.interface.address).startswith("[::1]:")
    answer = await administered.ask_tcp(REQUEST.replace(b"localhost", b"[::1]"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    await administered.end()


async def test_the_token_is_for_the_tcp_address_only():
    administered = Administered(LOOPBACK, TOKEN)
    await administered.whole.start()
    request = REQUEST.replace(b"/livez", b"/api/v1/status")
    assert (await administered.ask_tcp(request)).startswith(b"HTTP/1.1 401 ")
    bearer = f"Authorization: Bearer {TOKEN.secret}\r\n\r\n".encode()
    answer = await administered.ask_tcp(request.replace(b"\r\n\r\n", b"\r\n" + bearer))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert (await administered.ask(request)).startswith(b"HTTP/1.1 200 ")
    assert b"password" in await administered.ask_tcp(REQUEST.replace(b"/livez", b"/login"))
    assert (await administered.ask(REQUEST.replace(b"/livez", b"/login"))).startswith(
        b"HTTP/1.1 404 "
    )
    await administered.end()
