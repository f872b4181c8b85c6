"""The interface of the service managers, and a function that runs their programs."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from quictunnel.cli.services.definition import ServiceDefinition
from quictunnel.cli.services.service_files import ServiceFile
from quictunnel.errors import QuictunnelError

ManagerName = Literal["systemd", "launchd", "openrc"]

COMMAND_TIMEOUT = 180.0
"""Seconds that a program of a service manager may take: a service may drain while it restarts."""


@dataclass(frozen=True, slots=True)
class ReportedState:
    """The state of a service, as its manager reports it."""

    is_running: bool
    """Whether it runs now."""

    sentence: str
    """Its state in the manager's words."""


class Manager(Protocol):
    """A service manager, for the services of a user or of the machine."""

    def check_usable(self) -> None:
        """Check that this manager runs here and that this user may change its services.

        :raises SettingsError: it does not, or the user may not.
        """

    def problems(self, service: ServiceDefinition) -> list[str]:
        """Return why a service could not work under this manager, one sentence each."""

    def files(self, service: ServiceDefinition) -> list[ServiceFile]:
        """Return the files of a service. The first one is its definition."""

    def paths(self, name: str) -> list[Path]:
        """Return where the files of a service of this name are. The first is its definition."""

    def installed(self) -> list[str]:
        """Return the names of the services that are installed."""

    def start(self, service: ServiceDefinition, *, has_changed: bool) -> None:
        """Let a service start with the machine or the session, and start it now.

        :param has_changed: whether its files have changed, so that a running one is restarted.
        :raises QuictunnelError: the manager cannot.
        """

    def stop(self, name: str) -> None:
        """End a service, and do not start it any more.

        :raises QuictunnelError: the manager cannot.
        """

    def removed(self) -> None:
        """Notice that the files of a service have been removed."""

    def state(self, name: str) -> ReportedState:
        """Return a service's state."""

    def hints(self, service: ServiceDefinition) -> list[str]:
        """Return what a user may want to know once the service is installed."""


def call(command: Sequence[str]) -> str:
    """Run a program of a service manager, and return its standard output.

    :raises QuictunnelError: it failed. The message has the first line that it printed.
    """
    done = call_unchecked(command)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        reason = lines[0] if lines else f"exit code {done.returncode}"
        raise QuictunnelError(f"'{' '.join(command)}' failed: {reason}")
    return done.stdout


def call_unchecked(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program of a service manager, and return its result and exit code.

    :raises QuictunnelError: it cannot be started, or it does not end.
    """
    try:
        return subprocess.run(  # noqa: S603 - the words are ours
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=COMMAND_TIMEOUT,
        )
    except OSError as exc:
        raise QuictunnelError(f"'{command[0]}' cannot be started: {exc.strerror}") from exc
    except subprocess.TimeoutExpired as exc:
        raise QuictunnelError(
            f"'{' '.join(command)}' has not ended within {COMMAND_TIMEOUT:.0f} s"
        ) from exc
