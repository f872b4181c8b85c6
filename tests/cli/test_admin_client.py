"""Requests to the admin interface of a role, and a sentence for each way in which they fail."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from typing import Any

import pytest
from fake_role import EVENT, FakeRole, stream

from quictunnel.admin.answers import Status
from quictunnel.cli import admin_client
from quictunnel.cli.admin_client import AdminClient, RequestRefused
from quictunnel.config.addresses import HostPort
from quictunnel.config.certificates import load_pair
from quictunnel.config.state import load_or_make_certificate
from quictunnel.config.urls import HttpUrl, parse_http_url
from quictunnel.errors import RoleUnavailable

NAME = "the remote (process 123)"


@pytest.fixture
def client(role, role_socket):
    """A client of the role."""
    return AdminClient(role_socket, NAME)


@pytest.fixture
def raw(role_socket, tmp_path):
    """Answers one connection with these bytes, then closes it."""
    listeners = []

    def answer(content: bytes) -> AdminClient:
        path = tmp_path / f"raw-{len(listeners)}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.fspath(path))
        listener.listen()
        listeners.append(listener)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(content)

        threading.Thread(target=serve, daemon=True).start()
        return AdminClient(path, NAME)

    yield answer
    for listener in listeners:
        listener.close()


def failure(client: AdminClient, kind: Any = dict) -> str:
    with pytest.raises(RoleUnavailable) as caught:
        client.get("status", kind)
    return str(caught.value)


def test_an_answer_is_read_as_a_type_and_unknown_members_are_ignored(client, role):
    status = client.get("status", Status, since=3)
    assert (status.role, status.version, status.is_ready) == ("remote", "1.2.3", True)
    assert role.requests == ["GET /api/v1/status?since=3"]


def test_a_command_is_json(client, role):
    client.post("clients/c1/close")
    assert role.requests == ["POST /api/v1/clients/c1/close {}"]
    assert [each["id"] for each in role.clients] == ["c2"]


def test_a_command_that_is_refused_has_the_sentence_of_the_role(client):
    with pytest.raises(RequestRefused, match=r"^there is no client c9$"):
        client.post("clients/c9/close")


def test_events_come_until_the_stream_ends(client, role):
    role.streams = [stream("hello", EVENT)]
    assert [event.name for event in client.events(is_endless=True, recent=1)] == ["", "link-silent"]
    assert role.requests == ["GET /api/v1/events?recent=1"]


def test_a_role_that_does_not_run(tmp_path):
    gone = AdminClient(tmp_path / "gone", NAME)
    assert failure(gone) == f"{NAME} does not run: no such file or directory"
    dead = tmp_path / "dead"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.fspath(dead))
    assert failure(AdminClient(dead, NAME)) == f"{NAME} does not run: connection refused"


def test_a_role_of_another_user(client, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(admin_client._UnixConnection, "connect", refuse)
    assert failure(client).startswith(f"permission denied: {NAME} runs as another user; use sudo")


@pytest.mark.parametrize(
    "answer",
    [
        (404, b"Not Found"),
        (404, {"error": "there is no such path"}),
        {"role": "remote"},
        b"\xff",
        b'{"x":' * 20_000,
    ],
)
def test_a_role_of_another_version(client, role, answer):
    role.answers["status"] = answer
    assert f"{NAME} is of another version than this command" in failure(client, Status)


def test_a_role_that_refuses_the_request(client, role):
    role.answers["status"] = (421, {"error": "wrong host"})
    assert failure(client) == f"{NAME} refuses the request: wrong host"
    role.answers["status"] = (500, b"oops")
    assert failure(client) == f"{NAME} refuses the request: HTTP status 500"
    role.answers["status"] = (500, ["oops"])
    assert failure(client) == f"{NAME} refuses the request: HTTP status 500"


def test_an_error_that_is_nested_without_end(client, role):
    role.answers["status"] = (500, b'{"error":' * 20_000)
    assert failure(client) == f"{NAME} refuses the request: HTTP status 500"


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", b" "),
    ],
)
def test_an_answer_that_does_not_end(tmp_path, monkeypatch, start, more):
    monkeypatch.setattr(admin_client, "ANSWER_TIMEOUT", 0.3)
    path = tmp_path / "endless"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(start)
                while True:
                    connection.sendall(more)
                    time.sleep(0.01)

        thread = threading.Thread(target=serve)
        thread.start()
        assert failure(AdminClient(path, NAME)) == f"{NAME} does not answer"
        thread.join()


def test_a_role_that_ends_meanwhile(raw):
    lost = f"the connection to {NAME} was lost: it has ended"
    assert failure(raw(b"")) == lost
    assert failure(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}")) == lost


def test_another_program(raw):
    sentence = failure(raw(b"SSH-2.0-OpenSSH_9.9\r\n"))
    assert sentence == (
        f"{NAME} gives no valid HTTP response: is it an admin interface of quictunnel?"
    )


def test_a_role_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(admin_client, "TIMEOUT", 0.05)
    path = tmp_path / "busy"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.fspath(path))
        sock.listen()
        assert failure(AdminClient(path, NAME)) == f"{NAME} does not answer"


def test_an_answer_is_bounded(client, role, monkeypatch):
    monkeypatch.setattr(admin_client, "MAX_RESPONSE", 100)
    role.answers["status"] = b" " * 101
    assert failure(client) == f"{NAME} sends too long an answer"


def test_a_socket_path_that_is_too_long(tmp_path):
    path = tmp_path / ("x" * 150)
    assert failure(AdminClient(path, NAME)).startswith(f"cannot connect to {NAME}: ")


@pytest.fixture
def tcp_role():
    """An admin interface at a port."""
    role = FakeRole()
    yield role
    role.close()


def at(url: str, token: str | None = None) -> AdminClient:
    return AdminClient(parse_http_url(url, "", ""), NAME, token)


def test_a_url_may_have_a_path(tcp_role):
    tcp_role.answers["/quictunnel/api/v1/status"] = {"role": "remote"}
    assert at(f"{tcp_role.url}/quictunnel/").get("status", dict) == {"role": "remote"}


def test_a_token(tcp_role):
    tcp_role.token = "secret"
    assert at(tcp_role.url, "secret").get("status", Status).role == "remote"
    assert failure(at(tcp_role.url)) == f"{NAME} needs a token; give it with --admin-token-file"
    assert failure(at(tcp_role.url, "wrong")) == (
        f"{NAME} does not accept the token of --admin-token-file"
    )


def test_a_name_that_does_not_resolve():
    assert failure(at("http://nowhere.invalid/")).startswith(f"cannot connect to {NAME}: ")


def test_a_certificate_that_is_not_accepted(tmp_path):
    pair = load_or_make_certificate(tmp_path)
    load_pair(*pair)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        url = HttpUrl("https", HostPort(*listener.getsockname()), "/")
        sentence = failure(AdminClient(url, NAME))
        thread.join()
    assert sentence.startswith(f"TLS with {NAME} failed: ")
    assert "certificate" in sentence
