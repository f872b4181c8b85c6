"""A command of a role after its first half: the settings are complete, and nothing runs yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quictunnel.cli.role_logs import LogSettings
from quictunnel.config.settings import OriginSettings, RemoteSettings


@dataclass(frozen=True, slots=True)
class PreparedRole:
    """The result of `quictunnel remote` and `quictunnel origin`, which `main.invoke` runs.

    `quictunnel check` prepares a role in the same way and does not run it.
    """

    settings: RemoteSettings | OriginSettings

    logs: LogSettings
    """The files for the role's recordings."""

    files: tuple[Path, ...]
    """Further files that the settings come from: those of secrets and of networks."""

    run: Callable[[], None]
    """Runs the role to its end, and raises the error that ended it."""
