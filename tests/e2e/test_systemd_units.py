"""The units of contrib/systemd, started by a real systemd with all of their options."""

from __future__ import annotations

import contextlib
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from quictunnel.config.state import load_or_make_certificate
from quictunnel.config.tokens import Token
from testkit.connections import TcpPeer
from testkit.programs import (
    BAD_TOKEN,
    DIRECTORY_WRITABLE,
    PATIENCE,
    POLL_INTERVAL,
    SECRET_READABLE,
    ProgramError,
)
from testkit.systemd import SystemdMachine, what_is_missing

UNITS = Path(__file__).parents[2] / "contrib" / "systemd"
REMOTE, ORIGIN = "quictunnel-remote.service", "quictunnel-origin.service"

REMOTE_SOCKET = "quictunnel-remote.socket"

QUICTUNNEL = "/opt/quictunnel/bin/quictunnel"
STATE = "/var/lib/quictunnel"
CONFIGURATION = "/etc/quictunnel"
REMOTE_FILE, ORIGIN_FILE = f"{CONFIGURATION}/remote.toml", f"{CONFIGURATION}/origin.toml"
TOKEN_FILE = f"{CONFIGURATION}/token"

MOST_EXPOSED = 20
"""The highest exposure level that passes, in tenths, as `systemd-analyze --threshold` takes it."""

LOW_PORTS = (
    "AmbientCapabilities=CAP_NET_BIND_SERVICE",
    "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
)

PASSED_ON = (
    f"LoadCredential=cert:{CONFIGURATION}/cert.pem",
    f"LoadCredential=key:{CONFIGURATION}/key.pem",
    "Environment=QUICTUNNEL_CERT=%d/cert QUICTUNNEL_KEY=%d/key",
)

FOR_CADDY = (
    "Group=quictunnel",
    "RuntimeDirectory=quictunnel",
    "RuntimeDirectoryMode=0750",
    "Environment=QUICTUNNEL_SOCKETS=/run/quictunnel",
    "Environment=QUICTUNNEL_HOSTS=a.test",
)

ONE_ENGINE = (
    "test_a_mistake_in_the_settings_ends_the_service_for_good",
    "test_a_refused_origin_is_started_again",
    "test_systemd_passes_a_certificate_on",
    "test_ports_below_1024_need_one_setting_more",
    "test_sockets_for_caddy_belong_to_the_group",
    "test_a_boot_does_not_wait_for_a_remote_that_is_down",
    "test_a_program_that_hangs_is_started_again",
    "test_clients_may_take_longer_than_systemd_expects",
    "test_an_installed_service_works_and_leaves_nothing_behind",
    "test_a_service_that_was_written_by_hand_is_not_replaced",
)


NOT_USED = "outside = '127.0.0.1:1'\nlisten = '127.0.0.1:2'\n"
"""Addresses that nothing connects to."""


class Services:
    """Both services on a machine, and an origin server there."""

    def __init__(self, machine: SystemdMachine, engines: tuple[str, str]) -> None:
        self.machine = machine
        self.server = machine.server()
        self.server.settimeout(PATIENCE)
        self.write(REMOTE_FILE, f"engine = '{engines[1]}'\n")
        self._origin = f"remote = '127.0.0.1'\nengine = '{engines[0]}'\n"
        self.serve()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the machine."""
        place = self.machine.path(path)
        place.parent.mkdir(mode=0o755, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def serve(self, *wheres: str) -> None:
        """Let the origin server be at the outside address, or at these other places."""
        to = f"to = {self.server.getsockname()[1]}\n"
        services = [f"[service.s{n}]\n{to}{where}\n" for n, where in enumerate(wheres or ("",))]
        self.write(ORIGIN_FILE, self._origin + "".join(services))

    def add_setting(self, unit: str, *settings: str) -> None:
        """Add settings to a unit, as `systemctl edit` does."""
        self.write(f"/etc/systemd/system/{unit}.d/edited.conf", "\n".join(("[Service]", *settings)))
        self.machine.run("systemctl", "daemon-reload")

    def start(self, unit: str) -> None:
        """Start a service, and wait until it is ready."""
        times = self.machine.log(unit).count("ready: ") + 1
        self.machine.run("systemctl", "start", unit)
        self.machine.wait_for(unit, "ready: ", times=times)

    def start_both(self) -> None:
        """Start the remote, then the origin with the remote's token."""
        self.start(REMOTE)
        self.write(TOKEN_FILE, self.token(), 0o600)
        self.start(ORIGIN)

    def answer(self, port: int = 9000) -> None:
        """Pass bytes from a client to the origin server and back."""
        with contextlib.ExitStack() as sockets:
            client = TcpPeer(sockets.enter_context(self.machine.connect(port)))
            client.send(b"question")
            server = TcpPeer(sockets.enter_context(self.server.accept()[0]))
            assert server.receive(8) == b"question"
            server.send(b"answer")
            assert client.receive(6) == b"answer"

    def token(self) -> str:
        """Return the token that the remote has created, as root sees it."""
        return self.machine.run(QUICTUNNEL, "token", "show", "--state-dir", STATE).split()[1]

    def wait_for_state(self, unit: str, state: str) -> None:
        """Wait until a unit is in this state, such as `failed`."""
        deadline = time.monotonic() + PATIENCE
        while (current := self.machine.property(unit, "ActiveState")) != state:
            assert time.monotonic() < deadline, current
            time.sleep(POLL_INTERVAL)

    def wait_for_status(self, unit: str, status: str) -> None:
        """Wait until the program reports a status with these words."""
        deadline = time.monotonic() + PATIENCE
        while status not in (current := self.machine.property(unit, "StatusText")):
            assert time.monotonic() < deadline, current
            time.sleep(POLL_INTERVAL)

    def exit_code(self, unit: str) -> str:
        """Return the exit code of a service's program that has ended."""
        return self.machine.property(unit, "ExecMainStatus")


