"""`quictunnel caddy`: prints the Caddyfile for Caddy in front of the remote on this machine."""

from __future__ import annotations

import grp
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from quictunnel.cli import options
from quictunnel.cli.caddyfile import CaddyWebSocket, caddyfile
from quictunnel.cli.config_option import Sources, load_remotes
from quictunnel.cli.options import read
from quictunnel.cli.output import print_line
from quictunnel.config.addresses import (
    EVERY_ADDRESS,
    LOOPBACK_ADDRESS,
    HostPort,
    is_this_machine,
    parse_admin,
    parse_listen,
    parse_url_path,
)
from quictunnel.config.host_names import is_pattern
from quictunnel.config.hosts import HostName, parse_host
from quictunnel.config.urls import WEBSOCKET_PATH
from quictunnel.errors import SettingsError

CADDY_VERSION = "2.11"
"""The oldest version of Caddy that the Caddyfile is for."""


_LOOPBACK_OF = {EVERY_ADDRESS: LOOPBACK_ADDRESS, "0.0.0.0": LOOPBACK_ADDRESS}
"""Where a server that listens on every address is reached from the same machine."""


def _load(ctx: typer.Context, path: Path | None) -> Path | None:
    keys = ("sockets", "admin", "hosts", "websocket", "websocket-path")
    return load_remotes(ctx, path, keys=keys)


File = Annotated[
    Path | None,
    options.OPTIONS.option(
        "--config FILE",
        "The remote's configuration file, for its sockets, admin, hosts and websocket.",
        is_eager=True,
        callback=_load,
    ),
]

Sockets = Annotated[
    Path | None,
    options.OPTIONS.option(
        "--sockets DIR",
        "The remote's directory of Unix sockets.",
        show_default="required, here or in the file",
    ),
]

Admin = Annotated[
    str | None,
    options.OPTIONS.option(
        "--admin HOST:PORT",
        "The address of the remote's admin interface.",
        show_default="required, here or in the file",
    ),
]

Hosts = Annotated[
    list[str],
    options.OPTIONS.option(
        "--hosts NAME",
        "Host name that Caddy serves; may be given several times. With a wildcard, Caddy serves "
        "every name that a service of the remote has.",
        show_default="every name that a service of the remote has",
    ),
]

WebSocket = Annotated[
    str | None,
    options.OPTIONS.option(
        "--websocket HOST:PORT",
        "The loopback address of the remote's WebSocket, for origins whose network blocks UDP. "
        "They open it at any host name of a service, or at that of --websocket-host.",
        show_default="none",
    ),
]

WebSocketPath = Annotated[
    str | None,
    options.OPTIONS.option(
        "--websocket-path PATH",
        "The path of the WebSocket.",
        show_default=WEBSOCKET_PATH,
    ),
]

WebSocketHost = Annotated[
    str | None,
    options.OPTIONS.option(
        "--websocket-host NAME",
        "The only host name at which origins open the WebSocket: that of their --remote. No "
        "service needs to have it.",
        envvar="QUICTUNNEL_CADDY_WEBSOCKET_HOST",
        show_default="every name that a service of the remote has",
    ),
]

Email = Annotated[
    str | None,
    options.OPTIONS.option(
        "--email ADDRESS",
        "Your address, for messages of the certificate authority.",
        envvar="QUICTUNNEL_CADDY_EMAIL",
    ),
]

Internal = Annotated[
    bool,
    options.OPTIONS.option(
        "--internal",
        "Use certificates of Caddy's own authority, for a private network. Browsers do not trust "
        "them by default.",
        envvar="QUICTUNNEL_CADDY_INTERNAL",
        metavar="",
    ),
]


def caddy(
    ctx: typer.Context,
    *,
    config: File = None,  # its callback has loaded the file
    sockets: Sockets = None,
    admin: Admin = None,
    hosts: Hosts = [],  # noqa: B006 - typer copies it
    websocket: WebSocket = None,
    websocket_path: WebSocketPath = None,
    websocket_host: WebSocketHost = None,
    email: Email = None,
    internal: Internal = False,
) -> None:
    """Print a Caddyfile for the remote on this machine.

    Examples:
      quictunnel caddy --config remote.toml > /etc/caddy/Caddyfile
      quictunnel caddy --sockets /run/quictunnel --admin 127.0.0.1:9002

    Caddy then obtains a certificate for each host name of a service when a browser first asks for
    the name, and forwards requests to the remote. Browsers use HTTP/1.1, HTTP/2 or HTTP/3.
    """
    sources = Sources(ctx)
    if sockets is None or admin is None:
        raise SettingsError(_missing(sources, sockets, admin))
    listen = read(sources.name("--admin"), _parse_admin, admin)
    if not listen.port:
        raise SettingsError("--admin: Caddy needs a fixed port, and port 0 changes at each start")
    names = [read(sources.name("--hosts"), parse_host, text) for text in hosts]
    if not names or sources.is_from_file("--hosts"):
        names += sources.hosts_of_tokens()
    if email is not None:
        email = read("--email", _email, email)
    directory = sockets.absolute()
    text = caddyfile(
        directory,
        listen,
        hosts=dict.fromkeys(names),
        websocket=_read_websocket(sources, websocket, websocket_path, websocket_host),
        email=email,
        is_internal=internal,
    )
    for line in (*_notes(directory, listen), "", *text.splitlines()):
        print_line(line)


