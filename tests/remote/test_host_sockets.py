"""HostSockets on real Unix sockets: folders, modes, directories in use, stale and foreign files."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from quictunnel.config.addresses import MAX_UNIX_PATH
from quictunnel.errors import Refused, SettingsError
from quictunnel.events import discard_event
from quictunnel.remote import host_sockets
from quictunnel.remote.host_sockets import HostSockets

WWW, BELOW, EVERY = "www.example.com", "*.example.com", "*"

KILLED = """
import asyncio, os, sys
from pathlib import Path
from quictunnel.remote.host_sockets import HostSockets

async def main():
    sockets = HostSockets(Path(sys.argv[1]), asyncio.Protocol, emit=print)
    sockets.bind()
    sockets.add("www.example.com")
    sockets.add("*")
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""
"""A program that is killed while it has sockets."""


class NamedClient(asyncio.Protocol):
    """Sends the name of its host, and closes the connection."""

    def __init__(self, host: str) -> None:
        self.host = host

    def connection_made(self, transport):
        transport.write(self.host.encode())
        transport.close()


@pytest.fixture
def directory():
    # The path of a Unix socket is short, and that of `tmp_path` is long.
    with tempfile.TemporaryDirectory(prefix="quictunnel-", dir="/tmp") as scratch:
        yield Path(scratch) / "sockets"


@pytest.fixture
async def make(directory):
    """Return a function that makes the sockets of a remote; all are closed at the end."""
    made = []

    def make(where: Path = directory) -> HostSockets:
        sockets = HostSockets(where, NamedClient, emit=discard_event)
        made.append(sockets)
        return sockets

    yield make
    for each in made:
        each.close()


@pytest.fixture
def sockets(make):
    sockets = make()
    sockets.bind()
    return sockets


async def host_at(path: Path) -> str:
    reader, writer = await asyncio.open_unix_connection(path)
    host = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return host


def leave_socket(path: Path) -> None:
    """Leave a socket without a listener, as a killed process does."""
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.fspath(path))


async def test_each_name_has_a_socket_in_a_folder_of_its_own(sockets, directory):
    for host in (WWW, BELOW, EVERY):
        sockets.add(host)
    assert {path.name for path in directory.iterdir()} == {WWW, "+.example.com", "+"}
    assert await host_at(directory / WWW / "http") == WWW
    assert await host_at(directory / "+.example.com" / "http") == BELOW
    assert await host_at(directory / "+" / "http") == EVERY


async def test_a_removed_name_has_no_socket_and_can_be_added_again(sockets, directory):
    sockets.add(WWW)
    sockets.remove(WWW)
    sockets.remove(WWW)
    assert not list(directory.iterdir())
    sockets.add(WWW)
    sockets.add(WWW)
    assert await host_at(directory / WWW / "http") == WWW


async def test_close_leaves_an_empty_directory_that_another_remote_can_use(
    sockets, make, directory
):
    sockets.add(WWW)
    sockets.close()
    assert not list(directory.iterdir())
    make().bind()


@pytest.mark.parametrize("umask", [0o000, 0o077])
async def test_only_owner_and_group_can_connect_whatever_the_umask(make, directory, umask):
    before = os.umask(umask)
    try:
        sockets = make()
        sockets.bind()
        sockets.add(WWW)
    finally:
        os.umask(before)
    modes = [path.stat().st_mode for path in (directory, directory / WWW, directory / WWW / "http")]
    assert [stat.filemode(mode) for mode in modes] == ["drwxr-x---", "drwxr-x---", "srw-rw----"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to any group")
async def test_sockets_have_the_group_of_the_directory(make, directory):
    directory.mkdir(0o750)
    os.chown(directory, -1, 4321)
    sockets = make()
    sockets.bind()
    sockets.add(WWW)
    assert (directory / WWW).stat().st_gid == 4321
    assert (directory / WWW / "http").stat().st_gid == 4321


async def test_a_second_remote_cannot_use_the_directory(sockets, make, directory):
    sockets.add(WWW)
    with pytest.raises(SettingsError, match=r"--sockets .*: another remote uses it"):
        make().bind()
    assert await host_at(directory / WWW / "http") == WWW


async def test_the_sockets_of_a_killed_remote_are_removed(make, directory):
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, directory)
    assert await process.wait() == -9
    assert {path.name for path in directory.iterdir()} == {WWW, "+"}
    sockets = make()
    sockets.bind()
    assert not list(directory.iterdir())
    sockets.add(WWW)
    assert await host_at(directory / WWW / "http") == WWW


async def test_a_folder_that_was_not_completed_is_removed(make, directory):
    directory.mkdir()
    leave_socket(directory / ".new" / "http")
    sockets = make()
    sockets.bind()
    assert not list(directory.iterdir())


async def test_files_of_others_stay(make, directory):
    directory.mkdir()
    (directory / "notes.txt").write_text("mine")
    leave_socket(directory / "not a host" / "http")
    (directory / "a.example.com").mkdir()
    (directory / "a.example.com" / "page.html").write_text("mine")
    (directory / "b.example.com").mkdir()
    (directory / "b.example.com" / "http").write_text("mine")
    (directory / "mnt").mkdir()
    before = sorted(directory.rglob("*"))
    sockets = make()
    sockets.bind()
    for host in ("a.example.com", "b.example.com"):
        with pytest.raises(Refused, match=rf"cannot open a Unix socket for host {host}"):
            sockets.add(host)
    sockets.close()
    assert sorted(directory.rglob("*")) == before


async def test_a_socket_that_another_program_listens_on_stays(make, directory):
    directory.mkdir()
    (directory / WWW).mkdir()
    path = directory / WWW / "http"
    other = await asyncio.start_unix_server(lambda _, writer: writer.close(), path)
    sockets = make()
    sockets.bind()
    with pytest.raises(Refused, match="cannot open a Unix socket"):
        sockets.add(WWW)
    assert await host_at(path) == ""
    other.close()


async def test_a_name_that_is_too_long_for_a_socket_is_refused(sockets, directory):
    room = MAX_UNIX_PATH - len(os.fsencode(directory)) - len("//http")
    longest = "a" * (room - len(".example.com")) + ".example.com"
    sockets.add(longest)
    assert await host_at(directory / longest / "http") == longest
    with pytest.raises(Refused, match=r"host aa.* is too long for a Unix socket"):
        sockets.add("a" + longest)


async def test_a_directory_whose_path_is_too_long_is_an_error(make, tmp_path):
    with pytest.raises(SettingsError, match="too long"):
        make(tmp_path / ("d" * MAX_UNIX_PATH)).bind()


async def test_more_sockets_than_the_limit_are_refused(sockets, monkeypatch):
    monkeypatch.setattr(host_sockets, "MAX_SOCKETS", 1)
    sockets.add(WWW)
    with pytest.raises(Refused, match="1 Unix sockets in all"):
        sockets.add(EVERY)


async def test_a_directory_that_every_user_may_change_is_an_error(make, directory):
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(SettingsError, match="every user may write there"):
        make().bind()


async def test_a_file_in_place_of_the_directory_is_an_error(make, directory):
    directory.write_text("")
    with pytest.raises(SettingsError, match=r"--sockets .*: not a directory"):
        make().bind()
