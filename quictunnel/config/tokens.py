"""Tokens: secrets that an origin and a remote share.

A secret appears in no repr, no log and no error. Only `reveal` returns it.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from quictunnel.config.files import quoted, read_text, warn_if_exposed
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink, discard_event

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_MIN_SECRET = 22
"""Characters of a secret, at least. 22 of an alphabet of 64 carry 132 bits."""

_SECRET = re.compile(rf"[A-Za-z0-9_-]{{{_MIN_SECRET},512}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """A token, written `id.secret`. The id is not secret and names the token in logs."""

    id: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        """Check both parts.

        :raises SettingsError: a part is malformed. The error does not quote it.
        """
        if not _ID.fullmatch(self.id):
            raise SettingsError("this is not a token: an id has 1 to 64 of A-Z a-z 0-9 _ -")
        if not _SECRET.fullmatch(self.secret):
            if len(self.secret) < _MIN_SECRET:
                raise SettingsError(
                    "the token looks cut off; 'quictunnel token show' on the remote prints it"
                )
            raise SettingsError(
                f"a token's secret has {_MIN_SECRET} to 512 of A-Z a-z 0-9 _ -; "
                "'quictunnel token new' creates a token"
            )

    @classmethod
    def parse(cls, text: str) -> Token:
        """Return the token `id.secret`.

        :raises SettingsError: it is anything else. The error does not quote it.
        """
        token_id, dot, secret = text.strip().partition(".")
        if not dot:
            raise SettingsError("a token is written id.secret, with a dot between the two")
        return cls(token_id, secret)

    @classmethod
    def new(cls) -> Token:
        """Return a new token whose secret has 192 random bits."""
        # The id is hexadecimal because a token that began with "-" would look like an option.
        return cls(secrets.token_hex(4), secrets.token_urlsafe(24))

    def reveal(self) -> str:
        """Return `id.secret`, only for the user and for the token file."""
        return f"{self.id}.{self.secret}"


def is_token_id(text: str) -> bool:
    """Return whether a token may have this id."""
    return _ID.fullmatch(text) is not None


def read_token_file(path: Path, emit: EventSink = discard_event) -> tuple[Token, ...]:
    """Return the tokens of a file with one token per line, `#` comments and empty lines.

    Other users may be able to read the file, as Kubernetes mounts secrets. Then an event says so.

    :raises SettingsError: it cannot be read, contains no token, or contains something else.
    """
    tokens: dict[str, Token] = {}
    for number, line in enumerate(read_text(path, "the token file").splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        where = f"the token file {quoted(path)}, line {number}"
        if len(text.split()) > 1:
            raise SettingsError(f"{where} is not a token: only id.secret belongs here")
        try:
            token = Token.parse(text)
        except SettingsError as exc:
            raise SettingsError(f"{where}: {exc}") from exc
        if token.id in tokens:
            raise SettingsError(f"{where}: the id {token.id} occurs twice")
        tokens[token.id] = token
    if not tokens:
        raise SettingsError(f"the token file {quoted(path)} contains no token")
    warn_if_exposed(path, emit)
    return tuple(tokens.values())
