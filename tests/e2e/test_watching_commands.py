"""The installed commands about running roles: status, top, clients and events; and the probe."""

from __future__ import annotations

import json
import re
import signal
import socket

import pytest

from testkit.programs import CLIENT_ACCEPTED, NO_ORIGIN_IN_TIME, PATIENCE, QUICTUNNEL
from testkit.terminal import TerminalProgram
from testkit.tunnel import LOOPBACK

ONE_ENGINE = True


@pytest.fixture
def ask(programs):
    """Runs a command that ends by itself; returns its exit code and its standard output."""

    def ask(*words: object) -> tuple[int, str]:
        program = programs.quictunnel(*words)
        code = program.wait()
        assert "Traceback" not in program.stderr
        return code, program.stdout

    return ask


def role(program) -> tuple[str, int]:
    """Return the options that choose a program."""
    return "--pid", program.process.pid


def test_the_status_of_both_ends(shared_tunnel, ask):
    tunnel = shared_tunnel
    place = f"tcp://{LOOPBACK}:{tunnel.outside_port}"
    code, shown = ask("status", *role(tunnel.remote))
    assert code == 0
    assert re.match(rf"remote {LOOPBACK}:{tunnel.link_port}: ready\n", shown)
    assert re.search(r"^default +up .* box$", shown, re.MULTILINE)
    code, shown = ask("status", *role(tunnel.origin))
    assert code == 0
    assert shown.startswith("origin box: ready\n")
    assert re.search(rf"^default +up .* {place} +{tunnel.server_address}$", shown, re.MULTILINE)


def test_the_status_is_json_for_scripts(shared_tunnel, ask):
    code, shown = ask("status", "--json", *role(shared_tunnel.origin))
    found = json.loads(shown)
    assert code == 0
    assert found["is_ready"]
    assert [service["state"] for service in found["services"]] == ["up"]
    assert [link["origin"] for link in found["links"]] == ["box"]


def test_an_origin_without_a_link_is_not_ready(tunnel, ask):
    tunnel.start_origin()
    tunnel.origin.wait_for_log("connect failed, retrying")
    code, shown = ask("status", *role(tunnel.origin))
    assert code == 1
    assert shown.startswith("origin box: not ready: ")
    tunnel.origin.kill()


def test_clients_are_listed_and_closed(shared_tunnel, ask):
    client, server = shared_tunnel.pair()
    client.send(b"x" * 5000)
    server.receive(5000)
    remote = role(shared_tunnel.remote)
    address = "{}:{}".format(*client.sock.getsockname())
    code, shown = ask("clients", "--json", "--service", "default", *remote)
    assert code == 0
    (found,) = [each for each in json.loads(shown) if each["address"] == address]
    assert (found["service"], found["origin"], found["bytes_up"]) == ("default", "box", 5000)
    assert ask("clients", "--close", found["id"], *remote) == (0, f"closed {found['id']}\n")
    for peer in (client, server):
        with pytest.raises(ConnectionResetError):
            peer.receive_all()
    assert ask("clients", "--close", found["id"], *remote) == (1, "")


def test_events_are_shown_as_they_happen(shared_tunnel, programs):
    # Other tests may have caused many events since.
    events = ("events", "--follow", "--recent", "1000")
    follow = programs.quictunnel(*events, *role(shared_tunnel.remote))
    follow.wait_for(r"^\S+Z INFO  origin connected  origin=box ")
    client, _ = shared_tunnel.pair()
    address = "{}:{}".format(*client.sock.getsockname())
    follow.wait_for(rf"^\S+Z INFO  {CLIENT_ACCEPTED}  client={address} service=default id=")
    follow.signal(signal.SIGINT)
    assert follow.wait() == 0


def test_the_last_events_are_json_for_scripts(shared_tunnel, ask):
    code, shown = ask("events", "--recent", "1000", "--json", *role(shared_tunnel.origin))
    names = [json.loads(line)["event"] for line in shown.splitlines()]
    assert code == 0
    assert "link-established" in names


def test_following_ends_with_the_role(tunnel, programs):
    tunnel.start_remote()
    tunnel.wait_for_remote()
    follow = programs.quictunnel("events", "--follow", *role(tunnel.remote))
    follow.wait_for("remote started")
    tunnel.remote.signal(signal.SIGTERM)
    assert tunnel.remote.wait() == 0
    assert follow.wait() == 3
    assert re.fullmatch(r"quictunnel: the remote \(process \d+\) .*\n", follow.stderr) or (
        "was lost" in follow.stderr
    )


def test_top_shows_clients_until_q(tunnel):
    tunnel.up()
    client, server = tunnel.pair()
    port = client.sock.getsockname()[1]
    command = [QUICTUNNEL, "top", *role(tunnel.remote)]
    with TerminalProgram(command) as top:
        top.wait_for(rf"{LOOPBACK}:{port} ")
        assert "remote " in top.screen[0]
        server.reset()
        client.reset()
        top.wait_for("^no clients")
        top.press("q")
        assert top.wait() == 0


def test_a_process_that_is_no_role_is_exit_code_3(programs):
    program = programs.quictunnel("status", "--pid", 1)
    assert program.wait() == 3
    assert re.fullmatch(r"quictunnel: process 1 is no .*\n", program.stderr)


@pytest.mark.parametrize("command", ["status", "clients", "top", "events"])
def test_ctrl_c_ends_a_command_whose_role_hangs(programs, tmp_path, command):
    path = tmp_path / "hangs.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(PATIENCE)
        program = programs.quictunnel(command, "--socket", path)
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            program.signal(signal.SIGINT)
            assert program.wait() == 130
    assert program.stderr == program.stdout == ""


# The probe


def test_a_probe_through_the_tunnel(shared_tunnel, programs):
    probe = programs.quictunnel("probe", f"http://{LOOPBACK}:{shared_tunnel.outside_port}/")
    server = shared_tunnel.accept()
    server.receive(4)
    server.send(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    server.send_eof()
    assert probe.wait() == 0
    assert re.fullmatch(
        r"ok: http://\S+/ HTTP 204: connected .* ms, first byte .* ms, total .*s\n", probe.stdout
    )


def test_a_probe_of_a_server_that_waits(shared_tunnel, programs):
    probe = programs.quictunnel("probe", f"tcp://{LOOPBACK}:{shared_tunnel.outside_port}")
    server = shared_tunnel.accept()
    assert server.receive_all() == b""
    server.send_eof()
    assert probe.wait() == 0
    assert " sends nothing: " in probe.stdout


@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_a_probe_without_an_origin_fails(tunnel, programs, scheme):
    tunnel.start_remote("--client-wait", "1s")
    tunnel.wait_for_remote()
    probe = programs.quictunnel("probe", f"{scheme}://{LOOPBACK}:{tunnel.outside_port}")
    assert probe.wait() == 1
    assert "the connection was reset: no origin serves this address" in probe.stderr
    tunnel.remote.wait_for_log(NO_ORIGIN_IN_TIME)


def test_a_probe_of_a_server_that_does_not_run_fails(tunnel, programs):
    tunnel.up()
    tunnel.server.close()
    probe = programs.quictunnel("probe", f"tcp://{LOOPBACK}:{tunnel.outside_port}")
    assert probe.wait() == 1
    assert "or its server refuses connections" in probe.stderr
