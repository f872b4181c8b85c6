"""Writes and removes the files of a service, and no others."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from quictunnel.cli.services.definition import MARK, ServiceDefinition
from quictunnel.config import files
from quictunnel.config.files import quoted, why
from quictunnel.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """A file of a service."""

    path: Path
    """Where it is."""

    content: str
    """Its text, which contains `MARK`."""

    mode: int = 0o644
    """Its permissions."""

    owner: str | None = None
    """The user that it belongs to; None for the user who installs it."""


_SECRET_FILES = {"token-file": "token", "admin-token-file": "admin-token"}
"""The options of files with tokens, and how the names of these files end."""


def secret_files(
    folder: Path, service: ServiceDefinition, owner: str | None = None
) -> list[ServiceFile]:
    """Return the files with a service's tokens, which only their owner can read.

    :param folder: the folder for them.
    """
    return [
        ServiceFile(path, "".join(f"{line}\n" for line in (f"# {MARK}", *tokens)), 0o600, owner)
        for tokens, path in zip(
            service.secrets.values(), secret_paths(folder, service).values(), strict=True
        )
    ]


def secret_paths(folder: Path, service: ServiceDefinition) -> dict[str, Path]:
    """Return where the tokens of a service are, by option."""
    return {
        option: folder / f"{service.name}.{_SECRET_FILES[option]}" for option in service.secrets
    }


def possible_secret_paths(folder: Path, name: str) -> list[Path]:
    """Return where a service with this name may have tokens."""
    return [folder / f"{name}.{end}" for end in _SECRET_FILES.values()]


def write(file: ServiceFile) -> bool:
    """Write a file, and the folder for it. Return whether anything has changed.

    :raises SettingsError: it cannot be written, or another program has written a file there.
    """
    check_replaceable(file.path)
    before = file.path.stat() if file.path.exists() else None
    owner = None if file.owner is None else pwd.getpwnam(file.owner)
    is_same = (
        before is not None
        and before.st_mode & 0o777 == file.mode
        and (owner is None or before.st_uid == owner.pw_uid)
        and files.read_text(file.path, "the file") == file.content
    )
    if is_same:
        return False
    try:
        file.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        files.replace(file.path, file.content.encode(), "the file", file.mode)
        file.path.chmod(file.mode)  # whatever the umask is
        if owner is not None:
            os.chown(file.path, owner.pw_uid, owner.pw_gid)
    except OSError as exc:
        raise SettingsError(f"{quoted(file.path)} cannot be written: {why(exc)}") from exc
    return True


def check_replaceable(path: Path) -> None:
    """Check that a file is missing or was written by `write`.

    :raises SettingsError: it was not.
    """
    if files.exists(path, "the file") and not is_own(path):
        raise SettingsError(
            f"{quoted(path)} was not written by 'quictunnel service install'; remove it first, or "
            "choose another --name"
        )


def is_own(path: Path) -> bool:
    """Return whether `write` has written a file.

    :raises SettingsError: it cannot be read.
    """
    return path.is_file() and MARK in files.read_text(path, "the file")


def remove(path: Path) -> bool:
    """Remove a file that `write` has written. Return whether there was one.

    :raises SettingsError: it cannot be removed, or another program has written it.
    """
    if not files.exists(path, "the file"):
        return False
    if not is_own(path):
        raise SettingsError(
            f"{quoted(path)} was not written by 'quictunnel service install', so it stays"
        )
    files.remove(path, "the file")
    return True
