"""Which running role a command asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from quictunnel.admin.runtime import RunningRole
from quictunnel.cli import role_choice
from quictunnel.cli.main import invoke
from quictunnel.cli.role_choice import choose_role
from quictunnel.errors import RoleUnavailable

ORIGIN = RunningRole("origin", 12, Path("origin-12.sock"))
REMOTE = RunningRole("remote", 34, Path("remote-34.sock"))
OTHER = RunningRole("remote", 56, Path("remote-56.sock"))


@pytest.fixture
def running(monkeypatch):
    """Sets the roles that run."""

    def run(*roles: RunningRole) -> None:
        monkeypatch.setattr(role_choice, "running_roles", lambda: [*roles])

    run()
    return run


@pytest.fixture
def user(monkeypatch):
    """Sets the id of the user."""
    return lambda number: monkeypatch.setattr("os.geteuid", lambda: number)


def choose(role=None, pid=None, path=None, admin=None, token=None) -> str:
    return choose_role(role, pid, path, admin, token).name


def refusal(*arguments, **named) -> str:
    with pytest.raises(RoleUnavailable) as caught:
        choose(*arguments, **named)
    return str(caught.value)


def test_the_only_role(running, capsys):
    running(REMOTE)
    assert choose() == "the remote (process 34)"
    assert capsys.readouterr() == ("", "")


def test_several_roles_are_named(running, capsys):
    running(ORIGIN, REMOTE, OTHER)
    assert choose() == "the origin (process 12)"
    assert capsys.readouterr() == (
        "",
        "quictunnel: asking the origin (process 12); --pid chooses another: "
        "34 (remote), 56 (remote)\n",
    )


def test_many_roles_are_one_line(running, capsys):
    running(*(RunningRole("origin", pid, Path()) for pid in range(1, 40)))
    choose()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("11 (origin), and 28 more")


def test_a_choice_by_role_and_process(running, capsys):
    running(ORIGIN, REMOTE)
    assert choose("remote") == "the remote (process 34)"
    assert choose(pid=34) == "the remote (process 34)"
    assert choose("remote", 34) == "the remote (process 34)"
    assert capsys.readouterr() == ("", "")


def test_a_process_that_is_no_role(running, user):
    running(ORIGIN)
    assert refusal(pid=99) == "process 99 is no running remote or origin; found: 12 (origin)"
    user(0)
    assert refusal("remote", 12) == (
        "process 12 is no remote, and no remote runs on this machine, or it is too old for this "
        "command"
    )


def test_no_role(running, user):
    user(0)
    assert refusal() == (
        "no remote and no origin runs on this machine, or it is too old for this command"
    )
    user(1000)
    sudo = "as this user; use sudo if it runs as a service or as another user"
    assert refusal() == f"no remote and no origin runs {sudo}"
    assert refusal("origin") == f"no origin runs {sudo}"


def test_a_socket():
    assert choose(path=Path("/run/a.sock")) == "the role at '/run/a.sock'"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("9002", "http://localhost:9002/"),
        (":9002", "http://localhost:9002/"),
        ("vps.example.com:9002", "http://vps.example.com:9002/"),
        ("[::1]:9002", "http://[::1]:9002/"),
        ("http://127.0.0.1:9002", "http://127.0.0.1:9002/"),
        ("https://admin.example.com/q", "https://admin.example.com/q"),
    ],
)
def test_an_address(text, url):
    assert choose(admin=text) == f"the admin interface at {url}"


def test_a_token_is_read_from_its_file(tmp_path):
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("# mine\n6c1d8c0ab8a84a7ea7dc4a4e2a3f9c55\n")
    client = choose_role(None, None, None, "9002", file)
    assert client._token == "6c1d8c0ab8a84a7ea7dc4a4e2a3f9c55"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--pid", "1", "--socket", "x"], "give only one of --pid, --socket and --admin"),
        (["--role", "remote", "--admin", "9002"], "--role chooses among roles that are found"),
        (["--admin-token-file", "x"], "--admin-token-file needs --admin; a Unix socket needs no"),
        (["--admin", "9002", "--admin-token-file", "x"], "the admin token file 'x' cannot be read"),
        (["--admin", "nowhere"], "--admin: 'nowhere' has no port"),
        (["--admin", "ftp://a/"], "--admin: 'ftp://a/' is not the address of an admin interface"),
        (["--admin", "http://me:secret@a/"], "--admin: the address of an admin interface has no"),
        (["--admin", "http://a/?b"], "--admin: the address of an admin interface has no query"),
        (["--pid", "0"], "should be greater than or equal to 1"),
    ],
)
@pytest.mark.parametrize("command", ["status", "top", "clients", "events"])
def test_a_users_mistake_is_exit_code_2(fail, running, command, words, sentence):
    line = fail(command, *words)
    assert sentence in line
    assert "secret" not in line


@pytest.mark.parametrize("command", ["status", "top", "clients", "events"])
def test_no_role_is_exit_code_3(running, user, capsys, command):
    user(0)
    assert invoke([command]) == 3
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("quictunnel: no remote and no origin runs on this machine")
    assert err.count("\n") == 1
