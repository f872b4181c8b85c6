"""Opening a WebSocket: directly and through proxies, trusted and not, and every way to fail."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import subprocess
import sys

import pytest
from fake_proxies import FakeProxy, answering, connecting, socks
from websocket_doubles import RecordingHandler
from websocket_remote import WebSocketRemote

from quictunnel.config.proxies import parse_proxy
from quictunnel.config.urls import parse_websocket_url
from quictunnel.errors import LinkFailed
from quictunnel.quic.path import websocket_opener
from quictunnel.quic.path.datagram_queue import MAX_BYTES
from quictunnel.quic.path.websocket_frames import MAX_DATAGRAM
from quictunnel.quic.path.websocket_opener import WebSocketOpener
from quictunnel.quic.path.websocket_path import MAX_WRITE
from quictunnel.session.resolver import resolve
from testkit.certificates import write_certificate

DATAGRAMS = [os.urandom(size) for size in (1, 100, 126, 1200, 1452)] * 200


def opener_to(url, *, proxy=None, resolve=resolve, **options):
    proxy = None if proxy is None else parse_proxy(proxy)
    return WebSocketOpener(url=parse_websocket_url(url), resolve=resolve, proxy=proxy, **options)


def resolving_to(*hosts):
    """Return a resolver that finds the same addresses for each name."""

    async def resolve(_):
        return hosts

    return resolve


async def failure_of(url, **options):
    """Return the sentence with which opening fails."""
    with pytest.raises(LinkFailed) as raised:
        await opener_to(url, **options).open()
    return str(raised.value)


async def check_echo(remote, opener):
    """Open a path, and send datagrams in both directions."""
    path = await opener.open()
    path.handler = handler = RecordingHandler()
    path.send(DATAGRAMS[:100])
    await remote.handler.wait_for(100)
    assert remote.handler.datagrams == DATAGRAMS[:100]
    remote.path.send(DATAGRAMS[:50])
    await handler.wait_for(50)
    assert handler.datagrams == DATAGRAMS[:50]
    path.close()
    assert await remote.handler.wait_closed() == "the peer closed the WebSocket with code 1000"
    await asyncio.sleep(0.01)
    assert handler.reasons == []


def closed_port():
    """Return a port of this machine on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def test_without_tls():
    async with WebSocketRemote() as remote:
        await check_echo(remote, opener_to(remote.url()))


async def test_a_certificate_that_does_not_verify_is_reported_once_and_used(tmp_path):
    reports = []
    async with WebSocketRemote(tmp_path) as remote:
        opener = opener_to(remote.url(), on_unverified=reports.append)
        await check_echo(remote, opener)
        path = await opener.open()
        path.handler = RecordingHandler()
        path.close()
        await asyncio.sleep(0.01)
    assert len(reports) == 1
    assert "does not verify (self-signed certificate)" in reports[0]


async def test_a_system_store_that_cannot_be_read_is_reported_and_the_websocket_used(
    tmp_path, monkeypatch
):
    empty = tmp_path / "empty.pem"
    empty.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(empty))
    reports = []
    async with WebSocketRemote(tmp_path) as remote:
        await check_echo(remote, opener_to(remote.url(), on_unverified=reports.append))
    assert len(reports) == 1
    assert "no authorities could be read from the system's store" in reports[0]
    sentence = await failure_of("wss://localhost", proxy="https://user:secret@localhost:1")
    assert sentence.startswith("the certificate of the proxy https://localhost:1 cannot be checked")
    assert "secret" not in sentence


async def test_the_final_dot_of_a_name_is_not_part_of_the_certificate(tmp_path):
    async with WebSocketRemote(tmp_path) as remote, FakeProxy(connecting([])) as proxy:
        url = remote.url().replace("localhost", "localhost.")
        options = {"ca_file": remote.certificate, "proxy": f"http://127.0.0.1:{proxy.port}"}
        await check_echo(remote, opener_to(url, **options))


