"""The messages of a role to its service manager."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import replace

import pytest

from quictunnel.cli import service_notices
from quictunnel.cli.notify_socket import NotifySocket, open_notify_socket, watchdog_interval
from quictunnel.cli.service_notices import ServiceNotices, describe
from quictunnel.errors import SettingsError
from quictunnel.events import InternalErrorOccurred, ServiceManagerUnreachable
from testkit import snapshots
from testkit.clock import seconds, virtual_time

ORIGIN = replace(snapshots.STATE, role="origin", name="box", addresses=("vps:9001",))

LINK = replace(snapshots.LINK, peer="203.0.113.7:9001")


class FakeRole:
    def __init__(self, **fields):
        self.snapshot = replace(ORIGIN, **fields)
        self.links = [LINK]

    def describe(self):
        return self.snapshot

    def list_links(self):
        return self.links

    def change(self, **fields):
        self.snapshot = replace(self.snapshot, **fields)


class FakeChannel:
    """A manager's socket that remembers the messages, or fails."""

    def __init__(self):
        self.messages = []
        self.error = None
        self.is_closed = False

    def send(self, *lines):
        if self.error is not None:
            raise self.error
        self.messages.append(list(lines))

    def close(self):
        self.is_closed = True

    def sent(self, name):
        return [line for message in self.messages for line in message if line.startswith(name)]


class Site:
    def __init__(self, role=None, watchdog=None):
        self.role = FakeRole() if role is None else role
        self.channel = FakeChannel()
        self.events = []
        self.notices = ServiceNotices(self.role, self.channel, watchdog, emit=self.events.append)


@contextlib.contextmanager
def started(**options):
    site = Site(**options)
    with site.notices.running():
        site.notices.started()
        yield site


@virtual_time
async def test_a_role_that_works_is_ready_at_once():
    with started() as site:
        assert site.channel.messages == [
            ["READY=1", "STATUS=connected to 203.0.113.7:9001; 0 clients"]
        ]
    assert site.channel.is_closed


@virtual_time
async def test_an_origin_is_ready_when_it_is_connected():
    with started(role=FakeRole(is_ready=False, reason="not connected yet")) as site:
        assert not site.channel.sent("READY")
        assert site.channel.sent("STATUS") == ["STATUS=not connected yet; 0 clients"]
        await seconds(1)
        assert not site.channel.sent("READY")
        site.role.change(is_ready=True, reason=None)
        await seconds(0.2)
        assert site.channel.sent("READY") == ["READY=1"]


@virtual_time
async def test_a_boot_does_not_wait_for_the_network_for_long():
    with started(role=FakeRole(is_ready=False, reason="UDP may be blocked")) as site:
        await seconds(service_notices.CONNECT_PATIENCE + 0.2)
        assert site.channel.sent("READY") == ["READY=1"]
        assert site.channel.sent("STATUS")[-1] == "STATUS=UDP may be blocked; 0 clients"


@virtual_time
async def test_the_status_changes_at_a_bounded_rate():
    with started() as site:
        for clients in range(100):
            site.role.change(clients=clients)
            await seconds(0.1)
        assert len(site.channel.sent("STATUS")) <= 1 + 10 / service_notices.INTERVAL
        await seconds(service_notices.INTERVAL)
        assert site.channel.sent("STATUS")[-1].endswith("; 99 clients")
        count = len(site.channel.messages)
        await seconds(10 * service_notices.INTERVAL)
        assert len(site.channel.messages) == count  # nothing has changed


@virtual_time
async def test_the_watchdog_gets_signs_while_the_event_loop_runs():
    loop = asyncio.get_running_loop()
    with started(watchdog=3.0) as site:
        await seconds(9.5)
        assert len(site.channel.sent("WATCHDOG")) == 10
        loop.jump(60)  # the loop hangs
        assert len(site.channel.sent("WATCHDOG")) == 10
        await seconds(1.5)
        assert len(site.channel.sent("WATCHDOG")) == 12
    await seconds(60)
    assert len(site.channel.sent("WATCHDOG")) == 12


@virtual_time
async def test_no_sign_without_a_watchdog():
    with started() as site:
        await seconds(60)
        assert not site.channel.sent("WATCHDOG")


@virtual_time
async def test_a_draining_role_gets_the_time_that_it_needs():
    with started(role=FakeRole(clients=3)) as site:
        site.role.change(is_draining=True)
        site.notices.stopping()
        assert site.channel.messages[-1] == [
            "STOPPING=1",
            "EXTEND_TIMEOUT_USEC=20000000",
            "STATUS=stopping: 3 clients may finish",
        ]
        await seconds(60)
        assert len(site.channel.sent("EXTEND_TIMEOUT_USEC")) == 1 + 60 / service_notices.INTERVAL
        assert len(site.channel.sent("STOPPING")) == 1


