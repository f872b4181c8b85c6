"""Services of OpenRC, as on Alpine and Gentoo. They are services of the machine."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
from pathlib import Path

from quictunnel.cli.services.definition import MARK, OPEN_FILES, PREFIX, Scope, ServiceDefinition
from quictunnel.cli.services.manager import ReportedState, call, call_unchecked
from quictunnel.cli.services.readability import why_unreadable
from quictunnel.cli.services.service_files import (
    ServiceFile,
    is_own,
    possible_secret_paths,
    secret_files,
    secret_paths,
)
from quictunnel.config.files import quoted
from quictunnel.errors import SettingsError

SCRIPTS = Path("/etc/init.d")
CONFIGURATION = Path("/etc/quictunnel")
LOGS = Path("/var/log")

USER = "quictunnel"
"""The user as whom services run."""

MAKE_USER = f"adduser -S -D -H -h /var/lib/quictunnel -s /sbin/nologin {USER}"
"""The command that makes this user on Alpine."""


class OpenRc:
    """OpenRC as the manager of the machine's services."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def check_usable(self) -> None:
        """Check that OpenRC is here and that this user may change its services.

        :raises SettingsError: it is not, or the user may not.
        """
        if self._scope == "user":
            raise SettingsError("OpenRC runs services of the machine only; use --system")
        if shutil.which("rc-service") is None:
            raise SettingsError(
                "OpenRC does not manage this machine; --print shows the script, and --manager "
                "selects another service manager"
            )
        if os.geteuid() != 0:
            raise SettingsError("a service of the machine needs root: use sudo or doas")

    def problems(self, service: ServiceDefinition) -> list[str]:
        """Return why a service could not work under OpenRC, one sentence each."""
        found = []
        user = None
        try:
            user = pwd.getpwnam(USER).pw_uid
        except KeyError:
            found.append(f"the service runs as the user {USER}, who does not exist: {MAKE_USER}")
        program = Path(service.program[0])
        if reason := why_unreadable(program, user=user):
            found.append(f"the service cannot run {quoted(program)}: {reason}")
        found += [
            f"the service cannot read {quoted(path)} as the user {USER}: {reason}"
            for path in (*service.reads, *service.files.values())
            if (reason := why_unreadable(path, user=user))
        ]
        return found

    def files(self, service: ServiceDefinition) -> list[ServiceFile]:
        """Return the script and the files of tokens."""
        script = ServiceFile(SCRIPTS / service.name, _script(service), 0o755)
        return [script, *secret_files(CONFIGURATION, service, USER)]

    def paths(self, name: str) -> list[Path]:
        """Return where a service's script and its tokens are."""
        return [SCRIPTS / name, *possible_secret_paths(CONFIGURATION, name)]

    def installed(self) -> list[str]:
        """Return the names of the services that `quictunnel service install` has installed."""
        if self._scope == "user":
            return []
        return [path.name for path in sorted(SCRIPTS.glob(f"{PREFIX}*")) if is_own(path)]

    def start(self, service: ServiceDefinition, *, has_changed: bool) -> None:
        """Add a service to the default runlevel, and start it.

        :raises QuictunnelError: OpenRC cannot.
        """
        call(["rc-update", "--quiet", "add", service.name, "default"])
        is_running = self.state(service.name).is_running
        if is_running and not has_changed:
            return
        call(["rc-service", service.name, "restart" if is_running else "start"])

    def stop(self, name: str) -> None:
        """Stop a service, and remove it from all runlevels.

        :raises QuictunnelError: OpenRC cannot.
        """
        if self.state(name).is_running:
            call(["rc-service", name, "stop"])
        call(["rc-update", "--quiet", "--all", "delete", name])

    def removed(self) -> None:
        """Do nothing: OpenRC looks at its scripts when it needs them."""

    def state(self, name: str) -> ReportedState:
        """Return what OpenRC says about a service."""
        done = call_unchecked(["rc-service", "--nocolor", name, "status"])
        lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
        sentence = lines[-1].strip(" *") if lines else f"exit code {done.returncode}"
        return ReportedState(done.returncode == 0, sentence.removeprefix("status: "))

    def hints(self, service: ServiceDefinition) -> list[str]:
        """Return where the log is."""
        return [f"Its log: {LOGS / service.name}.log"]


def _script(service: ServiceDefinition) -> str:
    command, *arguments = service.with_files(secret_paths(CONFIGURATION, service))
    state = f"/var/lib/{service.name}"
    # OpenRC evaluates the arguments once more, as a command line of the shell.
    lines = [
        "#!/sbin/openrc-run",
        f"# {MARK}",
        f"description={shlex.quote(f'quictunnel {service.role}')}",
        "supervisor=supervise-daemon",
        f"command={shlex.quote(command)}",
        f"command_args={shlex.quote(shlex.join(arguments))}",
        f"command_user={USER}",
        "respawn_delay=20",
        "respawn_max=0",
        f"retry=TERM/{service.stop_timeout}/KILL/5",
        f"rc_ulimit='-n {OPEN_FILES}'",
        f"output_log={LOGS / service.name}.log",
        f"error_log={LOGS / service.name}.log",
        "umask=077",
    ]
    if service.has_low_ports:
        lines.append("capabilities='^cap_net_bind_service'")
    if service.role == "remote":
        lines.append(f"export STATE_DIRECTORY={state}")
    lines += [f"export RUNTIME_DIRECTORY=/run/{service.name}", ""]
    if service.has_config:
        lines += ["extra_started_commands=reload", ""]
    lines += ["depend() {", "\tneed net", "\tafter firewall dns", "}", ""]
    lines += ["start_pre() {"]
    lines.append(f"\tcheckpath --directory --mode 0700 --owner {USER} /run/{service.name}")
    if service.role == "remote":
        lines.append(f"\tcheckpath --directory --mode 0700 --owner {USER} {state}")
    lines.append(f"\tcheckpath --file --mode 0640 --owner {USER} {LOGS / service.name}.log")
    lines.append("}")
    if service.has_config:
        lines += [
            "",
            "reload() {",
            '\tsupervise-daemon "$RC_SVCNAME" --signal HUP',
            "}",
        ]
    return "\n".join(lines) + "\n"
