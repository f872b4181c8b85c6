"""The definition of a service, before it has a service manager's own format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from quictunnel.snapshots import RoleName

Scope = Literal["user", "system"]

PREFIX = "quictunnel-"
"""How the names of all services begin."""

MARK = "Written by 'quictunnel service install'."
"""Text in every file of a service. Files without it are not replaced and not removed."""

STOP_MARGIN = 10
"""Seconds beyond the grace that a manager gives a service to stop."""

OPEN_FILES = 65536
"""Descriptors that a service may have. Each client needs one."""


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    """A role with its options, as a service."""

    role: RoleName
    """The role that it runs."""

    name: str
    """Its name at the service manager, such as `quictunnel-remote`."""

    scope: Scope
    """Whether it belongs to this user or to the machine."""

    program: tuple[str, ...]
    """The absolute path of quictunnel, or of Python with the words that start quictunnel."""

    user: str | None = None
    """The user of a service of the machine; None if the service manager or this program chooses."""

    options: tuple[str, ...] = ()
    """Words after the role: its options without secrets. Paths are absolute."""

    files: Mapping[str, Path] = field(default_factory=dict)
    """Files that only the service's user needs to read, by option: `cert`, `key`, `token-file`,
    `admin-token-file`."""

    secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """Tokens to keep in files of the service, by the option of each file: `token-file`,
    `admin-token-file`. `files` does not have the same option."""

    grace: float = 30.0
    """Seconds that clients may take when the service stops."""

    has_config: bool = False
    """Whether it has a configuration file, and so reloads it on SIGHUP."""

    has_low_ports: bool = False
    """Whether it opens ports below 1024."""

    sockets: Path | None = None
    """The directory of Unix sockets for a proxy on this machine; None without one."""

    has_state_option: bool = False
    """Whether the options choose the state directory."""

    reads: tuple[Path, ...] = ()
    """Further files that it reads itself, such as the configuration file."""

    @property
    def command(self) -> tuple[str, ...]:
        """The words of the command, without the options of `files`."""
        return (*self.program, self.role, *self.options)

    @property
    def stop_timeout(self) -> int:
        """Seconds that a manager gives it to stop."""
        return int(self.grace) + STOP_MARGIN

    def with_files(self, kept: Mapping[str, Path]) -> tuple[str, ...]:
        """Return the words of the command, with the paths of all files in `files`.

        :param kept: where the tokens of `secrets` are, by option.
        """
        files = {**self.files, **kept}
        words = [word for name, path in files.items() for word in (f"--{name}", str(path))]
        return (*self.command, *words)
