"""Options that several commands share, and the conversion of their text.

Every option has an environment variable, `QUICTUNNEL_` and its name. The option has precedence.
Both have precedence over the file of `--config`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from quictunnel.cli.logging_setup import LogFormat, LogLevel
from quictunnel.cli.output import print_line
from quictunnel.config.addresses import HostPort, parse_admin
from quictunnel.config.admin_token import AdminToken, read_admin_token
from quictunnel.config.proxies import NO_PROXY, Proxy, environment_proxy, parse_proxy
from quictunnel.config.settings import (
    GRACE,
    HOLD,
    LINGER,
    UNREAD_LIMIT,
    Congestion,
    EngineName,
)
from quictunnel.config.tokens import Token, read_token_file
from quictunnel.config.units import (
    format_duration,
    format_size,
    is_plain_number,
    parse_duration,
)
from quictunnel.config.urls import WebSocketUrl
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink, ProxyIgnored
from quictunnel.observe.access_log_format import AccessLogFormat

Text = TypeVar("Text", str, Sequence[str], Path)
Value = TypeVar("Value")

EXPOSED = (
    "Other users of this machine can see this option in the process list. Better use the "
    "environment variable or --token-file."
)
"""The risk of a secret on the command line, for the help."""

HOLD_DEFAULT = format_duration(HOLD)
LINGER_DEFAULT = format_duration(LINGER)
GRACE_DEFAULT = format_duration(GRACE)
UNREAD_DEFAULT = format_size(UNREAD_LIMIT)


class Panel:
    """A group of options in the help.

    :param title: its title; None for the group of options that have no other.
    """

    def __init__(self, title: str | None) -> None:
        self._title = title

    def option(self, declaration: str, text: str, **more: Any) -> Any:  # noqa: ANN401
        """Return an option for typer, with its environment variable.

        :param declaration: the names and the placeholder of the value, such as `--hold DURATION`.
        :param text: the help.
        :param more: further arguments of `typer.Option`.
        """
        names = [word for word in declaration.split() if word.startswith("--")]
        if placeholder := " ".join(declaration.split()[len(names) :]):
            more["metavar"] = placeholder
        variable = names[0].removeprefix("--").replace("-", "_").upper()
        more.setdefault("envvar", f"QUICTUNNEL_{variable}")
        return typer.Option(*names, help=text, rich_help_panel=self._title, **more)


OPTIONS = Panel(None)
TRUST = Panel("Trust")
CLIENTS = Panel("Clients and the link")
ENGINE = Panel("QUIC engine")
LOGS = Panel("Log (on standard error) and other recordings")
ADMIN = Panel("Admin interface")


TokenTexts = Annotated[
    list[str],
    TRUST.option(
        "--token TOKEN",
        "A secret shared with origins, written id.secret; may be given several times. Without a "
        "token, the remote creates one at its first start and keeps it in the state directory. "
        "Tokens that 'quictunnel token new' has added are accepted as well. "
        f"{EXPOSED}",
    ),
]

TokenText = Annotated[
    str | None,
    TRUST.option(
        "--token TOKEN",
        "The secret shared with the remote, written id.secret; 'quictunnel token show' on the "
        "remote prints it. It is never sent: both ends prove that they know it. "
        f"{EXPOSED}",
    ),
]

TokenFile = Annotated[
    Path | None,
    TRUST.option(
        "--token-file FILE",
        "A file with one token per line. # starts a comment. An origin has one token, a "
        "remote may have several.",
    ),
]

StateDir = Annotated[
    Path | None,
    TRUST.option(
        "--state-dir DIR",
        "Directory for the token and the certificate that the remote creates, for the tokens that "
        "'quictunnel token new' adds, and for a key that lets origins notice a restart at once.",
        show_default="the user's state directory, on Linux ~/.local/state/quictunnel",
    ),
]

Hold = Annotated[
    str,
    CLIENTS.option(
        "--hold DURATION",
        "How long connections are kept while the network between origin and remote is down, "
        "as on another Wi-Fi or a sleeping laptop. Clients notice a pause. The shorter hold of "
        "the two ends counts. A plain number is seconds.",
    ),
]

Linger = Annotated[
    str,
    CLIENTS.option(
        "--linger DURATION",
        "How long a half-closed connection may be idle: one side has finished sending, and "
        "the other sends nothing.",
    ),
]

Grace = Annotated[
    str,
    CLIENTS.option(
        "--grace DURATION",
        "How long current clients have to finish after Ctrl-C, SIGTERM or the end of the "
        "terminal. A second Ctrl-C stops at once.",
    ),
]

UnreadLimit = Annotated[
    str,
    CLIENTS.option(
        "--unread-limit SIZE",
        "How many received bytes this process may hold for all clients before it slows the "
        "senders down. Nothing is lost.",
    ),
]

Engine = Annotated[
    EngineName,
    ENGINE.option(
        "--engine",
        "quinn is compiled and moves several times as many bytes with the same processor. "
        "aioquic is always installed. auto uses quinn if it is installed (pip install ./engine in "
        "a clone of the repository). The two ends may use different engines.",
    ),
]

CongestionOption = Annotated[
    Congestion | None,
    ENGINE.option(
        "--congestion",
        "Congestion control of what this end sends: the origin sends downloads, the remote "
        "uploads. bbr keeps queues short and stays fast when packets are lost, as on mobile, "
        "Wi-Fi and long paths. cubic is the most common one. reno is the most cautious one.",
        show_default="bbr",
    ),
]

Admin = Annotated[
    str | None,
    ADMIN.option(
        "--admin HOST:PORT",
        "TCP address of the admin interface (HTTP): the live page, the API, health and metrics. "
        "A port alone, and localhost, mean 127.0.0.1. An address that other machines can reach "
        "needs a token. Without this option, there is only a Unix socket for this user.",
        show_default="none",
    ),
]

AdminTokenText = Annotated[
    str | None,
    ADMIN.option(
        "--admin-token TEXT",
        "Token for the address of --admin, at least 16 characters. "
        "Other users of this machine can see this option in the process list. Better use the "
        "environment variable or --admin-token-file.",
    ),
]

AdminTokenFile = Annotated[
    Path | None,
    ADMIN.option(
        "--admin-token-file FILE",
        "A file with that token. # starts a comment.",
    ),
]

LogFormatOption = Annotated[
    LogFormat,
    LOGS.option(
        "--log-format",
        "text for people, or one JSON object per line for programs.",
    ),
]

LogLevelOption = Annotated[
    LogLevel | None,
    LOGS.option(
        "--log-level",
        "The lowest level to log.",
        show_default="warning on a terminal, info elsewhere",
    ),
]


AccessLogFile = Annotated[
    Path | None,
    LOGS.option(
        "--access-log FILE|-",
        "Write one line for each client that has ended or was rejected to this file, or to "
        "standard output. The log then has no lines about clients but warnings. The file is opened "
        "again on SIGUSR1, and when it was renamed or removed.",
        show_default="none",
    ),
]

AccessLogFormatOption = Annotated[
    AccessLogFormat,
    LOGS.option(
        "--access-log-format",
        "text for people, one JSON object per line for programs, or the combined log format of "
        "web servers, for goaccess and the like.",
    ),
]


QlogOption = Annotated[
    Path | None,
    LOGS.option(
        "--qlog DIR",
        "Record what each QUIC connection sends and receives, without the content, in files in "
        "this directory, for qvis and other tools for qlog. It is created if it is missing. The "
        "files have up to 256 MiB in all.",
        show_default="none",
    ),
]


class OptionError(SettingsError):
    """An error about one option, which it names."""


def read(option: str, parse: Callable[[Text], Value], text: Text) -> Value:
    """Convert an option's text, its texts or its path with `parse`.

    :param option: the option's name for errors: `--hold`, or `origin.toml: hold`.
    :raises OptionError: the error of `parse`, with the option's name in front.
    """
    try:
        return parse(text)
    except SettingsError as exc:
        raise OptionError(f"{option}: {exc}") from exc


def read_duration(option: str, text: str) -> float:
    """Convert a duration to seconds. On a terminal, say so if a plain number was given.

    :raises OptionError: it is not a duration.
    """
    seconds = read(option, parse_duration, text)
    if seconds and is_plain_number(text) and sys.stdout.isatty():
        print_line(f"note: {option} {text} means {seconds:g} seconds; write {text}m for minutes")
    return seconds


def read_admin(
    text: str | None,
    token: str | None,
    token_file: Path | None,
    name: Callable[[str], str],
    emit: EventSink,
) -> tuple[HostPort | None, AdminToken | None]:
    """Return the address and the token of the admin interface.

    :param name: returns an option's name for errors.
    :raises OptionError: one is malformed, the file cannot be read, or the token is missing.
    """
    if token is not None and token_file is not None:
        first, second = name("--admin-token"), name("--admin-token-file")
        raise OptionError(f"{first} and {second} are both given, but there is one admin token")
    secret: AdminToken | None = None
    if token is not None:
        secret = read(name("--admin-token"), AdminToken.parse, token)
    elif token_file is not None:
        parse_file = partial(read_admin_token, emit=emit)
        secret = read(name("--admin-token-file"), parse_file, token_file)
    if text is None:
        if secret is not None:
            given = "--admin-token" if token_file is None else "--admin-token-file"
            raise OptionError(f"{name(given)} is for the address of --admin, which is not given")
        return None, None
    parse = partial(parse_admin, has_token=secret is not None)
    return read(name("--admin"), parse, text), secret


def read_proxy(
    text: str | None, url: WebSocketUrl | None, name: Callable[[str], str], emit: EventSink
) -> Proxy | None:
    """Return the proxy of `--proxy` or of the environment; None for a direct connection.

    :param url: the WebSocket that it is for; None if none is used.
    :param name: returns an option's name for errors.
    :param emit: receives `ProxyIgnored` if the environment names a proxy that cannot be used.
    :raises OptionError: `--proxy` is malformed.
    """
    if text is not None:
        return None if text == NO_PROXY else read(name("--proxy"), parse_proxy, text)
    if url is None:
        return None
    try:
        found = environment_proxy(os.environ, url.server)
    except SettingsError as exc:
        # The variable is for other programs too, and the origin may not need a proxy.
        emit(ProxyIgnored(str(exc)))
        return None
    return None if found is None else found.proxy


def read_tokens(
    texts: Sequence[str], file: Path | None, name: Callable[[str], str], emit: EventSink
) -> tuple[Token, ...]:
    """Return the tokens of `--token` and `--token-file` together.

    :param name: returns an option's name for errors.
    :raises OptionError: a token is malformed, or the file cannot be read.
    """
    tokens = [read(name("--token"), Token.parse, text) for text in texts]
    if file is not None:
        tokens += read(name("--token-file"), partial(read_token_file, emit=emit), file)
    return tuple(tokens)
