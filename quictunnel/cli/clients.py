"""`quictunnel clients`: lists the clients of a running role, or closes some."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec

from quictunnel.admin.answers import ClientEntry, ClientPage
from quictunnel.cli import options, role_choice
from quictunnel.cli.admin_client import AdminClient, RequestRefused
from quictunnel.cli.output import print_error, print_line
from quictunnel.cli.role_tables import clients_table
from quictunnel.errors import SettingsError
from quictunnel.escaping import escape

PAGE = 2000
"""Clients in one answer."""

MAX_PAGES = 1000
"""Answers that are read. No role has so many clients."""

EXIT_DONE = 0
EXIT_NOT_CLOSED = 1

SortKey = Literal["age", "rate", "bytes", "service", "address"]

Json = Annotated[
    bool,
    options.OPTIONS.option(
        "--json",
        "Print a JSON array, with one object for each client.",
        envvar="QUICTUNNEL_CLIENTS_JSON",
        metavar="",
    ),
]

Service = Annotated[
    str | None,
    options.OPTIONS.option(
        "--service NAME",
        "List only the clients of this service.",
        envvar="QUICTUNNEL_CLIENTS_SERVICE",
    ),
]

Sort = Annotated[
    SortKey,
    options.OPTIONS.option(
        "--sort",
        "The order: the oldest, the fastest, those with the most bytes, or by name.",
        envvar="QUICTUNNEL_CLIENTS_SORT",
    ),
]

Close = Annotated[
    list[str],
    options.OPTIONS.option(
        "--close ID",
        "Reset the connection of this client, at both ends, instead of listing clients; may be "
        "given several times.",
        envvar="QUICTUNNEL_CLIENTS_CLOSE",
    ),
]

_IS_DESCENDING: dict[SortKey, bool] = {
    "age": True,
    "rate": True,
    "bytes": True,
    "service": False,
    "address": False,
}


def clients(
    *,
    as_json: Json = False,
    service: Service = None,
    sort: Sort = "age",
    close: Close = [],  # noqa: B006 - nothing changes it
    role: role_choice.Role = None,
    pid: role_choice.Pid = None,
    socket: role_choice.Socket = None,
    admin: role_choice.Admin = None,
    admin_token_file: role_choice.AdminTokenFile = None,
) -> int:
    """List the clients of the remote or the origin that runs on this machine.

    Examples:
      quictunnel clients --sort rate
      quictunnel clients --service web --json

    With --close, it closes clients instead, and the exit code is 1 if one of them was not there. An
    ID is that of the log and of the list. UP is from the client to the origin server.
    """
    client = role_choice.choose_role(role, pid, socket, admin, admin_token_file)
    if close:
        if as_json or service is not None:
            raise SettingsError("--close closes the clients that it names; it lists none")
        return _close(client, close)
    query = order_query(sort)
    if service is not None:
        query["service"] = service
    found = list(_list(client, query))
    if as_json:
        print_line(json.dumps(msgspec.to_builtins(found), indent=2))
    elif found:
        clients_table(found).print()
    else:
        of_service = "" if service is None else f" of the service {service}"
        print_line(escape(f"there is no client{of_service}"))
    return EXIT_DONE


def order_query(sort: SortKey) -> dict[str, str | int]:
    """Return the parameters of a request for clients in an order."""
    return {"sort": sort, "descending": int(_IS_DESCENDING[sort])}


def _list(client: AdminClient, query: dict[str, str | int]) -> Iterator[ClientEntry]:
    """Yield all clients, page by page."""
    offset = 0
    for _ in range(MAX_PAGES):
        page = client.get("clients", ClientPage, offset=offset, limit=PAGE, **query)
        yield from page.clients
        offset += len(page.clients)
        if not page.clients or offset >= page.total:
            return


def _close(client: AdminClient, ids: Sequence[str]) -> int:
    """Close clients, and return the exit code."""
    code = EXIT_DONE
    for each in ids:
        try:
            client.post(f"clients/{quote(each, safe='')}/close")
        except RequestRefused as exc:
            print_error("quictunnel", f"client {each}: {exc}")
            code = EXIT_NOT_CLOSED
        else:
            print_line(escape(f"closed {each}"))
    return code
