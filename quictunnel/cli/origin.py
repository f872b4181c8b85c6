"""`quictunnel origin`: options -> settings -> an Origin, and its ready line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from quictunnel.cli import options
from quictunnel.cli.file_limit import raise_file_limit
from quictunnel.cli.options import read
from quictunnel.cli.output import say, tell
from quictunnel.cli.role_runner import run
from quictunnel.cli.status_lines import LinkState, tell_state
from quictunnel.config.addresses import HostPort, parse_origin, parse_target
from quictunnel.config.certificates import parse_pin
from quictunnel.config.settings import LINK_PORT, OriginSettings, ProxyProtocol, machine_name
from quictunnel.config.tokens import Token
from quictunnel.config.units import parse_duration, parse_size
from quictunnel.errors import Refused, SettingsError
from quictunnel.events import Event, GrantedService, ServicesGranted
from quictunnel.observe import logging_setup as logs
from quictunnel.observe.event_log import EventLog
from quictunnel.observe.logging_setup import escape
from quictunnel.origin.client import Origin

_log_event = EventLog(logging.getLogger("quictunnel.origin"))

ENDS = "The two ends to join"

KNOWN_BY = "give the remote's token with --token ('quictunnel token show' prints it there)"
"""What to do where one end does not accept the other, and no token was given."""

WILDCARDS = ("[::]", "0.0.0.0")
"""What a remote says of an outside address that is every address of its machine."""

RemoteAddress = Annotated[
    str,
    typer.Option(
        "--remote",
        metavar="HOST[:PORT]",
        envvar="QUICTUNNEL_REMOTE",
        rich_help_panel=ENDS,
        help="The machine on which 'quictunnel remote' runs, and its UDP port, "
        f"{LINK_PORT} where none is given.",
    ),
]

OriginServer = Annotated[
    str,
    typer.Option(
        "--origin",
        metavar="HOST:PORT",
        envvar="QUICTUNNEL_ORIGIN",
        rich_help_panel=ENDS,
        help="Your own server, which clients shall reach: localhost:8000, or 8000 for short, or "
        "unix:PATH for a Unix socket. It need not run yet.",
    ),
]

Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        envvar="QUICTUNNEL_NAME",
        rich_help_panel=options.TRUST,
        help="What this origin is called at the remote. A second one of the same name and token "
        "takes the first one's place, as it should after a crash.",
        show_default="this machine's host name",
    ),
]

Ca = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        metavar="FILE",
        envvar="QUICTUNNEL_CA",
        rich_help_panel=options.TRUST,
        help="Accept only a remote whose certificate, for the name in --remote, was signed by one "
        "in this PEM file. With a token this is not needed.",
    ),
]

Pin = Annotated[
    str | None,
    typer.Option(
        "--pin",
        metavar="sha256:HEX",
        envvar="QUICTUNNEL_PIN",
        rich_help_panel=options.TRUST,
        help="Accept only a remote with exactly this certificate; the remote logs its pin when it "
        "starts. With a token this is not needed.",
    ),
]

ProxyProtocolOption = Annotated[
    ProxyProtocol,
    typer.Option(
        "--proxy-protocol",
        envvar="QUICTUNNEL_PROXY_PROTOCOL",
        rich_help_panel=options.CLIENTS,
        help="Tell your server who each client really is, in a PROXY protocol header before the "
        "client's first byte. The server must expect it (nginx: listen ... proxy_protocol).",
    ),
]


def origin(
    *,
    remote: RemoteAddress,
    origin: OriginServer,
    token: options.TokenText = None,
    token_file: options.TokenFile = None,
    name: Name = None,
    ca: Ca = None,
    pin: Pin = None,
    proxy_protocol: ProxyProtocolOption = "off",
    hold: options.Hold = options.HOLD_DEFAULT,
    linger: options.Linger = options.LINGER_DEFAULT,
    grace: options.Grace = options.GRACE_DEFAULT,
    unread_limit: options.UnreadLimit = options.UNREAD_DEFAULT,
    engine: options.Engine = "auto",
    congestion: options.CongestionOption = None,
    log_format: options.LogFormatOption = "text",
    log_level: options.LogLevelOption = "info",
) -> None:
    """Expose your own server: the end that runs beside it, behind whatever router.

    It calls the remote, so nothing has to be opened here, and calls again for ever when the
    network fails. When clients can come one line that begins with "ready" appears on standard
    output; later ones begin with "silent", "back", "lost" or "ready" again.
    """
    logs.setup(log_format, log_level)
    settings = OriginSettings(
        remote=read("--remote", _parse_remote, remote),
        origin=read("--origin", parse_origin, origin),
        token=_token(token, token_file),
        name=machine_name() if name is None else name,
        ca=ca,
        pin=None if pin is None else read("--pin", parse_pin, pin),
        proxy_protocol=proxy_protocol,
        hold=read("--hold", parse_duration, hold),
        linger=read("--linger", parse_duration, linger),
        grace=read("--grace", parse_duration, grace),
        unread_limit=read("--unread-limit", parse_size, unread_limit),
        engine=engine,
        congestion=congestion,
    )
    asyncio.run(_expose(settings))


async def _expose(settings: OriginSettings) -> None:
    is_first = True

    def emit(event: Event) -> None:
        nonlocal is_first
        _log_event(event)
        if isinstance(event, LinkState):
            tell_state(event)
        elif isinstance(event, ServicesGranted) and event.is_first:
            # Whoever waits for the first one must get it; the tunnel does not hang by later ones.
            (say if is_first else tell)(ready_line(settings, event.services))
            is_first = False

    try:
        await run(Origin(settings, emit=emit, max_clients=raise_file_limit()))
    except Refused as exc:
        if settings.token is not None:
            raise
        raise Refused(exc.code, f"{exc.message}; {KNOWN_BY}") from exc


def ready_line(settings: OriginSettings, services: Sequence[GrantedService]) -> str:
    """Return what is printed when clients can come: where they come, and where they are led."""
    ways = (
        f"{_outside(service, settings.remote.host)} at the remote -> {settings.origin}"
        for service in services
    )
    return escape(f"ready: {', '.join(ways)}")


def _outside(service: GrantedService, remote_host: str) -> str:
    """A service's outside address; for every address of the remote, the name we know it by."""
    if service.address is None:
        return service.name
    host, _, port = service.address.rpartition(":")
    if host not in WILDCARDS or not port.isdecimal():
        return service.address
    return str(HostPort(remote_host, int(port)))


def _token(text: str | None, file: Path | None) -> Token | None:
    """The one token of an origin, if any."""
    tokens = options.read_tokens([] if text is None else [text], file)
    if text is not None and file is not None:
        raise SettingsError("--token and --token-file are both given: an origin has one token")
    if len(tokens) > 1:
        raise SettingsError(f"--token-file holds {len(tokens)} tokens: an origin has one")
    return tokens[0] if tokens else None


def _parse_remote(text: str) -> HostPort:
    return parse_target(text, LINK_PORT)
