"""The tokens of the remote on this machine, and where each of them is stored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from quictunnel.config.accepted_tokens import accepts_own
from quictunnel.config.files import read_text
from quictunnel.config.grants import DEFAULT_GRANT, Grant
from quictunnel.config.state import TOKEN_FILE, check_state_directory, load_token
from quictunnel.config.token_store import TokenStore
from quictunnel.config.tokens import Token, read_token_file
from quictunnel.config.toml import ONLY_THE_ID, Config
from quictunnel.config.values import Table, located
from quictunnel.errors import SettingsError
from quictunnel.events import discard_event

Writer = Literal["remote", "command", "user"]
"""The writer of a token's file. The remote writes its own token, commands write added ones, and the
user writes configuration files and token files."""


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token, and where it is stored."""

    token: Token

    written_by: Writer

    file: Path
    """The file that has it."""

    key: str = ""
    """Its key in a configuration file: `token` or `[token.ID]`; empty for other files."""

    grant: Grant = DEFAULT_GRANT
    """Its rights."""

    table: Table = field(default_factory=dict, repr=False)
    """Its table, with a comment and the date as it was written."""

    is_accepted: bool = True
    """Whether the remote accepts it: its own one only if no other token is given."""

    @property
    def place(self) -> str:
        """The file and the key, for people."""
        return f"{self.file}: {self.key}" if self.key else str(self.file)

    @property
    def line(self) -> int | None:
        """The number of the line of the file that has it; None if no line has its id.

        :raises SettingsError: the file cannot be read.
        """
        word = re.compile(rf"(?<![\w-]){re.escape(self.token.id)}(?![\w-])")
        lines = [
            (number, line.lstrip())
            for number, line in enumerate(read_text(self.file, "the file").splitlines(), start=1)
            if word.search(line.partition("#")[0])
        ]
        headers = [(number, line) for number, line in lines if line.startswith("[token")]
        return next((number for number, _ in headers or lines), None)


def known_tokens(directory: Path, config: Config | None) -> list[KnownToken]:
    """Return the tokens of a remote.

    :param directory: its state directory.
    :param config: its configuration file, if it has one.
    :raises SettingsError: a file cannot be read or is invalid, or other users can change the state
        directory.
    """
    check_state_directory(directory, is_anothers=True)
    given = [] if config is None else [*_given(config)]
    own = _own(directory, config, is_accepted=accepts_own([known.token for known in given]))
    return [*([] if own is None else [own]), *_added(directory), *given]


def find_token(tokens: Sequence[KnownToken], token_id: str) -> KnownToken:
    """Return the token with an id.

    :raises SettingsError: there is none. The error names the most similar one.
    """
    if "." in token_id:
        raise SettingsError(ONLY_THE_ID)  # the rest of the argument may be the secret
    if found := next((known for known in tokens if known.token.id == token_id), None):
        return found
    ids = [known.token.id for known in tokens]
    similar = get_close_matches(token_id, ids, n=1)
    advice = (
        f"did you mean {similar[0]!r}?"
        if similar
        else "'quictunnel token list' shows the tokens, with --config also those of a file"
    )
    raise SettingsError(f"no token has the id {token_id!r}; {advice}")


def _own(directory: Path, config: Config | None, *, is_accepted: bool) -> KnownToken | None:
    """Return the token that the remote has created in its state directory, if it exists.

    :param config: the configuration file, which may have a table with the rights of the token.
    :raises SettingsError: it cannot be read.
    """
    token = load_token(directory)
    if token is None:
        return None
    known = KnownToken(token, "remote", directory / TOKEN_FILE, is_accepted=is_accepted)
    if config is None or token.id not in config.token_tables:
        return known
    _, grants = config.tokens(discard_event)
    return replace(known, grant=grants[token.id], table=config.token_tables[token.id])


def _added(directory: Path) -> Iterator[KnownToken]:
    store = TokenStore(directory)
    tokens, grants = store.load()
    tables = store.tables()
    for token in tokens:
        yield KnownToken(
            token, "command", store.path, grant=grants[token.id], table=tables[token.id]
        )


def _given(config: Config) -> Iterator[KnownToken]:
    """Yield the tokens of a configuration file."""
    tokens, grants = config.tokens(discard_event)

    def known(token: Token, file: Path, key: str = "") -> KnownToken:
        grant = grants.get(token.id, DEFAULT_GRANT)
        table = config.token_tables.get(token.id, {})
        return KnownToken(token, "user", file, key, grant, table)

    for token in tokens:
        yield known(token, config.path, f"[token.{token.id}]")
    texts = config.values.get("token", [])
    assert isinstance(texts, list)  # its kind
    with located(f"{config.path}: token"):
        tokens = tuple(map(Token.parse, texts))
    for token in tokens:
        yield known(token, config.path, "token")
    if "token-file" in config.values:
        file = Path(str(config.values["token-file"]))
        with located(f"{config.path}: token-file"):
            tokens = read_token_file(file)
        for token in tokens:
            yield known(token, file)