@virtual_time
async def test_a_role_that_drains_without_a_signal_is_reported():
    with started() as site:
        site.role.change(is_draining=True)
        await seconds(service_notices.INTERVAL + 0.1)
        assert site.channel.sent("STOPPING") == ["STOPPING=1"]


@virtual_time
async def test_a_reload_has_a_beginning_and_an_end():
    with started() as site:
        with site.notices.reloading():
            line = site.channel.messages[-1][0]
            assert line.startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert line.partition("USEC=")[2].isdigit()
        assert site.channel.messages[-1] == ["READY=1"]


@virtual_time
async def test_a_message_that_was_not_delivered_is_sent_again():
    site = Site()
    site.channel.error = BlockingIOError(11, "resource temporarily unavailable")
    with site.notices.running():
        site.notices.started()
        await seconds(60)
        assert site.events == [ServiceManagerUnreachable("resource temporarily unavailable")]
        site.channel.error = None
        site.role.change(clients=1)
        await seconds(service_notices.INTERVAL)
        assert site.channel.messages == [
            ["READY=1", "STATUS=connected to 203.0.113.7:9001; 1 client"]
        ]


@virtual_time
async def test_a_bug_in_the_description_is_reported_and_the_signs_go_on():
    site = Site(watchdog=3.0)
    site.role.describe = None
    with site.notices.running():
        site.notices.started()
        await seconds(2.5)
        assert site.channel.sent("READY")
        assert len(site.channel.sent("WATCHDOG")) == 3
    assert {type(event) for event in site.events} == {InternalErrorOccurred}


@virtual_time
async def test_nothing_is_sent_without_a_manager(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    role = FakeRole()
    role.describe = None
    notices = ServiceNotices.from_environment(role, emit=None)
    with notices.running():
        notices.started()
        with notices.reloading():
            pass
        notices.stopping()
        await seconds(60)


def remote(**fields):
    return replace(ORIGIN, role="remote", **fields)


@pytest.mark.parametrize(
    ("role", "links", "sentence"),
    [
        (remote(), [], "no origin connected; 0 clients"),
        (remote(clients=1), [LINK], "1 origin connected; 1 client"),
        (
            remote(clients=7),
            [LINK, replace(LINK, silent_for=9.0)],
            "2 origins connected (1 silent); 7 clients",
        ),
        (replace(ORIGIN, clients=2), [LINK], "connected to 203.0.113.7:9001; 2 clients"),
        (
            replace(ORIGIN, is_ready=False, reason="no\nanswer"),
            [],
            "no\\nanswer; 0 clients",
        ),
        (remote(is_draining=True, clients=1), [LINK], "stopping: 1 client may finish"),
    ],
)
def test_the_status_in_words(role, links, sentence):
    assert describe(role, links) == sentence


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A manager's socket, and its address as NOTIFY_SOCKET has it."""
    address = f"{tmp_path}/notify" if request.param == "path" else f"@quictunnel-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address.replace("@", "\0"))
        receiver.settimeout(20)
        yield receiver, address


def test_a_message_is_one_datagram(manager):
    receiver, address = manager
    environment = {"NOTIFY_SOCKET": address}
    channel = open_notify_socket(environment)
    channel.send("READY=1", "STATUS=grün")
    assert receiver.recv(100).decode() == "READY=1\nSTATUS=grün"
    channel.close()
    assert not environment  # child processes get no socket


@pytest.mark.parametrize("address", ["relative", "/", "@", "vsock:2:1"])
def test_an_address_that_is_none(address):
    with pytest.raises(SettingsError, match="neither an absolute path nor an abstract name"):
        NotifySocket(address)


def test_a_manager_that_has_gone_is_an_error(tmp_path):
    channel = NotifySocket(f"{tmp_path}/gone")
    with pytest.raises(FileNotFoundError):
        channel.send("READY=1")
    channel.close()


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_interval_of_the_watchdog(environment, interval):
    assert watchdog_interval(environment) == interval
    assert not environment


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "soon", "٣", "9" * 400, "9" * 5000])
def test_an_interval_that_is_none(text):
    with pytest.raises(SettingsError, match="not a number of microseconds"):
        watchdog_interval({"WATCHDOG_USEC": text})
