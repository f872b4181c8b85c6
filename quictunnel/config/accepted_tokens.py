"""The tokens that a remote accepts, from all places where they can be.

given    by an option, an environment variable or the configuration file
own      created by the remote and kept in its state directory; accepted if none is given
added    by commands, to the state directory; always accepted
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quictunnel.config.grants import Grant
from quictunnel.config.settings import RemoteSettings
from quictunnel.config.state import STORE_FILE, TOKEN_FILE, load_token
from quictunnel.config.token_store import TokenStore
from quictunnel.config.tokens import Token
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink, discard_event


@dataclass(frozen=True, slots=True)
class StateTokens:
    """The tokens in a state directory."""

    directory: Path

    own: Token | None = None
    """The token that the remote has created, if it is accepted and exists."""

    added: tuple[Token, ...] = ()
    """The tokens that commands have added."""

    grants: Mapping[str, Grant] = field(default_factory=dict)
    """The rights of the added tokens, by the token's id."""


@dataclass(frozen=True, slots=True)
class AcceptedTokens:
    """The tokens that a remote accepts, and their rights."""

    tokens: tuple[Token, ...]

    grants: Mapping[str, Grant]
    """By the token's id. Other tokens have `DEFAULT_GRANT`."""

    @property
    def expired(self) -> list[str]:
        """The ids of tokens that have expired."""
        return [name for name, grant in self.grants.items() if grant.has_expired]


def accepts_own(given: Collection[Token]) -> bool:
    """Return whether a remote accepts the token that it has created, if it exists.

    :param given: the tokens of options, environment variables and the configuration file.
    """
    return not given


def token_files(directory: Path) -> tuple[Path, ...]:
    """Return the files of a state directory that `load_state_tokens` reads."""
    return directory / TOKEN_FILE, directory / STORE_FILE


def load_state_tokens(
    directory: Path, *, with_own: bool = True, emit: EventSink = discard_event
) -> StateTokens:
    """Return the tokens in a state directory. It creates nothing.

    :param with_own: whether to read the token that the remote has created.
    :raises SettingsError: a file cannot be read or is invalid.
    """
    added, grants = TokenStore(directory).load(emit)
    own = load_token(directory, emit) if with_own else None
    return StateTokens(directory, own, added, grants)


def accept_tokens(settings: RemoteSettings, state: StateTokens) -> AcceptedTokens:
    """Return the tokens that a remote with these settings accepts.

    :raises SettingsError: two tokens have the same id, also if one of them has only rights.
    """
    own = () if state.own is None or not accepts_own(settings.tokens) else (state.own,)
    added = {token.id for token in state.added}
    if twice := next((name for name in settings.grants if name in added), None):
        raise _twice(twice, state, "an option or the configuration file")
    for token in (*settings.tokens, *own):
        if token.id in added:
            place = "an option or the configuration file" if settings.tokens else TOKEN_FILE
            raise _twice(token.id, state, place)
    tokens = (*settings.tokens, *own, *state.added)
    return AcceptedTokens(tokens, {**settings.grants, **state.grants})


def check_grants(file: Path | None, grants: Mapping[str, Grant], tokens: tuple[Token, ...]) -> None:
    """Check that each grant of a configuration file has a token.

    :param file: the configuration file, for the error.
    :raises SettingsError: one has none.
    """
    known = {token.id for token in tokens}
    if missing := next((name for name in grants if name not in known), None):
        raise SettingsError(
            f"{file}: token.{missing}: no token has this id; set 'secret' or 'secret-file'; "
            "'quictunnel token list' shows the ids"
        )


def _twice(token_id: str, state: StateTokens, place: str) -> SettingsError:
    return SettingsError(
        f"two tokens have the id {token_id}: one is in {state.directory / STORE_FILE}, the other "
        f"in {place}; 'quictunnel token revoke {token_id}' removes the first"
    )
