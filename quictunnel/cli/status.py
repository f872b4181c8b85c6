"""`quictunnel status`: shows the state of a running role."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Annotated, Any

import msgspec

from quictunnel.admin.answers import LinkEntry, LinkList, ServiceList, Status
from quictunnel.cli import options, role_choice
from quictunnel.cli.output import print_line, print_styled
from quictunnel.cli.readable import readable_duration, readable_rate, readable_size
from quictunnel.cli.role_tables import BAD, GOOD, links_table, services_table
from quictunnel.escaping import escape
from quictunnel.snapshots import ServiceSnapshot

EXIT_READY = 0
EXIT_NOT_READY = 1

_NOT_IN_JSON = ("history", "changes")
"""Members of a link that grow with its age. The admin interface has them."""

Json = Annotated[
    bool,
    options.OPTIONS.option(
        "--json",
        "Print a JSON object with the role's state, its services and its links.",
        envvar="QUICTUNNEL_STATUS_JSON",
        metavar="",
    ),
]


def status(
    *,
    as_json: Json = False,
    role: role_choice.Role = None,
    pid: role_choice.Pid = None,
    socket: role_choice.Socket = None,
    admin: role_choice.Admin = None,
    admin_token_file: role_choice.AdminTokenFile = None,
) -> int:
    """Show the state of the remote or the origin that runs on this machine.

    Examples:
      quictunnel status
      quictunnel status --json --role origin

    It shows whether the role is ready, its services and its links. The exit code is 0 if new
    clients are served now, 1 if they are not, and 3 if no role runs or this user may not ask it.
    """
    client = role_choice.choose_role(role, pid, socket, admin, admin_token_file)
    answer = client.get("status", Status)
    services = client.get("services", ServiceList).services
    links = client.get("links", LinkList, history=1).links
    if as_json:
        print_line(json.dumps(_object(answer, services, links), indent=2))
    else:
        _print(answer, services, links)
    return EXIT_READY if answer.is_ready else EXIT_NOT_READY


def headline(answer: Status) -> tuple[str | tuple[str, str], ...]:
    """Return the pieces of the line that names a role and says whether it is ready."""
    name = escape(f"{answer.role} {answer.name}: ")
    if answer.is_ready:
        return name, ("ready", GOOD)
    reason = escape(answer.reason or "for an unknown reason")
    return name, ("not ready", BAD), f": {reason}"


def _print(answer: Status, services: Sequence[ServiceSnapshot], links: Sequence[LinkEntry]) -> None:
    print_styled(*headline(answer))
    for name, value in chain(_facts(answer), _paths(links)):
        print_line(f"  {name:<9} {escape(value)}")
    for table in (services_table(services), links_table(links)):
        if table.rows:
            print_line("")
            table.print()


def _facts(answer: Status) -> Iterator[tuple[str, str]]:
    """Yield names and values of what a person wants to know about a role."""
    yield "version", f"{answer.version}, engine {answer.engine}"
    yield "process", f"{answer.pid}, running for {readable_duration(answer.age)}"
    if answer.addresses:
        verb = "listens" if answer.role == "remote" else "remote"
        yield verb, ", ".join(answer.addresses)
    yield "clients", f"{answer.clients} of at most {answer.max_clients}"
    up, down = answer.summary.rate_up, answer.summary.rate_down
    yield "traffic", f"up {readable_rate(up)}, down {readable_rate(down)}"
    if answer.unread_bytes:
        yield "unread", readable_size(answer.unread_bytes)


def _paths(links: Sequence[LinkEntry]) -> Iterator[tuple[str, str]]:
    """Yield why links are on their paths, as far as this role knows it."""
    for link in links:
        if link.path_reason or link.udp_probe:
            reason = f", because {link.path_reason}" if link.path_reason else ""
            probe = f"; last UDP probe: {link.udp_probe}" if link.udp_probe else ""
            yield "path", f"{link.path}{reason}{probe}"


def _object(
    answer: Status, services: Sequence[ServiceSnapshot], links: Sequence[LinkEntry]
) -> dict[str, Any]:
    """Return the JSON object of a role. Links are without what grows with their age."""
    members: dict[str, Any] = msgspec.to_builtins(answer)
    members["services"] = msgspec.to_builtins(services)
    members["links"] = msgspec.to_builtins(links)
    for link in members["links"]:
        for name in _NOT_IN_JSON:
            link.pop(name, None)
    return members
