"""`quictunnel top`: shows a running role on the terminal, and updates it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from quictunnel.admin.answers import ClientPage, LinkEntry, LinkList, ServiceList, Status
from quictunnel.cli import role_choice
from quictunnel.cli.admin_client import AdminClient
from quictunnel.cli.clients import PAGE, order_query
from quictunnel.cli.output import print_line, print_styled
from quictunnel.cli.role_tables import clients_table, links_table, services_table
from quictunnel.cli.status import headline
from quictunnel.cli.terminal_keys import END_OF_INPUT, TerminalKeys
from quictunnel.cli.top_position import TopPosition
from quictunnel.cli.top_screen import TopView, screen
from quictunnel.snapshots import ServiceSnapshot

INTERVAL = 1.0
"""Seconds between two looks at the role."""

QUIT = "q"


def top(
    *,
    role: role_choice.Role = None,
    pid: role_choice.Pid = None,
    socket: role_choice.Socket = None,
    admin: role_choice.Admin = None,
    admin_token_file: role_choice.AdminTokenFile = None,
) -> None:
    """Watch the remote or the origin that runs on this machine: its links and busiest clients.

    Examples:
      quictunnel top
      quictunnel top --role origin

    It updates every second until you press q or Ctrl-C. The arrow keys scroll the list of clients
    and change its order. If the output is not a terminal, it prints everything once.
    """
    client = role_choice.choose_role(role, pid, socket, admin, admin_token_file)
    if sys.stdout.isatty():
        _show(client)
    else:
        _print_once(client)


class _Look:
    """The state of a role, except for its clients."""

    def __init__(self, client: AdminClient) -> None:
        self.status: Status = client.get("status", Status)
        self.services: Sequence[ServiceSnapshot] = client.get("services", ServiceList).services
        self.links: Sequence[LinkEntry] = client.get("links", LinkList, history=1).links


def _print_once(client: AdminClient) -> None:
    """Print everything that fits on one page of clients."""
    look = _Look(client)
    clients = _clients(client, TopPosition(), PAGE)
    print_styled(*headline(look.status))
    for table in (
        services_table(look.services),
        links_table(look.links),
        clients_table(clients.clients),
    ):
        if table.rows:
            print_line("")
            table.print()


def _show(client: AdminClient) -> None:
    """Update the terminal until a key or a signal ends it.

    :raises RoleUnavailable: the role has ended.
    """
    from rich.console import Console, Group  # noqa: PLC0415 - slow to import
    from rich.live import Live  # noqa: PLC0415

    console = Console(highlight=False)
    if console.is_dumb_terminal:
        _print_once(client)
        return
    position = TopPosition()
    with (
        _ended_by_signals(),
        TerminalKeys() as keys,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            look = _Look(client)
            next_look = time.monotonic() + INTERVAL
            has_moved = True
            while has_moved:
                width, height = console.size
                clients = _clients(client, position, height)
                view = TopView(
                    look.status,
                    look.services,
                    look.links,
                    clients,
                    position.offset,
                    position.order,
                    keys.are_there,
                )
                live.update(Group(*screen(view, width, height)), refresh=True)
                pressed = keys.wait(max(0.0, next_look - time.monotonic()))
                if QUIT in pressed or END_OF_INPUT in pressed:
                    return
                moves = [key for key in pressed if position.press(key, rows=height // 2)]
                has_moved = bool(moves) and time.monotonic() < next_look


def _clients(client: AdminClient, position: TopPosition, count: int) -> ClientPage:
    """Return the clients at a position, which moves back if there are fewer."""
    while True:
        query = order_query(position.order)
        page = client.get("clients", ClientPage, offset=position.offset, limit=count, **query)
        if page.clients or not position.limit(page.total):
            return page


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End this context at Ctrl-C, SIGTERM and SIGHUP, so that the terminal is restored."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
