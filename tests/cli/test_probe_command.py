"""`quictunnel probe`: what works, and the sentence for what does not."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time

import pytest
from scripted_server import ScriptedServer, answer, request, reset, until_closed, with_tls

from quictunnel.cli import probe_run
from quictunnel.cli.main import invoke
from quictunnel.config.state import load_or_make_certificate

END = b"\r\n\r\n"

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

TIMES = r"connected [\d.]+ ms, first byte [\d.]+ ms, total [\d.]+ ms"

NO_ORIGIN = "no origin serves this address, or its server refuses connections"


@pytest.fixture
def server():
    """Starts servers, and returns their ports."""
    servers = []

    def start(treat) -> int:
        servers.append(ScriptedServer(treat))
        return servers[-1].port

    yield start
    for each in servers:
        each.__exit__()


@pytest.fixture
def context(tmp_path):
    """The TLS settings of a server whose certificate no authority has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*load_or_make_certificate(tmp_path / "pair"))
    return context


@pytest.fixture
def works(run):
    """Runs a probe that succeeds, and returns its line."""

    def works(*words) -> str:
        (line,) = run("probe", *words)
        return line

    return works


@pytest.fixture
def fails(capsys):
    """Runs a probe that fails, and returns its sentence without the times."""

    def fails(url, *words) -> str:
        assert invoke(["probe", url, *words]) == 1
        out, err = capsys.readouterr()
        assert not out
        assert err.count("\n") == 1
        assert err.startswith(f"quictunnel probe: {url}: ")
        return re.sub(
            r"( \(connected .*\))?\n$", "", err.removeprefix(f"quictunnel probe: {url}: ")
        )

    return fails


@pytest.fixture
def quick(monkeypatch):
    """Waits for the greeting of a server for a moment only."""
    monkeypatch.setattr(probe_run, "GREETING_TIME", 0.05)


def test_a_page(server, works):
    url = f"http://127.0.0.1:{server(answer(OK))}/"
    assert re.fullmatch(rf"ok: {url} HTTP 200: {TIMES}", works(url))


def test_the_request(server, works):
    seen = []

    def keep(connection):
        seen.append(request(connection).decode().split("\r\n"))
        connection.sendall(OK)

    port = server(keep)
    works(f"http://localhost:{port}/a?b=c")
    assert seen[0][:2] == ["GET /a?b=c HTTP/1.1", f"Host: localhost:{port}"]
    assert any(line.startswith("User-Agent: quictunnel/") for line in seen[0])


def test_json(server, run):
    url = f"http://127.0.0.1:{server(answer(OK))}/"
    found = json.loads("\n".join(run("probe", url, "--json")))
    times = [found.pop(name) for name in ("connect", "first_byte", "total")]
    assert times == sorted(times)
    assert found == {
        "url": url,
        "ok": True,
        "address": url[7:-1],
        "tls": None,
        "status": 200,
        "size": 5,
        "greeting": None,
        "failure": None,
    }


def test_json_of_a_failure(server, capsys):
    port = server(reset)
    assert invoke(["probe", f"tcp://127.0.0.1:{port}", "--json"]) == 1
    out, err = capsys.readouterr()
    assert not err
    found = json.loads(out)
    assert not found["ok"]
    assert found["failure"] == f"the connection was reset: {NO_ORIGIN}"
    assert found["first_byte"] is None


@pytest.mark.parametrize("status", [204, 301, 404, 499])
def test_a_status_below_500_works(server, works, status):
    url = f"http://127.0.0.1:{server(answer(b'HTTP/1.1 %d x' % status + END))}/"
    assert f" HTTP {status}: " in works(url)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (500, "the server has an error of its own"),
        (502, "a proxy before or behind the tunnel gets no answer"),
        (503, "a proxy before or behind the tunnel gets no answer"),
    ],
)
def test_a_status_of_an_error(server, fails, status, reason):
    port = server(answer(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status))
    assert fails(f"http://127.0.0.1:{port}/") == f"the status is {status}: {reason}"


