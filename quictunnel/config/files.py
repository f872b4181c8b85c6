"""Reads and writes small files. Each failure is one sentence in a `SettingsError`.

A file that holds a secret is written atomically, and only its owner can read it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from quictunnel.errors import SettingsError
from quictunnel.events import EventSink, SecretExposed

MAX_BYTES = 1 << 20
"""Largest file that is read, in bytes. Token lists and certificate chains are smaller, and reading
/dev/zero must end."""

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""Errors of `os.link` on file systems without hard links, such as FAT and some network shares."""


def read_bytes(path: Path, what: str) -> bytes:
    """Return a file's content.

    :param what: what the file is, for the error: "the certificate".
    :raises SettingsError: the file is missing, unreadable or larger than `MAX_BYTES`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{what} {quoted(path)} cannot be read: {why(exc)}") from exc
    if len(content) > MAX_BYTES:
        raise SettingsError(f"{what} {quoted(path)} is larger than 1 MiB: is it the right file?")
    return content


def read_text(path: Path, what: str) -> str:
    """Return a file's content as UTF-8 text.

    :raises SettingsError: as `read_bytes`, or the content is not UTF-8.
    """
    try:
        return read_bytes(path, what).decode("utf-8-sig")
    except UnicodeDecodeError:
        # `from None`: the original exception carries bytes that may belong to a secret.
        raise SettingsError(f"{what} {quoted(path)} is not a text file") from None


def exists(path: Path, what: str) -> bool:
    """Return whether a file exists. A symbolic link counts, wherever it leads.

    :param what: what the file is, for the error: "the token".
    :raises SettingsError: this user may not look into the folder.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{what} {quoted(path)} cannot be read: {why(exc)}") from exc
    return True


def warn_if_exposed(path: Path, emit: EventSink) -> None:
    """Emit `SecretExposed` if other users of this machine can read or change a secret file.

    The group may read a file that root owns: Debian shares keys with the group ssl-cert, and the
    access list of systemd's LoadCredential shows as group permissions.
    """
    try:
        status = path.stat()
    except OSError:
        return  # deleted since it was read, so it exposes nothing
    for_others, change = (0o037, "g-wx,o=") if status.st_uid == 0 else (0o077, "go=")
    if stat.S_ISREG(status.st_mode) and status.st_mode & for_others:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        command = f"chmod {change} {shlex.quote(str(path))}"
        emit(SecretExposed(file=str(path), mode=mode, command=command))


def make_directory(path: Path, what: str) -> None:
    """Create a directory and its parents, all with access for the owner only, unless they exist.

    :raises SettingsError: it cannot be created.
    """
    try:
        # Path.mkdir gives parents the default mode, which lets others read them.
        parents = itertools.takewhile(lambda parent: not os.path.lexists(parent), path.parents)
        for folder in (*reversed([*parents]), path):
            folder.mkdir(mode=0o700, exist_ok=True)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{what} {quoted(path)} cannot be created: {why(exc)}") from exc


def write_new(path: Path, content: bytes, what: str, mode: int = 0o600) -> bool:
    """Create a file atomically, even if another process tries the same at the same time.

    :return: False if the file existed. It is then unchanged.
    :raises SettingsError: it cannot be written.
    """
    try:
        with _temporary(path, content, mode) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError as exc:
                if exc.errno not in _NO_HARD_LINKS:
                    raise
                if path.exists():
                    return False
                temporary.replace(path)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{what} {quoted(path)} cannot be written: {why(exc)}") from exc
    return True


def replace(
    path: Path,
    content: bytes,
    what: str,
    mode: int = 0o600,
    *,
    for_owner_of_folder: bool = False,
    is_synced: bool = True,
) -> None:
    """Write a file atomically: a reader sees the complete old or the complete new content.

    :param for_owner_of_folder: whether a file that root writes belongs to the owner of the folder,
        who could not read it otherwise.
    :param is_synced: whether to wait for the disk. Without it, a power failure may leave an empty
        file.
    :raises SettingsError: it cannot be written.
    """
    try:
        owner = path.parent.stat() if for_owner_of_folder and os.geteuid() == 0 else None
        with _temporary(path, content, mode, owner, is_synced=is_synced) as temporary:
            temporary.replace(path)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{what} {quoted(path)} cannot be written: {why(exc)}") from exc


def remove(path: Path, what: str) -> None:
    """Remove a file. It may be missing.

    :raises SettingsError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{what} {quoted(path)} cannot be removed: {why(exc)}") from exc


def quoted(path: Path) -> str:
    """Return a path for use in a sentence, in quotes and with control characters escaped."""
    return repr(str(path))


def why(exc: OSError | ValueError) -> str:
    """Return the system's description of an error, without its number and path."""
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror.lower() if exc.strerror[1:2].islower() else exc.strerror
    return str(exc)


@contextlib.contextmanager
def _temporary(
    path: Path,
    content: bytes,
    mode: int,
    owner: os.stat_result | None = None,
    *,
    is_synced: bool = True,
) -> Iterator[Path]:
    """Provide a file in the folder of `path` that holds `content`.

    :param owner: the status of what has the same owner; None for this process's user.
    :param is_synced: whether the disk has the content.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    # O_EXCL and the mode in one call, so that no other user can open the file in between.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as file:
            if owner is not None:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            if is_synced:
                os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)  # missing if it was renamed
