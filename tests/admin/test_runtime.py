"""Where roles have their sockets, which roles run, and whose directories are trusted."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from quictunnel.admin import runtime as module
from quictunnel.admin.runtime import (
    RunningRole,
    is_private,
    running_roles,
    runtime_directory,
    socket_path,
)
from quictunnel.admin.unix_socket import AdminSocket
from quictunnel.errors import SettingsError


@pytest.fixture
def folder(runtime):
    """Return a folder for runtime directories, in which nothing else is looked for."""
    return runtime


def listen(path: Path) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def test_the_directory_is_that_of_the_session(folder):
    assert runtime_directory() == folder / "quictunnel"
    assert socket_path("remote", 7) == folder / "quictunnel" / "remote-7.sock"


def test_the_directory_of_a_service_is_the_first_one_of_systemd(folder, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/tunnel:/run/other")
    assert runtime_directory() == Path("/run/tunnel")


def test_without_a_session_root_uses_run_and_others_what_the_system_has(folder, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert runtime_directory() == folder / "run" / "quictunnel"
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    found = runtime_directory()
    assert found.is_absolute()
    assert found.name == "quictunnel"


def test_the_session_of_another_user_does_not_count(folder, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 4242)
    assert runtime_directory() == folder / "run" / "quictunnel"


def test_the_roles_of_all_directories_are_found_once(folder, monkeypatch):
    places = [
        "quictunnel/origin-12.sock",
        "quictunnel/remote-7.sock",
        "run/quictunnel/remote-5.sock",
    ]
    places += ["run/quictunnel-origin/origin-3.sock", "run/user/1000/quictunnel/remote-1.sock"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    listeners = [listen(folder / place) for place in places]
    found = running_roles()
    assert [(each.role, each.pid) for each in found] == [
        ("origin", 3),
        ("origin", 12),
        ("remote", 5),
        ("remote", 7),
        ("remote", 1),
    ]
    assert found[1] == RunningRole("origin", 12, folder / places[0])
    for each in listeners:
        each.close()
    assert running_roles() == []


def test_other_files_are_no_roles(folder):
    listeners = [
        listen(folder / "quictunnel" / name)
        for name in ("proxy-1.sock", "remote-x.sock", "remote-1.sock.new", "remote-0.sock")
    ]
    (folder / "quictunnel" / "remote-1.sock").touch()
    (folder / "quictunnel" / "remote-2.sock").symlink_to("remote-x.sock")
    assert running_roles() == []
    for each in listeners:
        each.close()


def test_a_busy_role_counts_as_running(folder):
    listener = listen(folder / "quictunnel" / "remote-1.sock")
    listener.listen(0)
    waiting = []
    for _ in range(3):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        client.connect_ex(str(folder / "quictunnel" / "remote-1.sock"))
        waiting.append(client)
    assert [each.pid for each in running_roles()] == [1]
    for each in (listener, *waiting):
        each.close()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_can_change_is_not_trusted(folder, mode):
    listener = listen(folder / "quictunnel" / "remote-1.sock")
    (folder / "quictunnel").chmod(mode)
    assert not is_private(folder / "quictunnel")
    assert running_roles() == []
    with pytest.raises(SettingsError, match="other users can change"):
        AdminSocket.make("remote")
    listener.close()


def test_a_directory_below_one_that_others_can_change_is_trusted_only_if_that_is_sticky(folder):
    (folder / "quictunnel").mkdir(mode=0o700)
    folder.chmod(0o777)
    assert not is_private(folder / "quictunnel")
    folder.chmod(0o1777)
    assert is_private(folder / "quictunnel")


def test_a_directory_of_another_user_is_trusted_by_root_only(folder, monkeypatch):
    (folder / "quictunnel").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 4242)
    assert is_private(folder / "quictunnel") == (os.getuid() == 0)
    monkeypatch.setattr(module, "_is_trusted", lambda _owner: False)
    assert not is_private(folder / "quictunnel")


def test_a_socket_is_made_with_its_mode_and_removed(folder):
    made = AdminSocket.make("remote")
    assert made.path == socket_path("remote", os.getpid())
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert made.path.parent.stat().st_mode & 0o777 == 0o700
    assert not made.listener.get_inheritable()
    assert [each.path for each in running_roles()] == [made.path]
    made.close()
    made.close()
    assert list(made.path.parent.iterdir()) == []


def test_two_roles_of_one_process_have_a_socket_each(folder):
    both = [AdminSocket.make(role) for role in ("origin", "remote")]
    assert [each.path for each in running_roles()] == [each.path for each in both]
    for each in both:
        each.close()


def test_sockets_of_dead_roles_are_removed_also_one_of_the_same_process_id(folder):
    dead = [folder / "quictunnel" / f"remote-{pid}.sock" for pid in (1, os.getpid())]
    for path in dead:
        listen(path).close()
    living = listen(folder / "quictunnel" / "remote-2.sock")
    made = AdminSocket.make("remote")
    assert sorted(path.name for path in made.path.parent.iterdir()) == sorted(
        ["remote-2.sock", made.path.name]
    )
    made.close()
    living.close()


def test_a_living_socket_of_the_same_name_is_not_replaced(folder):
    listener = listen(socket_path("remote", os.getpid()))
    with pytest.raises(SettingsError, match="another process with the same id uses it"):
        AdminSocket.make("remote")
    assert socket_path("remote", os.getpid()).exists()
    listener.close()


def test_a_socket_that_another_has_replaced_stays(folder):
    made = AdminSocket.make("remote")
    made.path.unlink()
    other = listen(made.path)
    made.close()
    assert made.path.exists()
    other.close()


def test_a_path_that_is_too_long_is_an_error(folder, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder / ("x" * 100)))
    with pytest.raises(SettingsError, match="may have 103 bytes"):
        AdminSocket.make("remote")


def test_a_directory_that_cannot_be_made_is_an_error(folder, monkeypatch):
    (folder / "file").touch()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder / "file" / "directory"))
    with pytest.raises(SettingsError, match=r"the runtime directory .* cannot be created"):
        AdminSocket.make("remote")
