"""`quictunnel token revoke`: removes a token from the remote on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quictunnel.cli.config_option import RemotesConfigFile, Sources
from quictunnel.cli.known_tokens import KnownToken, find_token, known_tokens
from quictunnel.cli.output import print_line
from quictunnel.cli.token_options import StateDir
from quictunnel.config.state import default_state_dir, remove_token
from quictunnel.config.token_store import TokenStore
from quictunnel.errors import SettingsError

TokenId = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The token's ID: the part before the dot.", show_default=False
    ),
]

ENDS = "a running remote ends its links within a second"


def revoke(
    ctx: typer.Context,
    token_id: TokenId,
    *,
    config: RemotesConfigFile = None,  # its callback has loaded the file
    state_dir: StateDir = None,
) -> None:
    """Revoke a token of the remote on this machine.

    Examples:
      quictunnel token revoke 2fdf26f2
      quictunnel token revoke 2fdf26f2 --state-dir /var/lib/quictunnel

    It removes the token from the state directory. The remote ends the links of its origins, and
    accepts none with it any more. A token in a configuration file stays there: the command says
    where it is, and ends with exit code 2.
    """
    directory = state_dir or default_state_dir()
    tokens = known_tokens(directory, Sources(ctx).config)
    find_token(tokens, token_id)  # at least one
    for known in tokens:
        if known.token.id == token_id and known.written_by != "user":
            _remove(known, directory)
    for known in tokens:
        if known.token.id == token_id and known.written_by == "user":
            raise SettingsError(_how_to_remove(known))


def _remove(known: KnownToken, directory: Path) -> None:
    """Remove a token from the state directory, and say what that means."""
    token_id = known.token.id
    if known.written_by == "command":
        TokenStore(directory).remove(token_id)
        print_line(f"revoked: {token_id}; {ENDS}")
        return
    remove_token(directory, token_id)
    print_line(f"revoked: {token_id}, the token that the remote has created; {ENDS}")
    if TokenStore(directory).tables():
        print_line("The remote creates no new one, because it has other tokens.")
    else:
        print_line("At its next start, the remote creates a new one, unless it is given a token.")


def _how_to_remove(known: KnownToken) -> str:
    where = str(known.file) if known.line is None else f"{known.file}, line {known.line}"
    if known.key == "token":
        advice = "remove it from 'token' there"
    elif known.key:
        advice = f"remove the table {known.key} there"
    else:
        advice = "remove the line"
    return f"the token {known.token.id} is in {where}; {advice}, and {ENDS}"