async def test_an_insecure_websocket_is_not_reported(tmp_path):
    reports = []
    async with WebSocketRemote(tmp_path) as remote:
        await check_echo(
            remote, opener_to(remote.url(), insecure=True, on_unverified=reports.append)
        )
    assert reports == []


async def test_a_certificate_of_the_given_authority_is_accepted(tmp_path):
    reports = []
    async with WebSocketRemote(tmp_path) as remote:
        opener = opener_to(remote.url(), ca_file=remote.certificate, on_unverified=reports.append)
        await check_echo(remote, opener)
    assert reports == []


async def test_a_certificate_of_another_authority_is_refused(tmp_path):
    other = write_certificate("other.example.com", tmp_path)
    async with WebSocketRemote(tmp_path) as remote:
        sentence = await failure_of(remote.url(), ca_file=other)
    assert f"does not verify with {other}: self-signed certificate" in sentence


async def test_a_missing_file_of_authorities_is_named(tmp_path):
    missing = tmp_path / "missing.pem"
    sentence = await failure_of("wss://localhost:1/", ca_file=missing)
    assert sentence == f"no authorities could be read from {missing}: No such file or directory"


async def test_another_path_is_reported():
    async with WebSocketRemote() as remote:
        sentence = await failure_of(remote.url("/other"))
    assert sentence == (
        f"the remote's WebSocket is not at {remote.url('/other')} (status 404): check the path"
    )


async def test_tls_where_there_is_none_is_reported():
    async with WebSocketRemote() as remote:
        sentence = await failure_of(remote.url().replace("ws:", "wss:"))
    assert sentence.startswith(f"TLS with localhost:{remote.port} failed (")


async def test_a_port_without_a_server_is_reported():
    port = closed_port()
    assert await failure_of(f"ws://127.0.0.1:{port}") == (
        f"127.0.0.1:{port} refuses TCP connections"
    )


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ([errno.ECONNREFUSED] * 2, "refuses TCP connections"),
        ([errno.EHOSTUNREACH], "cannot be reached: no route to host"),
        (
            [errno.ECONNREFUSED, errno.ENETUNREACH],
            "cannot be reached: connection refused and network is unreachable",
        ),
    ],
)
async def test_a_failure_at_several_addresses_is_one_sentence(monkeypatch, codes, words):
    hosts = [f"192.0.2.{index}" for index, _ in enumerate(codes)]

    async def connect(sock, address):
        code = codes[int(address[0].rpartition(".")[2])]
        raise OSError(code, f"Connect call failed {address}")

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "sock_connect", connect)
    options = {"resolve": resolving_to(*hosts)}
    assert await failure_of("ws://remote.example:81", **options) == f"remote.example:81 {words}"
    proxy = "socks5h://remote.example:81"
    assert await failure_of("ws://web.example", proxy=proxy, **options) == (
        f"the proxy {proxy} {words}"
    )


async def test_a_name_that_does_not_resolve_is_reported():
    sentence = await failure_of("ws://nothing.invalid")
    assert sentence.startswith("the name nothing.invalid does not resolve (")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "opens no WebSocket (status 502)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", "opens no WebSocket (status 200)"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", "opens no WebSocket: "),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "opens no WebSocket: "),
        (b"a" * 20_000, "does not answer with HTTP: the head of the HTTP message is longer"),
    ],
)
async def test_another_server_is_reported(answer, words):
    async with FakeProxy(answering(answer)) as server:
        assert words in await failure_of(f"ws://127.0.0.1:{server.port}")


async def test_a_server_that_closes_is_reported():
    async def close(reader, writer):
        await reader.readuntil(b"\r\n\r\n")

    async with FakeProxy(close) as server:
        sentence = await failure_of(f"ws://127.0.0.1:{server.port}")
    assert sentence.startswith(f"ws://127.0.0.1:{server.port}/quictunnel does not answer with HTTP")


