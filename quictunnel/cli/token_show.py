"""`quictunnel token show`: prints a token, and the command for an origin with it."""

from __future__ import annotations

from typing import Annotated

import typer

from quictunnel.cli.config_option import RemotesConfigFile, Sources
from quictunnel.cli.known_tokens import find_token, known_tokens, own_token
from quictunnel.cli.origin_command import RemotePlace
from quictunnel.cli.token_options import LISTEN_DEFAULT, Listen, RemoteName, StateDir
from quictunnel.config.files import quoted
from quictunnel.config.state import default_state_dir
from quictunnel.config.token_store import TokenStore
from quictunnel.errors import SettingsError

TokenId = Annotated[
    str | None,
    typer.Argument(
        metavar="ID",
        help="The token's ID: the part before the dot.",
        show_default="the token that the remote has created",
    ),
]


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

    Anyone with the token can publish a server through this remote. Keep it secret.
    """
    sources = Sources(ctx)
    place = RemotePlace.parse(listen, remote, sources.name)
    directory = state_dir or default_state_dir()
    if token_id is not None:
        known = find_token(known_tokens(directory, sources.config), token_id)
    elif (own := own_token(directory, sources.config)) is not None:
        known = own
    else:
        sentence = f"there is no token in {quoted(directory)}; "
        if TokenStore(directory).tables():
            sentence = f"the remote has no token of its own in {quoted(directory)}; "
            sentence += "'quictunnel token list' shows the others, and 'token show ID' one of them"
        else:
            sentence += "'quictunnel remote' creates one when it starts without --token"
        raise SettingsError(sentence)
    place.print_token(known.token, known.grant)