@pytest.fixture
def services(tmp_path, engines):
    if missing := what_is_missing():
        pytest.skip(missing)
    units = {name: (UNITS / name).read_text("utf-8") for name in (REMOTE, REMOTE_SOCKET, ORIGIN)}
    with SystemdMachine(tmp_path / "machine", units) as machine:
        services = Services(machine, engines)
        yield services
        services.server.close()
        for unit in (REMOTE, ORIGIN):
            assert "Traceback" not in machine.log(unit)
            # Neither the credentials nor the state directory is open to others.
            assert SECRET_READABLE not in machine.log(unit)
            assert DIRECTORY_WRITABLE not in machine.log(unit)


@pytest.mark.parametrize("unit", [REMOTE, ORIGIN])
def test_a_unit_is_exposed_as_little_as_it_can_be(unit):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this needs the program systemd-analyze")
    words = ("--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}", UNITS / unit)
    done = subprocess.run(
        ["systemd-analyze", "security", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_client_is_served_and_the_state_survives_a_restart(services):
    services.start_both()
    services.answer()
    state = services.machine.path("/var/lib/private/quictunnel")
    before = {path.name: path.read_bytes() for path in state.iterdir()}
    services.machine.run("systemctl", "restart", REMOTE)
    services.machine.wait_for(REMOTE, "ready: ", times=2)
    services.machine.wait_for(ORIGIN, "ready: ", times=2)
    services.answer()
    assert {path.name: path.read_bytes() for path in state.iterdir()} == before
    for unit in (ORIGIN, REMOTE):
        services.machine.run("systemctl", "stop", unit)
        assert services.exit_code(unit) == "0"
        assert services.machine.property(unit, "Result") == "success"


def test_a_reload_applies_changed_files(services):
    services.start_both()
    before = services.machine.path(REMOTE_FILE).read_text()
    services.write(REMOTE_FILE, f"{before}ports = 2222\n")
    services.machine.run("systemctl", "reload", REMOTE)
    services.machine.wait_for(REMOTE, f"reloaded: {REMOTE_FILE}")
    services.serve("port = 2222")
    services.machine.run("systemctl", "reload", ORIGIN)
    services.machine.wait_for(ORIGIN, "ready: 127.0.0.1:2222 at the remote")
    services.answer(2222)
    for unit in (ORIGIN, REMOTE):
        assert services.machine.property(unit, "NRestarts") == "0"


def test_a_mistake_in_the_settings_ends_the_service_for_good(services):
    services.write(REMOTE_FILE, "hold = 'soon'\n")
    services.machine.run("systemctl", "start", "--no-block", REMOTE)
    services.machine.wait_for(REMOTE, f"quictunnel: {REMOTE_FILE}: hold: 'soon' is not a duration")
    services.wait_for_state(REMOTE, "failed")
    assert services.exit_code(REMOTE) == "2"
    assert services.machine.property(REMOTE, "NRestarts") == "0"


def test_a_refused_origin_is_started_again(services):
    services.start(REMOTE)
    services.write(TOKEN_FILE, Token.new().reveal(), 0o600)
    services.add_setting(ORIGIN, "RestartSec=1")
    services.machine.run("systemctl", "start", "--no-block", ORIGIN)
    services.machine.wait_for(ORIGIN, BAD_TOKEN)
    services.write(TOKEN_FILE, services.token(), 0o600)
    services.machine.wait_for(ORIGIN, "ready: ")
    services.answer()


def test_ports_below_1024_need_one_setting_more(services):
    services.write(REMOTE_FILE, "outside = 80\n")
    services.add_setting(REMOTE, "RestartSec=1")
    services.machine.run("systemctl", "start", "--no-block", REMOTE)
    services.wait_for_state(REMOTE, "failed")
    assert services.exit_code(REMOTE) == "2"
    services.add_setting(REMOTE, *LOW_PORTS)
    services.start_both()
    services.answer(80)


def test_systemd_passes_a_certificate_on(services, tmp_path):
    for path, name in zip(load_or_make_certificate(tmp_path), ("cert", "key"), strict=True):
        services.write(f"{CONFIGURATION}/{name}.pem", path.read_text(), 0o600)
    services.add_setting(REMOTE, *PASSED_ON)
    services.start_both()
    services.answer()
    services.machine.wait_for(REMOTE, f"file=/run/credentials/{REMOTE}/cert")


def test_sockets_for_caddy_belong_to_the_group(services):
    services.machine.run("groupadd", "--system", "quictunnel")
    services.serve("host = 'a.test'")
    services.add_setting(REMOTE, *FOR_CADDY)
    services.start_both()
    status = services.machine.path("/run/quictunnel/a.test/http").stat()
    assert stat.S_IMODE(status.st_mode) == 0o660
    assert services.machine.run("getent", "group", str(status.st_gid)).startswith("quictunnel:")


def test_systemd_knows_what_the_programs_do(services):
    services.start_both()
    for unit in (REMOTE, ORIGIN):
        assert services.machine.property(unit, "ActiveState") == "active"
        assert services.machine.property(unit, "WatchdogUSec") == "1min"
    services.wait_for_status(REMOTE, "1 origin connected; 0 clients")
    services.wait_for_status(ORIGIN, "connected to 127.0.0.1:9001; 0 clients")
    with services.machine.connect(9000), services.server.accept()[0]:
        services.wait_for_status(REMOTE, "1 origin connected; 1 client")
        services.wait_for_status(ORIGIN, "; 1 client")
    services.machine.run("systemctl", "stop", REMOTE)
    services.wait_for_status(ORIGIN, "there is no link to the remote")


def test_a_boot_does_not_wait_for_a_remote_that_is_down(services):
    services.write(TOKEN_FILE, Token.new().reveal(), 0o600)
    services.machine.run("systemctl", "start", ORIGIN)  # it returns
    assert services.machine.property(ORIGIN, "ActiveState") == "active"


def test_a_program_that_hangs_is_started_again(services):
    services.add_setting(REMOTE, "WatchdogSec=2", "WatchdogSignal=SIGKILL", "RestartSec=0")
    services.start(REMOTE)
    pid = services.machine.property(REMOTE, "MainPID")
    services.machine.run("kill", "-STOP", pid)
    services.machine.wait_for(REMOTE, "ready: ", times=2)
    assert services.machine.property(REMOTE, "NRestarts") == "1"
    assert services.machine.property(REMOTE, "MainPID") != pid


def test_clients_may_take_longer_than_systemd_expects(services):
    services.add_setting(REMOTE, "TimeoutStopSec=1")
    services.start_both()
    with services.machine.connect(9000) as connected, services.server.accept()[0] as accepted:
        client, server = TcpPeer(connected), TcpPeer(accepted)
        services.machine.run("systemctl", "stop", "--no-block", REMOTE)
        services.wait_for_status(REMOTE, "stopping: 1 client may finish")
        time.sleep(2)  # twice the time that systemd would give it
        server.send(b"answer")
        assert client.receive(6) == b"answer"
    services.wait_for_state(REMOTE, "inactive")
    assert services.machine.property(REMOTE, "Result") == "success"


def test_systemd_opens_the_sockets_of_the_remote(services):
    services.machine.run("systemctl", "start", REMOTE_SOCKET)
    services.write(REMOTE_FILE, "client-wait = '1m'\n" + NOT_USED)
    with services.machine.connect(9000) as early:  # the remote does not run yet
        services.machine.wait_for(REMOTE, "ready: ")
        services.write(TOKEN_FILE, services.token(), 0o600)
        services.start(ORIGIN)
        client, server = TcpPeer(early), TcpPeer(services.server.accept()[0])
        client.send(b"question")
        assert server.receive(8) == b"question"
        server.sock.close()
    services.machine.run("systemctl", "restart", REMOTE)
    services.machine.wait_for(ORIGIN, "ready: ", times=2)
    services.answer()


def test_an_installed_service_works_and_leaves_nothing_behind(services):
    machine = services.machine
    services.start(REMOTE)
    token = services.token()
    port = services.server.getsockname()[1]
    words = ("service", "install", "origin", "--name", "box", "--")
    options = ("--remote", "127.0.0.1", "--token", token, str(port))
    printed = machine.run(QUICTUNNEL, *words, *options)
    assert token not in printed
    services.answer()
    unit = machine.path("/etc/systemd/system/quictunnel-box.service")
    secret = machine.path("/etc/quictunnel/quictunnel-box.token")
    assert token not in unit.read_text()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert "active (running), enabled" in machine.run(QUICTUNNEL, "service", "status")

    pid = machine.property("quictunnel-box", "MainPID")
    assert "unchanged" in machine.run(QUICTUNNEL, *words, *options)
    assert machine.property("quictunnel-box", "MainPID") == pid
    machine.run(QUICTUNNEL, *words, *options, "--grace", "5")
    assert machine.property("quictunnel-box", "MainPID") != pid
    services.answer()

    machine.run(QUICTUNNEL, "service", "uninstall")
    assert not unit.exists()
    assert not secret.exists()
    assert machine.property("quictunnel-box", "LoadState") == "not-found"
    assert machine.property(REMOTE, "ActiveState") == "active"


def test_a_service_that_was_written_by_hand_is_not_replaced(services):
    with pytest.raises(ProgramError, match="was not written by 'quictunnel service install'"):
        services.machine.run(QUICTUNNEL, "service", "install", "remote")
