"""Reading and writing the small files of a user, with one sentence where it does not work.

Files that hold a secret are written whole or not at all, and readable by their owner alone.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from quictunnel.errors import SettingsError
from quictunnel.observe.logging_setup import fact

_log = logging.getLogger("quictunnel.config")

MAX_BYTES = 1 << 20
"""No token list or certificate chain is larger; it stops us from reading /dev/zero for ever."""

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""What file systems without hard links (FAT, some network shares) answer."""


def read_bytes(path: Path, what: str) -> bytes:
    """Return a file's content.

    :param what: what the file is, for the sentence: "the certificate".
    :raises SettingsError: when it is missing, may not be read, or is larger than `MAX_BYTES`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{what} {quoted(path)} cannot be read: {why(exc)}") from exc
    if len(content) > MAX_BYTES:
        raise SettingsError(f"{what} {quoted(path)} is larger than 1 MiB: not the right file")
    return content


def read_text(path: Path, what: str) -> str:
    """Return a file's content as UTF-8 text; see `read_bytes`.

    :raises SettingsError: also when it is not UTF-8.
    """
    try:
        return read_bytes(path, what).decode("utf-8-sig")
    except UnicodeDecodeError:
        # `from None`: the original carries the bytes, which may be part of a secret.
        raise SettingsError(f"{what} {quoted(path)} is not text") from None


def warn_if_open(path: Path) -> None:
    """Log a warning when other users of the machine can read or change a file that holds a secret.

    The group of a file that is root's may read it: so keys are kept where several services need
    them (Debian's group ssl-cert), and so systemd's LoadCredential looks, whose list of who may
    read shows as the group's bits.
    """
    try:
        status = path.stat()
    except OSError:
        return  # it was read a moment ago and is gone: nobody else reads it any more
    for_others = 0o037 if status.st_uid == 0 else 0o077
    if stat.S_ISREG(status.st_mode) and status.st_mode & for_others:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        fact(_log, logging.WARNING, "others can read this secret", file=path, mode=mode)


def make_directory(path: Path, what: str) -> None:
    """Make a directory, and those above it, if it is not there; closed to others.

    :raises SettingsError: when that is not possible.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{what} {quoted(path)} cannot be made: {why(exc)}") from exc


def write_new(path: Path, content: bytes, what: str, mode: int = 0o600) -> bool:
    """Write a file that is not there yet, atomically; another process may be about the same.

    :return: True if this call made it, False if it was there (then it is not touched).
    :raises SettingsError: when it cannot be written.
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


def replace(path: Path, content: bytes, what: str, mode: int = 0o600) -> None:
    """Write a file, in the place of what is there; a reader sees the old or the new, whole.

    :raises SettingsError: when it cannot be written.
    """
    try:
        with _temporary(path, content, mode) as temporary:
            temporary.replace(path)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{what} {quoted(path)} cannot be written: {why(exc)}") from exc


def quoted(path: Path) -> str:
    """Return a path for a sentence: control characters escaped, quotes around it."""
    return repr(str(path))


def why(exc: OSError | ValueError) -> str:
    """Return the system's words for an error, without number and path."""
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror.lower() if exc.strerror[1:2].islower() else exc.strerror
    return str(exc)


@contextlib.contextmanager
def _temporary(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """A file beside `path` that holds `content`, safely on disk; gone at the end."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    # O_EXCL and the mode at once: nobody else can have opened it, not even for a moment.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)  # it is gone already where it was renamed
