"""The state directory: files that a remote creates at its first start and keeps.

    token         its token, as a token file
    server.key    the private key of its self-signed certificate
    server.pem    that certificate
    reset.key     the key of stateless resets, with which a restarted remote resets old links
    tokens.toml   the tokens that commands have added: see `token_store`

Each file is written atomically, and only its owner can read the secrets. A damaged file is reported
and never overwritten, because it may be the only copy of a secret that origins use.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
from pathlib import Path

import platformdirs

from quictunnel.config import files
from quictunnel.config.certificates import load_key, load_pair
from quictunnel.config.directory_lock import locked
from quictunnel.config.self_signed import certificate_pem, key_pem, make_key, make_self_signed
from quictunnel.config.tokens import Token, read_token_file
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink, ResetKeyNotSaved, discard_event

TOKEN_FILE = "token"  # noqa: S105 - the name of a file, not a password
KEY_FILE = "server.key"
CERTIFICATE_FILE = "server.pem"
RESET_KEY_FILE = "reset.key"

RESET_KEY_BYTES = 32

_TOKEN_COMMENT = (
    "# The token of this quictunnel remote. Keep it secret. Delete it to get a new one.\n"  # noqa: S105 - a comment in the file
)
_RESET_KEY_COMMENT = "# The stateless reset key of this quictunnel remote. Keep it secret.\n"

_RESET_KEY = re.compile(rf"[0-9a-f]{{{2 * RESET_KEY_BYTES}}}", re.ASCII)


def default_state_dir() -> Path:
    """Return the default state directory.

    This is the first entry of STATE_DIRECTORY if systemd has set it (systemd.exec(5)). Otherwise it
    is the user's state directory, on Linux `~/.local/state/quictunnel`.

    :raises SettingsError: the user has no home directory, as in some containers.
    """
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    path = None
    with contextlib.suppress(RuntimeError):  # no home directory
        path = platformdirs.user_state_path("quictunnel")
    if path is None or not path.is_absolute():
        raise SettingsError(
            "this user has no home directory for the state; choose a directory with --state-dir"
        )
    return path


def load_token(directory: Path, emit: EventSink = discard_event) -> Token | None:
    """Return the token in `directory`, or None if there is none yet.

    :raises SettingsError: it cannot be read or is damaged.
    """
    path = directory / TOKEN_FILE
    if not files.exists(path, "the token"):
        return None
    tokens = read_token_file(path, emit)
    if len(tokens) != 1:
        raise SettingsError(f"{files.quoted(path)} contains {len(tokens)} tokens instead of one")
    return tokens[0]


def load_or_make_token(directory: Path, emit: EventSink = discard_event) -> tuple[Token, bool]:
    """Return the token in `directory`, created if it is missing, and whether it was created.

    :raises SettingsError: it cannot be read or written, or is damaged.
    """
    if kept := load_token(directory, emit):
        return kept, False
    token = Token.new()
    files.make_directory(directory, "the state directory")
    content = f"{_TOKEN_COMMENT}{token.reveal()}\n".encode()
    made = files.write_new(directory / TOKEN_FILE, content, "the token")
    if not made and (kept := load_token(directory)):
        return kept, False  # another remote has created it in the meantime
    return token, made


def remove_token(directory: Path, token_id: str) -> bool:
    """Remove the token in `directory` if it has this id; return whether it had.

    :raises SettingsError: it cannot be read or removed.
    """
    with locked(directory, "the state directory"):
        token = load_token(directory)
        if token is None or token.id != token_id:
            return False
        files.remove(directory / TOKEN_FILE, "the token")
        return True


def load_or_make_certificate(directory: Path) -> tuple[Path, Path]:
    """Return the paths of the certificate and the key in `directory`, created if missing.

    The certificate is for this machine's host name, localhost and the loopback addresses.

    :raises SettingsError: they cannot be read or written, or are damaged.
    """
    cert, key = directory / CERTIFICATE_FILE, directory / KEY_FILE
    if os.path.lexists(cert) and not os.path.lexists(key):
        raise SettingsError(
            f"the state directory {files.quoted(directory)} contains {CERTIFICATE_FILE} without "
            f"{KEY_FILE}; restore the key, or delete the certificate to get a new pair"
        )
    files.make_directory(directory, "the state directory")
    # The key first, so that an interrupted or concurrent start continues with the same key.
    if not os.path.lexists(key):
        files.write_new(key, key_pem(make_key()), "the key")
    if not os.path.lexists(cert):
        certificate = make_self_signed(machine_names(), load_key(key))
        files.write_new(cert, certificate_pem(certificate), "the certificate", mode=0o644)
    load_pair(cert, key)
    return cert, key


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


def load_or_make_reset_key(directory: Path, emit: EventSink = discard_event) -> bytes:
    """Return the stateless reset key in `directory`, created if it is missing.

    A remote with a given token and certificate can run on a read-only file system. Then the key
    lasts as long as the process, and origins notice a restart some seconds later.

    :raises SettingsError: it exists but cannot be read or is damaged.
    """
    if kept := load_reset_key(directory, emit):
        return kept
    key = secrets.token_bytes(RESET_KEY_BYTES)
    content = f"{_RESET_KEY_COMMENT}{key.hex()}\n".encode()
    try:
        files.make_directory(directory, "the state directory")
        made = files.write_new(directory / RESET_KEY_FILE, content, "the reset key")
    except SettingsError as exc:
        emit(ResetKeyNotSaved(reason=str(exc)))
        return key
    if not made and (kept := load_reset_key(directory)):
        return kept  # another remote has created it in the meantime
    return key


def machine_names() -> list[str]:
    """Return the default names of a certificate for this machine."""
    host = socket.gethostname()
    # An administrator can set any host name. Not all of them are allowed in a certificate.
    usable = host.isascii() and host.isprintable() and " " not in host and 0 < len(host) <= 253
    return [*([host] if usable else []), "localhost", "127.0.0.1", "::1"]
