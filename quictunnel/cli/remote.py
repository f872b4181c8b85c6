"""`quictunnel remote`: options to settings, and the lines that a remote prints."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from quictunnel.cli import logging_setup, options
from quictunnel.cli.administration import Administration
from quictunnel.cli.config_option import ConfigFile, Sources
from quictunnel.cli.file_limit import raise_file_limit
from quictunnel.cli.file_watch import FileWatch
from quictunnel.cli.inherited_sockets import InheritedSockets, take_inherited_sockets
from quictunnel.cli.options import read, read_duration
from quictunnel.cli.origin_command import print_origin_command
from quictunnel.cli.output import print_if_writable, print_line
from quictunnel.cli.prepared import PreparedRole
from quictunnel.cli.reload import Reload, attempt
from quictunnel.cli.remote_tokens import RemoteTokens
from quictunnel.cli.role_logs import DEFAULT_FORMAT, LogSettings, opened, read_settings
from quictunnel.cli.role_runner import run
from quictunnel.cli.startup_checks import report_problems
from quictunnel.cli.status_lines import REMOTE_LINES, StatusLines
from quictunnel.cli.token_commands import TokenCommands
from quictunnel.config.accepted_tokens import token_files
from quictunnel.config.addresses import (
    EVERY_ADDRESS,
    HostPort,
    Network,
    parse_listen,
    parse_network,
    parse_url_path,
)
from quictunnel.config.certificates import CertificateFiles, format_pin
from quictunnel.config.files import quoted
from quictunnel.config.grants import Grant
from quictunnel.config.hosts import HostName, HostProtocol, parse_host
from quictunnel.config.ports import PortRange, parse_allowed_ports
from quictunnel.config.reset_key import locked_reset_key
from quictunnel.config.settings import (
    CLIENT_KEEPALIVE,
    CLIENT_WAIT,
    LISTEN,
    LOOPBACK,
    OUTSIDE,
    RemoteSettings,
)
from quictunnel.config.state import (
    check_state_directory,
    default_state_dir,
    load_or_make_certificate,
)
from quictunnel.config.units import format_duration, parse_size
from quictunnel.config.urls import WEBSOCKET_PATH
from quictunnel.errors import SettingsError
from quictunnel.events import CertificateLoaded, ConfigurationReloaded, Event, EventSink
from quictunnel.protocol.address import Address
from quictunnel.remote.server import Remote
from quictunnel.remote.websocket_limits import MAX_CONNECTIONS

ADDRESSES = options.Panel("Addresses")
_PROTOCOLS: Mapping[HostProtocol, str] = {"tls": "TLS", "http": "HTTP"}
_OPTIONS_FOR_HOSTS = "--tls, --http or --sockets"
_KEYS_FOR_HOSTS = "'tls', 'http' or 'sockets'"
CLIENT_WAIT_DEFAULT = format_duration(CLIENT_WAIT)
CLIENT_KEEPALIVE_DEFAULT = format_duration(CLIENT_KEEPALIVE)

Listen = Annotated[
    str,
    ADDRESSES.option(
        "--listen HOST:PORT",
        "UDP address for origins. Open this UDP port in the firewall. \\[::] means every "
        "address of this machine, IPv6 and IPv4. A port alone means the same.",
    ),
]

OriginsFrom = Annotated[
    list[str],
    ADDRESSES.option(
        "--origins-from NETWORK",
        "Address or network of origins, for example 198.51.100.0/24; may be given several times. "
        "Packets from other networks are dropped unread.",
        show_default="every network",
    ),
]

WebSocketListener = Annotated[
    str | None,
    ADDRESSES.option(
        "--websocket HOST:PORT",
        "TCP address for origins whose network blocks UDP, such as :443. They connect to a "
        "WebSocket with TLS there. A loopback address has no TLS: Caddy or another HTTP proxy on "
        "this machine must be in front.",
        show_default="none",
    ),
]

WebSocketPath = Annotated[
    str | None,
    ADDRESSES.option(
        "--websocket-path PATH",
        "Path of the WebSocket's URL. Other requests get status 404.",
        show_default=WEBSOCKET_PATH,
    ),
]

OutsideListener = Annotated[
    str,
    ADDRESSES.option(
        "--outside HOST:PORT",
        "TCP address for clients.",
    ),
]

Cert = Annotated[
    Path | None,
    options.TRUST.option(
        "--cert FILE",
        "A certificate chain in PEM, such as fullchain.pem of Let's Encrypt. It is reloaded "
        "when it changes. Without one, the remote creates a self-signed certificate, which is as "
        "safe, because tokens authenticate both ends.",
    ),
]

Key = Annotated[
    Path | None,
    options.TRUST.option(
        "--key FILE",
        "The certificate's private key in PEM, without a password.",
    ),
]

AcceptProxyProtocol = Annotated[
    bool,
    options.CLIENTS.option(
        "--accept-proxy-protocol",
        "Require a PROXY protocol header with the client's address, from a proxy in front of "
        "the outside address (HAProxy, Caddy, nginx). Only a --trusted-proxy may send it.",
        metavar="",
    ),
]

TrustedProxies = Annotated[
    list[str],
    options.CLIENTS.option(
        "--trusted-proxy NETWORK",
        "Address or network of such a proxy, for example 10.0.0.0/8; may be given several times. "
        "If it is in front of --websocket, its header X-Forwarded-For has the origin's address.",
        show_default="this machine",
    ),
]

Ports = Annotated[
    list[str],
    ADDRESSES.option(
        "--ports PORTS",
        "TCP ports of this machine that origins may ask for: 2222 or 2000-2999; may be given "
        "several times. The host is that of --outside.",
        show_default="none",
    ),
]

TlsListener = Annotated[
    str | None,
    ADDRESSES.option(
        "--tls HOST:PORT",
        "TCP address for TLS clients of host names, such as :443. The server name (SNI) in a "
        "client's first message selects the service. TLS is passed through.",
        show_default="none",
    ),
]

HttpListener = Annotated[
    str | None,
    ADDRESSES.option(
        "--http HOST:PORT",
        "TCP address for HTTP/1.1 clients of host names, such as :80. The header Host of a "
        "connection's first request selects the service.",
        show_default="none",
    ),
]

Sockets = Annotated[
    Path | None,
    ADDRESSES.option(
        "--sockets DIR",
        "Directory with a Unix socket for each host name of a service, for Caddy in front of this "
        "remote. 'quictunnel caddy' prints a Caddyfile. A connection must begin with a PROXY "
        "protocol header.",
        show_default="none",
    ),
]

Hosts = Annotated[
    list[str],
    ADDRESSES.option(
        "--hosts NAME",
        "Host name that origins may ask for: www.example.com, *.example.com for all names below "
        "example.com, or * for every name; may be given several times.",
        show_default="none",
    ),
]

ClientWait = Annotated[
    str,
    options.CLIENTS.option(
        "--client-wait DURATION",
        "How long a new client waits if no origin is connected.",
    ),
]
ClientKeepalive = Annotated[
    str,
    options.CLIENTS.option(
        "--client-keepalive DURATION",
        "Idle time after which a client is probed (TCP keep-alive). A client that has vanished is "
        "lost after three times as long. 0 for never.",
    ),
]


def remote(
    ctx: typer.Context,
    *,
    config: ConfigFile = None,  # its callback has loaded the file
    listen: Listen = str(LISTEN),
    origins_from: OriginsFrom = [],  # noqa: B006 - typer copies it
    websocket: WebSocketListener = None,
    websocket_path: WebSocketPath = None,
    outside: OutsideListener = str(OUTSIDE),
    ports: Ports = [],  # noqa: B006 - typer copies it
    tls: TlsListener = None,
    http: HttpListener = None,
    sockets: Sockets = None,
    hosts: Hosts = [],  # noqa: B006 - typer copies it
    token: options.TokenTexts = [],  # noqa: B006 - typer copies it
    token_file: options.TokenFile = None,
    cert: Cert = None,
    key: Key = None,
    state_dir: options.StateDir = None,
    client_wait: ClientWait = CLIENT_WAIT_DEFAULT,
    client_keepalive: ClientKeepalive = CLIENT_KEEPALIVE_DEFAULT,
    hold: options.Hold = options.HOLD_DEFAULT,
    linger: options.Linger = options.LINGER_DEFAULT,
    grace: options.Grace = options.GRACE_DEFAULT,
    unread_limit: options.UnreadLimit = options.UNREAD_DEFAULT,
    accept_proxy_protocol: AcceptProxyProtocol = False,
    trusted_proxy: TrustedProxies = [],  # noqa: B006 - typer copies it
    engine: options.Engine = "auto",
    congestion: options.CongestionOption = None,
    admin: options.Admin = None,
    admin_token: options.AdminTokenText = None,
    admin_token_file: options.AdminTokenFile = None,
    log_format: options.LogFormatOption = "text",
    log_level: options.LogLevelOption = None,
    access_log: options.AccessLogFile = None,
    access_log_format: options.AccessLogFormatOption = DEFAULT_FORMAT,
    qlog: options.QlogOption = None,
) -> PreparedRole:
    """Accept clients from the internet: run this on a public server.

    Examples:
      quictunnel remote
      quictunnel remote --outside 443 --token-file token
      quictunnel remote --tls 443 --http 80 --hosts www.example.com
      quictunnel remote --config remote.toml

    An origin connects and proves that it knows the token. The remote then forwards each client of
    the outside address to the origin's server. It prints a line that begins with "ready" when it
    accepts origins and clients. Later lines begin with "silent", "back", "lost", "reloaded",
    "warning" or "stopping".
    """
    logging_setup.setup(log_format, log_level)
    sources = Sources(ctx)
    name_of = sources.name
    logs = read_settings(access_log, access_log_format, qlog, sources)
    lines = StatusLines("quictunnel.remote", REMOTE_LINES, log_level, logs.replaced)
    sources.warn_if_exposed(lines)
    networks = tuple(
        read(name_of("--trusted-proxy"), parse_network, text) for text in trusted_proxy
    )
    if networks and not accept_proxy_protocol and websocket is None:
        _raise_needed(sources, "--trusted-proxy", "--accept-proxy-protocol", "--websocket")
    if websocket is None and websocket_path is not None:
        _raise_needed(sources, "--websocket-path", "--websocket")
    from_file, grants = sources.tokens(lines)
    policies = sources.policies()
    with sources.located():
        if tls is None and http is None and sockets is None:
            _check_no_hosts(hosts, grants, sources)
        admin_address, admin_secret = options.read_admin(
            admin, admin_token, admin_token_file, name_of, lines
        )
        settings = RemoteSettings(
            listen=read(name_of("--listen"), parse_listen, listen),
            origins_from=tuple(
                read(name_of("--origins-from"), parse_network, text) for text in origins_from
            ),
            websocket=None
            if websocket is None
            else read(name_of("--websocket"), parse_listen, websocket),
            websocket_path=WEBSOCKET_PATH
            if websocket_path is None
            else read(name_of("--websocket-path"), parse_url_path, websocket_path),
            outside=read(name_of("--outside"), parse_listen, outside),
            ports=tuple(read(name_of("--ports"), parse_allowed_ports, text) for text in ports),
            tls=None if tls is None else read(name_of("--tls"), parse_listen, tls),
            http=None if http is None else read(name_of("--http"), parse_listen, http),
            sockets=sockets,
            hosts=tuple(read(name_of("--hosts"), parse_host, text) for text in hosts),
            admin=admin_address,
            admin_token=admin_secret,
            cert=cert,
            key=key,
            tokens=(*options.read_tokens(token, token_file, name_of, lines), *from_file),
            grants=grants,
            policies=policies,
            accept_proxy_protocol=accept_proxy_protocol,
            trusted_proxies=networks or LOOPBACK,
            hold=read_duration(name_of("--hold"), hold),
            linger=read_duration(name_of("--linger"), linger),
            client_wait=read_duration(name_of("--client-wait"), client_wait),
            client_keepalive=read_duration(name_of("--client-keepalive"), client_keepalive),
            grace=read_duration(name_of("--grace"), grace),
            state_dir=state_dir or default_state_dir(),
            unread_limit=read(name_of("--unread-limit"), parse_size, unread_limit),
            engine=engine,
            congestion=congestion,
        )
        given = _given_certificate(settings, lines)
    files = sources.files(token_file, admin_token_file)
    config_file = None if sources.config is None else sources.config.path
    reload = None if config_file is None else Reload(ctx, config_file, files)
    commands = TokenCommands(settings, sources)
    run_role = partial(
        _run,
        settings,
        given,
        config_file,
        reload,
        commands=commands,
        lines=lines,
        logs=logs,
    )
    return PreparedRole(settings, logs, files, run_role)


def _raise_needed(sources: Sources, option: str, *needed: str) -> NoReturn:
    """Raise the error that an option needs another one, or one of several."""
    if sources.is_from_file(option):
        needed = tuple(repr(each.removeprefix("--")) for each in needed)
    raise options.OptionError(f"{sources.name(option)} needs {' or '.join(needed)}")


def _check_no_hosts(hosts: Sequence[str], grants: Mapping[str, Grant], sources: Sources) -> None:
    """Check that no origin may ask for a host name, because clients could not reach it.

    :raises SettingsError: one may.
    """
    if hosts:
        option = "--hosts"
        needed = _KEYS_FOR_HOSTS if sources.is_from_file(option) else _OPTIONS_FOR_HOSTS
        raise options.OptionError(f"{sources.name(option)} needs {needed}")
    for token_id, grant in grants.items():
        if grant.hosts:
            raise SettingsError(f"token.{token_id}.hosts needs {_KEYS_FOR_HOSTS}")


def _run(
    settings: RemoteSettings,
    given: CertificateFiles | None,
    config_file: Path | None,
    reload: Reload | None,
    *,
    commands: TokenCommands,
    lines: StatusLines,
    logs: LogSettings,
) -> None:
    inherited = take_inherited_sockets(os.environ)
    with contextlib.ExitStack() as held:
        serving = _serve(
            settings,
            given,
            config_file,
            reload,
            commands=commands,
            inherited=inherited,
            lines=lines,
            logs=logs,
            held=held,
        )
        asyncio.run(serving)


async def _serve(
    settings: RemoteSettings,
    given: CertificateFiles | None,
    config_file: Path | None,
    reload: Reload | None,
    *,
    commands: TokenCommands,
    inherited: InheritedSockets,
    lines: StatusLines,
    logs: LogSettings,
    held: contextlib.ExitStack,
) -> None:
    administration = Administration(lines)
    observe = administration.emit
    check_state_directory(settings.state_dir, observe)
    certificates = _certificates(given, settings.state_dir, observe)
    state_files = FileWatch(token_files(settings.state_dir))
    tokens = _loaded_tokens(settings, config_file, state_files, observe)
    files = held.enter_context(opened(logs, "remote", observe))
    remote = Remote(
        tokens.settings,
        tokens.accepted,
        certificates,
        emit=files.emit,
        max_clients=raise_file_limit(0 if settings.websocket is None else MAX_CONNECTIONS),
        qlog=files.qlog,
        reset_key=held.enter_context(
            locked_reset_key(settings.state_dir, settings.listen, observe)
        ),
        link_socket=inherited.link,
        outside_sockets=inherited.outside,
    )
    shown = settings

    def started() -> None:
        if tokens.created and sys.stdout.isatty():  # a secret belongs in no journal
            print_line("A token was created. Run this next to your own server:\n")
            listen = HostPort(settings.listen.host, remote.link_address.port)
            print_origin_command("  ", listen, tokens.accepted[0])
            print_line("")
        print_line(ready_line(remote.link_address, remote.outside_address))
        if settings.origins_from:
            print_line(origins_from_line(settings.origins_from))
        if settings.ports:
            print_line(ports_line(settings.ports))
        hosts = host_lines(tokens.settings, remote.named_addresses)
        for line in (*websocket_lines(remote.websocket_url), *hosts):
            print_line(line)
        administration.print_address()
        if tokens.own_is_accepted:
            command = commands.show_token(remote.link_address.port)
            print_line(f"To see the command for the origin: {command}")
        elif not settings.tokens:
            print_line(f"To see the tokens of origins: {commands.list_tokens()}")

    def apply(prepared: PreparedRole) -> set[str]:
        assert isinstance(prepared.settings, RemoteSettings)
        tokens.configure(prepared.settings)
        changed = logs.differences(prepared.logs)
        return changed | remote.apply(tokens.settings, tokens.accepted)

    def emit(event: Event) -> None:
        nonlocal shown
        observe(event)
        if isinstance(event, ConfigurationReloaded):
            for line in changed_lines(shown, tokens.settings):
                print_if_writable(line)
            shown = tokens.settings

    def reload_tokens() -> Path | None:
        file = tokens.reload()
        if file is not None:
            remote.apply(tokens.settings, tokens.accepted)
        return file

    def state_changed() -> None:
        state_files.mark_read()
        file = attempt(settings.state_dir, reload_tokens, emit)
        if file is not None:
            emit(ConfigurationReloaded(str(file), ()))
        if reload is not None and reload.is_rejected:
            reload.reload(apply, emit)  # it may have had a token that is no longer in the state

    await run(
        administration.administer("remote", remote, settings, remote.has_site),
        started,
        emit=emit,
        reload=reload,
        apply=apply,
        control=administration.control,
        watch=partial(_watch, partial(state_files.run, state_changed), observe),
        reopen=files.reopen,
        observed=remote,
    )


async def _watch(files: Callable[[], Awaitable[None]], emit: EventSink) -> None:
    """Report problems of this machine, then watch files."""
    await report_problems(emit)
    await files()


def _loaded_tokens(
    settings: RemoteSettings, config_file: Path | None, state_files: FileWatch, emit: EventSink
) -> RemoteTokens:
    """Return the remote's tokens. The first start creates one."""
    tokens = RemoteTokens(settings, config_file, emit)
    tokens.load()
    if tokens.created:
        # Its file was missing when the watch began. If it were revoked before the next look, it
        # would be missing again, and the watch would see no change.
        state_files.mark_read()
    return tokens


