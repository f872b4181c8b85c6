"""`quictunnel origin`: options to settings, and the lines that an origin prints."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from quictunnel.cli import logging_setup, options
from quictunnel.cli.administration import Administration
from quictunnel.cli.config_option import ConfigFile, Sources
from quictunnel.cli.file_limit import raise_file_limit
from quictunnel.cli.options import read, read_duration
from quictunnel.cli.origin_probe import is_server_missing
from quictunnel.cli.output import print_line
from quictunnel.cli.prepared import PreparedRole
from quictunnel.cli.ready_lines import ReadyLines
from quictunnel.cli.reload import Reload
from quictunnel.cli.role_logs import DEFAULT_FORMAT, LogSettings, opened, read_settings
from quictunnel.cli.role_runner import run
from quictunnel.cli.startup_checks import report_problems
from quictunnel.cli.status_lines import ORIGIN_LINES, LineFormats, StatusLines
from quictunnel.config.addresses import HostPort, UnixPath, parse_target
from quictunnel.config.certificates import parse_pin
from quictunnel.config.loops import looping_services
from quictunnel.config.proxies import NO_PROXY
from quictunnel.config.secret_strength import weak_secrets
from quictunnel.config.services import (
    ProxyProtocol,
    ServiceDefaults,
    ServiceSettings,
    Share,
    check_services,
    parse_services,
)
from quictunnel.config.settings import LINK_PORT, OriginSettings, machine_name
from quictunnel.config.tokens import Token
from quictunnel.config.units import parse_size
from quictunnel.config.urls import WEBSOCKET_PATH, parse_websocket_url
from quictunnel.config.via import Via
from quictunnel.errors import QuictunnelError, Refused, SettingsError
from quictunnel.events import (
    Event,
    EventSink,
    LoopSuspected,
    OriginServerMissing,
    ServicesGranted,
)
from quictunnel.origin.client import Origin
from quictunnel.origin.path_memory import memory_in_state_directory

ENDS = options.Panel("The two ends")
PATH = options.Panel("The path between them")

ADVICE = (
    "give the remote's token with QUICTUNNEL_TOKEN or --token-file ('quictunnel token show' there "
    "prints it)"
)
"""Advice for an origin without a token that is refused, or does not accept the remote."""

Target = Annotated[
    str | None,
    typer.Argument(metavar="TARGET", help="The origin server, as in --origin.", show_default=False),
]

RemoteAddress = Annotated[
    str,
    ENDS.option(
        "--remote HOST[:PORT]",
        f"The machine of 'quictunnel remote', and its UDP port if it is not {LINK_PORT}.",
    ),
]

OriginServers = Annotated[
    list[str],
    ENDS.option(
        "--origin [WHERE=]HOST:PORT",
        "Your server: localhost:8000, or 8000 for short, or unix:PATH for a Unix socket. "
        "It can start later. WHERE is its place at the remote, if it is not the outside address: "
        "2222=localhost:22, 50000-50100=localhost:50000-50100, or auto=8000 for any free port; or "
        "a host name: www.example.com=localhost:8000 or *.example.com=localhost:8000. "
        "The remote must allow it with --ports or --hosts. May be given several times.",
    ),
]

Name = Annotated[
    str | None,
    options.TRUST.option(
        "--name NAME",
        "This origin's name at the remote, which accepts one origin of the same name and token "
        "at a time.",
        show_default="this machine's host name",
    ),
]

TakeOver = Annotated[
    bool,
    options.TRUST.option(
        "--take-over",
        "Replace an origin of the same name and token even if it answers. That one ends with exit "
        "code 3. Without this option, it is replaced only if it does not answer.",
        metavar="",
    ),
]

Ca = Annotated[
    Path | None,
    options.TRUST.option(
        "--ca FILE",
        "Accept only a remote whose certificate is for the name in --remote and signed by an "
        "authority in this PEM file. Not needed with a token.",
    ),
]

Pin = Annotated[
    str | None,
    options.TRUST.option(
        "--pin sha256:HEX",
        "Accept only a remote with this certificate; the remote logs its pin when it starts. "
        "Not needed with a token.",
    ),
]

ViaOption = Annotated[
    Literal["auto", "udp", "websocket"],
    PATH.option(
        "--via",
        "udp: QUIC over UDP, which is fastest. websocket: QUIC inside a WebSocket, which passes "
        "firewalls and proxies that block UDP. auto: UDP, and the WebSocket while UDP does not "
        "work. Connections survive the changes.",
    ),
]

WebSocketOption = Annotated[
    str | None,
    PATH.option(
        "--websocket URL",
        "The URL of the remote's WebSocket, beginning with wss:// or ws://. The remote needs its "
        "own option --websocket for it.",
        show_default=f"wss://HOST{WEBSOCKET_PATH}, with the host of --remote",
    ),
]

ProxyOption = Annotated[
    str | None,
    PATH.option(
        "--proxy URL",
        "A proxy for the WebSocket: http://[USER:PASSWORD@]HOST:PORT, or https://, socks5:// or "
        f"socks5h:// instead of http://. {NO_PROXY} connects directly. Other users of this machine "
        "can see this option in the process list: write a URL with a password into the environment "
        "variable or a configuration file.",
        show_default="HTTPS_PROXY or ALL_PROXY, unless NO_PROXY has the host",
    ),
]

WebSocketCa = Annotated[
    Path | None,
    PATH.option(
        "--websocket-ca FILE",
        "Use the WebSocket only if its certificate is for the name in its URL and signed by an "
        "authority in this PEM file. By default, a certificate that does not verify is only a "
        "warning, because both ends prove themselves inside the WebSocket.",
        show_default="none",
    ),
]

InsecureWebSocket = Annotated[
    bool,
    PATH.option(
        "--insecure-websocket",
        "Do not check the WebSocket's certificate, and do not warn.",
        metavar="",
    ),
]

ProxyProtocolOption = Annotated[
    ProxyProtocol,
    options.CLIENTS.option(
        "--proxy-protocol",
        "Send your server a PROXY protocol header with the client's address before the "
        "client's first byte. The server must expect it (nginx: listen ... proxy_protocol).",
    ),
]

ShareOption = Annotated[
    Share,
    options.CLIENTS.option(
        "--share",
        "How several origins with the same token serve a service: only one of them (single), the "
        "first one that is available (failover), or all (balance).",
    ),
]

Sticky = Annotated[
    bool,
    options.CLIENTS.option(
        "--sticky",
        "With --share balance: the clients of one address get the same origin, as long as it is "
        "available. Without this option, the origin with the fewest clients gets each new one.",
        metavar="",
    ),
]


def origin(
    ctx: typer.Context,
    target: Target = None,
    *,
    config: ConfigFile = None,  # its callback has loaded the file
    remote: RemoteAddress,
    origin: OriginServers = [],  # noqa: B006 - typer copies it
    token: options.TokenText = None,
    token_file: options.TokenFile = None,
    name: Name = None,
    take_over: TakeOver = False,
    ca: Ca = None,
    pin: Pin = None,
    via: ViaOption = "auto",
    websocket: WebSocketOption = None,
    proxy: ProxyOption = None,
    websocket_ca: WebSocketCa = None,
    insecure_websocket: InsecureWebSocket = False,
    proxy_protocol: ProxyProtocolOption = "off",
    share: ShareOption = "single",
    sticky: Sticky = False,
    hold: options.Hold = options.HOLD_DEFAULT,
    linger: options.Linger = options.LINGER_DEFAULT,
    grace: options.Grace = options.GRACE_DEFAULT,
    unread_limit: options.UnreadLimit = options.UNREAD_DEFAULT,
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
    """Expose your server: run this next to it, behind any router.

    Examples:
      quictunnel origin 8000 --remote vps.example.com --token-file token
      quictunnel origin 192.168.1.5:80 --remote 203.0.113.7:9001 --token-file token
      quictunnel origin --origin www.example.com=8443 --remote vps.example.com --token-file token
      quictunnel origin --config origin.toml

    It connects to the remote, so you open no port here. When the network fails, it reconnects for
    ever. It prints a line that begins with "ready" when clients can connect. Later lines begin
    with "silent", "back", "lost", "refused", "healthy", "unhealthy", "reloaded", "warning",
    "stopping" or "ready".
    """
    logging_setup.setup(log_format, log_level)
    sources = Sources(ctx)
    name_of = sources.name
    logs = read_settings(access_log, access_log_format, qlog, sources)
    remote_address = read(name_of("--remote"), _parse_remote, remote)
    defaults = ServiceDefaults(proxy_protocol=proxy_protocol, share=share, sticky=sticky)
    services = _services(target, origin, defaults, sources)
    exposed = list(services)
    formats: LineFormats = {
        **ORIGIN_LINES,
        ServicesGranted: ReadyLines(remote_address.host, exposed),
    }
    lines = StatusLines("quictunnel.origin", formats, log_level, logs.replaced)
    sources.warn_if_exposed(lines)
    with sources.located():
        admin_address, admin_secret = options.read_admin(
            admin, admin_token, admin_token_file, name_of, lines
        )
        settings = OriginSettings(
            remote=remote_address,
            services=services,
            token=_token(token, token_file, sources, lines),
            name=machine_name() if name is None else name,
            take_over=take_over,
            ca=ca,
            pin=None if pin is None else read(name_of("--pin"), parse_pin, pin),
            via=Via(via),
            websocket=None
            if websocket is None
            else read(name_of("--websocket"), parse_websocket_url, websocket),
            websocket_ca=websocket_ca,
            insecure_websocket=insecure_websocket,
            hold=read_duration(name_of("--hold"), hold),
            linger=read_duration(name_of("--linger"), linger),
            grace=read_duration(name_of("--grace"), grace),
            unread_limit=read(name_of("--unread-limit"), parse_size, unread_limit),
            admin=admin_address,
            admin_token=admin_secret,
            engine=engine,
            congestion=congestion,
        )
        settings = replace(
            settings, proxy=options.read_proxy(proxy, settings.websocket_url, name_of, lines)
        )
    files = sources.files(token_file, admin_token_file)
    config_file = None if sources.config is None else sources.config.path
    reload = None if config_file is None else Reload(ctx, config_file, files)
    run_role = partial(_run, settings, exposed, reload, lines, logs)
    return PreparedRole(settings, logs, files, run_role)


def _run(
    settings: OriginSettings,
    exposed: list[ServiceSettings],
    reload: Reload | None,
    lines: StatusLines,
    logs: LogSettings,
) -> None:
    try:
        asyncio.run(_expose(settings, exposed, reload, lines, logs))
    except Refused as exc:
        if settings.token is not None:
            raise
        raise Refused(exc.code, f"{exc.message}; {ADVICE}") from exc


async def _expose(
    settings: OriginSettings,
    exposed: list[ServiceSettings],
    reload: Reload | None,
    lines: StatusLines,
    logs: LogSettings,
) -> None:
    """Run an origin.

    :param exposed: the services, for the `ready` lines. A reload changes the list.
    """
    is_ready = False
    looping: Collection[LoopSuspected] = ()
    failure: QuictunnelError | None = None

    def show(event: Event) -> None:
        nonlocal is_ready, failure
        if is_ready or not (isinstance(event, ServicesGranted) and event.services):
            lines(event)
            return
        is_ready = True
        try:
            lines.show(event, print_line)  # a script may wait for these lines
        except QuictunnelError as exc:
            failure = exc
            role.abort()

    def apply(prepared: PreparedRole) -> set[str]:
        assert isinstance(prepared.settings, OriginSettings)
        exposed[:] = prepared.settings.services
        changed = role.apply(prepared.settings)
        warn_of_loops(prepared.settings)
        return changed | logs.differences(prepared.logs)

    def warn_of_loops(used: OriginSettings) -> None:
        nonlocal looping
        found = {
            LoopSuspected(service.name, str(service.target), service.where): None
            for service in looping_services(used)
        }
        for event in found:
            if event not in looping:
                emit(event)
        looping = found

    administration = Administration(show)
    emit = administration.emit
    for weak in weak_secrets([] if settings.token is None else [settings.token]):
        emit(weak)
    warn_of_loops(settings)
    with opened(logs, "origin", emit) as files:
        role = Origin(
            settings,
            emit=files.emit,
            max_clients=raise_file_limit(),
            qlog=files.qlog,
            path_memory=memory_in_state_directory(str(settings.remote), files.emit),
        )
        targets = {service.target for service in settings.services}
        beside = [
            asyncio.create_task(_warn_if_missing(targets, emit), name="origin server probe"),
            asyncio.create_task(report_problems(emit), name="startup checks"),
        ]
        try:
            await run(
                administration.administer("origin", role, settings),
                administration.print_address,
                emit=emit,
                reload=reload,
                apply=apply,
                control=administration.control,
                reopen=files.reopen,
                observed=role,
            )
        finally:
            for task in beside:
                task.cancel()
    if failure is not None:
        raise failure


async def _warn_if_missing(servers: Iterable[HostPort | UnixPath], emit: EventSink) -> None:
    for server in servers:
        if await is_server_missing(server):
            emit(OriginServerMissing(str(server)))


def _services(
    target: str | None, origins: Sequence[str], defaults: ServiceDefaults, sources: Sources
) -> tuple[ServiceSettings, ...]:
    """Return the services of TARGET, of every --origin and of the configuration file.

    :raises SettingsError: one is malformed, two of them collide, there is none, or no service uses
        a default.
    """
    # The same server in both ways is one.
    texts = list(dict.fromkeys([*([] if target is None else [target]), *origins]))
    parse = partial(parse_services, defaults=defaults)
    services = read(sources.name("--origin"), parse, texts)
    config = sources.config
    if config is not None and (others := config.services(defaults)):
        services += others
        try:
            check_services(services)
        except SettingsError as exc:
            raise SettingsError(f"--origin and {config.path} together: {exc}") from exc
    if not services:
        place, table = ("", "") if config is None else (f"{config.path}: ", " or [service.NAME]")
        raise SettingsError(
            f"{place}no origin server is given; add its address, such as 8000 or 192.168.1.5:80"
            f"{table}"
        )
    if defaults.sticky and not any(service.sticky for service in services):
        name = sources.name("--sticky")
        raise options.OptionError(f"{name} needs a service with the share 'balance'")
    return services


def _token(text: str | None, file: Path | None, sources: Sources, emit: EventSink) -> Token | None:
    tokens = options.read_tokens([] if text is None else [text], file, sources.name, emit)
    if text is not None and file is not None:
        raise SettingsError("--token and --token-file are both given, but an origin has one token")
    if len(tokens) > 1:
        option = sources.name("--token-file")
        raise options.OptionError(f"{option} has {len(tokens)} tokens, but an origin has one token")
    return tokens[0] if tokens else None


def _parse_remote(text: str) -> HostPort:
    return parse_target(text, LINK_PORT)
