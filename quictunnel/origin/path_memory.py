"""Remembers which path to the remote has worked in which network, in a file.

A network that blocks UDP is therefore known at the next start, and the WebSocket is not delayed.
A network in which UDP has never failed is not recorded. The file has no names or addresses of
networks, only hashes, because it would say where a laptop has been.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import msgspec

from quictunnel.config import files
from quictunnel.config.state import default_state_dir, make_state_directory
from quictunnel.errors import SettingsError
from quictunnel.events import PathKind, PathMemoryNotUsed
from quictunnel.quic.path.network_identity import network_identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from quictunnel.events import EventSink

FILE = "networks.json"
"""The file's name in the state directory."""

MAX_NETWORKS = 64
"""Networks that are kept. The one that was used longest ago is dropped."""

MAX_AGE = 30 * 86_400.0
"""Seconds after which a failure of UDP does not count any more."""

NO_HOME = "this user has no home directory for the state"
"""Why there is no state directory."""

WHAT = "the record of networks"
"""The file in errors."""


class KnownNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The record of one network, for one remote."""

    network: str
    """A hash of the network and the remote."""
    path: PathKind
    """The kind of path that has worked last."""
    used_at: float
    """When it did, in seconds since 1970."""
    udp_failed_at: float
    """When UDP has failed last, in seconds since 1970."""


class PathMemory:
    """The record of the networks of one origin. Without a file, it lasts as long as the process.

    Other origins of this user have the same file. Of two that write at the same time, one loses its
    change.

    :param remote: the remote as configured. Networks are recorded for each remote.
    :param find_directory: returns the state directory, or raises `SettingsError`; None for no file.
    :param emit: receives `PathMemoryNotUsed`, once.
    :param identify: returns the network that this machine is in, or None.
    :param now: returns the time in seconds since 1970.
    """

    def __init__(
        self,
        remote: str,
        find_directory: Callable[[], Path] | None,
        emit: EventSink,
        *,
        identify: Callable[[], str | None] = network_identity,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._remote = remote
        self._find_directory = find_directory
        self._emit = emit
        self._identify = identify
        self._now = now
        self._networks: dict[str, KnownNetwork] | None = None  # the one used last at the end

    def has_udp_failed(self) -> bool:
        """Return whether the WebSocket was the last path that worked here, because UDP failed."""
        known = self._known().get(self._here() or "")
        return (
            known is not None
            and known.path is not PathKind.UDP
            and self._now() - MAX_AGE < known.udp_failed_at
        )

    def record(self, path: PathKind, *, has_udp_failed: bool = True) -> None:
        """Record that a kind of path carries a link here.

        :param has_udp_failed: whether another kind than UDP means that UDP has failed. It does not
            if UDP had no time to answer.
        """
        here = self._here()
        if here is None:
            return
        known = self._known().get(here)
        if known is None and path is PathKind.UDP:
            return
        now = self._now()
        failed_at = 0.0 if known is None else known.udp_failed_at
        if path is not PathKind.UDP and has_udp_failed:
            failed_at = now
        if self._find_directory is not None:
            self._networks = None  # another origin may have changed the file
        networks = self._known()
        networks.pop(here, None)
        networks[here] = KnownNetwork(here, path, now, failed_at)
        self._networks = dict([*networks.items()][-MAX_NETWORKS:])
        self._save()

    # -- Inside

    def _here(self) -> str | None:
        """Return the hash of the present network."""
        identity = self._identify()
        if identity is None:
            return None
        return hashlib.sha256(f"{self._remote}\n{identity}".encode()).hexdigest()[:32]

    def _known(self) -> dict[str, KnownNetwork]:
        """Return the networks, which are read from the file if that was not done yet."""
        if self._networks is None:
            self._networks = self._load()
        return self._networks

    def _load(self) -> dict[str, KnownNetwork]:
        path = self._file()
        if path is None:
            return {}
        try:
            if not files.exists(path, WHAT):
                return {}
            content = files.read_bytes(path, WHAT)
        except SettingsError as exc:
            self._give_up(path, str(exc))
            return {}
        try:
            found = msgspec.json.decode(content, type=list[KnownNetwork])
        except (msgspec.DecodeError, RecursionError) as exc:
            self._give_up(path, f"{WHAT} {files.quoted(path)} is damaged: {exc}; delete it")
            return {}
        return {known.network: known for known in found[-MAX_NETWORKS:]}

    def _save(self) -> None:
        path = self._file()
        if path is None:
            return
        content = msgspec.json.encode([*self._known().values()])
        try:
            make_state_directory(path.parent)
            # Without waiting for the disk, which may take long: clients wait meanwhile.
            files.replace(path, content, WHAT, is_synced=False)
        except SettingsError as exc:
            self._give_up(path, str(exc))

    def _file(self) -> Path | None:
        if self._find_directory is None:
            return None
        try:
            return self._find_directory() / FILE
        except SettingsError:
            self._give_up(None, NO_HOME)
            return None

    def _give_up(self, path: Path | None, reason: str) -> None:
        """Go on without the file, and report that once."""
        self._find_directory = None
        self._emit(PathMemoryNotUsed(None if path is None else str(path), reason))


def memory_in_state_directory(remote: str, emit: EventSink) -> PathMemory:
    """Return the record of an origin in its user's state directory."""
    return PathMemory(remote, default_state_dir, emit)
