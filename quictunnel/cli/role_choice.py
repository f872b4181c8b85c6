"""Which running role a command asks: the only one, or the one that options choose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from quictunnel.admin.runtime import RunningRole, running_roles
from quictunnel.cli import options
from quictunnel.cli.admin_client import AdminClient
from quictunnel.cli.output import print_error
from quictunnel.config.addresses import ADMIN_PORT, LOOPBACK_ADDRESS, parse_target
from quictunnel.config.admin_token import read_admin_token
from quictunnel.config.files import quoted
from quictunnel.config.urls import HttpUrl, parse_http_url
from quictunnel.errors import RoleUnavailable, SettingsError
from quictunnel.snapshots import RoleName

MAX_NAMED = 10
"""Roles that one sentence names."""

CHOICE = options.Panel("Which role to ask")

_ADDRESS = "the address of an admin interface"

_LOCALHOST = "localhost"

Role = Annotated[
    RoleName | None,
    CHOICE.option(
        "--role",
        "Ask a running remote, or a running origin.",
        show_default="the one that runs",
    ),
]

Pid = Annotated[
    int | None,
    CHOICE.option(
        "--pid NUMBER",
        "Ask the role with this process id.",
        envvar="QUICTUNNEL_ROLE_PID",
        min=1,
    ),
]

Socket = Annotated[
    Path | None,
    CHOICE.option(
        "--socket PATH",
        "Ask the role whose admin interface has this Unix socket.",
        envvar="QUICTUNNEL_ROLE_SOCKET",
    ),
]

Admin = Annotated[
    str | None,
    CHOICE.option(
        "--admin URL",
        "Ask the role whose admin interface has this URL, also on another machine: "
        f"http://{LOOPBACK_ADDRESS}:{ADMIN_PORT}, or only HOST:PORT.",
        # Not the variable of the role's own --admin: a container may set that one for both.
        envvar="QUICTUNNEL_ROLE_ADMIN",
    ),
]

AdminTokenFile = Annotated[
    Path | None,
    CHOICE.option(
        "--admin-token-file FILE",
        "A file with the token of the admin interface at --admin, if it needs one.",
        envvar="QUICTUNNEL_ROLE_ADMIN_TOKEN_FILE",
    ),
]


def choose_role(
    role: RoleName | None,
    pid: int | None,
    path: Path | None,
    admin: str | None,
    admin_token_file: Path | None,
) -> AdminClient:
    """Return a client of the role that the options choose.

    If several roles run and the options leave a choice, it is the first one, and a line on standard
    error names it and the others.

    :raises SettingsError: the options contradict each other, or the token cannot be read.
    :raises RoleUnavailable: no such role runs.
    """
    if sum(each is not None for each in (pid, path, admin)) > 1:
        raise SettingsError("give only one of --pid, --socket and --admin")
    if role is not None and (path is not None or admin is not None):
        raise SettingsError(
            "--role chooses among roles that are found; --socket and --admin name one"
        )
    if admin_token_file is not None and admin is None:
        raise SettingsError("--admin-token-file needs --admin; a Unix socket needs no token")
    if admin is not None:
        url = options.read("--admin", _parse_admin, admin)
        token = None if admin_token_file is None else read_admin_token(admin_token_file).secret
        return AdminClient(url, f"the admin interface at {url}", token)
    if path is not None:
        return AdminClient(path, f"the role at {quoted(path)}")
    found = [each for each in running_roles() if role in (None, each.role)]
    if pid is not None:
        chosen = [each for each in found if each.pid == pid]
        if not chosen:
            raise RoleUnavailable(_no_process(pid, role, found))
        return _client(chosen[0])
    if not found:
        raise RoleUnavailable(_none_runs(role))
    if len(found) > 1:
        others = _listed(found[1:])
        print_error("quictunnel", f"asking {_name(found[0])}; --pid chooses another: {others}")
    return _client(found[0])


def _client(running: RunningRole) -> AdminClient:
    return AdminClient(running.path, _name(running))


def _name(running: RunningRole) -> str:
    return f"the {running.role} (process {running.pid})"


def _listed(roles: list[RunningRole]) -> str:
    named = [f"{each.pid} ({each.role})" for each in roles[:MAX_NAMED]]
    if len(roles) > MAX_NAMED:
        named.append(f"and {len(roles) - MAX_NAMED} more")
    return ", ".join(named)


def _no_process(pid: int, role: RoleName | None, found: list[RunningRole]) -> str:
    wanted = role or "remote or origin"
    if found:
        return f"process {pid} is no running {wanted}; found: {_listed(found)}"
    return f"process {pid} is no {wanted}, and {_none_runs(role)}"


def _none_runs(role: RoleName | None) -> str:
    """Return the sentence that no role was found, and what may be the cause."""
    what = "no remote and no origin runs" if role is None else f"no {role} runs"
    if os.geteuid() == 0:
        return f"{what} on this machine, or it is too old for this command"
    return f"{what} as this user; use sudo if it runs as a service or as another user"


def _parse_admin(text: str) -> HttpUrl:
    """Parse the URL of an admin interface, or its address.

    :raises SettingsError: it is neither.
    """
    if "://" not in text:
        port = text.removeprefix(":")
        address = f"{_LOCALHOST}:{port}" if port.isdecimal() else text
        return HttpUrl("http", parse_target(address), "/")
    url = parse_http_url(text, _ADDRESS, f"http://{LOOPBACK_ADDRESS}:{ADMIN_PORT} or HOST:PORT")
    if "?" in url.path:
        raise SettingsError(f"{_ADDRESS} has no query; remove the part after '?' from the URL")
    return url
