"""The state directory: what a remote made at its first start and keeps. Never overwritten.

    token         its token, as a token file
    server.key    the private key of its self-signed certificate
    server.pem    that certificate

Each file is made whole, in one step, and closed to other users. A damaged one is reported and
left alone: it may be all that somebody has of a secret that runs elsewhere.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import platformdirs

from quictunnel.config import files
from quictunnel.config.certificates import load_key, load_pair
from quictunnel.config.selfsigned import certificate_pem, key_pem, make_key, make_self_signed
from quictunnel.config.tokens import Token, read_token_file
from quictunnel.errors import SettingsError

TOKEN_FILE = "token"  # noqa: S105 - the name of a file, not a password
KEY_FILE = "server.key"
CERTIFICATE_FILE = "server.pem"

_TOKEN_COMMENT = (
    "# The token of this quictunnel remote. Keep it secret; delete it to get a new one.\n"  # noqa: S105 - a comment in the file
)


def default_state_dir() -> Path:
    """Return where state is kept when nothing else is said.

    systemd's STATE_DIRECTORY if it is set (systemd.exec(5): a list, the first counts), else the
    user's own place for state, `~/.local/state/quictunnel` on Linux.
    """
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(given) if given else platformdirs.user_state_path("quictunnel")


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


def machine_names() -> list[str]:
    """Return the names that a certificate of this machine carries when none are given."""
    host = socket.gethostname()
    # A host name may be anything the administrator typed; only what fits in a certificate goes in.
    usable = host.isascii() and host.isprintable() and " " not in host and 0 < len(host) <= 253
    return [*([host] if usable else []), "localhost", "127.0.0.1", "::1"]
