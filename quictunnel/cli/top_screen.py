"""The screen of `quictunnel top`: a role's services, links and clients, in so many lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quictunnel.admin.answers import ClientPage, LinkEntry, Status
from quictunnel.cli.readable import readable_duration
from quictunnel.cli.role_tables import GAP, RoleTable, clients_table, links_table, services_table
from quictunnel.cli.status import headline
from quictunnel.escaping import escape
from quictunnel.snapshots import ServiceSnapshot

if TYPE_CHECKING:
    from rich.text import Text

KEYS = "q: quit   up, down: scroll   left, right: change the order"

_FIXED = 4
"""Lines that are always there: the headline, the title of the clients, an empty one, the keys."""

_OVERHEAD = 2
"""Lines of a section besides its rows: its header, and an empty line."""

_LEAST = 6
"""Lines that stay for the clients, their titles and the keys. A low terminal shows only these."""

_SHARE = 4
"""Services and links each have at most this part of the lines."""


@dataclass(frozen=True, slots=True)
class TopView:
    """The content of a screen."""

    status: Status
    services: Sequence[ServiceSnapshot]
    links: Sequence[LinkEntry]
    clients: ClientPage
    """The clients from `offset` on, in their order."""
    offset: int
    """Clients before the first one of the screen."""
    order: str
    """The order of the clients, for the title."""
    has_keys: bool
    """Whether keys work."""


def screen(view: TopView, width: int, height: int) -> list[Text]:
    """Return the lines of a screen, at most `height`, each at most `width` wide."""
    from rich.text import Text  # noqa: PLC0415 - slow to import, and only a terminal needs it

    status = view.status
    facts = f"  up {readable_duration(status.age)}, version {escape(status.version)}"
    lines = [Text.assemble(*headline(status), (facts, "dim")), Text()]
    most = max(1, (height - _FIXED) // _SHARE - _OVERHEAD)
    for table in (services_table(view.services), links_table(view.links)):
        section = [*_section(table, width, most), Text()]
        if table.rows and height - len(lines) - len(section) >= _LEAST:
            lines += section
    total, first = view.clients.total, view.offset + 1
    rows = max(0, height - len(lines) - _OVERHEAD - view.has_keys)
    shown = view.clients.clients[:rows]
    title = "no clients"
    if shown:
        title = f"clients {first:,}-{view.offset + len(shown):,} of {total:,}, by {view.order}"
    lines.append(Text(title, "bold"))
    if shown:
        lines += _section(clients_table(shown), width, rows)
    if view.has_keys:
        lines += [Text()] * (height - 1 - len(lines))
        lines = [*lines[: height - 1], Text(KEYS, "dim")]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def _section(table: RoleTable, width: int, most: int) -> Iterator[Text]:
    """Yield the lines of a table, and a line about the rows for which there is no room."""
    from rich.cells import cell_len  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    more = len(table.rows) - most
    if more > 0:
        table = RoleTable(table.columns, table.rows[:most])
    table = table.fitted(width)
    rows = [[Text(column.name, "bold") for column in table.columns]]
    for row in table.rows:
        pairs = ((cell, "") if isinstance(cell, str) else cell for cell in row)
        rows.append([Text(escape(text), style) for text, style in pairs])
    widths = [max(cell_len(cell.plain) for cell in column) for column in zip(*rows, strict=True)]
    for cells in rows:
        line = Text()
        for cell, column, size in zip(cells, table.columns, widths, strict=True):
            gap = size - cell_len(cell.plain)
            before, after = (gap, 0) if column.is_number else (0, gap)
            line.append(" " * before).append_text(cell).append(" " * (after + GAP))
        line.rstrip()
        yield line
    if more > 0:
        yield Text(f"... {more:,} more", "dim")
