"""`quictunnel events`: prints the events of a running role, the last ones or all that come."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any

from quictunnel.admin.answers import Status
from quictunnel.cli import options, role_choice
from quictunnel.cli.admin_client import AdminClient
from quictunnel.cli.output import print_line, print_styled
from quictunnel.cli.server_events import ServerEvent
from quictunnel.errors import RoleUnavailable
from quictunnel.escaping import escape
from quictunnel.observe.event_history import CLIENT_EVENTS, OTHER_EVENTS
from quictunnel.observe.log_format import format_message

MAX_RECENT = CLIENT_EVENTS + OTHER_EVENTS
"""The events that a role keeps."""

_HEAD = ("number", "time", "level", "message", "event")
"""Members that are no fields of the event."""

_LEVELS = {"warning": ("WARN", "yellow"), "error": ("ERROR", "red"), "debug": ("DEBUG", "dim")}
"""The word for a level in a line, and its style."""

Follow = Annotated[
    bool,
    options.OPTIONS.option(
        "--follow",
        "Print new events as they happen, until Ctrl-C.",
        envvar="QUICTUNNEL_EVENTS_FOLLOW",
        metavar="",
    ),
]

Recent = Annotated[
    int,
    options.OPTIONS.option(
        "--recent NUMBER",
        f"How many of the last events to print first; the role keeps up to {MAX_RECENT:,}.",
        envvar="QUICTUNNEL_EVENTS_RECENT",
        min=0,
        max=MAX_RECENT,
    ),
]

Json = Annotated[
    bool,
    options.OPTIONS.option(
        "--json",
        "Print one JSON object per line.",
        envvar="QUICTUNNEL_EVENTS_JSON",
        metavar="",
    ),
]


def events(
    *,
    follow: Follow = False,
    recent: Recent = 20,
    as_json: Json = False,
    role: role_choice.Role = None,
    pid: role_choice.Pid = None,
    socket: role_choice.Socket = None,
    admin: role_choice.Admin = None,
    admin_token_file: role_choice.AdminTokenFile = None,
) -> None:
    """Show what happens in the remote or the origin that runs on this machine.

    Examples:
      quictunnel events --follow
      quictunnel events --recent 100 --json

    The events are those of the log at every level, whatever the role's --log-level is. Without
    --follow, it prints the last ones and ends. With it, the exit code is 3 if the role ends.
    """
    client = role_choice.choose_role(role, pid, socket, admin, admin_token_file)
    found = _follow(client, recent) if follow else _recent(client, recent)
    show = _show_json if as_json else _show_text
    try:
        for event in found:
            if not show(event):
                return
    except KeyboardInterrupt:
        if not follow:
            raise


def _recent(client: AdminClient, count: int) -> Iterator[ServerEvent]:
    """Yield the last events, up to the one that is the last now."""
    last = client.get("status", Status).last_event
    left = count
    has_begun = False
    for event in client.events(recent=count, is_endless=False) if count else ():
        if event.name:
            yield event
            left -= 1
            if left == 0 or _number(event) >= last:
                return
        elif has_begun:
            return  # the stream begins with a comment, and a later one means that no event is left
        has_begun = True


def _follow(client: AdminClient, recent: int) -> Iterator[ServerEvent]:
    """Yield the last events, and new ones until the role ends.

    The role ends a stream that is not read for a while, as with `| less`. Another one begins where
    the last one has ended.

    :raises RoleUnavailable: the role has ended, or is not there.
    """
    query: dict[str, str | int] = {"recent": recent}
    while True:
        has_event = False
        try:
            for event in client.events(is_endless=True, **query):
                if event.name:
                    has_event = True
                    query = {"since": event.id}
                    yield event
        except RoleUnavailable:
            if not has_event:
                raise
        if not has_event:
            raise RoleUnavailable(f"the connection to {client.name} was lost: it has ended")


def _show_json(event: ServerEvent) -> bool:
    """Print an event as one JSON object; return whether there is a reader."""
    return print_line(json.dumps(_members(event)))


def _show_text(event: ServerEvent) -> bool:
    """Print an event as a line of the log; return whether there is a reader."""
    members = _members(event)
    fields = [
        (escape(name), _value(value))
        for name, value in members.items()
        if name not in _HEAD and value is not None
    ]
    level, style = _LEVELS.get(str(members.get("level")), ("INFO", ""))
    time = escape(str(members.get("time", "")))
    message = escape(str(members.get("message", event.name)))
    text = format_message(message, fields)
    if not sys.stdout.isatty():
        return print_line(f"{time} {level:<5} {text}")
    return print_styled((time, "dim"), " ", (f"{level:<5}", style), f" {text}")


def _members(event: ServerEvent) -> dict[str, Any]:
    """Return the members of an event's JSON object."""
    try:
        members = json.loads(event.data)
    except (ValueError, RecursionError):
        members = None
    return members if isinstance(members, dict) else {"event": event.name, "message": event.data}


def _number(event: ServerEvent) -> int:
    """Return an event's number; 0 if it has none."""
    return int(event.id) if event.id.isascii() and event.id.isdecimal() else 0


def _value(value: object) -> object:
    """Return a JSON value as the log shows it: a granted service is `NAME=ADDRESS`."""
    if isinstance(value, list):
        return tuple(map(_value, value))
    if isinstance(value, dict):
        return "=".join(str(each) for each in value.values() if each is not None)
    return value
