"""Tables of services, links and clients, as wide as a terminal allows."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from quictunnel.admin.answers import ClientEntry, LinkEntry
from quictunnel.cli.output import Cell, print_table
from quictunnel.cli.readable import (
    NOTHING,
    readable_duration,
    readable_rate,
    readable_share,
    readable_size,
    readable_time,
)
from quictunnel.escaping import escape
from quictunnel.snapshots import ServiceSnapshot

GAP = 2
"""Spaces between two columns."""

GOOD, WEAK, BAD = "green", "yellow", "red"

_STYLES = {"up": GOOD, "silent": WEAK, "unhealthy": WEAK, "refused": BAD, "down": BAD}
"""The styles of states of services."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    is_number: bool = False
    rank: int = 0
    """The columns with the highest rank are left out first. Those of rank 0 stay."""


@dataclass(frozen=True, slots=True)
class RoleTable:
    """A table that can leave out columns."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def numbers(self) -> frozenset[str]:
        """The names of the columns with numbers."""
        return frozenset(column.name for column in self.columns if column.is_number)

    def fitted(self, width: int) -> RoleTable:
        """Return the table without the columns for which there is no room."""
        needed = [
            max([len(column.name), *(_length(row[index]) for row in self.rows)]) + GAP
            for index, column in enumerate(self.columns)
        ]
        kept = list(range(len(self.columns)))
        while sum(needed[index] for index in kept) - GAP > width:
            last = max(kept, key=lambda index: self.columns[index].rank)
            if self.columns[last].rank == 0:
                break
            kept.remove(last)
        return RoleTable(
            tuple(self.columns[index] for index in kept),
            tuple(tuple(row[index] for index in kept) for row in self.rows),
        )

    def print(self) -> None:
        """Print the table, on a terminal with the columns that fit."""
        shown = self.fitted(shutil.get_terminal_size().columns) if sys.stdout.isatty() else self
        print_table(shown.names, shown.rows, numbers=shown.numbers)


def services_table(services: Sequence[ServiceSnapshot]) -> RoleTable:
    """Return a table of services."""
    columns = [
        Column("SERVICE"),
        Column("STATE"),
        Column("CLIENTS", is_number=True, rank=1),
        Column("WHERE"),
    ]
    has_target = any(service.target is not None for service in services)
    columns.append(Column("TO" if has_target else "ORIGIN", rank=2))
    columns.append(Column("WHY", rank=3))
    rows = [
        (
            service.name,
            (service.state, _STYLES.get(service.state, "")),
            str(service.clients),
            _joined(service.urls or service.places),
            service.target or _joined(service.origins),
            service.reason or "",
        )
        for service in services
    ]
    return _without_empty(columns, rows, ("WHY",))


def links_table(links: Iterable[LinkEntry]) -> RoleTable:
    """Return a table of links."""
    columns = (
        Column("LINK"),
        Column("PEER"),
        Column("STATE"),
        Column("PATH", rank=1),
        Column("RTT", is_number=True),
        Column("LOSS", is_number=True),
        Column("UP", is_number=True, rank=2),
        Column("DOWN", is_number=True, rank=2),
        Column("CLIENTS", is_number=True, rank=1),
        Column("AGE", is_number=True, rank=3),
        Column("PROGRAM", rank=4),
    )
    return RoleTable(columns, tuple(_link_row(link) for link in links))


def clients_table(clients: Iterable[ClientEntry]) -> RoleTable:
    """Return a table of clients."""
    columns = (
        Column("ID"),
        Column("CLIENT"),
        Column("SERVICE", rank=1),
        Column("ORIGIN", rank=6),
        Column("STATE", rank=4),
        Column("AGE", is_number=True, rank=3),
        Column("UP", is_number=True),
        Column("DOWN", is_number=True),
        Column("BYTES UP", is_number=True, rank=5),
        Column("BYTES DOWN", is_number=True, rank=5),
    )
    rows = [
        (
            client.id,
            client.address or NOTHING,
            client.service,
            client.origin or "",
            client.state,
            readable_duration(client.age),
            readable_rate(client.rate_up),
            readable_rate(client.rate_down),
            readable_size(client.bytes_up),
            readable_size(client.bytes_down),
        )
        for client in clients
    ]
    return _without_empty(columns, rows, ("ORIGIN",))


def _link_row(link: LinkEntry) -> tuple[Cell, ...]:
    last = link.history[-1] if link.history else None
    if last is None:
        loss = readable_share(link.packets_lost, link.packets_sent)
    else:
        loss = readable_share(last.loss, 1)
    return (
        link.origin,
        link.peer,
        _link_state(link),
        str(link.path),
        readable_time(link.rtt),
        loss,
        readable_rate(0 if last is None else last.rate_up),
        readable_rate(0 if last is None else last.rate_down),
        str(link.clients),
        readable_duration(link.age),
        link.agent,
    )


def _link_state(link: LinkEntry) -> Cell:
    if link.silent_for is not None:
        silence = readable_duration(link.silent_for)
        return f"silent for {silence} of {readable_duration(link.hold)}", WEAK
    return ("drains", WEAK) if link.is_draining else ("up", GOOD)


def _without_empty(
    columns: Sequence[Column], rows: Sequence[tuple[Cell, ...]], optional: Collection[str]
) -> RoleTable:
    """Return a table without those of the optional columns that have only empty cells."""
    kept = [
        index
        for index, column in enumerate(columns)
        if column.name not in optional or any(row[index] for row in rows)
    ]
    return RoleTable(
        tuple(columns[index] for index in kept),
        tuple(tuple(row[index] for index in kept) for row in rows),
    )


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names) or NOTHING


def _length(cell: Cell) -> int:
    return len(escape(cell if isinstance(cell, str) else cell[0]))
