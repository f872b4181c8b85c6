"""The state directory: what a remote made at its first start and keeps. Never overwritten.

    token         its token, as a token file
    server.key    the private key of its self-signed certificate
    server.pem    that certificate
    reset.key     by which the origins of a remote that died know that the next one is the same

Each file is made whole, in one step, and closed to other users. A damaged one is reported and
left alone: it may be all that somebody has of a secret that runs elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import socket
from pathlib import Path

import platformdirs

from quictunnel.config import files
from quictunnel.config.certificates import load_key, load_pair
from quictunnel.config.self_signed import certificate_pem, key_pem, make_key, make_self_signed
from quictunnel.config.tokens import Token, read_token_file
from quictunnel.errors import SettingsError
from quictunnel.observe.logging_setup import fact

_log = logging.getLogger("quictunnel.config")

TOKEN_FILE = "token"  # noqa: S105 - the name of a file, not a password
KEY_FILE = "server.key"
CERTIFICATE_FILE = "server.pem"
RESET_KEY_FILE = "reset.key"

RESET_KEY_BYTES = 32

_TOKEN_COMMENT = (
    "# The token of this quictunnel remote. Keep it secret; delete it to get a new one.\n"  # noqa: S105 - a comment in the file
)
_RESET_KEY_COMMENT = "# The key of this quictunnel remote's stateless resets. Keep it secret.\n"

_RESET_KEY = re.compile(rf"[0-9a-f]{{{2 * RESET_KEY_BYTES}}}", re.ASCII)


def default_state_dir() -> Path:
    """Return where state is kept when nothing else is said.

    systemd's STATE_DIRECTORY if it is set (systemd.exec(5): a list, the first counts), else the
    user's own place for state, `~/.local/state/quictunnel` on Linux.

    :raises SettingsError: for a user without a home, as containers have them.
    """
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    path = None
    with contextlib.suppress(RuntimeError):  # it cannot tell where home is
        path = platformdirs.user_state_path("quictunnel")
    if path is None or not path.is_absolute():
        raise SettingsError(
            "this user has no home directory to keep state in: --state-dir names another place"
        )
    return path


def load_token(directory: Path) -> Token | None:
    """Return the token that is kept in `directory`, or None if none was made yet.

    :raises SettingsError: when it cannot be read or is damaged.
    """
    path = directory / TOKEN_FILE
    if not os.path.lexists(path):
        return None
    tokens = read_token_file(path)
    if len(tokens) != 1:
        raise SettingsError(f"{files.quoted(path)} holds {len(tokens)} tokens; one belongs there")
    return tokens[0]


def load_or_make_token(directory: Path) -> tuple[Token, bool]:
    """Return the token that is kept in `directory`, and whether it was made just now.

    :raises SettingsError: when it cannot be read or written, or is damaged.
    """
    if kept := load_token(directory):
        return kept, False
    token = Token.new()
    files.make_directory(directory, "the state directory")
    content = f"{_TOKEN_COMMENT}{token.reveal()}\n".encode()
    made = files.write_new(directory / TOKEN_FILE, content, "the token")
    if not made and (kept := load_token(directory)):
        return kept, False  # another remote was quicker: its token is the one
    return token, made


def load_or_make_certificate(directory: Path) -> tuple[Path, Path]:
    """Return the files of the certificate and the key in `directory`, made if they are missing.

    The certificate names this machine, localhost and the loopback addresses.

    :raises SettingsError: when they cannot be read or written, or are damaged.
    """
    cert, key = directory / CERTIFICATE_FILE, directory / KEY_FILE
    if os.path.lexists(cert) and not os.path.lexists(key):
        raise SettingsError(
            f"the state directory {files.quoted(directory)} holds {CERTIFICATE_FILE} without "
            f"{KEY_FILE}: restore the key, or delete the certificate to have both made anew"
        )
    files.make_directory(directory, "the state directory")
    # The key first: whoever is interrupted here, or runs beside us, goes on from the same key.
    if not os.path.lexists(key):
        files.write_new(key, key_pem(make_key()), "the key")
    if not os.path.lexists(cert):
        certificate = make_self_signed(machine_names(), load_key(key))
        files.write_new(cert, certificate_pem(certificate), "the certificate", mode=0o644)
    load_pair(cert, key)
    return cert, key


def load_reset_key(directory: Path) -> bytes | None:
    """Return the key of stateless resets that is kept in `directory`; None if there is none yet.

    :raises SettingsError: when it cannot be read or is damaged.
    """
    path = directory / RESET_KEY_FILE
    if not os.path.lexists(path):
        return None
    lines = files.read_text(path, "the reset key").splitlines()
    words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if len(words) != 1 or not _RESET_KEY.fullmatch(words[0]):
        raise SettingsError(
            f"the reset key {files.quoted(path)} is damaged: {2 * RESET_KEY_BYTES} hex digits "
            "belong there; delete it to have a new one made"
        )
    files.warn_if_open(path)
    return bytes.fromhex(words[0])


def load_or_make_reset_key(directory: Path) -> bytes:
    """Return the key of stateless resets that is kept in `directory`, made if it is missing.

    A remote to which all else was given may run where nothing can be written: it goes on with a key
    that ends with it, and its origins take some seconds longer to notice a restart.

    :raises SettingsError: when it is there, and cannot be read or is damaged.
    """
    if kept := load_reset_key(directory):
        return kept
    key = secrets.token_bytes(RESET_KEY_BYTES)
    content = f"{_RESET_KEY_COMMENT}{key.hex()}\n".encode()
    try:
        files.make_directory(directory, "the state directory")
        made = files.write_new(directory / RESET_KEY_FILE, content, "the reset key")
    except SettingsError as exc:
        fact(_log, logging.WARNING, "no place for a key, restarts are noticed later", reason=exc)
        return key
    if not made and (kept := load_reset_key(directory)):
        return kept  # another remote was quicker: its key is the one
    return key


def machine_names() -> list[str]:
    """Return the names that a certificate of this machine carries when none are given."""
    host = socket.gethostname()
    # A host name may be anything the administrator typed; only what fits in a certificate goes in.
    usable = host.isascii() and host.isprintable() and " " not in host and 0 < len(host) <= 253
    return [*([host] if usable else []), "localhost", "127.0.0.1", "::1"]
