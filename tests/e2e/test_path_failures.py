"""An origin that reaches its remote neither over UDP nor over a WebSocket says why."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from functools import partial
from typing import TYPE_CHECKING

import pytest
from scripted_proxies import scripted_server

from quictunnel.config.tokens import Token
from testkit.diagnosis import diagnose
from testkit.programs import CONNECT_FAILED, PATIENCE, POLL_INTERVAL, free_port, logged
from testkit.tunnel import LOOPBACK

if TYPE_CHECKING:
    from testkit.programs import Program

ONE_ENGINE = True

PASSWORD = "s3cretPassw0rd"
LOGIN = f"anna:{PASSWORD}"

ANYWHERE = "wss://vps.example/quictunnel"
"""The URL of a WebSocket whose name only a proxy could resolve."""

FAILED = partial(logged, CONNECT_FAILED)


@pytest.fixture
def start_origin(programs, tmp_path):
    """Starts an origin whose remote does not run, and returns the program."""
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(Token.new().reveal())

    def start(*words: object, **environment: str) -> Program:
        remote = f"{LOOPBACK}:{free_port()}"
        command = ("origin", "8000", "--remote", remote, "--token-file", token, *words)
        return programs.quictunnel(*command, "--log-level", "info", **environment)

    return start


def assert_no_password(program: Program) -> None:
    shown = program.stdout + program.stderr
    assert PASSWORD not in shown
    assert b64encode(LOGIN.encode()).decode() not in shown


def test_a_failure_names_udp_and_the_websocket(start_origin):
    port = free_port()
    origin = start_origin("--websocket", f"ws://{LOOPBACK}:{port}")
    reason = (
        rf'"nobody listens at {LOOPBACK} on UDP port [0-9]+, .*; over the WebSocket '
        rf'ws://{LOOPBACK}:{port}/quictunnel: .* refuses TCP connections"'
    )
    origin.wait_for_log(FAILED(reason=reason))


def test_without_udp_only_the_websocket_is_tried(start_origin):
    with scripted_server("404 Not Found") as server:
        origin = start_origin("--via", "websocket", "--websocket", f"ws://{server.place}/x")
        found = origin.wait_for_log(FAILED(reason='"over a WebSocket: .*is not at .*"'))
        assert "UDP" not in found[0]
        assert server.heads[0].startswith(b"GET /x HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("login", "status", "sentence"),
    [
        ("", "407 Proxy Authentication Required", "asks for a user name and a password"),
        (f"{LOGIN}@", "407 Proxy Authentication Required", "rejects the user name or the password"),
        (f"{LOGIN}@", "403 Forbidden", "refuses a connection to vps.example:443"),
        (f"{LOGIN}@", "502 Bad Gateway", "cannot reach vps.example:443"),
    ],
)
def test_a_proxy_that_does_not_help_is_named_without_its_password(
    start_origin, login, status, sentence
):
    with scripted_server(status) as proxy:
        url = f"http://{login}{proxy.place}"
        origin = start_origin("--websocket", ANYWHERE, QUICTUNNEL_PROXY=url)
        reason = rf'".*over the WebSocket {ANYWHERE}: the proxy http://{proxy.place} {sentence}.*"'
        origin.wait_for_log(FAILED(reason=reason))
        assert proxy.heads[0].startswith(b"CONNECT vps.example:443 HTTP/1.1\r\n")
        assert (b"Proxy-Authorization: Basic" in proxy.heads[0]) == bool(login)
        assert_no_password(origin)


def test_the_environment_names_the_proxy(start_origin):
    with scripted_server("403 Forbidden") as proxy:
        origin = start_origin(
            "--websocket", ANYWHERE, "--via", "websocket", ALL_PROXY=f"http://{LOGIN}@{proxy.place}"
        )
        origin.wait_for_log(FAILED(reason=f'".*{proxy.place} refuses a connection.*"'))
        assert_no_password(origin)


def test_a_variable_that_names_no_usable_proxy_is_a_warning(start_origin):
    origin = start_origin("--websocket", ANYWHERE, HTTPS_PROXY=f"ftp://{LOGIN}@{LOOPBACK}")
    ignored = logged("proxy of the environment ignored", reason='"HTTPS_PROXY: .*"')
    origin.wait_for_log(ignored)
    origin.wait_for_log(FAILED())  # by now it handles the signal that ends it
    assert_no_password(origin)


def test_a_websocket_that_fails_is_opened_less_often_than_udp_is_tried(start_origin):
    with scripted_server("404 Not Found") as server:
        origin = start_origin("--websocket", f"ws://{server.place}")
        origin.wait_for_log(FAILED(reason='".*over a WebSocket: .*"'))
        before = len(server.heads)
        time.sleep(6.0)
        # UDP fails at once here, and is tried about twice a second.
        assert len(server.heads) - before <= 5
        deadline = time.monotonic() + PATIENCE
        while len(server.heads) == before:
            assert time.monotonic() < deadline, "the WebSocket is not tried again"
            time.sleep(POLL_INTERVAL)


def test_the_doctor_says_why_the_websocket_does_not_open(programs):
    with scripted_server("407 Proxy Authentication Required") as proxy:
        words = ("origin", "--remote", f"{LOOPBACK}:{free_port()}", "--via", "websocket")
        found = diagnose(
            programs, *words, "--websocket", ANYWHERE, "--proxy", f"http://{LOGIN}@{proxy.place}"
        )
    assert found.blames("WebSocket to the remote: .*rejects the user name or the password"), found
    assert re.search("option --websocket", repr(found))
    assert PASSWORD not in repr(found)
