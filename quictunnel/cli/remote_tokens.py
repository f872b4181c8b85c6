"""The tokens of a running remote, as its configuration and its state directory change.

It also warns of policies that have no place, because the rights of tokens decide that too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from quictunnel.config.accepted_tokens import (
    AcceptedTokens,
    StateTokens,
    accept_tokens,
    accepts_own,
    check_grants,
    load_state_tokens,
)
from quictunnel.config.files import quoted
from quictunnel.config.secret_strength import weak_secrets
from quictunnel.config.settings import RemoteSettings
from quictunnel.config.state import (
    STORE_FILE,
    TOKEN_FILE,
    check_state_directory,
    load_or_make_token,
)
from quictunnel.config.tokens import Token
from quictunnel.config.unused_policies import unused_policies
from quictunnel.errors import SettingsError
from quictunnel.events import (
    AddedTokensLoaded,
    EventSink,
    PolicyUnused,
    SecretWeak,
    TokenExpired,
    TokenLoaded,
)


class RemoteTokens:
    """The tokens that a remote accepts at present.

    :param settings: the remote's settings. Another state directory takes effect after a restart.
    :param config_file: the file of `--config`, for errors.
    """

    def __init__(self, settings: RemoteSettings, config_file: Path | None, emit: EventSink) -> None:
        self._given = settings
        self._directory = settings.state_dir
        self._config_file = config_file
        self._emit = emit
        self._state = StateTokens(self._directory)
        self._expired: set[str] = set()
        self._weak: Sequence[SecretWeak] = ()
        self._unused: dict[str, str] = {}
        self.settings = settings
        """The settings in use, with the rights of all accepted tokens."""
        self.accepted: tuple[Token, ...] = ()
        """The accepted tokens."""
        self.created = False
        """Whether the remote's own token was created, and not read."""

    @property
    def own_is_accepted(self) -> bool:
        """Whether the remote accepts its own token: no other one is given, and it exists."""
        return self._state.own is not None

    def load(self) -> None:
        """Read the state directory, and create the remote's own token if there is no token.

        :raises SettingsError: a file or a combination of tokens is invalid.
        """
        self._configure(self._given, self._read_state(self._given), may_create=True)

    def configure(self, settings: RemoteSettings) -> None:
        """Use changed settings.

        :raises SettingsError: the combination is invalid. Then nothing has changed.
        """
        try:
            state = self._read_state(settings)
        except SettingsError:
            state = self._state  # the watch of the state directory reports the error
        # The remote's own token, once revoked, does not come back at each change of the file.
        self._configure(settings, state, may_create=bool(self._given.tokens))

    def reload(self) -> Path | None:
        """Read the state directory again, and create nothing.

        :return: the file that has changed; None if the tokens are the same.
        :raises SettingsError: a file or a combination of tokens is invalid. Then nothing has
            changed.
        """
        state, before = self._read_state(self._given), self._state
        if state == before:
            return None
        # Rights without a token do no harm, and must not delay the end of a revoked one.
        self._use(self._given, state, accept_tokens(self._given, state))
        is_own = (state.added, state.grants) == (before.added, before.grants)
        return self._directory / (TOKEN_FILE if is_own else STORE_FILE)

    # -- Inside

    def _configure(self, settings: RemoteSettings, state: StateTokens, *, may_create: bool) -> None:
        accepted = accept_tokens(settings, state)
        created = False
        if may_create and not accepted.tokens:
            own, created = load_or_make_token(self._directory)
            state = StateTokens(self._directory, own)
            accepted = accept_tokens(settings, state)
        check_grants(self._config_file, settings.grants, accepted.tokens)
        self.created = created
        self._use(settings, state, accepted)

    def _use(self, settings: RemoteSettings, state: StateTokens, accepted: AcceptedTokens) -> None:
        """Use this from now on, and report what is new."""
        before, self._state, self._given = self._state, state, settings
        self.settings = replace(settings, grants=accepted.grants)
        self.accepted = accepted.tokens
        if state.own is not None and state.own != before.own:
            directory = str(self._directory)
            self._emit(TokenLoaded(state.own.id, directory=directory, created=self.created))
        if (state.added, state.grants) != (before.added, before.grants):
            file = str(self._directory / STORE_FILE)
            self._emit(AddedTokensLoaded(count=len(state.added), file=file))
        weak = weak_secrets(accepted.tokens)
        for event in weak:
            if event not in self._weak:
                self._emit(event)
        self._weak = weak
        expired = set(accepted.expired)
        for name in sorted(expired - self._expired):
            self._emit(TokenExpired(name))
        self._expired = expired
        unused = unused_policies(self.settings)
        for place, reason in unused.items():
            if self._unused.get(place) != reason:
                self._emit(PolicyUnused(place, reason))
        self._unused = unused

    def _read_state(self, settings: RemoteSettings) -> StateTokens:
        """Read the state directory.

        :raises SettingsError: a file is invalid, another user can change the directory, or it has
            gone with its tokens.
        """
        with_own = accepts_own(settings.tokens)
        check_state_directory(self._directory)
        state = load_state_tokens(self._directory, with_own=with_own, emit=self._emit)
        had_tokens = self._state.own is not None or self._state.added
        if had_tokens and not self._directory.is_dir():
            # More likely a fault than the wish to revoke all tokens.
            raise SettingsError(f"the state directory {quoted(self._directory)} is missing")
        return state
