"""The text of systemd units. The units in contrib/systemd are written by the same code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from quictunnel.cli.services.definition import MARK, OPEN_FILES, ServiceDefinition
from quictunnel.cli.services.service_files import secret_paths

CONFIGURATION = Path("/etc/quictunnel")
"""The folder with the tokens of services of the machine."""

RUNTIME = Path("/run")

CADDY_GROUP = "quictunnel"
"""The group that may open the sockets for Caddy."""

STATES: Mapping[str, str] = {"quictunnel-remote": "quictunnel"}
"""Services whose state directory has another name than the service."""

CREDENTIALS = {
    "token-file": "token",
    "admin-token-file": "admin-token",
    "cert": "cert",
    "key": "key",
}
"""The credentials that carry the files of options."""

_LOW_PORTS = "CAP_NET_BIND_SERVICE"

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_@:=.,/+\[\]*-]+")

_PLAIN_PATH = re.compile(r"[A-Za-z0-9_@=.,/+-]+")

_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "%": "%%", "$": "$$"}

# Restrictions that need no namespace, so that the manager of a user can apply them too.
_CALLS = """\
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
"""

_USER_LIMITS = f"""\
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
{_CALLS}UMask=0077
"""


def unit(service: ServiceDefinition, mark: str = MARK) -> str:
    """Return the unit of a service.

    :param mark: a comment at the top; empty for none.
    """
    is_system = service.scope == "system"
    lines = [f"# {mark}"] if mark else []
    lines += ["[Unit]", f"Description={_description(service)}"]
    if is_system:
        lines += ["Wants=network-online.target", "After=network-online.target"]
    lines += [
        "# Restart for ever.",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "# The program reports when it is ready, what it does, and that it does not hang.",
        "Type=notify",
        "WatchdogSec=60",
    ]
    if is_system:
        lines.append(f"ExecStart={join(service.command)}")
    else:
        kept = secret_paths(user_configuration(), service)
        lines.append(f"ExecStart={join(service.with_files(kept))}")
    if service.has_config:
        lines.append("ExecReload=kill -HUP $MAINPID")
    if is_system:
        lines += _place(service)
    lines += _restarts(service)
    lines += [f"LimitNOFILE={OPEN_FILES}", ""]
    lines += _limits(service).splitlines() if is_system else _USER_LIMITS.splitlines()
    target = "multi-user.target" if is_system else "default.target"
    lines += ["", "[Install]", f"WantedBy={target}"]
    return "\n".join(lines) + "\n"


def socket_unit(service: ServiceDefinition, *, link: str, outside: str) -> str:
    """Return a unit with which systemd opens the sockets of a remote before the remote starts.

    :param link: the UDP address for origins, in systemd's spelling.
    :param outside: the TCP address for clients.
    """
    return f"""\
[Unit]
Description={_description(service)}: sockets

[Socket]
# In place of the remote's options listen and outside.
ListenDatagram={link}
ListenStream={outside}
BindIPv6Only=both

[Install]
WantedBy=sockets.target
"""


def join(words: Sequence[str]) -> str:
    """Return words as a command line of a unit (systemd.syntax(7))."""
    return " ".join(map(quote, words))


def quote(word: str) -> str:
    """Return a word so that systemd reads it as one word, without specifiers and variables."""
    if _PLAIN_WORD.fullmatch(word):
        return word
    escaped = "".join(_ESCAPED.get(character, character) for character in word)
    return f'"{escaped}"'


def is_runtime_directory(path: Path) -> bool:
    """Return whether a unit can name a directory below `RUNTIME`: spaces and colons part names."""
    is_below = path != RUNTIME and path.is_relative_to(RUNTIME)
    return is_below and _PLAIN_PATH.fullmatch(str(path)) is not None


def can_load(path: Path) -> bool:
    """Return whether a unit can load a credential from a path.

    At the end of a line, systemd drops spaces and takes a backslash as a continuation.
    """
    text = str(path)
    return text == text.strip() and not text.endswith("\\")


def state_name(name: str) -> str:
    """Return the name of a service's state directory below /var/lib."""
    return STATES.get(name, name)


def user_configuration() -> Path:
    """Return the folder with the tokens of a user's services."""
    return Path.home() / ".config" / "quictunnel"


def _description(service: ServiceDefinition) -> str:
    is_default = service.name == f"quictunnel-{service.role}"
    return f"quictunnel {service.role}" + ("" if is_default else f" ({service.name})")


def _place(service: ServiceDefinition) -> list[str]:
    """Return the lines about the service's user, files and directories."""
    loaded = {**service.files, **secret_paths(CONFIGURATION, service)}
    lines = [f"LoadCredential={CREDENTIALS[name]}:{_path(path)}" for name, path in loaded.items()]
    lines += [
        f"Environment=QUICTUNNEL_{name.replace('-', '_').upper()}=%d/{CREDENTIALS[name]}"
        for name in loaded
    ]
    lines.append("DynamicUser=yes" if service.user is None else f"User={service.user}")
    lines += [f"StateDirectory={state_name(service.name)}", "StateDirectoryMode=0700"]
    lines.append("# The admin socket, for quictunnel status and other commands.")
    lines.append(f"RuntimeDirectory={service.name}")
    if service.sockets is None:
        lines.append("RuntimeDirectoryMode=0700")
    else:
        lines.append(f"RuntimeDirectory={service.sockets.relative_to(RUNTIME)}")
        lines += ["RuntimeDirectoryMode=0750", f"Group={CADDY_GROUP}"]
    return lines


def _path(path: Path) -> str:
    return str(path).replace("%", "%%")


def _restarts(service: ServiceDefinition) -> list[str]:
    lines = ["Restart=on-failure"]
    if service.role == "origin":
        lines += [
            "# 3: refused. The refusal may come from another machine at the remote's address, or "
            "the token may be",
            "# allowed later.",
            "RestartSec=20",
        ]
    else:
        lines.append("RestartSec=2")
    return [
        *lines,
        "# 2: wrong settings. A restart does not help.",
        "RestartPreventExitStatus=2",
        "# The grace plus some seconds. With a longer grace, the program asks for more while it "
        "drains.",
        f"TimeoutStopSec={service.stop_timeout}",
    ]


def _limits(service: ServiceDefinition) -> str:
    """Return the lines that take all rights from a service of the machine that it does not need."""
    is_remote = service.role == "remote"
    if is_remote:
        needs = (
            "# The program needs the network, its state directory, and nothing else. PrivateUsers "
            "is not here,\n# because it would prevent ports below 1024."
        )
        families = "# AF_NETLINK: name lookups. AF_UNIX: the service manager, sockets for Caddy."
    else:
        needs = "# The program needs the network and nothing else."
        families = (
            "# AF_NETLINK: name lookups, and changes of the network. AF_UNIX: the service manager, "
            "origin\n# servers with Unix sockets."
        )
    capabilities = f"CapabilityBoundingSet={_LOW_PORTS if service.has_low_ports else ''}"
    if service.has_low_ports:
        capabilities = f"AmbientCapabilities={_LOW_PORTS}\n{capabilities}"
    private_users = "" if is_remote else "PrivateUsers=yes\n"
    return f"""\
{needs}
{capabilities}
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateMounts=yes
PrivateTmp=yes
{private_users}ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
{families}
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
{_CALLS}UMask=0077
"""
