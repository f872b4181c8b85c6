"""Services of launchd on macOS: agents of one user, and daemons of the machine."""

from __future__ import annotations

import os
import plistlib
import pwd
import shutil
import time
from pathlib import Path
from typing import Any

from quictunnel.cli.services.definition import MARK, OPEN_FILES, PREFIX, Scope, ServiceDefinition
from quictunnel.cli.services.manager import COMMAND_TIMEOUT, ReportedState, call, call_unchecked
from quictunnel.cli.services.service_files import (
    ServiceFile,
    is_own,
    possible_secret_paths,
    secret_files,
    secret_paths,
)
from quictunnel.errors import QuictunnelError, SettingsError

RESTART_INTERVAL = 20
"""Seconds between two starts of a service that fails."""

POLL_INTERVAL = 0.2
"""Seconds between two looks at a service that ends."""

DAEMONS = Path("/Library/LaunchDaemons")
SYSTEM_LOGS = Path("/Library/Logs")


class Launchd:
    """launchd as the manager of the machine's or of this user's services.

    A daemon of the machine runs as the user who installs it with sudo, because the internet
    connects to it.
    """

    def __init__(self, scope: Scope) -> None:
        self._is_system = scope == "system"

    def check_usable(self) -> None:
        """Check that launchd is here and that this user may change these services.

        :raises SettingsError: it is not, or the user may not.
        """
        if shutil.which("launchctl") is None:
            raise SettingsError(
                "launchd does not manage this machine; --print shows the plist, and --manager "
                "selects another service manager"
            )
        if self._is_system and os.geteuid() != 0:
            raise SettingsError(
                "a service of the machine needs root: use sudo, or --user for a service of this "
                "user"
            )
        if self._is_system and self._user == "root":
            raise SettingsError(
                "a service of the machine runs as the user who calls sudo, and this is a shell of "
                "root; call sudo as the user who has quictunnel"
            )

    def problems(self, service: ServiceDefinition) -> list[str]:
        """Return why a service could not work under launchd, one sentence each."""
        return []  # it runs as a user who can read the program, and any user may open low ports

    def files(self, service: ServiceDefinition) -> list[ServiceFile]:
        """Return the plist and the files of tokens."""
        tokens = secret_files(self._configuration, service, self._user if self._is_system else None)
        return [ServiceFile(self._plist_path(service.name), self._plist(service)), *tokens]

    def paths(self, name: str) -> list[Path]:
        """Return where a service's plist and its tokens are."""
        return [self._plist_path(name), *possible_secret_paths(self._configuration, name)]

    def installed(self) -> list[str]:
        """Return the names of the services that `quictunnel service install` has installed."""
        found = sorted(self._plist_path("").parent.glob(f"{PREFIX}*.plist"))
        return [path.stem for path in found if is_own(path)]

    def start(self, service: ServiceDefinition, *, has_changed: bool) -> None:
        """Load a service, which starts it. Load it again if its files have changed.

        :raises QuictunnelError: launchd cannot.
        """
        target = f"{self._domain}/{service.name}"
        if _is_loaded(target):
            if not has_changed:
                call(["launchctl", "kickstart", target])
                return
            _unload(target)
        call(["launchctl", "enable", target])
        call(["launchctl", "bootstrap", self._domain, str(self._plist_path(service.name))])

    def stop(self, name: str) -> None:
        """Unload a service, which stops it.

        :raises QuictunnelError: launchd cannot.
        """
        target = f"{self._domain}/{name}"
        if _is_loaded(target):
            _unload(target)

    def removed(self) -> None:
        """Do nothing: launchd has unloaded the service."""

    def state(self, name: str) -> ReportedState:
        """Return what launchd says about a service."""
        try:
            text = call(["launchctl", "print", f"{self._domain}/{name}"])
        except QuictunnelError:
            return ReportedState(False, "not loaded")
        found = dict(
            line.strip().split(" = ", 1) for line in text.splitlines() if line.count(" = ") == 1
        )
        sentence = found.get("state", "unknown")
        if "last exit code" in found:
            sentence += f", last exit code {found['last exit code']}"
        return ReportedState(found.get("state") == "running", sentence)

    def hints(self, service: ServiceDefinition) -> list[str]:
        """Return where the log is."""
        return [f"Its log: {self._log(service.name)}"]

    # -- Inside

    @property
    def _domain(self) -> str:
        return "system" if self._is_system else f"gui/{os.getuid()}"

    @property
    def _user(self) -> str:
        """The user as whom a service runs."""
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name

    @property
    def _home(self) -> Path:
        return Path(pwd.getpwnam(self._user).pw_dir) if self._is_system else Path.home()

    @property
    def _configuration(self) -> Path:
        return self._home / ".config" / "quictunnel"

    def _plist_path(self, name: str) -> Path:
        folder = DAEMONS if self._is_system else self._home / "Library" / "LaunchAgents"
        return folder / f"{name}.plist"

    def _log(self, name: str) -> Path:
        folder = SYSTEM_LOGS if self._is_system else self._home / "Library" / "Logs"
        return folder / f"{name}.log"

    def _plist(self, service: ServiceDefinition) -> str:
        log = str(self._log(service.name))
        content: dict[str, Any] = {
            "Label": service.name,
            "ProgramArguments": [*service.with_files(secret_paths(self._configuration, service))],
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": RESTART_INTERVAL,
            "ExitTimeOut": service.stop_timeout,
            "SoftResourceLimits": {"NumberOfFiles": OPEN_FILES},
            "HardResourceLimits": {"NumberOfFiles": OPEN_FILES},
            "StandardOutPath": log,
            "StandardErrorPath": log,
            "Umask": 0o077,
        }
        if self._is_system:
            content["UserName"] = self._user
        text = plistlib.dumps(content, sort_keys=False).decode()
        return text.replace("<plist ", f"<!-- {MARK} -->\n<plist ", 1)


def _is_loaded(target: str) -> bool:
    return call_unchecked(["launchctl", "print", target]).returncode == 0


def _unload(target: str) -> None:
    """Unload a service, and wait until it has ended: its clients may finish first.

    :raises QuictunnelError: launchd cannot, or the service does not end.
    """
    call(["launchctl", "bootout", target])
    deadline = time.monotonic() + COMMAND_TIMEOUT
    while _is_loaded(target):
        if time.monotonic() > deadline:
            raise QuictunnelError(f"{target} has not ended within {COMMAND_TIMEOUT:.0f} s")
        time.sleep(POLL_INTERVAL)
