"""Tokens: the shared secrets by which an origin and a remote know each other. No cryptography.

A token's secret shows nowhere by itself: not in a repr, not in a log, not in an error. Only
`reveal` gives it out, for the user's eyes.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from quictunnel.config.files import quoted, read_text, warn_if_open
from quictunnel.errors import SettingsError

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_SECRET = re.compile(r"[A-Za-z0-9_-]{22,512}", re.ASCII)
"""22 characters of this alphabet of 64 carry 132 bits; 128 is what the design asks for."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token: `id.secret` as text. The id is no secret: it names the token in logs."""

    id: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        """Check both parts.

        :raises SettingsError: without repeating what was given.
        """
        if not _ID.fullmatch(self.id):
            raise SettingsError("a token's id has 1 to 64 characters out of A-Z a-z 0-9 _ -")
        if not _SECRET.fullmatch(self.secret):
            raise SettingsError(
                "a token's secret has 22 to 512 characters out of A-Z a-z 0-9 _ -; "
                "'quictunnel token new' makes a good one"
            )

    @classmethod
    def parse(cls, text: str) -> Token:
        """Return the token of `id.secret`.

        :raises SettingsError: for anything else, without repeating it.
        """
        token_id, dot, secret = text.strip().partition(".")
        if not dot:
            raise SettingsError("a token is written id.secret, with a dot between the two")
        return cls(token_id, secret)

    @classmethod
    def new(cls) -> Token:
        """Return a fresh token, with 192 random bits of secret."""
        # Hexadecimal in front: a token never begins with "-", which would look like an option.
        return cls(secrets.token_hex(4), secrets.token_urlsafe(24))

    def reveal(self) -> str:
        """Return `id.secret`, for the user and for a file of theirs; for nothing else."""
        return f"{self.id}.{self.secret}"


def read_token_file(path: Path) -> tuple[Token, ...]:
    """Return the tokens of a file: one a line, `#` begins a comment, empty lines are skipped.

    A file that others can read is taken (Kubernetes mounts secrets so) but logged.

    :raises SettingsError: when it cannot be read, holds none, or a line is no token.
    """
    tokens: dict[str, Token] = {}
    for number, line in enumerate(read_text(path, "the token file").splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            token = Token.parse(text)
        except SettingsError as exc:
            raise SettingsError(f"the token file {quoted(path)}, line {number}: {exc}") from exc
        if token.id in tokens:
            raise SettingsError(
                f"the token file {quoted(path)}, line {number}: the id {token.id} is there twice"
            )
        tokens[token.id] = token
    if not tokens:
        raise SettingsError(f"the token file {quoted(path)} holds no token")
    warn_if_open(path)
    return tuple(tokens.values())
