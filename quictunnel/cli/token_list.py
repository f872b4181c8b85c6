"""`quictunnel token list`: lists the tokens of the remote on this machine, without secrets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from quictunnel.cli import options
from quictunnel.cli.config_option import RemotesConfigFile, Sources
from quictunnel.cli.known_tokens import KnownToken, known_tokens
from quictunnel.cli.output import print_line, print_table
from quictunnel.cli.rights import describe
from quictunnel.cli.token_options import OTHER_USER, StateDir
from quictunnel.config.files import quoted
from quictunnel.config.state import default_state_dir
from quictunnel.config.units import format_rate

COLUMNS = ("ID", "RIGHTS", "EXPIRES", "COMMENT", "STORED IN")

Json = Annotated[
    bool,
    options.OPTIONS.option(
        "--json",
        "Print a JSON array, with one object for each token.",
        envvar="QUICTUNNEL_TOKEN_LIST_JSON",
        metavar="",
    ),
]


def list_tokens(
    ctx: typer.Context,
    *,
    config: RemotesConfigFile = None,  # its callback has loaded the file
    state_dir: StateDir = None,
    as_json: Json = False,
) -> None:
    """List the tokens that the remote on this machine accepts, without their secrets.

    Examples:
      quictunnel token list
      quictunnel token list --config /etc/quictunnel/remote.toml --json

    These are the token that the remote has created, those that 'quictunnel token new' has added,
    and with --config those of that file. If the file has tokens, the remote does not accept the one
    that it has created.
    """
    directory = state_dir or default_state_dir()
    tokens = [known for known in known_tokens(directory, Sources(ctx).config) if known.is_accepted]
    if as_json:
        print_line(json.dumps([_object(known) for known in tokens], indent=2))
    elif tokens:
        print_table(COLUMNS, [_row(known) for known in tokens])
    else:
        print_line(f"there is no token in {quoted(directory)}; {OTHER_USER}")


def _object(known: KnownToken) -> dict[str, object]:
    grant = known.grant
    return {
        "id": known.token.id,
        "outside": grant.outside,
        "ports": None if grant.ports is None else list(map(str, grant.ports)),
        "hosts": None if grant.hosts is None else list(grant.hosts),
        "max_clients": grant.max_clients,
        "rate": None if grant.rate is None else format_rate(grant.rate),
        "expires": _expires(known),
        "expired": grant.has_expired,
        "comment": known.table.get("comment"),
        "file": str(known.file),
        "key": known.key or None,
    }


def _row(known: KnownToken) -> Sequence[str]:
    expires = _expires(known) or "never"
    if known.grant.has_expired:
        expires += " (expired)"
    comment = str(known.table.get("comment", ""))
    return (known.token.id, describe(known.grant), expires, comment, known.place)


def _expires(known: KnownToken) -> str | None:
    """Return the date as its file has it; None for never."""
    text = known.table.get("expires")
    return None if text is None else str(text).replace("+00:00", "Z")