def ready_line(link: Address, outside: Address) -> str:
    """Return the line that says where origins and clients connect."""
    return f"ready: origins connect to UDP {_place(link)}, clients to TCP {_place(outside)}"


def websocket_lines(url: str | None) -> list[str]:
    """Return the line about the WebSocket; none without one."""
    if url is None:
        return []
    if url.startswith("ws:"):
        return [f"Origins whose network blocks UDP connect to an HTTP proxy in front of {url}"]
    for host in ("[::]", "0.0.0.0"):
        url = url.replace(f"//{host}:", "//HOST:")
    return [f"Origins whose network blocks UDP connect to {url}"]


def host_lines(settings: RemoteSettings, addresses: Mapping[HostProtocol, Address]) -> list[str]:
    """Return the lines about host names: where clients connect, and what origins may ask for.

    :param addresses: those of the shared listeners.
    """
    places = [
        f"with {_PROTOCOLS[protocol]} to TCP {_place(address)}"
        for protocol, address in addresses.items()
    ]
    lines = [f"Clients of host names connect {', '.join(places)}"] if places else []
    if settings.sockets is not None:
        lines.append(f"Caddy finds host names in {quoted(settings.sockets)}")
    if not lines:
        return []
    if settings.hosts:
        lines.append(hosts_line(settings.hosts))
    elif not any(grant.hosts for grant in settings.grants.values()):
        lines.append("Origins may ask for no host names yet; allow them with --hosts")
    return lines


