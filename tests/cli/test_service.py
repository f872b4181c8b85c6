"""`quictunnel service`, with programs in place of the service managers'."""

from __future__ import annotations

import os
import plistlib
import pwd
import shlex
import subprocess
from pathlib import Path

import pytest
from state_directory import SECRET

from quictunnel.cli.main import invoke
from quictunnel.cli.services import launchd, openrc, systemd, systemd_units
from quictunnel.cli.services.definition import MARK

TOKEN = f"laptop.{SECRET}"
ORIGIN = ("8000", "--remote", "vps.example.com", "--token", TOKEN)


class Machine:
    """A machine with one service manager, whose programs write down how they are called."""

    def __init__(self, root):
        self.root = root
        self.calls = root / "calls"
        self.programs = root / "bin"
        self.programs.mkdir()

    def program(self, name, script=""):
        path = self.programs / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{shlex.quote(str(self.calls))}\n{script}\n')
        path.chmod(0o755)

    def called(self):
        """Return the calls since the last look, without those that only ask."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return [line for line in lines if " show " not in line and " print " not in line]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    machine = Machine(tmp_path / "machine")
    monkeypatch.setenv("PATH", f"{machine.programs}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(machine.root))
    monkeypatch.setattr(systemd, "BOOTED", machine.root / "booted")
    monkeypatch.setattr(systemd, "SYSTEM_UNITS", machine.root / "units")
    for module in (systemd, systemd_units, openrc):
        monkeypatch.setattr(module, "CONFIGURATION", machine.root / "etc")
    monkeypatch.setattr(launchd, "DAEMONS", machine.root / "daemons")
    monkeypatch.setattr(openrc, "SCRIPTS", machine.root / "init.d")
    for module in (systemd, openrc):
        monkeypatch.setattr(module, "why_unreadable", lambda *_, **__: None)
    return machine


@pytest.fixture(autouse=True)
def root(tmp_path):
    (tmp_path / "machine").mkdir()


STATE = (
    'case "$*" in *show*) printf "ActiveState=active\\nSubState=running\\n'
    'UnitFileState=enabled\\nStatusText=no origin\\n";; esac'
)


@pytest.fixture
def on_systemd(machine):
    (machine.root / "booted").mkdir()
    machine.program("systemctl", STATE)
    return machine


@pytest.fixture
def on_launchd(machine):
    loaded = machine.root / "loaded"
    machine.program(
        "launchctl",
        f"""case "$1" in
        print) test -e {loaded} && printf "\\tstate = running\\n\\tlast exit code = 0\\n";;
        bootstrap) touch {loaded};;
        bootout) rm {loaded};;
        esac""",
    )
    return machine


@pytest.fixture
def on_openrc(machine, monkeypatch):
    running = machine.root / "running"
    machine.program(
        "rc-service",
        f"""case "$*" in
        *status) test -e {running} && echo " * status: started" || {{ echo stopped; exit 3; }};;
        *stop) rm {running};;
        *start) touch {running};;
        esac""",
    )
    machine.program("rc-update")
    monkeypatch.setattr(openrc, "USER", pwd.getpwuid(os.getuid()).pw_name)
    return machine


@pytest.fixture
def as_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def as_user(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def test_a_service_of_systemd(on_systemd, as_root, run):
    lines = run("service", "install", "origin", "--", *ORIGIN)
    unit = on_systemd.root / "units" / "quictunnel-origin.service"
    secret = on_systemd.root / "etc" / "quictunnel-origin.token"
    assert lines[:3] == [
        f"written: {unit}",
        f"written: {secret}",
        "quictunnel-origin: active (running), enabled: no origin",
    ]
    assert on_systemd.called() == [
        "systemctl --system --no-ask-password daemon-reload",
        "systemctl --system --no-ask-password --quiet enable quictunnel-origin",
        "systemctl --system --no-ask-password restart quictunnel-origin",
    ]
    assert secret.read_text() == f"# {MARK}\n{TOKEN}\n"
    assert secret.stat().st_mode & 0o777 == 0o600
    text = unit.read_text()
    assert SECRET not in text
    assert " origin --origin 8000 --remote vps.example.com\n" in text
    assert f"LoadCredential=token:{secret}\nEnvironment=QUICTUNNEL_TOKEN_FILE=%d/token" in text
    assert "ExecReload" not in text  # without a file, SIGHUP ends the program


def test_installing_again_changes_only_what_differs(on_systemd, as_root, run):
    run("service", "install", "origin", "--", *ORIGIN)
    on_systemd.called()
    again = run("service", "install", "origin", "--", *ORIGIN)
    assert [line.partition(":")[0] for line in again[:2]] == ["unchanged", "unchanged"]
    assert on_systemd.called()[-1].endswith(" start quictunnel-origin")
    other = run("service", "install", "origin", "--", *ORIGIN, "--grace", "2m")
    assert [line.partition(":")[0] for line in other[:2]] == ["written", "unchanged"]
    assert on_systemd.called()[-1].endswith(" restart quictunnel-origin")
    assert "TimeoutStopSec=130" in (on_systemd.root / "units/quictunnel-origin.service").read_text()


def test_uninstalling_removes_what_was_written(on_systemd, as_root, run, fail):
    run("service", "install", "origin", "--", *ORIGIN)
    other = on_systemd.root / "units" / "quictunnel-other.service"
    other.write_text("[Service]\nExecStart=true\n")
    on_systemd.called()
    assert len(run("service", "uninstall", "origin")) == 2
    assert on_systemd.called() == [
        "systemctl --system --no-ask-password --quiet disable --now quictunnel-origin",
        "systemctl --system --no-ask-password daemon-reload",
    ]
    assert os.listdir(on_systemd.root / "units") == [other.name]
    assert os.listdir(on_systemd.root / "etc") == []
    assert "no such service was installed" in fail("service", "uninstall", "origin")
    assert "no such service was installed" in fail("service", "uninstall", "--name", "other")


def test_a_unit_of_another_program_stays(on_systemd, as_root, fail):
    unit = on_systemd.root / "units" / "quictunnel-origin.service"
    unit.parent.mkdir()
    unit.write_text("[Service]\nExecStart=true\n")
    assert "was not written by" in fail("service", "install", "origin", "--", *ORIGIN)
    assert unit.read_text() == "[Service]\nExecStart=true\n"
    assert not (on_systemd.root / "etc").exists()


def test_several_services_need_a_name(on_systemd, as_root, run, fail):
    run("service", "install", "origin", "--", *ORIGIN)
    run("service", "install", "origin", "--name", "nas", "--", *ORIGIN)
    names = "quictunnel-nas (--system), quictunnel-origin (--system)"
    assert f"several services are installed: {names}" in fail("service", "uninstall")
    lines = run("service", "status")
    assert lines == [
        "quictunnel-nas (system): active (running), enabled: no origin",
        "quictunnel-origin (system): active (running), enabled: no origin",
    ]
    run("service", "uninstall", "--name", "quictunnel-nas")
    assert len(run("service", "status")) == 1


def test_a_service_of_a_user(on_systemd, as_user, run):
    run("service", "install", "origin", "--", *ORIGIN)
    text = (on_systemd.root / ".config/systemd/user/quictunnel-origin.service").read_text()
    secret = on_systemd.root / ".config/quictunnel/quictunnel-origin.token"
    assert f"--token-file {secret}\n" in text
    assert secret.stat().st_mode & 0o777 == 0o600
    assert "WantedBy=default.target" in text
    assert "DynamicUser" not in text
    assert on_systemd.called()[-1] == "systemctl --user --no-ask-password restart quictunnel-origin"


def test_options_of_the_environment_belong_to_the_service(on_systemd, as_root, run, monkeypatch):
    monkeypatch.setenv("QUICTUNNEL_TOKEN", TOKEN)
    monkeypatch.setenv("QUICTUNNEL_REMOTE", "vps.example.com")
    monkeypatch.setenv("QUICTUNNEL_ORIGIN", "1=localhost:1 2=localhost:2")
    run("service", "install", "origin")
    text = (on_systemd.root / "units/quictunnel-origin.service").read_text()
    assert " --remote vps.example.com --origin 1=localhost:1 --origin 2=localhost:2\n" in text
    assert SECRET not in text


ADMIN_TOKEN = "5e884898da28047151d0e56f8dc62927"

ADMIN = ("remote", "--", "--admin", "[::]:9002")


def test_the_token_of_the_admin_interface_is_kept_in_a_file_of_its_own(
    on_systemd, as_root, run, monkeypatch
):
    monkeypatch.setenv("QUICTUNNEL_ADMIN_TOKEN", ADMIN_TOKEN)
    run("service", "install", *ADMIN)
    text = (on_systemd.root / "units/quictunnel-remote.service").read_text()
    secret = on_systemd.root / "etc" / "quictunnel-remote.admin-token"
    assert ADMIN_TOKEN not in text
    assert f"LoadCredential=admin-token:{secret}\n" in text
    assert "Environment=QUICTUNNEL_ADMIN_TOKEN_FILE=%d/admin-token\n" in text
    assert secret.read_text() == f"# {MARK}\n{ADMIN_TOKEN}\n"
    assert secret.stat().st_mode & 0o777 == 0o600
    run("service", "uninstall", "remote")
    assert not secret.exists()


@pytest.mark.parametrize("manager", ["systemd", "launchd", "openrc"])
def test_no_service_manager_shows_the_token_of_the_admin_interface(machine, as_user, run, manager):
    words = ("--manager", manager, "--system", "--print", *ADMIN, "--admin-token", ADMIN_TOKEN)
    text = "\n".join(run("service", "install", *words))
    assert ADMIN_TOKEN not in text
    assert "quictunnel-remote.admin-token" in text


def test_a_file_with_the_token_of_the_admin_interface_is_a_credential(
    on_systemd, as_root, run, tmp_path
):
    Path("admin").touch(0o600)
    Path("admin").write_text(ADMIN_TOKEN)
    run("service", "install", *ADMIN, "--admin-token-file", "admin")
    text = (on_systemd.root / "units/quictunnel-remote.service").read_text()
    assert f"LoadCredential=admin-token:{tmp_path}/admin\n" in text
    assert "--admin-token-file" not in text


@pytest.mark.parametrize("place", ["option", "environment"])
def test_the_password_of_a_proxy_is_not_written_into_the_definition_of_a_service(
    on_systemd, as_root, fail, monkeypatch, place
):
    proxy = f"http://anna:{SECRET}@proxy.example:3128"
    words = ("--proxy", proxy) if place == "option" else ()
    if place == "environment":
        monkeypatch.setenv("QUICTUNNEL_PROXY", proxy)
    sentence = fail("service", "install", "origin", "--", *ORIGIN, *words)
    assert "write 'proxy' into a configuration file" in sentence
    assert not (on_systemd.root / "units/quictunnel-origin.service").exists()


def test_a_proxy_without_a_password_is_an_option_of_the_service(on_systemd, as_root, run):
    run("service", "install", "origin", "--", *ORIGIN, "--proxy", "http://proxy.example:3128")
    text = (on_systemd.root / "units/quictunnel-origin.service").read_text()
    assert "--proxy http://proxy.example:3128" in text


@pytest.mark.parametrize("manager", ["systemd", "launchd", "openrc"])
@pytest.mark.parametrize("name", [b"t\nExecStartPre=+evil", b"t\x01", b"t\xff"])
def test_a_path_cannot_add_lines_to_the_file_of_a_service(machine, as_root, fail, manager, name):
    path = Path(os.fsdecode(name))
    path.touch(0o600)
    path.write_text(TOKEN)
    words = ("--manager", manager, "--system", "--print", "--", *ORIGIN[:3])
    sentence = fail("service", "install", "origin", *words, "--token-file", str(path))
    assert "has a control character or is not UTF-8" in sentence


@pytest.mark.parametrize("name", ["token\\", "token "])
def test_a_unit_cannot_contain_each_path(on_systemd, as_root, fail, name):
    Path(name).touch(0o600)
    Path(name).write_text(TOKEN)
    words = ("service", "install", "origin", "--", *ORIGIN[:3], "--token-file", name)
    assert "use one that does not end with a space or a backslash" in fail(*words)


def test_files_become_credentials(on_systemd, as_root, run, tmp_path):
    run("cert", "--out", "certs")
    run(
        "service",
        "install",
        "remote",
        "--",
        *["--cert", "certs/server.pem", "--key", "certs/server.key"],
    )
    text = (on_systemd.root / "units/quictunnel-remote.service").read_text()
    for name, file in (("cert", "server.pem"), ("key", "server.key")):
        assert f"LoadCredential={name}:{tmp_path}/certs/{file}\n" in text
        assert f"Environment=QUICTUNNEL_{name.upper()}=%d/{name}\n" in text
    assert " remote\n" in text


def test_the_access_log_may_go_to_the_log_of_the_service(on_systemd, as_root, run):
    run("service", "install", "remote", "--", "--access-log", "-")
    text = (on_systemd.root / "units/quictunnel-remote.service").read_text()
    assert " remote --access-log=-\n" in text


def test_a_configuration_file_is_reloaded(on_systemd, as_root, run, tmp_path):
    Path("r.toml").write_text("grace = '1m'\n")
    run("service", "install", "remote", "--", "--config", "r.toml")
    text = (on_systemd.root / "units/quictunnel-remote.service").read_text()
    assert f" remote --config {tmp_path}/r.toml\n" in text
    assert "ExecReload=kill -HUP $MAINPID" in text
    assert "TimeoutStopSec=70" in text


@pytest.mark.parametrize("options", [["--outside", "443"], ["--ports", "80-90"], ["--tls", ":443"]])
def test_low_ports_need_a_right(on_systemd, as_root, run, options):
    run("service", "install", "remote", "--", *options)
    text = (on_systemd.root / "units/quictunnel-remote.service").read_text()
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["remote", "--", "--hold", "soon"], "--hold: 'soon' is not a duration"),
        (["remote", "--", "--nonsense"], "No such option: --nonsense"),
        (["origin", "--", "8000"], "Missing option '--remote'"),
        (["remote", "--user", "--system"], "--user and --system are both given"),
        (["remote", "--name", "a b"], "'a b' is no name of a service"),
        (["remote", "--name", "../x"], "'../x' is no name of a service"),
        (
            ["remote", "--", "--state-dir", "/s"],
            "its state in /var/lib/quictunnel",
        ),
        (["remote", "--", "--sockets", "/srv"], "choose one below /run"),
        (["remote", "--", "--sockets", "/run/a b"], "choose one below /run"),
        (["remote", "--", "--sockets", "/run/x"], "the group quictunnel, which does not exist"),
        (["origin", "--", *ORIGIN, "--token-file", "t"], "are both given"),
    ],
)
def test_a_service_that_could_not_work(on_systemd, as_root, fail, monkeypatch, words, sentence):
    monkeypatch.setattr(systemd, "_has_group", lambda _: False)
    Path("t").touch(0o600)
    Path("t").write_text(TOKEN)
    assert sentence in fail("service", "install", *words)
    assert not (on_systemd.root / "units").exists()
    assert not on_systemd.called()


def test_a_service_of_the_machine_needs_root(on_systemd, as_user, fail):
    sentence = fail("service", "install", "remote", "--system")
    assert "a service of the machine needs root: use sudo, or --user" in sentence


def test_a_user_without_a_session(on_systemd, as_user, fail):
    on_systemd.program("systemctl", "echo 'Failed to connect to bus' >&2; exit 1")
    sentence = fail("service", "install", "remote", "--user")
    assert "does not run here (Failed to connect to bus); log in as the user" in sentence


def test_a_machine_without_a_service_manager(machine, as_root, fail, monkeypatch):
    monkeypatch.setenv("PATH", str(machine.programs))
    monkeypatch.setattr("sys.platform", "linux")
    assert "neither systemd, launchd nor OpenRC runs here" in fail("service", "status")
    for manager, name in (("systemd", "systemd"), ("launchd", "launchd"), ("openrc", "OpenRC")):
        sentence = fail("service", "install", "remote", "--manager", manager)
        assert f"{name} does not manage this machine" in sentence


def test_a_service_that_does_not_start(on_systemd, as_root, capsys):
    on_systemd.program("systemctl", 'case "$*" in *restart*) echo "Job failed." >&2; exit 1;; esac')
    assert invoke(["service", "install", "remote"]) == 1
    error = capsys.readouterr().err
    assert "failed: Job failed.; the service is installed" in error
    assert "journalctl -u quictunnel-remote" in error


def test_status_of_a_service_that_has_failed(on_systemd, as_root, run, capsys):
    run("service", "install", "remote")
    on_systemd.program(
        "systemctl", 'printf "ActiveState=failed\\nSubState=failed\\nResult=watchdog\\n"'
    )
    assert invoke(["service", "status"]) == 1
    assert capsys.readouterr().out == (
        "quictunnel-remote (system): failed (failed), result watchdog\n"
    )


def test_status_without_a_service(on_systemd, as_root, capsys):
    assert invoke(["service", "status"]) == 1
    assert "no service was installed" in capsys.readouterr().err


def test_print_writes_nothing_and_shows_no_secret(machine, as_user, run):
    words = ("--manager", "systemd", "--system", "--print", "--", *ORIGIN)
    text = "\n".join(run("service", "install", "origin", *words))
    assert SECRET not in text
    assert "DynamicUser=yes" in text
    assert "(the token)" in text
    assert os.listdir(machine.root) == ["bin"]


def test_a_service_of_launchd(on_launchd, as_user, run, monkeypatch):
    words = ("--manager", "launchd")
    lines = run("service", "install", "origin", *words, "--", *ORIGIN)
    assert "quictunnel-origin: running, last exit code 0" in lines
    path = on_launchd.root / "Library/LaunchAgents/quictunnel-origin.plist"
    secret = on_launchd.root / ".config/quictunnel/quictunnel-origin.token"
    content = plistlib.loads(path.read_bytes())
    assert content["ProgramArguments"][1:] == [
        *("origin", "--origin", "8000", "--remote", "vps.example.com"),
        *("--token-file", str(secret)),
    ]
    assert content["ExitTimeOut"] == 40
    domain = f"gui/{os.getuid()}"
    assert on_launchd.called() == [
        f"launchctl enable {domain}/quictunnel-origin",
        f"launchctl bootstrap {domain} {path}",
    ]
    run("service", "install", "origin", *words, "--", *ORIGIN)
    assert on_launchd.called() == [f"launchctl kickstart {domain}/quictunnel-origin"]
    run("service", "install", "origin", *words, "--", *ORIGIN, "--grace", "1m")
    assert on_launchd.called()[0] == f"launchctl bootout {domain}/quictunnel-origin"
    run("service", "uninstall", *words)
    assert on_launchd.called() == [f"launchctl bootout {domain}/quictunnel-origin"]
    assert not path.exists()
    assert not secret.exists()


def test_a_service_of_openrc(on_openrc, as_root, run):
    words = ("--manager", "openrc")
    odd = ("--origin", 'x.test=unix:/it\'s $HOME; `x` \\ "y"')
    lines = run("service", "install", "origin", *words, "--", *odd, *ORIGIN)
    assert "quictunnel-origin: started" in lines
    assert on_openrc.called() == [
        "rc-update --quiet add quictunnel-origin default",
        "rc-service --nocolor quictunnel-origin status",
        "rc-service quictunnel-origin start",
        "rc-service --nocolor quictunnel-origin status",
    ]
    script = on_openrc.root / "init.d" / "quictunnel-origin"
    assert script.stat().st_mode & 0o777 == 0o755
    # OpenRC sources the script, and evaluates the arguments as words of a command.
    shell = f". {script}; eval \"printf '%s\\n' $command_args\""
    done = subprocess.run(["sh", "-ec", shell], capture_output=True, text=True, check=True)
    secret = on_openrc.root / "etc/quictunnel-origin.token"
    assert done.stdout.splitlines() == [
        *("origin", "--origin", "8000", *odd, "--remote", "vps.example.com"),
        *("--token-file", str(secret)),
    ]
    run("service", "uninstall", *words)
    assert on_openrc.called()[-2:] == [
        "rc-service quictunnel-origin stop",
        "rc-update --quiet --all delete quictunnel-origin",
    ]
    assert not script.exists()
    assert not secret.exists()


def test_openrc_has_no_services_of_users(on_openrc, as_user, fail):
    words = ("--manager", "openrc", "--user")
    assert "services of the machine only" in fail("service", "install", "remote", *words)


def test_openrc_needs_a_user(on_openrc, as_root, fail, monkeypatch):
    monkeypatch.setattr(openrc, "USER", "nobody-has-this-name")
    sentence = fail("service", "install", "remote", "--manager", "openrc")
    assert "who does not exist: adduser" in sentence


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("[::]:9001", "[::]:9001"),
        ("", '""'),
        ("a b", '"a b"'),
        ("50%", '"50%%"'),
        ("$HOME", '"$$HOME"'),
        ('"\\', '"\\"\\\\"'),
        ("a\nb", '"a\\nb"'),
        (";", '";"'),
    ],
)
def test_words_of_a_unit(word, quoted):
    assert systemd_units.quote(word) == quoted
