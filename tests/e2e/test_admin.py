"""The admin interface of the installed program, as curl and commands use it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from quictunnel.events import ClientEnding
from testkit.programs import PATIENCE, Program, free_port
from testkit.tunnel import Tunnel

CURL = ("curl", "--silent", "--show-error", "--max-time", str(PATIENCE))
TOKEN = "4f1c9ad2e07b35886d1f"
JSON = ("--header", "Content-Type: application/json")


@pytest.fixture
def runtime(monkeypatch):
    """Return a runtime directory of the test, whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="qt-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder) / "quictunnel"


@pytest.fixture
def tunnel(tmp_path, runtime):
    with Tunnel(tmp_path) as tunnel:
        yield tunnel
        tunnel.end()


def socket_of(runtime: Path, role: str, program: Program) -> Path:
    return runtime / f"{role}-{program.process.pid}.sock"


def curl(*words: object) -> str:
    command = [*CURL, *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Admin:
    """The admin interface of a program, over its Unix socket."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, path: str) -> dict:
        return json.loads(curl("--unix-socket", self.path, f"http://localhost{path}"))

    def link_with_samples(self) -> dict:
        """Return the only link, once it was sampled: within a second after the first request."""
        deadline = time.monotonic() + PATIENCE
        while not (link := self.get("/api/v1/links")["links"][0])["history"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return link

    def post(self, path: str) -> tuple[int, dict]:
        words = ("--request", "POST", *JSON, "--data", "{}", "--write-out", "\n%{http_code}")
        answer = curl("--unix-socket", self.path, *words, f"http://localhost/api/v1/{path}")
        body, _, code = answer.rpartition("\n")
        return int(code), json.loads(body)


def admin_of(runtime: Path, role: str, program: Program) -> Admin:
    return Admin(socket_of(runtime, role, program))


def test_both_roles_show_a_client_and_close_it(tunnel, runtime):
    tunnel.up()
    remote = admin_of(runtime, "remote", tunnel.remote)
    origin = admin_of(runtime, "origin", tunnel.origin)
    client, server = tunnel.pair()
    client.send(b"x" * 1000)
    assert server.receive(1000) == b"x" * 1000
    for admin in (remote, origin):
        page = admin.get("/api/v1/clients")
        assert page["total"] == 1
        assert page["clients"][0]["bytes_up"] == 1000
        assert admin.get("/readyz") == {"ready": True, "reason": None}
        assert admin.get("/livez") == {"live": True}
        (service,) = admin.get("/api/v1/services")["services"]
        assert (service["state"], service["clients"]) == ("up", 1)
        assert admin.link_with_samples()["clients"] == 1
    assert remote.get("/api/v1/origins")["origins"][0]["name"] == "box"
    assert origin.get("/api/v1/remotes")["remotes"][0]["state"] == "up"
    ((found),) = remote.get("/api/v1/clients")["clients"]
    assert remote.post(f"clients/{found['id']}/close") == (202, {})
    assert client.is_reset()
    assert remote.post(f"clients/{found['id']}/close")[0] == 404


def test_events_are_streamed_while_they_happen(tunnel, runtime):
    tunnel.up()
    path = socket_of(runtime, "remote", tunnel.remote)
    words = ("--no-buffer", "--unix-socket", path, "http://localhost/api/v1/events?recent=100")
    with subprocess.Popen([*CURL, *map(str, words)], stdout=subprocess.PIPE, text=True) as stream:
        client, server = tunnel.pair()
        client.send_eof()
        server.send_eof()
        seen = []
        for line in stream.stdout:
            seen.append(line.strip())
            if line == "event: client-closed\n":
                break
        event = json.loads(next(stream.stdout).removeprefix("data: "))
        stream.kill()
    assert event["event"] == "client-closed"
    assert event["ending"] in set(ClientEnding)
    names = [line.removeprefix("event: ") for line in seen if line.startswith("event: ")]
    assert names.index("remote-started") < names.index("origin-connected")


def test_the_socket_is_for_its_owner_and_goes_with_the_role(tunnel, runtime):
    tunnel.up()
    paths = [
        socket_of(runtime, "remote", tunnel.remote),
        socket_of(runtime, "origin", tunnel.origin),
    ]
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    tunnel.end()
    assert list(runtime.iterdir()) == []


def test_the_socket_of_a_crashed_role_is_removed_and_that_of_another_role_stays(tunnel, runtime):
    tunnel.up()
    crashed, living = (
        socket_of(runtime, "origin", tunnel.origin),
        socket_of(runtime, "remote", tunnel.remote),
    )
    tunnel.origin.kill()
    assert crashed.exists()
    tunnel.start_origin()
    tunnel.wait_for_origin()
    assert not crashed.exists()
    assert Admin(living).get("/livez") == {"live": True}


def test_a_role_without_a_runtime_directory_warns_once_and_goes_on(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(blocked))
    with Tunnel(tmp_path / "t") as tunnel:
        tunnel.up()
        for program in (tunnel.remote, tunnel.origin):
            program.wait_for_log("admin socket not created  path=")
            assert program.stderr.count("admin socket not created") == 1
        client, server = tunnel.pair()
        client.send(b"hello")
        assert server.receive(5) == b"hello"
        tunnel.end()


def test_a_drain_by_the_api_lets_clients_finish_and_the_socket_answers_meanwhile(tunnel, runtime):
    tunnel.up()
    admin = admin_of(runtime, "remote", tunnel.remote)
    client, server = tunnel.pair()
    assert admin.post("drain") == (202, {})
    tunnel.remote.wait_for("^stopping: 1 client may finish")
    status = admin.get("/api/v1/status")
    assert (status["is_draining"], status["clients"]) == (True, 1)
    assert admin.get("/readyz")["ready"] is False
    client.send(b"last words")
    assert server.receive(10) == b"last words"
    client.send_eof()
    server.send_eof()
    assert tunnel.remote.wait() == 0
    assert not admin.path.exists()


def test_after_a_drain_by_the_api_one_signal_ends_the_role_at_once(tunnel, runtime):
    tunnel.up()
    tunnel.pair()
    admin_of(runtime, "remote", tunnel.remote).post("drain")
    tunnel.remote.wait_for("^stopping: 1 client")
    tunnel.remote.signal(signal.SIGTERM)
    assert tunnel.remote.wait() == 0


def test_a_reload_by_the_api(tunnel, runtime, tmp_path):
    config = tmp_path / "remote.toml"
    config.write_text('ports = "2000-2999"\n')
    tunnel.start_remote("--config", config)
    tunnel.wait_for_remote()
    admin = admin_of(runtime, "remote", tunnel.remote)
    assert admin.post("reload") == (202, {"restart_needed": []})
    tunnel.remote.signal(signal.SIGSTOP)  # so that the watch does not see the change first
    config.write_text("prots = 2000\n")
    tunnel.remote.signal(signal.SIGCONT)
    code, answer = admin.post("reload")
    assert code == 409
    assert "unknown key 'prots'" in answer["error"]


def test_without_a_file_there_is_nothing_to_reload(tunnel, runtime):
    tunnel.up()
    code, answer = admin_of(runtime, "origin", tunnel.origin).post("reload")
    assert (code, "no configuration file" in answer["error"]) == (409, True)


def test_a_tcp_address_for_both_roles_and_their_secrets_stay_secret(tunnel, runtime):
    ports = free_port(), free_port()
    tunnel.up(
        remote=("--admin", ports[0]),
        origin=("--admin", f"127.0.0.1:{ports[1]}"),
    )
    secret = tunnel.token.secret
    for program, port in zip((tunnel.remote, tunnel.origin), ports, strict=True):
        program.wait_for(f"^Admin interface: http://127.0.0.1:{port}/$")
        paths = json.loads(curl(f"http://127.0.0.1:{port}/api/v1/openapi.json"))["paths"]
        for path, operations in paths.items():
            if "get" in operations and not path.endswith("/events"):
                assert secret not in curl("--include", f"http://127.0.0.1:{port}{path}")
        assert curl(f"http://127.0.0.1:{port}/livez") == '{"live":true}'
    words = ("--max-time", "1", "--no-buffer")
    command = [*CURL[:3], *words, f"http://127.0.0.1:{ports[0]}/api/v1/events?recent=1000"]
    streamed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert secret not in streamed.stdout


def test_other_machines_need_the_token(tunnel, runtime, tmp_path):
    file = tmp_path / "admin-token"
    file.touch(mode=0o600)
    file.write_text(TOKEN)
    port = free_port()
    tunnel.start_remote("--admin", f"0.0.0.0:{port}", "--admin-token-file", file)
    remote = tunnel.wait_for_remote()
    remote.wait_for(f"^Admin interface: HTTP on TCP port {port}$")
    url = f"http://127.0.0.1:{port}/api/v1/status"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(url, timeout=PATIENCE)
    assert json.loads(curl("--oauth2-bearer", TOKEN, url))["role"] == "remote"
    assert "reason" in curl(f"http://127.0.0.1:{port}/readyz")
    # The Unix socket needs no token.
    assert admin_of(runtime, "remote", remote).get("/api/v1/status")["role"] == "remote"
    curl("--oauth2-bearer", "wrong", url)
    remote.wait_for_log("admin login failed  peer=127.0.0.1:")
    assert TOKEN not in remote.stderr + remote.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--admin", "0.0.0.0:9002"), "needs a token"),
        (("--admin-token", TOKEN), "--admin-token is for the address of --admin"),
        (("--admin", "0.0.0.0:9002", "--admin-token", "password"), "--admin-token: an admin token"),
    ],
)
def test_an_origin_checks_the_admin_options(programs, words, sentence):
    origin = programs.quictunnel("origin", "8000", "--remote", "vps.test", *words)
    assert origin.wait() == 2
    assert sentence in origin.stderr


def test_a_child_process_inherits_no_admin_socket(tunnel, runtime):
    tunnel.up()
    folder = Path(f"/proc/{tunnel.remote.process.pid}/fdinfo")
    descriptors = Path(f"/proc/{tunnel.remote.process.pid}/fd")
    for each in descriptors.iterdir():
        if os.readlink(each).startswith("socket:"):
            flags = next(
                line for line in (folder / each.name).read_text().splitlines() if "flags" in line
            )
            assert int(flags.split()[1], 8) & os.O_CLOEXEC