def _place(address: Address) -> str:
    """Return an address, or only its port if it is every address of the machine."""
    is_every = address.host in (EVERY_ADDRESS, "0.0.0.0")
    return f"port {address.port}" if is_every else str(address)


def changed_lines(before: RemoteSettings, after: RemoteSettings) -> list[str]:
    """Return the lines about origins and what they may ask for, as far as a reload has changed."""
    lines = []
    if after.origins_from != before.origins_from:
        lines.append(origins_from_line(after.origins_from))
    if after.ports != before.ports:
        lines.append(ports_line(after.ports))
    return lines + ([hosts_line(after.hosts)] if after.hosts != before.hosts else [])


def hosts_line(hosts: Sequence[HostName]) -> str:
    """Return the line that says which host names origins may ask for."""
    if not hosts:
        return "Origins may ask for no host names"
    return f"Origins may ask for these host names: {', '.join(hosts)}"


def origins_from_line(networks: Sequence[Network]) -> str:
    """Return the line that says from which networks origins connect."""
    if not networks:
        return "Origins may connect from every network"
    return f"Origins may connect from these networks: {', '.join(map(str, networks))}"


def ports_line(ports: Sequence[PortRange]) -> str:
    """Return the line that says which ports origins may ask for."""
    if not ports:
        return "Origins may ask for no TCP ports"
    return f"Origins may ask for these TCP ports: {', '.join(map(str, ports))}"


def _given_certificate(settings: RemoteSettings, emit: EventSink) -> CertificateFiles | None:
    """Return the certificate of --cert and --key, or None if they are not given.

    :raises SettingsError: the files cannot be read or used.
    """
    if settings.cert is None or settings.key is None:
        return None
    return CertificateFiles(settings.cert, settings.key, emit)


def _certificates(
    given: CertificateFiles | None, directory: Path, emit: EventSink
) -> CertificateFiles:
    """Return the given certificate, or the one in the state directory."""
    files = given or CertificateFiles(*load_or_make_certificate(directory), emit)
    pin = format_pin(files.current.fingerprint)
    emit(CertificateLoaded(file=str(files.cert), pin=pin, expires=files.current.expires))
    return files