def test_a_status_that_is_expected(server, works, fails):
    port = server(answer(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"))
    url = f"http://127.0.0.1:{port}/"
    assert works(url, "--status", "200-299", "--status", "503")
    assert fails(url, "--status", "200", "--status", "300-399") == (
        "the status is 503, not 200 or 300-399"
    )


def test_a_long_page_is_not_read_to_its_end(server, run, monkeypatch):
    monkeypatch.setattr(probe_run, "MAX_CONTENT", 100_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n"
    port = server(answer(head + bytes(200_000)))
    found = json.loads("\n".join(run("probe", f"http://127.0.0.1:{port}/", "--json")))
    assert 100_000 <= found["size"] < 200_000


def test_tls(server, context, works, fails):
    url = f"https://127.0.0.1:{server(with_tls(context, answer(OK)))}/"
    assert fails(url).startswith("the certificate is not accepted: self-signed certificate")
    assert " HTTP 200: " in works(url, "--insecure")


def test_a_server_without_tls(server, fails):
    port = server(lambda sock: (sock.recv(9999), sock.sendall(OK)))
    assert fails(f"https://127.0.0.1:{port}/") == (
        "the server does not speak TLS at this port: is it http:// instead of https://?"
    )


def test_a_reset_in_the_handshake(server, fails):
    port = server(lambda sock: (sock.recv(9999), reset(sock)))
    assert fails(f"https://127.0.0.1:{port}/") == f"the connection was reset: {NO_ORIGIN}"


def test_a_close_in_the_handshake(server, fails):
    sentence = fails(f"https://127.0.0.1:{server(lambda sock: sock.recv(9999))}/")
    assert sentence == f"the connection was closed during TLS: {NO_ORIGIN}"


def test_a_name_without_a_service(server, context, fails):
    def refuse(*_):
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = refuse
    port = server(with_tls(context, answer(OK)))
    assert fails(f"https://localhost:{port}/").endswith(NO_ORIGIN)


def test_another_protocol(server, fails):
    assert fails(f"http://127.0.0.1:{server(answer(b'220 mail ESMTP' + bytes(9)))}/") == (
        "the answer is no valid HTTP: is it another port, or https:// instead of http://?"
    )


def test_no_answer(server, fails):
    assert fails(f"http://127.0.0.1:{server(answer(b''))}/") == (
        f"the connection was closed without an answer: {NO_ORIGIN}"
    )


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
def test_an_answer_that_is_cut_off(server, fails, content):
    assert fails(f"http://127.0.0.1:{server(answer(content))}/") == (
        "the answer was cut off before its end: its server, or the link, has ended it"
    )


def test_a_server_that_hangs(server, fails):
    assert fails(f"http://127.0.0.1:{server(until_closed)}/", "--timeout", "300ms") == (
        "connected, but no answer within 300ms: the origin does not answer the remote, or its "
        "server hangs"
    )


def test_an_answer_that_never_ends(server, fails):
    ended = threading.Event()

    def drip(connection):
        request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not ended.wait(0.02):
            connection.sendall(b".")

    url = f"http://127.0.0.1:{server(drip)}/"
    assert fails(url, "--timeout", "500ms") == "the answer was not complete within 500ms"
    ended.set()


def test_a_head_that_never_ends(server, fails):
    ended = threading.Event()

    def drip(connection):
        while not ended.wait(0.02):
            connection.sendall(b"H")

    url = f"http://127.0.0.1:{server(drip)}/"
    assert fails(url, "--timeout", "500ms").startswith("connected, but no answer within 500ms: ")
    ended.set()


@pytest.mark.parametrize("scheme", ["http", "https", "tcp"])
def test_a_port_where_nothing_listens(fails, scheme):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    address = f"127.0.0.1:{port}"
    assert fails(f"{scheme}://{address}" + ("" if scheme == "tcp" else "/")) == (
        f"{address} refuses connections: no remote listens there, or a firewall rejects them"
    )


def test_a_name_that_does_not_resolve(fails):
    sentence = fails("http://nowhere.invalid/")
    assert sentence.startswith("the name nowhere.invalid does not resolve: ")


def test_a_resolver_that_hangs(fails, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: time.sleep(60))
    assert fails("http://a.example/", "--timeout", "100ms") == (
        "the name a.example was not resolved within 100ms"
    )


def addresses(*ports: int):
    def look_up(*_, **__):
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in ports]

    return look_up


def test_one_of_several_addresses(server, works, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setattr("socket.getaddrinfo", addresses(port, server(answer(OK))))
    assert " HTTP 200: " in works("http://a.example/")


def test_an_address_that_does_not_answer(fails, works, server, monkeypatch):
    good = server(answer(OK))
    real = socket.socket.connect

    def connect(sock, address):
        if address[1] == 1:
            time.sleep(sock.gettimeout())
            raise TimeoutError
        real(sock, address)

    monkeypatch.setattr("socket.socket.connect", connect)
    monkeypatch.setattr("socket.getaddrinfo", addresses(1, good))
    assert " HTTP 200: " in works("http://a.example/", "--timeout", "4s")
    monkeypatch.setattr("socket.getaddrinfo", addresses(1))
    assert fails("http://a.example/", "--timeout", "100ms") == (
        "127.0.0.1:1 did not answer within 100ms: the machine is down, or a firewall drops "
        "connections"
    )


# TCP


def test_a_greeting(server, works):
    port = server(lambda sock: sock.sendall(b"SSH-2.0-x\x1b\nand more"))
    url = f"tcp://127.0.0.1:{port}"
    assert re.fullmatch(re.escape(f'ok: {url} sends "SSH-2.0-x\\x1b": ') + TIMES, works(url))


def test_a_server_that_waits_for_its_client(server, works, quick):
    url = f"tcp://127.0.0.1:{server(until_closed)}"
    assert re.fullmatch(rf"ok: {url} sends nothing: connected \S+ ms, total \S+ ms", works(url))


def test_a_server_that_stays_open(server, works):
    ended = threading.Event()
    url = f"tcp://127.0.0.1:{server(lambda sock: (until_closed(sock), ended.wait(20)))}"
    assert " sends nothing: " in works(url, "--timeout", "400ms")
    ended.set()


def test_a_server_that_answers_a_fin(server, works, quick):
    def farewell(connection):
        until_closed(connection)
        connection.sendall(b"bye\r\n")

    assert ' sends "bye": ' in works(f"tcp://127.0.0.1:{server(farewell)}")


def test_a_reset_that_comes_late(server, fails, quick):
    def treat(connection):
        until_closed(connection)
        reset(connection)

    for treatment in (reset, treat):
        assert fails(f"tcp://127.0.0.1:{server(treatment)}") == (
            f"the connection was reset: {NO_ORIGIN}"
        )


def test_an_end_without_a_byte(server, fails):
    assert fails(f"tcp://127.0.0.1:{server(lambda _: None)}") == (
        "the connection was closed at once, without data"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ftp://a/"], "'ftp://a/' is not a URL to probe; write https://www.example.com/ or tcp:"),
        (["www.example.com"], "'www.example.com' is not a URL to probe"),
        (["http://me:secret@a/"], "a URL to probe has no user name and no password"),
        (["tcp://a"], "'a' has no port"),
        (["tcp://a:1/b"], "'1/b' is not a port"),
        (["http://a/", "--status", "2xx"], "--status: '2xx' is not a status; write for example"),
        (["http://a/", "--status", "300-200"], "--status: '300-200' has no status; write the low"),
        (["http://a/", "--timeout", "0"], "--timeout must be between 100ms and 1h"),
        (["http://a/", "--timeout", "soon"], "--timeout: 'soon' is not a duration"),
        ([], "Missing argument 'URL'"),
    ],
)
def test_a_users_mistake_is_exit_code_2(fail, words, sentence):
    line = fail("probe", *words)
    assert sentence in line
    assert "secret" not in line


def test_the_schemes_may_be_in_upper_case(server, works):
    port = server(answer(OK))
    assert works(f"HTTP://127.0.0.1:{port}/").startswith(f"ok: http://127.0.0.1:{port}/ ")
    greeting = server(lambda sock: sock.sendall(b"x"))
    assert works(f"TCP://127.0.0.1:{greeting}/").startswith(f"ok: tcp://127.0.0.1:{greeting} ")


def test_a_reset_that_comes_before_the_connection_is_reported(fails, monkeypatch):
    def connect(*_):
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr("socket.socket.connect", connect)
    assert fails("tcp://127.0.0.1:1") == f"the connection was reset: {NO_ORIGIN}"
