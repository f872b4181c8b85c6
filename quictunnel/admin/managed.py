"""The role that the admin interface shows and controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from quictunnel.admin.extension import PageExtension
from quictunnel.admin.link_history import LinkHistory
from quictunnel.observe.event_history import EventHistory
from quictunnel.observe.loop_delay import LoopDelay
from quictunnel.observe.tallies import Tallies
from quictunnel.snapshots import ObservedRole, RoleName


class RoleControl(Protocol):
    """Commands for a running role, which have the same effects as its signals."""

    def drain(self) -> None:
        """Do what the first SIGTERM does."""

    def reload(self) -> tuple[str, ...]:
        """Read the configuration file again, as SIGHUP does.

        :return: the keys that have changed and take effect only after a restart.
        :raises SettingsError: the role has no file, or the file is invalid. Nothing has changed.
        """


@dataclass(frozen=True, slots=True)
class ManagedRole:
    """A role with everything that its admin interface needs to know about it."""

    name: RoleName
    """Which role it is."""
    role: ObservedRole
    """The role itself."""
    history: EventHistory
    """Its last events."""
    tallies: Tallies
    """Counts its events."""
    loop_delay: LoopDelay
    """Measures its event loop."""
    links: LinkHistory
    """The timelines of its links."""
    control: RoleControl
    """Drains and reloads it."""
    has_site: Callable[[str], bool] | None = None
    """At a remote, returns whether a service has a host name, for Caddy; None at an origin."""
    extension: PageExtension | None = None
    """The part that the program adds to the live page; None if it adds none."""
