"""The state directory: files that a remote creates at its first start and keeps.

    token         its token, as a token file
    server.key    the private key of its self-signed certificate
    server.pem    that certificate
    reset.key     the secret of stateless resets: see `reset_key`
    tokens.toml   the tokens that commands have added: see `token_store`

An origin may keep `networks.json` there, its record of networks.

Each file is written atomically, and only its owner can read the secrets. A damaged file is reported
and never overwritten, because it may be the only copy of a secret that origins use.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import platformdirs

from quictunnel.config import files
from quictunnel.config.certificates import load_key, load_pair
from quictunnel.config.directory_lock import locked
from quictunnel.config.self_signed import certificate_pem, key_pem, make_key, make_self_signed
from quictunnel.config.strict_modes import check_modes
from quictunnel.config.tokens import Token, read_token_file
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink, discard_event

TOKEN_FILE = "token"  # noqa: S105 - the name of a file, not a password
KEY_FILE = "server.key"
CERTIFICATE_FILE = "server.pem"
RESET_KEY_FILE = "reset.key"
STORE_FILE = "tokens.toml"

WHAT = "the state directory"
"""The directory in errors."""

_TOKEN_COMMENT = (
    "# The token of this quictunnel remote. Keep it secret. Delete it to get a new one.\n"  # noqa: S105 - a comment in the file
)


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


def check_state_directory(
    directory: Path, emit: EventSink = discard_event, *, is_anothers: bool = False
) -> None:
    """Check that no other user of this machine can change the state directory.

    :param is_anothers: whether it may be the directory of another user's remote.
    :raises SettingsError: another user can. The error has the command that helps.
    """
    names = (TOKEN_FILE, KEY_FILE, CERTIFICATE_FILE, RESET_KEY_FILE, STORE_FILE)
    check_modes(directory, WHAT, emit, names=names, may_be_anothers=is_anothers)


def make_state_directory(directory: Path, *, is_anothers: bool = False) -> None:
    """Create the state directory unless it exists.

    :param is_anothers: as for `check_state_directory`.
    :raises SettingsError: it cannot be created, or another user of this machine can change it.
    """
    files.make_directory(directory, WHAT)
    check_state_directory(directory, is_anothers=is_anothers)  # who has created it?


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
    make_state_directory(directory)
    content = f"{_TOKEN_COMMENT}{token.reveal()}\n".encode()
    made = files.write_new(directory / TOKEN_FILE, content, "the token")
    if not made and (kept := load_token(directory)):
        return kept, False  # another remote has created it in the meantime
    return token, made


def remove_token(directory: Path, token_id: str) -> bool:
    """Remove the token in `directory` if it has this id; return whether it had.

    :raises SettingsError: it cannot be read or removed.
    """
    with locked(directory, WHAT):
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
    make_state_directory(directory)
    # The key first, so that an interrupted or concurrent start continues with the same key.
    if not os.path.lexists(key):
        files.write_new(key, key_pem(make_key()), "the key")
    if not os.path.lexists(cert):
        certificate = make_self_signed(machine_names(), load_key(key))
        files.write_new(cert, certificate_pem(certificate), "the certificate", mode=0o644)
    load_pair(cert, key)
    return cert, key


def machine_names() -> list[str]:
    """Return the default names of a certificate for this machine."""
    host = socket.gethostname()
    # An administrator can set any host name. Not all of them are allowed in a certificate.
    usable = host.isascii() and host.isprintable() and " " not in host and 0 < len(host) <= 253
    return [*([host] if usable else []), "localhost", "127.0.0.1", "::1"]
