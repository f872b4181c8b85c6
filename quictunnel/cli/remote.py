"""`quictunnel remote`: options -> settings -> a Remote, and its ready line."""

from __future__ import annotations

import asyncio
import logging
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from quictunnel import __version__
from quictunnel.cli import options
from quictunnel.cli.file_limit import raise_file_limit
from quictunnel.cli.options import read
from quictunnel.cli.output import say
from quictunnel.cli.role_runner import run
from quictunnel.cli.status_lines import LinkState, tell_state
from quictunnel.cli.token import guess_remote, origin_command
from quictunnel.config.addresses import HostPort, parse_listen, parse_network
from quictunnel.config.certificates import CertificateFiles, format_pin
from quictunnel.config.settings import (
    CLIENT_WAIT,
    LISTEN,
    LOOPBACK,
    OUTSIDE,
    RemoteSettings,
)
from quictunnel.config.state import (
    default_state_dir,
    load_or_make_certificate,
    load_or_make_reset_key,
    load_or_make_token,
)
from quictunnel.config.tokens import Token
from quictunnel.config.units import format_duration, parse_duration, parse_size
from quictunnel.errors import SettingsError
from quictunnel.events import Event, LinkDropped
from quictunnel.observe import logging_setup as logs
from quictunnel.observe.event_log import EventLog
from quictunnel.observe.logging_setup import fact
from quictunnel.remote.server import Remote

_log = logging.getLogger("quictunnel.cli")
_log_event = EventLog(logging.getLogger("quictunnel.remote"))

ADDRESSES = "Addresses"
CLIENT_WAIT_DEFAULT = format_duration(CLIENT_WAIT)

Listen = Annotated[
    str,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        envvar="QUICTUNNEL_LISTEN",
        rich_help_panel=ADDRESSES,
        help="The UDP address at which origins call. Open this UDP port in the firewall. "
        "\\[::] means every address of this machine, IPv4 too; a port alone does as well.",
    ),
]

OutsideListener = Annotated[
    str,
    typer.Option(
        "--outside",
        metavar="HOST:PORT",
        envvar="QUICTUNNEL_OUTSIDE",
        rich_help_panel=ADDRESSES,
        help="The TCP address at which clients come: what you give to the world.",
    ),
]

Cert = Annotated[
    Path | None,
    typer.Option(
        "--cert",
        metavar="FILE",
        envvar="QUICTUNNEL_CERT",
        rich_help_panel=options.TRUST,
        help="A certificate for this machine with those above it, in PEM, for instance Let's "
        "Encrypt's fullchain.pem; read again when it changes. Without one, a self-signed "
        "certificate is made at the first start, which is as safe, since tokens prove both ends.",
    ),
]

Key = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        envvar="QUICTUNNEL_KEY",
        rich_help_panel=options.TRUST,
        help="The certificate's private key, in PEM, without a password.",
    ),
]

AcceptProxyProtocol = Annotated[
    bool,
    typer.Option(
        "--accept-proxy-protocol",
        metavar="",
        envvar="QUICTUNNEL_ACCEPT_PROXY_PROTOCOL",
        rich_help_panel=options.CLIENTS,
        help="A proxy (HAProxy, Caddy, nginx) stands before the outside address and tells each "
        "client's address in a PROXY protocol header, which then must come. It is believed only "
        "from a --trusted-proxy.",
    ),
]

TrustedProxies = Annotated[
    list[str],
    typer.Option(
        "--trusted-proxy",
        metavar="NETWORK",
        envvar="QUICTUNNEL_TRUSTED_PROXY",
        rich_help_panel=options.CLIENTS,
        help="Where such a proxy may stand: an address, or a network like 10.0.0.0/8; may be "
        "given several times.",
        show_default="this machine",
    ),
]

ClientWait = Annotated[
    str,
    typer.Option(
        "--client-wait",
        metavar="DURATION",
        envvar="QUICTUNNEL_CLIENT_WAIT",
        rich_help_panel=options.CLIENTS,
        help="How long a new client waits when no origin is connected at the moment.",
    ),
]


