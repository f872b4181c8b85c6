"""The record of networks: what is kept, for how long, and what a bad file does."""

from __future__ import annotations

import json
import os
import stat

import pytest

from quictunnel.errors import SettingsError
from quictunnel.events import PathKind, PathMemoryNotUsed
from quictunnel.origin import path_memory as module
from quictunnel.origin.path_memory import FILE, MAX_AGE, MAX_NETWORKS, NO_HOME, PathMemory

UDP, WEBSOCKET = PathKind.UDP, PathKind.WEBSOCKET


class Laptop:
    """A machine in a network, which origins run on one after the other."""

    def __init__(self, directory) -> None:
        self.directory = directory
        self.file = directory / FILE
        self.network: str | None = "hotel"
        self.now = 1_800_000_000.0
        self.events: list[PathMemoryNotUsed] = []

    def memory(self, remote: str = "vps:9001", *, has_file: bool = True) -> PathMemory:
        """Return the record of an origin that has just started."""
        return PathMemory(
            remote,
            (lambda: self.directory) if has_file else None,
            self.events.append,
            identify=lambda: self.network,
            now=lambda: self.now,
        )


@pytest.fixture
def laptop(tmp_path):
    return Laptop(tmp_path / "state")


def test_a_network_that_blocks_udp_is_known_at_the_next_start(laptop):
    assert not laptop.memory().has_udp_failed()
    laptop.memory().record(WEBSOCKET)
    assert laptop.memory().has_udp_failed()
    assert laptop.events == []


def test_it_is_known_for_this_network_and_this_remote_only(laptop):
    laptop.memory().record(WEBSOCKET)
    assert not laptop.memory("another:9001").has_udp_failed()
    laptop.network = "home"
    assert not laptop.memory().has_udp_failed()
    laptop.network = None
    assert not laptop.memory().has_udp_failed()


def test_udp_that_works_again_ends_it(laptop):
    laptop.memory().record(WEBSOCKET)
    laptop.memory().record(UDP)
    assert not laptop.memory().has_udp_failed()


def test_a_network_in_which_udp_has_never_failed_leaves_no_file(laptop):
    laptop.memory().record(UDP)
    laptop.network = None
    laptop.memory().record(WEBSOCKET)
    assert not laptop.directory.exists()


def test_a_failure_of_udp_is_tried_again_after_a_while(laptop):
    laptop.memory().record(WEBSOCKET)
    laptop.now += MAX_AGE - 1
    memory = laptop.memory()
    assert memory.has_udp_failed()
    memory.record(WEBSOCKET, has_udp_failed=False)
    laptop.now += 1
    assert not laptop.memory().has_udp_failed()
    laptop.memory().record(WEBSOCKET)
    assert laptop.memory().has_udp_failed()


def test_the_networks_used_last_are_kept(laptop):
    networks = [f"hotel {number}" for number in range(MAX_NETWORKS + 1)]
    memory = laptop.memory()
    for laptop.network in [*networks[:-1], networks[0], networks[-1]]:
        memory.record(WEBSOCKET)
    assert len(json.loads(laptop.file.read_text())) == MAX_NETWORKS
    known = []
    for laptop.network in networks:
        known.append(laptop.memory().has_udp_failed())
    assert known == [True, False, *[True] * (MAX_NETWORKS - 1)]


def test_origins_that_run_at_the_same_time_keep_what_the_others_have_recorded(laptop):
    first, second = laptop.memory("vps:1"), laptop.memory("vps:2")
    assert not first.has_udp_failed()
    second.record(WEBSOCKET)
    first.record(WEBSOCKET)
    assert laptop.memory("vps:2").has_udp_failed()


def test_the_file_names_no_network_and_only_its_owner_can_read_it(laptop):
    laptop.memory().record(WEBSOCKET)
    (network,) = json.loads(laptop.file.read_text())
    assert set(network) == {"network", "path", "used_at", "udp_failed_at"}
    assert "hotel" not in laptop.file.read_text()
    assert stat.S_IMODE(laptop.file.stat().st_mode) == 0o600
    assert os.listdir(laptop.directory) == [FILE]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"{}",
        b"[" * 100_000,
        b'[{"network": 1}]',
        b'[{"network": "x", "path": "pigeon", "used_at": 1, "udp_failed_at": 1}]',
        b'[{"network": "x", "path": "udp", "used_at": 1, "udp_failed_at": 1, "more": 1}]',
        b" " * (2 << 20),
    ],
)
def test_a_bad_file_is_ignored_with_one_warning_and_not_overwritten(laptop, content):
    laptop.directory.mkdir(mode=0o700)
    laptop.file.write_bytes(content)
    memory = laptop.memory()
    assert not memory.has_udp_failed()
    memory.record(WEBSOCKET)
    memory.record(WEBSOCKET)
    assert memory.has_udp_failed()
    assert laptop.file.read_bytes() == content
    (event,) = laptop.events
    assert event.file == str(laptop.file)
    assert repr(str(laptop.file)) in event.reason
    assert "\n" not in event.reason


def test_a_directory_that_cannot_be_written_is_reported_once_it_matters(laptop):
    laptop.directory.write_text("a file, not a directory")
    memory = laptop.memory()
    memory.record(UDP)
    assert laptop.events == []
    memory.record(WEBSOCKET)
    memory.record(WEBSOCKET)
    assert memory.has_udp_failed()
    assert len(laptop.events) == 1


def test_without_a_home_directory_there_is_no_file(laptop, monkeypatch):
    def fail():
        raise SettingsError("there is no home directory")

    monkeypatch.setattr(module, "default_state_dir", fail)
    memory = PathMemory(
        "vps:9001", module.default_state_dir, laptop.events.append, identify=lambda: "hotel"
    )
    memory.record(WEBSOCKET)
    assert memory.has_udp_failed()
    assert laptop.events == [PathMemoryNotUsed(None, NO_HOME)]


def test_without_a_file_it_lasts_as_long_as_the_process(laptop):
    memory = laptop.memory(has_file=False)
    memory.record(WEBSOCKET)
    assert memory.has_udp_failed()
    assert not laptop.memory(has_file=False).has_udp_failed()
    assert not laptop.directory.exists()
