"""Services of systemd: of the machine, and of one user."""

from __future__ import annotations

import grp
import os
import shutil
import sys
from pathlib import Path

from quictunnel.cli.services.definition import PREFIX, Scope, ServiceDefinition
from quictunnel.cli.services.manager import ReportedState, call, call_unchecked
from quictunnel.cli.services.readability import HOMES, TEMPORARY, why_unreadable
from quictunnel.cli.services.service_files import (
    ServiceFile,
    is_own,
    possible_secret_paths,
    secret_files,
)
from quictunnel.cli.services.systemd_units import (
    CADDY_GROUP,
    CONFIGURATION,
    RUNTIME,
    can_load,
    is_runtime_directory,
    state_name,
    unit,
    user_configuration,
)
from quictunnel.config.files import quoted
from quictunnel.errors import QuictunnelError, SettingsError

SYSTEM_UNITS = Path("/etc/systemd/system")
BOOTED = Path("/run/systemd/system")
"""A directory that exists only where systemd manages the machine (sd_booted(3))."""

_LOWEST_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")

_PROPERTIES = ("ActiveState", "SubState", "UnitFileState", "StatusText", "Result")


class Systemd:
    """systemd as the manager of the machine's or of this user's services."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._is_system = scope == "system"
        which = "--system" if self._is_system else "--user"
        self._systemctl = ["systemctl", which, "--no-ask-password"]

    def check_usable(self) -> None:
        """Check that systemd runs here and that this user may change these services.

        :raises SettingsError: it does not, or the user may not.
        """
        if not BOOTED.is_dir() or shutil.which("systemctl") is None:
            raise SettingsError(
                "systemd does not manage this machine; --print shows the unit, and --manager "
                "selects another service manager"
            )
        if self._is_system and os.geteuid() != 0:
            raise SettingsError(
                "a service of the machine needs root: use sudo, or --user for a service of this "
                "user"
            )
        if not self._is_system:
            self._check_session()

    def problems(self, service: ServiceDefinition) -> list[str]:
        """Return why a service could not work under systemd, one sentence each."""
        return self._system_problems(service) if self._is_system else _user_problems(service)

    def files(self, service: ServiceDefinition) -> list[ServiceFile]:
        """Return the unit and the files of tokens."""
        own = ServiceFile(self._unit_path(service.name), unit(service))
        return [own, *secret_files(self._configuration, service)]

    def paths(self, name: str) -> list[Path]:
        """Return where a service's unit and its tokens are."""
        return [self._unit_path(name), *possible_secret_paths(self._configuration, name)]

    def installed(self) -> list[str]:
        """Return the names of the services that `quictunnel service install` has installed."""
        found = sorted(self._units.glob(f"{PREFIX}*.service"))
        return [path.stem for path in found if is_own(path)]

    def start(self, service: ServiceDefinition, *, has_changed: bool) -> None:
        """Enable a service, and start it. Restart it if it runs with older files.

        :raises QuictunnelError: systemd cannot.
        """
        call([*self._systemctl, "daemon-reload"])
        call([*self._systemctl, "--quiet", "enable", service.name])
        verb = "restart" if has_changed else "start"
        try:
            call([*self._systemctl, verb, service.name])
        except QuictunnelError as exc:
            log = self._log_command(service.name)
            raise QuictunnelError(
                f"{exc}; the service is installed, and its log says why: {log}"
            ) from exc

    def stop(self, name: str) -> None:
        """Stop and disable a service.

        :raises QuictunnelError: systemd cannot.
        """
        call([*self._systemctl, "--quiet", "disable", "--now", name])

    def removed(self) -> None:
        """Let systemd notice that units have been removed.

        :raises QuictunnelError: it cannot.
        """
        call([*self._systemctl, "daemon-reload"])

    def state(self, name: str) -> ReportedState:
        """Return what systemd says about a service, with the status that the program reports."""
        options = [f"--property={name}" for name in _PROPERTIES]
        lines = call([*self._systemctl, "show", *options, f"{name}.service"]).splitlines()
        found = dict(line.split("=", 1) for line in lines if "=" in line)
        active = found.get("ActiveState", "unknown")
        sentence = f"{active} ({found.get('SubState', 'unknown')})"
        if found.get("UnitFileState"):
            sentence += f", {found['UnitFileState']}"
        if active == "failed" and found.get("Result"):
            sentence += f", result {found['Result']}"
        if active in ("active", "reloading", "deactivating") and found.get("StatusText"):
            sentence += f": {found['StatusText']}"
        return ReportedState(active in ("active", "reloading"), sentence)

    def hints(self, service: ServiceDefinition) -> list[str]:
        """Return the commands for the log, the token and a user's boot."""
        lines = [f"To see its log: {self._log_command(service.name)}"]
        if service.role == "remote" and "token-file" not in {**service.files, **service.secrets}:
            if self._is_system:
                state = f" --state-dir /var/lib/{state_name(service.name)}"
                lines.append(
                    "The service has a token and a certificate of its own, not those of a remote "
                    "that you started by hand"
                )
            else:
                state = ""
            lines.append(
                f"To see the command for the origin: {service.program[0]} token show{state}"
            )
        if not self._is_system and shutil.which("loginctl") is not None:
            lines.append(
                "It runs while you are logged in. To run it from the boot on: "
                "loginctl enable-linger"
            )
        return lines

    # -- Inside

    @property
    def _units(self) -> Path:
        return SYSTEM_UNITS if self._is_system else Path.home() / ".config/systemd/user"

    @property
    def _configuration(self) -> Path:
        return CONFIGURATION if self._is_system else user_configuration()

    def _unit_path(self, name: str) -> Path:
        return self._units / f"{name}.service"

    def _log_command(self, name: str) -> str:
        return f"journalctl {'' if self._is_system else '--user '}-u {name}"

    def _check_session(self) -> None:
        """Check that the manager of this user runs.

        :raises SettingsError: it does not.
        """
        done = call_unchecked([*self._systemctl, "show", "--property=Version"])
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["it does not answer"])[0]
            raise SettingsError(
                f"the systemd of this user does not run here ({reason}); log in as the user, "
                "instead of using su or sudo, or install a service of the machine with --system"
            )

    def _system_problems(self, service: ServiceDefinition) -> list[str]:
        found = []
        hidden = (*HOMES, *TEMPORARY)
        for path in (Path(service.program[0]), Path(sys.executable), Path(sys.base_prefix)):
            if reason := why_unreadable(path, hidden):
                found.append(
                    f"the service cannot run {quoted(path)}: {reason}; install quictunnel below "
                    "/opt, for example with: python3 -m venv /opt/quictunnel"
                )
                break
        found += [
            f"the service cannot read {quoted(path)}, because it runs as another user: {reason}; "
            f"put it into {CONFIGURATION} with mode 644, or give secrets with --token, "
            "--token-file, --admin-token-file, --cert and --key, which systemd passes on"
            for path in service.reads
            if (reason := why_unreadable(path, hidden))
        ]
        found += [
            f"a unit cannot contain the path {quoted(path)}; use one that does not end with a "
            "space or a backslash"
            for path in service.files.values()
            if not can_load(path)
        ]
        if service.role == "remote" and service.has_state_option:
            found.append(
                f"the service keeps its state in /var/lib/{state_name(service.name)}; leave out "
                "state-dir"
            )
        if service.sockets is not None:
            if not is_runtime_directory(service.sockets):
                found.append(
                    f"the service cannot make the directory {quoted(service.sockets)}; choose one "
                    f"below {RUNTIME} for --sockets, such as {RUNTIME}/quictunnel"
                )
            elif not _has_group(CADDY_GROUP):
                found.append(
                    f"the sockets belong to the group {CADDY_GROUP}, which does not exist: "
                    f"groupadd --system {CADDY_GROUP} && usermod -aG {CADDY_GROUP} caddy"
                )
        return found


def _user_problems(service: ServiceDefinition) -> list[str]:
    try:
        lowest = int(_LOWEST_PORT.read_text())
    except (OSError, ValueError):
        return []
    if service.has_low_ports and lowest > 1:
        return [f"a service of a user cannot open ports below {lowest}; use --system"]
    return []


def _has_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True
