"""`quictunnel token show`: prints a token, and the command for an origin with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from quictunnel.cli.config_option import RemotesConfigFile, Sources
from quictunnel.cli.known_tokens import KnownToken, find_token, known_tokens
from quictunnel.cli.origin_command import RemotePlace
from quictunnel.cli.output import print_line
from quictunnel.cli.token_options import LISTEN_DEFAULT, OTHER_USER, Listen, RemoteName, StateDir
from quictunnel.config.files import quoted
from quictunnel.config.state import default_state_dir
from quictunnel.errors import SettingsError
from quictunnel.escaping import escape

TokenId = Annotated[
    str | None,
    typer.Argument(
        metavar="ID",
        help="The token's ID: the part before the dot.",
        show_default="the token that the remote has created, or the only one that it accepts",
    ),
]

_MAX_LISTED = 10
"""IDs that an error lists, at most."""


def show(
    ctx: typer.Context,
    token_id: TokenId = None,
    *,
    config: RemotesConfigFile = None,
    state_dir: StateDir = None,
    listen: Listen = LISTEN_DEFAULT,
    remote: RemoteName = None,
) -> None:
    """Print a token of the remote on this machine, and the command for the origin.

    Examples:
      quictunnel token show
      quictunnel token show 2fdf26f2 --remote vps.example.com --state-dir /var/lib/quictunnel

    With --config, the tokens of that file count too. If it has some, the remote does not accept the
    one that it has created. If the remote accepts several others, name one of them.

    Anyone with the token can publish a server through this remote. Keep it secret.
    """
    sources = Sources(ctx)
    place = RemotePlace.parse(listen, remote, sources.name)
    directory = state_dir or default_state_dir()
    tokens = known_tokens(directory, sources.config)
    known = _select(tokens, directory) if token_id is None else find_token(tokens, token_id)
    place.print_token(known.token, known.grant)
    if not known.is_accepted:
        assert sources.config is not None  # otherwise no token is given
        print_line(
            escape(
                f"warning: a remote with {sources.config.path} does not accept this token, because "
                "the file has others"
            )
        )


def _select(tokens: Sequence[KnownToken], directory: Path) -> KnownToken:
    """Return the token that the remote has created, or the only one that it accepts.

    :raises SettingsError: it accepts no token, or several others.
    """
    accepted = [known for known in tokens if known.is_accepted]
    if own := next((known for known in accepted if known.written_by == "remote"), None):
        return own
    if not accepted:
        raise SettingsError(
            f"there is no token in {quoted(directory)}; 'quictunnel remote' creates one when it "
            f"starts without a token; {OTHER_USER}"
        )
    if len(accepted) > 1:
        ids = [known.token.id for known in accepted]
        listed = ", ".join(ids[:_MAX_LISTED])
        if len(ids) > _MAX_LISTED:
            listed += f" and {len(ids) - _MAX_LISTED} more"
        raise SettingsError(
            f"the remote accepts several tokens: {listed}; name one: 'quictunnel token show ID'"
        )
    return accepted[0]