def _parse_admin(text: str) -> HostPort:
    """Return the address at which Caddy reaches the admin interface from the same machine."""
    listen = parse_admin(text, has_token=True)  # the remote checks whether it needs one
    return HostPort(_LOOPBACK_OF.get(listen.host, listen.host), listen.port)


def _read_websocket(
    sources: Sources, websocket: str | None, path: str | None, host: str | None
) -> CaddyWebSocket | None:
    """Return the WebSocket that Caddy serves; None for none.

    :raises SettingsError: the address is not a loopback address, where the remote has no TLS, or
        an option is not valid.
    """
    name = None if host is None else read("--websocket-host", _exact_host, host)
    listen = None if websocket is None else _read_loopback(sources, websocket)
    if listen is None:
        if name is not None:
            raise SettingsError("--websocket-host needs a --websocket at a loopback address")
        return None
    if path is not None:
        path = read(sources.name("--websocket-path"), parse_url_path, path)
    return CaddyWebSocket(listen, path or WEBSOCKET_PATH, name)


def _read_loopback(sources: Sources, websocket: str) -> HostPort | None:
    """Return the address of the WebSocket; None if the file has one at which the remote has TLS.

    :raises SettingsError: it is no address, or the remote has TLS there.
    """
    listen = read(sources.name("--websocket"), parse_listen, websocket)
    if is_this_machine(listen.host):
        return listen
    if sources.is_from_file("--websocket"):
        return None
    raise SettingsError(
        f"--websocket: {listen} is not a loopback address, so the remote's WebSocket has TLS of "
        f"its own there, and needs no Caddy; or let the remote listen at {LOOPBACK_ADDRESS}"
    )


def _exact_host(text: str) -> HostName:
    """Return one host name.

    :raises SettingsError: it is none, or it stands for several.
    """
    name = parse_host(text)
    if is_pattern(name):
        raise SettingsError(f"{text!r} stands for several names; write the one of the remote")
    return name


def _missing(sources: Sources, sockets: Path | None, admin: str | None) -> str:
    """Return the sentence about what the command lacks: the sockets, the admin address or both."""
    if sources.config is None:
        missing = {"--sockets DIR": sockets, "--admin HOST:PORT": admin}
        options_needed = " and ".join(name for name, value in missing.items() if value is None)
        return f"give --config FILE, or {options_needed}, as the remote has them"
    keys = {"sockets": sockets, "admin": admin}
    needed = " and ".join(f"'{name}'" for name, value in keys.items() if value is None)
    return f"{sources.config.path}: set {needed}, which the remote needs for Caddy"


def _email(text: str) -> str:
    """Check an address as far as the Caddyfile needs it.

    :raises SettingsError: it is none.
    """
    if not re.fullmatch(r"[^\s@{}\"`\\#]+@[^\s@{}\"`\\#]+", text):
        raise SettingsError(f"{text!r} is not an email address")
    return text


def _notes(directory: Path, listen: HostPort) -> Iterator[str]:
    """Return comments about the things that the Caddyfile needs."""
    path = shlex.quote(str(directory))
    yield f"# Caddy {CADDY_VERSION} or newer, in front of a remote on this machine with the options"
    yield f"#   --sockets {path} --admin {listen}"
    yield "# TCP ports 80 and 443 and UDP port 443 must be open."
    group = _group(directory)
    if group is None:
        group = "quictunnel"
        yield "# Let the remote run with a group of its own (Group=quictunnel in its systemd unit):"
        yield f"#   groupadd --system {group}"
    yield "# Caddy's user must be in that group, because only the group may open the sockets:"
    yield f"#   usermod -aG {group} caddy && systemctl restart caddy"


def _group(directory: Path) -> str | None:
    """Return the name of the directory's group; None if it is root's, or not known."""
    try:
        status = directory.stat()
        return grp.getgrgid(status.st_gid).gr_name if status.st_gid else None
    except (OSError, KeyError):
        return None
