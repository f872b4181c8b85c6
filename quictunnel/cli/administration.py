"""The admin interface of a role's command: what it observes, and what it controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from quictunnel.admin.extension import PageExtension
from quictunnel.admin.interface import AdminInterface
from quictunnel.admin.link_changes import LinkChanges
from quictunnel.admin.link_history import LinkHistory
from quictunnel.admin.managed import ManagedRole, RoleControl
from quictunnel.admin.role import AdministeredRole, Startable
from quictunnel.cli.output import print_line
from quictunnel.cli.run_control import RunControl
from quictunnel.config.addresses import EVERY_ADDRESS
from quictunnel.config.settings import OriginSettings, RemoteSettings
from quictunnel.events import EventSink
from quictunnel.observe.event_fanout import EventFanout
from quictunnel.observe.event_history import EventHistory
from quictunnel.observe.loop_delay import LoopDelay
from quictunnel.observe.tallies import Tallies
from quictunnel.snapshots import ObservedRole, RoleName


class AdministrableRole(Startable, ObservedRole, Protocol):
    """A remote or an origin, which can be started and observed."""


class Administration:
    """Collects what the admin interface shows, from before the role exists.

    :param lines: the sink that prints and logs events.
    """

    def __init__(self, lines: EventSink) -> None:
        self.control = RunControl()
        """Drains and reloads the role, once `role_runner.run` has connected it."""
        self._history = EventHistory()
        self._tallies = Tallies()
        self._changes = LinkChanges()
        self.emit: EventSink = EventFanout(lines, self._history, self._tallies, self._changes)
        """The sink for all events of the process."""
        self._interface: AdminInterface | None = None

    def administer(
        self,
        name: RoleName,
        role: AdministrableRole,
        settings: RemoteSettings | OriginSettings,
        has_site: Callable[[str], bool] | None = None,
    ) -> AdministeredRole:
        """Return the role together with its admin interface.

        :param has_site: at a remote, returns whether a service has a host name.
        """
        managed = self.manage(name, role, self.control, has_site=has_site)
        self._interface = AdminInterface(
            managed, settings.admin, settings.admin_token, emit=self.emit
        )
        return AdministeredRole(role, self._interface)

    def manage(
        self,
        name: RoleName,
        role: ObservedRole,
        control: RoleControl,
        *,
        has_site: Callable[[str], bool] | None = None,
        extension: PageExtension | None = None,
    ) -> ManagedRole:
        """Return the role with everything that an admin interface shows of it."""
        return ManagedRole(
            name=name,
            role=role,
            history=self._history,
            tallies=self._tallies,
            loop_delay=LoopDelay(),
            links=LinkHistory(role, name, self._changes, emit=self.emit),
            control=control,
            has_site=has_site,
            extension=extension,
        )

    def print_address(self) -> None:
        """Print where the admin interface is, if it has a TCP address."""
        address = None if self._interface is None else self._interface.address
        if address is None:
            return
        if address.host in (EVERY_ADDRESS, "0.0.0.0"):
            print_line(f"Admin interface: HTTP on TCP port {address.port}")
        else:
            print_line(f"Admin interface: http://{address}/")