async def test_a_silent_server_ends_the_attempt(monkeypatch):
    async def wait(reader, writer):
        await asyncio.sleep(60)

    monkeypatch.setattr(websocket_opener, "TIMEOUT", 0.2)
    async with FakeProxy(wait) as server:
        for scheme in ("ws", "wss"):
            sentence = await failure_of(f"{scheme}://127.0.0.1:{server.port}")
            assert "did not answer within 0.2 s" in sentence
        proxy = f"http://user:secret@127.0.0.1:{server.port}"
        sentence = await failure_of("wss://localhost", proxy=proxy)
        assert f"did not answer through the proxy http://127.0.0.1:{server.port}" in sentence
        sentence = await failure_of("wss://localhost", proxy=proxy.replace("http", "socks5h"))
        assert "secret" not in sentence


# Proxies


async def test_http_connect_without_a_login(tmp_path):
    heads = []
    async with WebSocketRemote(tmp_path) as remote, FakeProxy(connecting(heads)) as proxy:
        opener = opener_to(
            remote.url(), ca_file=remote.certificate, proxy=f"http://127.0.0.1:{proxy.port}"
        )
        await check_echo(remote, opener)
    place = f"localhost:{remote.port}"
    assert heads == [f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n"]


async def test_http_connect_with_a_login():
    heads = []
    async with WebSocketRemote() as remote, FakeProxy(connecting(heads)) as proxy:
        proxy_url = f"http://user:se%3Acret@127.0.0.1:{proxy.port}"
        await check_echo(remote, opener_to(remote.url(), proxy=proxy_url))
    assert "\r\nProxy-Authorization: Basic dXNlcjpzZTpjcmV0\r\n" in heads[0]


async def test_names_are_left_to_an_http_proxy():
    heads = []
    async with FakeProxy(connecting(heads)) as proxy:
        await failure_of("ws://nothing.invalid:1", proxy=f"http://127.0.0.1:{proxy.port}")
    assert heads[0].startswith("CONNECT nothing.invalid:1 ")


@pytest.mark.parametrize(
    ("answer", "login", "words"),
    [
        (b"407 Authentication Required", "", "asks for a user name and a password"),
        (b"407 Authentication Required", "user:secret@", "rejects the user name or the password"),
        (b"401 Unauthorized", "user:secret@", "rejects the user name or the password"),
        (b"403 Forbidden", "", "refuses a connection to localhost:443 (status 403)"),
        (b"503 Unavailable", "", "cannot reach localhost:443 (status 503)"),
        (b"garbage", "", "does not speak HTTP"),
        (b"200 OK\r\n\r\nearly", "", "sent data before"),
    ],
)
async def test_a_refusal_of_an_http_proxy_is_reported(answer, login, words):
    async with FakeProxy(answering(b"HTTP/1.1 " + answer + b"\r\n\r\n")) as proxy:
        url = f"http://{login}127.0.0.1:{proxy.port}"
        sentence = await failure_of("wss://localhost", proxy=url)
    assert words in sentence
    assert f"the proxy http://127.0.0.1:{proxy.port}" in sentence
    assert "secret" not in sentence


async def test_a_proxy_that_is_not_there_is_reported():
    port = closed_port()
    for scheme in ("http", "https", "socks5h"):
        sentence = await failure_of("wss://localhost", proxy=f"{scheme}://127.0.0.1:{port}")
        assert sentence == f"the proxy {scheme}://127.0.0.1:{port} refuses TCP connections"


async def test_a_proxy_whose_name_does_not_resolve_is_reported():
    for scheme in ("http", "socks5h"):
        sentence = await failure_of("wss://localhost", proxy=f"{scheme}://proxy.invalid:1")
        assert sentence.startswith("the name proxy.invalid does not resolve (")


async def test_a_proxy_with_tls_must_have_a_trusted_certificate(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_certificate("localhost", tmp_path))
    heads = []
    async with FakeProxy(connecting(heads), ssl=context) as proxy:
        url = f"https://user:secret@localhost:{proxy.port}"
        sentence = await failure_of("wss://localhost", proxy=url)
    assert "does not verify: self-signed certificate" in sentence
    assert heads == []


async def test_https_proxy_carries_tls_in_tls(tmp_path, monkeypatch):
    certificate = write_certificate("localhost", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    heads = []
    (tmp_path / "remote").mkdir()
    async with (
        WebSocketRemote(tmp_path / "remote") as remote,
        FakeProxy(connecting(heads), ssl=context) as proxy,
    ):
        opener = opener_to(remote.url(), insecure=True, proxy=f"https://localhost:{proxy.port}")
        await check_echo(remote, opener)
    assert len(heads) == 1


@pytest.fixture
def proxy_tls(tmp_path, monkeypatch):
    """Return the TLS settings of a proxy whose certificate verifies."""
    certificate = write_certificate("localhost", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return context


@pytest.mark.parametrize("reads", [False, True])
async def test_an_https_proxy_that_closes_the_tunnel_is_reported(proxy_tls, reads, caplog):
    async def script(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.drain()
        if reads:
            await reader.read(10)
        writer.close()

    async with FakeProxy(script, ssl=proxy_tls) as proxy:
        sentence = await failure_of("wss://localhost", proxy=f"https://localhost:{proxy.port}")
    assert sentence.startswith("TLS with localhost:443 failed (the connection was closed)")
    assert caplog.records == []


async def test_an_https_proxy_that_closes_at_once_is_reported_at_once(proxy_tls, monkeypatch):
    async def script(reader, writer):
        pass

    async def slowly(function, *args):
        await asyncio.sleep(0.1)
        return function(*args)

    monkeypatch.setattr(asyncio, "to_thread", slowly)
    async with FakeProxy(script) as proxy:
        sentence = await failure_of("ws://localhost", proxy=f"https://localhost:{proxy.port}")
    assert sentence.startswith(f"TLS with the proxy https://localhost:{proxy.port} failed (")


async def test_socks_without_a_login():
    seen = []
    async with WebSocketRemote() as remote, FakeProxy(socks(seen)) as proxy:
        opener = opener_to(remote.url(), proxy=f"socks5h://127.0.0.1:{proxy.port}")
        await check_echo(remote, opener)
    assert seen == ["localhost"], "the proxy resolves the name"


async def test_socks_with_a_login_and_local_names(tmp_path):
    seen = []
    script = socks(seen, login=("user", "secret"))
    async with WebSocketRemote(tmp_path) as remote, FakeProxy(script) as proxy:
        url = remote.url().replace("localhost", "127.0.0.1")
        opener = opener_to(url, insecure=True, proxy=f"socks5://user:secret@127.0.0.1:{proxy.port}")
        await check_echo(remote, opener)
    assert seen == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("options", "login", "words"),
    [
        ({"login": ("user", "right")}, "", "asks for a user name and a password"),
        ({"login": ("user", "right")}, "user:secret@", "rejects the user name or the password"),
        ({"method": 0xFF}, "user:secret@", "rejects the user name or the password"),
        ({"method": 0x55}, "", "does not open a connection"),
        ({"reply": 1}, "", "cannot reach localhost:443 (general socks server failure)"),
        ({"reply": 2}, "", "refuses a connection to localhost:443"),
        ({"reply": 5}, "", "cannot reach localhost:443 (connection refused"),
        ({"reply": 7}, "", "does not open a connection: command not supported"),
        ({"reply": 99}, "", "does not open a connection: invalid reply code"),
    ],
)
async def test_a_refusal_of_a_socks_proxy_is_reported(options, login, words):
    async with FakeProxy(socks([], **options)) as proxy:
        url = f"socks5h://{login}proxy.example:{proxy.port}"
        resolve = resolving_to("127.0.0.1", "127.0.0.1")
        sentence = await failure_of("wss://localhost", proxy=url, resolve=resolve)
    assert proxy.connections == 1, "the other address would answer the same"
    assert words in sentence
    assert "secret" not in sentence


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\5", b""])
async def test_a_server_that_is_no_socks_proxy_is_reported(answer):
    async def script(reader, writer):
        writer.write(answer)
        await writer.drain()

    async with FakeProxy(script) as proxy:
        url = f"socks5h://127.0.0.1:{proxy.port}"
        sentence = await failure_of("wss://localhost", proxy=url)
    assert sentence.startswith(f"the proxy {url} ")


async def test_socks_passwords_beyond_ascii_are_not_sent():
    sentence = await failure_of("wss://localhost", proxy="socks5h://user:%C3%A4@127.0.0.1:1")
    assert "letters beyond ASCII" in sentence
    assert "ä" not in sentence


async def test_a_name_that_only_the_proxy_may_know_suggests_so():
    sentence = await failure_of("wss://nothing.invalid", proxy="socks5://127.0.0.1:1")
    assert sentence == (
        "the name nothing.invalid does not resolve here: with socks5h://127.0.0.1:1 the proxy "
        "resolves it"
    )


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
async def test_a_proxy_is_tried_at_all_its_addresses(scheme):
    script = connecting([]) if scheme == "http" else socks([])
    async with WebSocketRemote() as remote, FakeProxy(script) as proxy:
        resolve = resolving_to("127.0.0.2", "127.0.0.1")  # nothing listens at the first
        url = f"{scheme}://proxy.example:{proxy.port}"
        await check_echo(remote, opener_to(remote.url(), proxy=url, resolve=resolve))


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_an_address_of_a_proxy_that_does_not_answer_delays_the_next_one_little(
    monkeypatch, scheme
):
    connect = asyncio.get_running_loop().sock_connect

    async def connect_slowly(sock, address):
        if address[0] == "127.0.0.2":
            await asyncio.sleep(60)
        await connect(sock, address)

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect_slowly)
    script = connecting([]) if scheme == "http" else socks([])
    async with WebSocketRemote() as remote, FakeProxy(script) as proxy:
        url = f"{scheme}://proxy.example:{proxy.port}"
        resolve = resolving_to("127.0.0.2", "127.0.0.1")
        async with asyncio.timeout(5):
            await check_echo(remote, opener_to(remote.url(), proxy=url, resolve=resolve))


async def test_a_cancelled_attempt_leaves_no_connection():
    closed = asyncio.Event()

    async def wait(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        closed.set()

    asked = asyncio.Event()
    async with FakeProxy(wait) as server:
        attempt = asyncio.create_task(opener_to(f"ws://127.0.0.1:{server.port}").open())
        await asked.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await asyncio.wait([asyncio.create_task(closed.wait())], timeout=30)
        assert closed.is_set()


def test_an_opener_imports_its_libraries_when_it_opens():
    code = (
        "import sys; import quictunnel.quic.path.websocket_opener as module; "
        "from quictunnel.config.urls import parse_websocket_url; "
        "module.WebSocketOpener(url=parse_websocket_url('wss://localhost'), resolve=None); "
        "print([name for name in sys.modules if name.split('.')[0] in "
        "('websockets', 'python_socks')])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("has_tls", [False, True], ids=["ws", "wss"])
async def test_a_peer_that_does_not_read_bounds_what_waits(tmp_path, has_tls):
    async with WebSocketRemote(tmp_path if has_tls else None) as remote:
        path = await opener_to(remote.url(), insecure=has_tls).open()
        path.handler = RecordingHandler()
        path.send([b"first"])
        await remote.handler.wait_for(1)
        remote.path._transport.pause_reading()
        while not path.dropped:
            path.send([bytes(1452)] * 64)
            await asyncio.sleep(0)
        assert path.queued <= MAX_BYTES
        assert path._tcp.get_write_buffer_size() <= 2 * MAX_WRITE
        if has_tls:
            assert path._transport.get_write_buffer_size() <= 2 * MAX_DATAGRAM
        remote.path._transport.resume_reading()
        await remote.handler.wait_for(2)
        path.close()
        await remote.handler.wait_closed()
