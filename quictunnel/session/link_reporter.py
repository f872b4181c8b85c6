"""What a person may see of a link's life: silent, back, moved, lost. Logged, and told to the role.

Whether a link is silent is decided in `link`; what is done about it, by the roles.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quictunnel.observe.logging_setup import fact

if TYPE_CHECKING:
    from quictunnel.quic import Link

SAID_AGAIN = (60.0, 300.0)
"""Seconds of silence after which it is said again how long it lasts and what is held until when."""

SAID_EVERY = 900.0
"""Seconds between such lines from then on: an outage of a night is a page of them, no more."""

SETTLED = 1.0
"""Seconds for which moves are joined into one line; a network that flaps must not fill the log."""


@dataclass(frozen=True)
class Silent:
    """The other end does not answer; all is held."""

    silent_for: float
    """Seconds since it was last heard."""
    streams: int
    """How many clients' streams are held."""
    hold_left: float
    """Seconds for which they will be."""


@dataclass(frozen=True)
class Back:
    """The other end has answered again."""

    after: float
    """Seconds of silence that lie behind."""
    address: str
    """Where the link's origin is now, as this end sees it."""
    was: str | None
    """Where it was before, if that was elsewhere."""
    streams: int
    """How many clients' streams were kept."""


@dataclass(frozen=True)
class Lost:
    """The link is over, though this end had not asked for it; its streams were reset."""

    reason: str
    silent_for: float | None
    """Seconds of silence that lie behind, if it was silent."""


LinkState = Silent | Back | Lost


class LinkReporter:
    """One link's states, from the day that it stands.

    :param told: called with each of them but moves, which are for the log alone.
    :param whose: what the lines of the log say of whose link it is.
    :param where: where the link's origin is now, as far as this end sees it.
    :param streams: how many clients' streams there are.
    """

    def __init__(
        self,
        logger: logging.Logger,
        told: Callable[[LinkState], None],
        *,
        whose: Callable[[], dict[str, Any]],
        where: Callable[[], str],
        streams: Callable[[], int],
    ) -> None:
        self._logger = logger
        self._told = told
        self._whose = whose
        self._where = where
        self._streams = streams
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._at = ""
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, link: Link) -> None:
        """Watch a link that stands from now on."""
        self._link = link
        self._at = self._where()

    def silent(self) -> None:
        """Say that the other end does not answer."""
        if self._link is None:
            return
        since = self._link.silent_since
        self._since = self._loop.time() if since is None else since
        self._told(self._say_silent("link silent"))
        self._say_again(self._silent_for(self._since))

    def back(self) -> None:
        """Say that it does."""
        if self._link is None or self._since is None:
            return
        after, self._since = self._silent_for(self._since), None
        self._clear_timer()
        before, self._at = self._at, self._where()
        state = Back(after, self._at, before if before != self._at else None, self._streams())
        self._fact(
            logging.INFO,
            "link back",
            after=after,
            address=state.address,
            was=state.was,
            streams=state.streams,
        )
        self._told(state)

    def moved(self) -> None:
        """Say that the link goes another way now; of a silent one `back` will."""
        if self._link is not None and self._since is None and self._timer is None:
            self._timer = self._loop.call_later(SETTLED, self._say_moved)

    def over(self, reason: str | None) -> None:
        """Say that the link is lost, once, and nothing more of it.

        :param reason: in words; None if this end has closed it, which is news only when it was
            silent.
        """
        link, self._link = self._link, None
        self._clear_timer()
        if link is None or (reason is None and self._since is None):
            return
        silent_for = None if self._since is None else self._silent_for(self._since)
        self._told(Lost(reason or "closed by us", silent_for))

    # -- Inside

    def _say_silent(self, message: str) -> Silent:
        assert self._link is not None
        assert self._since is not None
        silent_for = self._silent_for(self._since)
        left = max(0.0, round(self._link.hold - silent_for, 1))
        state = Silent(silent_for, self._streams(), left)
        self._fact(
            logging.WARNING,
            message,
            silent_for=silent_for,
            streams=state.streams,
            hold_left=left,
            address=self._at,
        )
        return state

    def _say_again(self, after: float) -> None:
        """Have it said again when the silence is longer than it was `after` so many seconds."""
        assert self._since is not None
        every = SAID_EVERY * (after // SAID_EVERY + 1)
        again = next((at for at in SAID_AGAIN if at > after), every)
        self._clear_timer()
        self._timer = self._loop.call_at(self._since + again, self._say_still_silent, again)

    def _say_still_silent(self, after: float) -> None:
        self._say_silent("link still silent")
        self._say_again(after)

    def _say_moved(self) -> None:
        self._timer = None
        before, self._at = self._at, self._where()
        if before != self._at:
            self._fact(
                logging.INFO, "link moved", address=self._at, was=before, streams=self._streams()
            )

    def _silent_for(self, since: float) -> float:
        return round(self._loop.time() - since, 1)

    def _fact(self, level: int, message: str, **fields: object) -> None:
        everything: dict[str, Any] = {**fields, **self._whose()}
        fact(self._logger, level, message, **everything)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
