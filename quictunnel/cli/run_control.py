"""Lets the admin interface drain and reload the role that this process runs."""

from __future__ import annotations

from collections.abc import Callable

from quictunnel.errors import SettingsError
from quictunnel.events import ConfigurationRejected, ConfigurationReloaded, Event, EventSink

NO_FILE = "this role has no configuration file; start it with --config to reload one"


class RunControl:
    """A `RoleControl` whose commands do what the process's signals do.

    `role_runner.run` connects it before the role starts.
    """

    def __init__(self) -> None:
        self._drain: Callable[[], None] | None = None
        self._reload: Callable[[EventSink], None] | None = None
        self._emit: EventSink | None = None

    def connect(
        self,
        drain: Callable[[], None],
        reload: Callable[[EventSink], None] | None,
        emit: EventSink,
    ) -> None:
        """Set what the commands do.

        :param drain: drains the role.
        :param reload: reads the configuration file again and emits the outcome; None without a
            file.
        :param emit: receives the events.
        """
        self._drain, self._reload, self._emit = drain, reload, emit

    def drain(self) -> None:
        """See `RoleControl`."""
        if self._drain is not None:
            self._drain()

    def reload(self) -> tuple[str, ...]:
        """See `RoleControl`."""
        emit = self._emit
        if self._reload is None or emit is None:
            raise SettingsError(NO_FILE)
        outcome: list[Event] = []

        def observe(event: Event) -> None:
            outcome.append(event)
            emit(event)

        self._reload(observe)
        for event in outcome:
            if isinstance(event, ConfigurationReloaded):
                return event.restart_needed
            if isinstance(event, ConfigurationRejected):
                raise SettingsError(event.reason)
        raise SettingsError("internal error while reloading; the log has the details")
