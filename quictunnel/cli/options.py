"""The options that several commands share, and how an option's text becomes a value.

Every option has an environment variable, QUICTUNNEL_ and its name; the option wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from quictunnel.config.settings import (
    GRACE,
    HOLD,
    LINGER,
    UNREAD_LIMIT,
    Congestion,
    EngineName,
)
from quictunnel.config.tokens import Token, read_token_file
from quictunnel.config.units import format_duration, format_size
from quictunnel.errors import SettingsError
from quictunnel.observe.logging_setup import LogFormat, LogLevel

Value = TypeVar("Value")

TRUST = "Trust: how the two ends know each other"
CLIENTS = "Clients and the link"
ENGINE = "The engine: what speaks QUIC at this end"
LOGS = "Logs (on standard error)"

HOLD_DEFAULT = format_duration(HOLD)
LINGER_DEFAULT = format_duration(LINGER)
GRACE_DEFAULT = format_duration(GRACE)
UNREAD_DEFAULT = format_size(UNREAD_LIMIT)

TokenTexts = Annotated[
    list[str],
    typer.Option(
        "--token",
        metavar="TOKEN",
        envvar="QUICTUNNEL_TOKEN",
        rich_help_panel=TRUST,
        help="A shared secret that origins come with, written id.secret; may be given several "
        "times. Other users of this machine can see it in the list of processes: the "
        "environment variable or --token-file keep it private. Without any token, one is made at "
        "the first start and kept in the state directory.",
    ),
]

TokenText = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        envvar="QUICTUNNEL_TOKEN",
        rich_help_panel=TRUST,
        help="The secret shared with the remote, written id.secret ('quictunnel token show' "
        "prints it there). It never travels: both ends only prove that they know it. Other users "
        "of this machine can see it in the list of processes: the environment variable or "
        "--token-file keep it private.",
    ),
]

TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        envvar="QUICTUNNEL_TOKEN_FILE",
        rich_help_panel=TRUST,
        help="A file with the token (a remote's may hold several), one a line; # begins a comment.",
    ),
]

StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        envvar="QUICTUNNEL_STATE_DIR",
        rich_help_panel=TRUST,
        help="Where the token and certificate that the remote makes for itself are kept, and a key "
        "by which origins notice at once that it was restarted.",
        show_default="your own state directory, on Linux ~/.local/state/quictunnel",
    ),
]

Hold = Annotated[
    str,
    typer.Option(
        "--hold",
        metavar="DURATION",
        envvar="QUICTUNNEL_HOLD",
        rich_help_panel=CLIENTS,
        help="How long everything is kept alive while the network between origin and remote is "
        "gone (another Wi-Fi, a sleeping laptop). Clients only notice a pause. The shorter one "
        "of both ends counts.",
    ),
]

Linger = Annotated[
    str,
    typer.Option(
        "--linger",
        metavar="DURATION",
        envvar="QUICTUNNEL_LINGER",
        rich_help_panel=CLIENTS,
        help="When one side of a connection has finished sending: how long the other side may be "
        "quiet before the connection is cut.",
    ),
]

Grace = Annotated[
    str,
    typer.Option(
        "--grace",
        metavar="DURATION",
        envvar="QUICTUNNEL_GRACE",
        rich_help_panel=CLIENTS,
        help="After Ctrl-C or SIGTERM, or when the terminal is closed: how long the present "
        "clients may go on. A second Ctrl-C ends at once.",
    ),
]

UnreadLimit = Annotated[
    str,
    typer.Option(
        "--unread-limit",
        metavar="SIZE",
        envvar="QUICTUNNEL_UNREAD_LIMIT",
        rich_help_panel=CLIENTS,
        help="How many bytes this process may hold that their receiver has not taken yet, over "
        "all clients. Connector it slows senders down and loses nothing.",
    ),
]

Engine = Annotated[
    EngineName,
    typer.Option(
        "--engine",
        envvar="QUICTUNNEL_ENGINE",
        rich_help_panel=ENGINE,
        help="What speaks QUIC: quinn is compiled, and moves several times the bytes with the same "
        "processor; aioquic is always there; auto takes quinn where it is installed (pip "
        "install ./engine in a clone of the repository). The other end may have another one.",
    ),
]

CongestionOption = Annotated[
    Congestion | None,
    typer.Option(
        "--congestion",
        envvar="QUICTUNNEL_CONGESTION",
        rich_help_panel=ENGINE,
        help="How this end keeps what it sends to the network's pace: bbr, which stays near the "
        "line's rate where packets get lost anyhow (mobile, Wi-Fi, long distances), and keeps "
        "queues short; cubic, as most of the internet does; or reno, the oldest and most cautious. "
        "Downloads through the tunnel are sent by the origin, uploads by the remote.",
        show_default="bbr",
    ),
]

LogFormatOption = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        envvar="QUICTUNNEL_LOG_FORMAT",
        rich_help_panel=LOGS,
        help="Lines for people, or one JSON object a line for programs.",
    ),
]

LogLevelOption = Annotated[
    LogLevel,
    typer.Option(
        "--log-level",
        envvar="QUICTUNNEL_LOG_LEVEL",
        rich_help_panel=LOGS,
        help="The least important thing to log.",
    ),
]


def read(option: str, parse: Callable[[str], Value], text: str) -> Value:
    """Return what `parse` makes of an option's text.

    :raises SettingsError: as `parse` does, with the option's name in front.
    """
    try:
        return parse(text)
    except SettingsError as exc:
        raise SettingsError(f"{option}: {exc}") from exc


def read_tokens(texts: Sequence[str], file: Path | None) -> tuple[Token, ...]:
    """Return the tokens of `--token` and `--token-file` together.

    :raises SettingsError: when one is malformed or the file cannot be read.
    """
    tokens = [read("--token", Token.parse, text) for text in texts]
    if file is not None:
        tokens += read_token_file(file)
    return tuple(tokens)