def remote(
    *,
    listen: Listen = str(LISTEN),
    outside: OutsideListener = str(OUTSIDE),
    token: options.TokenTexts = [],  # noqa: B006 - typer copies it
    token_file: options.TokenFile = None,
    cert: Cert = None,
    key: Key = None,
    state_dir: options.StateDir = None,
    client_wait: ClientWait = CLIENT_WAIT_DEFAULT,
    hold: options.Hold = options.HOLD_DEFAULT,
    linger: options.Linger = options.LINGER_DEFAULT,
    grace: options.Grace = options.GRACE_DEFAULT,
    unread_limit: options.UnreadLimit = options.UNREAD_DEFAULT,
    accept_proxy_protocol: AcceptProxyProtocol = False,
    trusted_proxy: TrustedProxies = [],  # noqa: B006 - typer copies it
    engine: options.Engine = "auto",
    congestion: options.CongestionOption = None,
    log_format: options.LogFormatOption = "text",
    log_level: options.LogLevelOption = "info",
) -> None:
    """Take clients from the internet: the end that runs on a public server.

    An origin calls in and proves that it knows the token; from then on each client that comes to
    the outside address is led to the origin's own server. When all is in place one line that
    begins with "ready" appears on standard output; later ones, that begin with "silent", "back" or
    "lost", tell of origins' links.
    """
    logs.setup(log_format, log_level)
    networks = tuple(read("--trusted-proxy", parse_network, text) for text in trusted_proxy)
    if networks and not accept_proxy_protocol:
        raise SettingsError("--trusted-proxy says nothing without --accept-proxy-protocol")
    settings = RemoteSettings(
        listen=read("--listen", parse_listen, listen),
        outside=read("--outside", parse_listen, outside),
        cert=cert,
        key=key,
        tokens=options.read_tokens(token, token_file),
        accept_proxy_protocol=accept_proxy_protocol,
        trusted_proxies=networks or LOOPBACK,
        hold=read("--hold", parse_duration, hold),
        linger=read("--linger", parse_duration, linger),
        client_wait=read("--client-wait", parse_duration, client_wait),
        grace=read("--grace", parse_duration, grace),
        state_dir=state_dir or default_state_dir(),
        unread_limit=read("--unread-limit", parse_size, unread_limit),
        engine=engine,
        congestion=congestion,
    )
    asyncio.run(_serve(settings))


async def _serve(settings: RemoteSettings) -> None:
    certificates = _certificates(settings)
    tokens, made = _tokens(settings)
    reset_key = load_or_make_reset_key(settings.state_dir)
    role = Remote(
        settings,
        tokens,
        certificates,
        reset_key=reset_key,
        emit=_emit,
        max_clients=raise_file_limit(),
    )

    def started() -> None:
        if made:
            _tell_token(settings, tokens[0], role.link_address.port)
        say(f"ready: link udp {role.link_address}, outside tcp {role.outside_address}")

    await run(role, started)


def _emit(event: Event) -> None:
    _log_event(event)
    # Of links that have not been reported as silent, no end is reported either.
    is_news = not (isinstance(event, LinkDropped) and event.silent_for is None)
    if isinstance(event, LinkState) and is_news:
        tell_state(event, event.origin)


def _certificates(settings: RemoteSettings) -> CertificateFiles:
    """The certificate that was given, or else the one that is kept in the state directory."""
    if settings.cert is not None and settings.key is not None:
        files = CertificateFiles(settings.cert, settings.key)
    else:
        files = CertificateFiles(*load_or_make_certificate(settings.state_dir))
    pin = format_pin(files.current.fingerprint)
    fact(_log, logging.INFO, "certificate", version=__version__, file=files.cert, pin=pin)
    return files


def _tokens(settings: RemoteSettings) -> tuple[tuple[Token, ...], bool]:
    """The tokens that were given, or else the one that is kept; and whether it was just made."""
    if settings.tokens:
        return settings.tokens, False
    token, made = load_or_make_token(settings.state_dir)
    fact(_log, logging.INFO, "token", id=token.id, kept=settings.state_dir, made=made or None)
    return (token,), made


def _tell_token(settings: RemoteSettings, token: Token, port: int) -> None:
    """Give the new token to a person; a journal or a file learns only where it is kept."""
    if sys.stdout.isatty():
        say("A token was made. Beside your own server, run:")
        say("")
        say(f"  {origin_command(guess_remote(HostPort(settings.listen.host, port)), token)}")
        say("")
    else:
        kept = shlex.quote(str(settings.state_dir))
        say(f"A token was made and is kept in {kept}; this prints the command for the origin:")
        say(f"  quictunnel token show --state-dir {kept}")
