"""Checks the tokens of a remote that does not run, as its start would."""

from __future__ import annotations

import logging
from pathlib import Path

from quictunnel.cli.status_lines import expired_line, weak_line
from quictunnel.config.accepted_tokens import (
    StateTokens,
    accept_tokens,
    accepts_own,
    check_grants,
    load_state_tokens,
)
from quictunnel.config.secret_strength import weak_secrets
from quictunnel.config.settings import RemoteSettings
from quictunnel.config.state import check_state_directory
from quictunnel.errors import SettingsError
from quictunnel.events import TokenExpired
from quictunnel.observe.event_log import EventLog


def check_tokens(settings: RemoteSettings, file: Path) -> tuple[StateTokens, list[str]]:
    """Check the tokens of a remote with these settings, and create nothing.

    Another user than the remote's often may not read the state directory. That is a warning.

    :param file: the configuration file.
    :return: the tokens in the state directory, and lines with warnings.
    :raises SettingsError: a file or a combination of tokens is invalid, or other users can change
        the state directory.
    """
    emit = EventLog(logging.getLogger("quictunnel.remote"))
    directory, warnings = settings.state_dir, []
    with_own = accepts_own(settings.tokens)
    is_known = True
    check_state_directory(directory, emit, is_anothers=True)
    try:
        state = load_state_tokens(directory, with_own=with_own, emit=emit)
    except SettingsError as exc:
        if not isinstance(exc.__cause__, PermissionError):
            raise
        state, is_known = StateTokens(directory), not with_own
        warnings.append(f"warning: {exc}, so the tokens in the state directory are not checked")
    accepted = accept_tokens(settings, state)
    if is_known:  # a token that the remote is yet to create gets an id that no table has
        check_grants(file, settings.grants, accepted.tokens)
    warnings += [weak_line(event) for event in weak_secrets(accepted.tokens)]
    warnings += [expired_line(TokenExpired(name)) for name in accepted.expired]
    return state, warnings
