"""`quictunnel token new`: creates a token, and adds it to the remote on this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from quictunnel.cli import options
from quictunnel.cli.config_option import RemotesConfigFile, Sources
from quictunnel.cli.known_tokens import known_tokens
from quictunnel.cli.options import OptionError, read
from quictunnel.cli.origin_command import RemotePlace
from quictunnel.cli.output import print_line
from quictunnel.cli.rights import describe
from quictunnel.cli.token_options import LISTEN_DEFAULT, OTHER_USER, Listen, RemoteName, StateDir
from quictunnel.config.files import exists
from quictunnel.config.grants import Grant
from quictunnel.config.state import RESET_KEY_FILE, default_state_dir
from quictunnel.config.token_store import TokenStore
from quictunnel.config.tokens import Token
from quictunnel.config.toml_writer import TomlValue
from quictunnel.config.units import is_plain_number, parse_duration
from quictunnel.errors import SettingsError
from quictunnel.escaping import escape

RIGHTS = options.Panel("Rights (each of them implies --add)")

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)

Add = Annotated[
    bool,
    options.OPTIONS.option(
        "--add",
        "Store the token in the remote's state directory. A remote that runs there accepts it at "
        "once.",
        envvar="QUICTUNNEL_TOKEN_ADD",
        metavar="",
    ),
]

Ports = Annotated[
    list[str],
    RIGHTS.option(
        "--ports PORTS",
        "TCP ports that its origins may ask for: 2222 or 2000-2999; may be given several times. "
        "They need not be among those of the remote's --ports.",
        show_default="none with --hosts, otherwise those of the remote's --ports",
        envvar="QUICTUNNEL_TOKEN_PORTS",
    ),
]

Hosts = Annotated[
    list[str],
    RIGHTS.option(
        "--hosts NAME",
        "Host names that its origins may ask for: www.example.com, *.example.com or *; may be "
        "given several times. The remote needs --tls or --http.",
        show_default="none with --ports, otherwise those of the remote's --hosts",
        envvar="QUICTUNNEL_TOKEN_HOSTS",
    ),
]

Outside = Annotated[
    bool | None,
    RIGHTS.option(
        "--outside/--no-outside",
        "Whether its origins may have the remote's outside address.",
        show_default="no with --ports or --hosts, otherwise yes",
        envvar="QUICTUNNEL_TOKEN_OUTSIDE",
        metavar="",
    ),
]

Expires = Annotated[
    str | None,
    RIGHTS.option(
        "--expires DATE|DURATION",
        "When it expires: 2027-01-31 for the start of that day in UTC, 2027-01-31T12:00, or 30d "
        "from now.",
        show_default="never",
        envvar="QUICTUNNEL_TOKEN_EXPIRES",
    ),
]

MaxClients = Annotated[
    str | None,
    RIGHTS.option(
        "--max-clients NUMBER",
        "Clients that its origins may have at a time, all together.",
        show_default="no limit of its own",
        envvar="QUICTUNNEL_TOKEN_MAX_CLIENTS",
    ),
]

Rate = Annotated[
    str | None,
    RIGHTS.option(
        "--rate RATE",
        "Rate of all clients of its origins together, in each direction: 100Mbit for bits per "
        "second, or 12.5MB for bytes per second.",
        show_default="no limit",
        envvar="QUICTUNNEL_TOKEN_RATE",
    ),
]

Comment = Annotated[
    str | None,
    RIGHTS.option(
        "--comment TEXT",
        "A note for 'quictunnel token list', such as the owner's name.",
        envvar="QUICTUNNEL_TOKEN_COMMENT",
    ),
]


def new(
    ctx: typer.Context,
    *,
    add: Add = False,
    ports: Ports = [],  # noqa: B006 - typer copies it
    hosts: Hosts = [],  # noqa: B006 - typer copies it
    outside: Outside = None,
    expires: Expires = None,
    max_clients: MaxClients = None,
    rate: Rate = None,
    comment: Comment = None,
    config: RemotesConfigFile = None,
    state_dir: StateDir = None,
    listen: Listen = LISTEN_DEFAULT,
    remote: RemoteName = None,
) -> None:
    """Create a token for a remote and an origin.

    Examples:
      quictunnel token new > token
      quictunnel token new --comment nas --ports 2222 --expires 90d

    Without options, it prints the token and stores nothing. With --add or a right, it stores the
    token for the remote on this machine, and prints the command for the origin as well.

    With --ports or --hosts, the token's origins may have what these options name, and nothing else:
    the outside address only with --outside. Without both, they may have the outside address and
    what the remote's --ports and --hosts allow.
    """
    rights = _rights(
        ports=ports,
        hosts=hosts,
        outside=outside,
        expires=expires,
        max_clients=max_clients,
        rate=rate,
        comment=comment,
    )
    sources = Sources(ctx)
    if not add and not rights:
        for option in ("--config", "--state-dir", "--listen", "--remote"):
            if sources.is_on_command_line(option):
                raise OptionError(f"{option} needs --add: without it, no remote gets the token")
        print_line(Token.new().reveal())
        return
    place = RemotePlace.parse(listen, remote, sources.name)
    directory = state_dir or default_state_dir()
    token = _unused(directory, sources)
    store = TokenStore(directory)
    grant = _checked(store, token, rights)
    store.add(token, rights)
    place.print_token(token, grant)
    print_line(f"rights: {describe(grant)}")
    print_line(escape(f"stored: {store.path}"))
    if not exists(directory / RESET_KEY_FILE, "the reset key"):
        print_line(f"warning: no remote has used this state directory yet; {OTHER_USER}")


def parse_expiry(text: str) -> date:
    """Return the date or the time of `2027-01-31`, `2027-01-31T12:00` or `30d` from now.

    :raises SettingsError: it is anything else, or it is not in the future.
    """
    text = text.strip()
    if _DATE.match(text):
        try:
            moment: date = date.fromisoformat(text) if len(text) == 10 else _time(text)
        except ValueError:
            raise SettingsError(f"{text!r} is not a date; write for example 2027-01-31") from None
    else:
        if is_plain_number(text):
            raise SettingsError(f"{text!r} has no unit; write {text}d for days")
        try:
            moment = _now() + timedelta(seconds=parse_duration(text))
        except OverflowError:
            raise SettingsError(f"{text!r} is too long") from None
        except SettingsError:
            raise SettingsError(
                f"{text!r} is neither a date nor a duration; write for example 2027-01-31 or 30d"
            ) from None
    now = _now()
    if moment <= (now if isinstance(moment, datetime) else now.date()):
        raise SettingsError(f"{text!r} is not in the future")
    return moment


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _rights(
    *,
    ports: Sequence[str],
    hosts: Sequence[str],
    outside: bool | None,
    expires: str | None,
    max_clients: str | None,
    rate: str | None,
    comment: str | None,
) -> dict[str, TomlValue]:
    """Return the keys of the token's table. The table's own reader checks the values.

    Once ports or host names are given, a right that is not given is denied explicitly, because a
    missing key allows what the remote's options allow.
    """
    rights: dict[str, TomlValue] = {}
    if comment is not None:
        rights["comment"] = comment
    if ports or hosts:
        rights["outside"] = bool(outside)
        rights["ports"] = list(ports)
        rights["hosts"] = list(hosts)
    elif outside is not None:
        rights["outside"] = outside
    if max_clients is not None:
        rights["max-clients"] = int(max_clients) if _NUMBER.fullmatch(max_clients) else max_clients
    if rate is not None:
        rights["rate"] = rate
    if expires is not None:
        rights["expires"] = read("--expires", parse_expiry, expires)
    return rights


def _unused(directory: Path, sources: Sources) -> Token:
    """Return a new token with an id that no other one has."""
    used = {known.token.id for known in known_tokens(directory, sources.config)}
    while (token := Token.new()).id in used:
        pass
    return token


def _checked(store: TokenStore, token: Token, rights: Mapping[str, TomlValue]) -> Grant:
    """Return the grant of the token.

    :raises SettingsError: a right is invalid. The error names the option, which is the table's key.
    """
    try:
        return store.check(token, rights)
    except SettingsError as exc:
        sentence = str(exc).removeprefix(store.place(token.id))
        if sentence.startswith("."):
            raise OptionError(f"--{sentence[1:]}") from exc
        raise SettingsError(sentence.removeprefix(": ")) from exc
