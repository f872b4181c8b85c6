"""The lines that follow `ready`: what has become of a link, for whoever reads standard output.

One line a change; the log has the same as facts, and more of them.
"""

from __future__ import annotations

from quictunnel.cli.output import tell
from quictunnel.config.units import format_duration
from quictunnel.events import LinkDropped, LinkRecovered, LinkSilent
from quictunnel.observe.logging_setup import escape

LinkState = LinkSilent | LinkRecovered | LinkDropped
"""The events that a line is printed for."""

IN_SECONDS = 100
"""Seconds from which on they are written as minutes and hours."""


def tell_state(state: LinkState, origin: str = "") -> None:
    """Print what has become of a link, where that can be done at once. A reminder is no news.

    :param origin: the name of the one whose link it is, where there may be many.
    """
    if isinstance(state, LinkSilent) and state.is_reminder:
        return
    tell(state_line(state, f"link of origin {origin}" if origin else "link"))


def state_line(state: LinkState, link: str) -> str:
    """Return the line for a state, which begins with `silent:`, `back:` or `lost:`.

    :param link: which one, in words.
    """
    if isinstance(state, LinkSilent):
        held = f"{_streams(state.clients)} held for up to {format_duration(state.hold_left // 1)}"
        line = f"silent: {link} silent for {_seconds(state.silent_for)}, {held}"
    elif isinstance(state, LinkRecovered):
        was = f" (was {state.previous_address})" if state.previous_address else ""
        kept = f"{_streams(state.clients)} kept"
        line = (
            f"back: {link} back after {_seconds(state.silent_for)} on {state.address}{was}, {kept}"
        )
    else:
        line = f"lost: {link} lost{_silence(state)}: {state.reason}"
    return escape(line)


def _silence(state: LinkDropped) -> str:
    if state.silent_for is None:
        return ""
    return f" after {_seconds(state.silent_for)} of silence"


def _streams(count: int) -> str:
    return "1 stream" if count == 1 else f"{count} streams"


def _seconds(count: float) -> str:
    return f"{count:.0f} s" if count < IN_SECONDS else format_duration(round(count))
