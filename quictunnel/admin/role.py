"""A role together with its admin interface, as one role."""

from __future__ import annotations

from typing import Protocol

from quictunnel.admin.interface import AdminInterface


class Startable(Protocol):
    """A remote or an origin."""

    async def start(self) -> None:
        """Start, and return when the role works."""

    async def wait_closed(self) -> None:
        """Return when the role has ended, or raise the error that ended it."""

    def drain(self) -> None:
        """Accept no new clients, let current ones finish within the grace, then end."""

    def abort(self) -> None:
        """End at once."""


class AdministeredRole:
    """Starts and ends a role and its admin interface together.

    The interface answers while the role drains, and ends after it.
    """

    def __init__(self, role: Startable, interface: AdminInterface) -> None:
        self._role = role
        self._interface = interface

    async def start(self) -> None:
        """Bind all addresses, then start the role and accept admin requests.

        :raises SettingsError: an address is taken, not this machine's, or not allowed; or the
            engine cannot be used.
        """
        await self._interface.bind()
        try:
            await self._role.start()
            await self._interface.start()
        except BaseException:
            await self._interface.close()
            raise

    async def wait_closed(self) -> None:
        """Wait until both have ended, and raise the error that ended the role, if one did."""
        try:
            await self._role.wait_closed()
        finally:
            await self._interface.close()

    def drain(self) -> None:
        """End the role in order. The interface ends after it."""
        self._role.drain()

    def abort(self) -> None:
        """End the role at once. The interface ends after it."""
        self._role.abort()
