"""The key of stateless resets, with which a restarted remote resets its old links (RFC 9000, 10.3).

The state directory has a secret, from which each remote derives the key for its address. Remotes
that share the directory must not share a key: anyone could make one of them reveal the reset tokens
of the other's links (RFC 9000, 21.11). So each remote also locks its key.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import hmac
import ipaddress
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from quictunnel.config import files
from quictunnel.config.addresses import HostPort
from quictunnel.config.state import RESET_KEY_FILE, make_state_directory
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink, ResetKeyNotSaved, ResetKeyNotUsed, discard_event

RESET_KEY_BYTES = 32

_COMMENT = "# The stateless reset key of this quictunnel remote. Keep it secret.\n"

_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
"""The errors of a file that this process cannot write."""

_RESET_KEY = re.compile(rf"[0-9a-f]{{{2 * RESET_KEY_BYTES}}}", re.ASCII)


def load_reset_key(directory: Path, emit: EventSink = discard_event) -> bytes | None:
    """Return the stateless reset key in `directory`, or None if there is none yet.

    :raises SettingsError: it cannot be read or is damaged.
    """
    path = directory / RESET_KEY_FILE
    if not os.path.lexists(path):
        return None
    lines = files.read_text(path, "the reset key").splitlines()
    words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if len(words) != 1 or not _RESET_KEY.fullmatch(words[0]):
        raise SettingsError(
            f"the reset key {files.quoted(path)} is damaged: it should be {2 * RESET_KEY_BYTES} "
            "hexadecimal digits; delete it to get a new one"
        )
    files.warn_if_exposed(path, emit)
    return bytes.fromhex(words[0])


def load_or_make_reset_key(directory: Path, emit: EventSink = discard_event) -> bytes | None:
    """Return the stateless reset key in `directory`, created if it is missing.

    A remote with a given token and certificate can run on a read-only file system. Then there is
    none, and origins notice a restart some seconds later.

    :raises SettingsError: it exists but cannot be read or is damaged.
    """
    if kept := load_reset_key(directory, emit):
        return kept
    key = secrets.token_bytes(RESET_KEY_BYTES)
    content = f"{_COMMENT}{key.hex()}\n".encode()
    try:
        make_state_directory(directory)
        made = files.write_new(directory / RESET_KEY_FILE, content, "the reset key")
    except SettingsError as exc:
        emit(ResetKeyNotSaved(reason=str(exc)))
        return None
    if not made and (kept := load_reset_key(directory)):
        return kept  # another remote has created it in the meantime
    return key


@contextlib.contextmanager
def locked_reset_key(
    directory: Path, listen: HostPort, emit: EventSink = discard_event
) -> Iterator[bytes | None]:
    """Provide the key of the remote that listens at this address, and lock it.

    It is the same after a restart. It is None without a fixed port, or if the key cannot be saved
    or locked: then the remote has to make a key that lasts as long as the process.

    :param listen: the UDP address for origins, as the settings have it.
    :raises SettingsError: the secret exists but cannot be read or is damaged.
    """
    secret = load_or_make_reset_key(directory, emit)
    lock = None
    if secret is not None and listen.port != 0:
        lock = _lock(directory, listen, emit)
    if secret is None or lock is None:
        yield None
        return
    with lock:
        yield derive_reset_key(secret, listen)


def derive_reset_key(secret: bytes, listen: HostPort) -> bytes:
    """Return the key of the remote at this address.

    :param secret: the secret of the state directory.
    """
    return hmac.digest(secret, f"udp {_canonical(listen)}".encode(), "sha256")


def _lock(directory: Path, listen: HostPort, emit: EventSink) -> contextlib.ExitStack | None:
    """Lock the key of this address until the stack that is returned is closed.

    The lock has a file of its own, which stays: removing it would let a third remote create and
    lock another one. A remote that cannot write to it locks the secret instead, for itself only.
    The other remotes share the lock of the secret, so that they exclude such a remote.

    :return: None if it cannot be locked. Then an event says why.
    """
    digest = hashlib.sha256(_canonical(listen).encode()).hexdigest()[:8]
    path, secret = directory / f"remote-{listen.port}-{digest}.lock", directory / RESET_KEY_FILE
    name = files.quoted(directory)
    reason = f"another remote at {listen} uses {name}"
    with contextlib.ExitStack() as held:
        try:
            try:
                _flock(held, path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, fcntl.LOCK_EX)
            except OSError as exc:
                if exc.errno not in _READ_ONLY:
                    raise
                path, reason = secret, f"another remote uses {name}, and this one cannot write it"
                _flock(held, path, os.O_RDONLY, fcntl.LOCK_EX)
            else:
                path, reason = secret, f"another remote, which cannot write it, uses {name}"
                _flock(held, path, os.O_RDONLY, fcntl.LOCK_SH)
            return held.pop_all()
        except BlockingIOError:
            pass
        except OSError as exc:
            reason = f"{files.quoted(path)} cannot be locked: {files.why(exc)}"
    emit(ResetKeyNotUsed(reason))
    return None


def _flock(held: contextlib.ExitStack, path: Path, flags: int, operation: int) -> None:
    """Lock a file until the stack is closed.

    :raises BlockingIOError: another remote has locked it.
    :raises OSError: it cannot be opened or locked.
    """
    descriptor = os.open(path, flags, 0o600)
    held.callback(os.close, descriptor)
    fcntl.flock(descriptor, operation | fcntl.LOCK_NB)


def _canonical(listen: HostPort) -> str:
    """Return an address in one spelling."""
    with contextlib.suppress(ValueError):
        return str(HostPort(ipaddress.ip_address(listen.host).compressed, listen.port))
    return str(HostPort(listen.host.lower(), listen.port))
