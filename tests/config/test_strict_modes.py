"""Whose directory may hold a remote's secrets, and with which modes."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from quictunnel.config import strict_modes
from quictunnel.config.strict_modes import UNMAPPED, check_modes
from quictunnel.errors import SettingsError
from quictunnel.events import Event, OwnedByAnother, WritableByEveryone, WritableByGroup

ROOT, ME, OTHER, CREW = 0, 501, 502, 600
NAMES = {ROOT: "root", ME: "anna", OTHER: "bob", CREW: "crew"}
STATE = Path("/srv/my tunnel/state")
FILE = STATE / "token"

RIGHT = {
    "/": (0o755, ROOT),
    "/srv": (0o755, ROOT),
    "/srv/my tunnel": (0o755, ME),
    str(STATE): (0o700, ME),
    str(FILE): (0o600, ME),
}
"""The mode and the owner of each path."""


class Machine:
    """A machine with some paths. This process runs there as the user ME."""

    def __init__(self, monkeypatch) -> None:
        self._monkeypatch = monkeypatch
        self._paths: dict[str, tuple[int, int, int]] = {}
        for path, (mode, owner) in RIGHT.items():
            self.set(path, mode, owner)
        self.run_as(ME)
        self.map_users("0 0 4294967295")
        monkeypatch.setattr(strict_modes, "_CONTAINER_FILES", [])
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setattr(strict_modes, "_status", self._status)
        monkeypatch.setattr("os.path.realpath", str)
        monkeypatch.setattr("grp.getgrgid", self._group)
        monkeypatch.setattr("pwd.getpwuid", self._user)

    def run_as(self, uid: int) -> None:
        self._monkeypatch.setattr("os.geteuid", lambda: uid)

    def map_users(self, text: str) -> None:
        """Be in a user namespace with this map."""
        uid_map = SimpleNamespace(read_text=lambda _: text)
        self._monkeypatch.setattr(strict_modes, "_UID_MAP", uid_map)

    def set(self, path: Path | str, mode: int, owner: int = ME, group: int | None = None) -> None:
        self._paths[str(path)] = (mode, owner, owner if group is None else group)

    def remove(self, path: Path) -> None:
        del self._paths[str(path)]

    def check(self, **options) -> list[Event]:
        """Return the events of a check."""
        events = []
        check_modes(STATE, "the state directory", events.append, names=("token",), **options)
        return events

    def refuse(self, **options) -> str:
        """Return the error of a check."""
        with pytest.raises(SettingsError) as caught:
            self.check(**options)
        return str(caught.value)

    def _status(self, path):
        if str(path) not in self._paths:
            return None
        mode, owner, group = self._paths[str(path)]
        kind = stat.S_IFREG if path == FILE else stat.S_IFDIR
        return os.stat_result((kind | mode, 0, 0, 0, owner, group, 0, 0, 0, 0))

    def _user(self, uid):
        return SimpleNamespace(pw_name=NAMES[uid])

    def _group(self, gid):
        return SimpleNamespace(gr_name=NAMES[gid], gr_mem=["carl"] if gid == CREW else [])


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def test_a_directory_of_ones_own_below_directories_of_root(machine):
    assert machine.check() == []


def test_a_directory_of_root_as_a_container_has(machine):
    machine.set("/srv/my tunnel", 0o755, ROOT)
    machine.set(STATE, 0o755, ROOT)
    machine.set(FILE, 0o644, ROOT)
    assert machine.check() == []


def test_what_is_missing_is_right(machine):
    for path in (FILE, STATE, STATE.parent):
        machine.remove(path)
        assert machine.check() == []


SUBDIRECTORY = f"use a directory in it: --state-dir '{STATE / 'quictunnel'}'"


@pytest.mark.parametrize(
    ("path", "what", "advice"),
    [
        (
            FILE,
            "the file token in the state directory",
            f"take that right away: chmod o-w '{FILE}'",
        ),
        (
            STATE,
            "the state directory",
            f"take that right away: chmod 700 '{STATE}'; or, in a container, {SUBDIRECTORY}",
        ),
        (STATE.parent, "a directory above the state directory", "choose another --state-dir"),
    ],
)
def test_what_everyone_can_change_is_refused(machine, path, what, advice):
    machine.set(path, 0o707)
    assert machine.refuse() == (
        f"{what}, '{path}', can be changed by every user of this machine; {advice}"
    )


def test_a_command_that_this_user_cannot_run_is_not_advised(machine):
    machine.set(STATE, 0o777, ROOT)
    assert machine.refuse().endswith(
        f"; choose another --state-dir; or, in a container, {SUBDIRECTORY}"
    )
    machine.run_as(ROOT)
    assert f"; take that right away: chmod 700 '{STATE}'; or" in machine.refuse()


@pytest.mark.parametrize("mark", ["file", "variable"])
def test_in_a_container_everyone_may_write_to_a_directory_above(machine, monkeypatch, mark):
    machine.set(STATE.parent, 0o2777, ROOT, CREW)
    assert "choose another --state-dir" in machine.refuse()
    if mark == "file":
        monkeypatch.setattr(strict_modes, "_CONTAINER_FILES", [Path("/")])
    else:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert machine.check() == [WritableByEveryone(str(STATE.parent))]
    machine.set(STATE, 0o777)
    assert SUBDIRECTORY in machine.refuse()


@pytest.mark.parametrize("path", [FILE, STATE, STATE.parent, Path("/srv")])
def test_what_another_user_owns_is_refused(machine, path):
    machine.set(path, 0o700, OTHER)
    error = machine.refuse()
    assert f"'{path}', belongs to bob, who could change it, and not to anna; " in error
    is_above = path not in {FILE, STATE}
    assert ("chown" in error) is not is_above
    assert error.endswith("; choose another --state-dir") is is_above


@pytest.mark.parametrize("path", [FILE, STATE, STATE.parent, Path("/srv")])
def test_root_accepts_one_other_user_with_a_warning(machine, path):
    for owned in RIGHT:
        machine.set(owned, 0o700, ROOT)
    machine.set(path, 0o700, ME)
    machine.run_as(ROOT)
    warning = OwnedByAnother(str(path), "anna")
    assert machine.check() == [warning]
    assert machine.check(may_be_anothers=True) == ([] if path == STATE else [warning])


def test_root_warns_once_of_a_user(machine):
    machine.run_as(ROOT)
    assert machine.check() == [OwnedByAnother(str(STATE), "anna")]


@pytest.mark.parametrize("path", [FILE, STATE.parent, Path("/srv")])
def test_root_accepts_no_second_user(machine, path):
    machine.run_as(ROOT)
    machine.set(path, 0o700, OTHER)
    assert f"'{path}', belongs to bob, who could change it, and not to root" in machine.refuse()


def test_nobody_but_that_user_may_change_the_directory(machine):
    machine.run_as(ROOT)
    machine.set(STATE, 0o707, ME)
    assert "can be changed by every user" in machine.refuse()


def test_root_does_not_accept_a_user_whom_its_namespace_does_not_know(machine):
    machine.run_as(ROOT)
    machine.set(STATE, 0o700, UNMAPPED)
    machine.map_users("0 1000 1")
    assert f"'{STATE}', belongs to 65534" in machine.refuse()


@pytest.mark.parametrize("user", [ROOT, OTHER])
def test_a_command_may_be_for_the_remote_of_another_user(machine, user):
    machine.run_as(user)
    assert machine.check(may_be_anothers=True) == []
    machine.set("/srv", 0o755, 503)
    assert "'/srv', belongs to 503" in machine.refuse(may_be_anothers=True)


@pytest.mark.parametrize("hidden", [(STATE,), (STATE, STATE.parent)])
def test_for_such_a_command_the_nearest_directory_that_it_may_see_counts(machine, hidden):
    machine.set("/srv", 0o755, ME)
    machine.run_as(OTHER)
    for path in hidden:
        machine.remove(path)
    assert machine.check(may_be_anothers=True) == []
    assert "belongs to anna" in machine.refuse()


def test_a_directory_above_may_be_shared_if_it_is_sticky(machine):
    machine.set("/srv", 0o1777, ROOT)
    assert machine.check() == []
    machine.set(STATE.parent, 0o755, OTHER)
    assert "belongs to bob" in machine.refuse()


def test_the_directory_itself_must_not_be_shared_although_it_is_sticky(machine):
    machine.set(STATE, 0o1777, ROOT)
    assert machine.refuse() == (
        f"the state directory, '{STATE}', can be changed by every user of this machine; "
        f"{SUBDIRECTORY}"
    )


@pytest.mark.parametrize("path", [STATE, STATE.parent])
@pytest.mark.parametrize(("group", "name"), [(CREW, "crew"), (OTHER, "bob"), (700, "700")])
def test_a_group_that_can_write_is_a_warning(machine, path, group, name):
    machine.set(path, 0o775, ME, group)
    command = f"chmod g-w '{path}'" if path == STATE else None
    assert machine.check() == [WritableByGroup(str(path), name, command)]


def test_the_group_that_many_systems_make_for_each_user_is_no_warning(machine, monkeypatch):
    machine.set(STATE.parent, 0o775)
    assert machine.check() == []
    anna_and_bob = SimpleNamespace(gr_name="anna", gr_mem=["anna", "bob"])
    monkeypatch.setattr("grp.getgrgid", lambda _: anna_and_bob)
    assert len(machine.check()) == 1


def test_in_a_user_namespace_directories_above_may_be_of_an_unknown_user(machine):
    for path in ("/", "/srv"):
        machine.set(path, 0o755, UNMAPPED)
    machine.map_users("501 501 1")
    assert machine.check() == []
    machine.set(STATE, 0o700, UNMAPPED)
    assert f"'{STATE}', belongs to 65534" in machine.refuse()


def test_elsewhere_nobody_is_another_user(machine):
    machine.set("/srv", 0o755, UNMAPPED)
    assert "'/srv', belongs to 65534" in machine.refuse()


def test_a_link_leads_to_what_is_checked(tmp_path):
    real = tmp_path / "private" / "state"
    real.mkdir(parents=True, mode=0o700)
    link = tmp_path / "state"
    link.symlink_to(real)
    check_modes(link, "it", print)
    real.chmod(0o777)
    with pytest.raises(SettingsError, match=f"'{real}'"):
        check_modes(link, "it", print)


def test_a_path_through_a_file_is_another_error(tmp_path):
    (tmp_path / "file").touch(mode=0o666)
    check_modes(Path("/dev/null/state"), "it", print)
    check_modes(tmp_path / "file" / "state", "it", print)
