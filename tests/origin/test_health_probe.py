"""Single checks of origin servers, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

import pytest

from quictunnel.config.addresses import HostPort, UnixPath
from quictunnel.config.health import HealthCheck, parse_check
from quictunnel.config.ports import PortRange
from quictunnel.config.self_signed import certificate_pem, key_pem, make_key, make_self_signed
from quictunnel.config.services import ServiceSettings
from quictunnel.origin import health_probe
from quictunnel.origin.health import CheckFailed
from quictunnel.origin.health_probe import MAX_HEAD, HealthProbe

LOOPBACK = "127.0.0.1"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEADER_V2 = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
"""LOCAL: a connection that no client has caused (proxy-protocol.txt, section 2.2)."""


class OriginServer:
    """A server that answers each request with the same bytes, and records the requests.

    :param greeting: sent at once, without a request.
    :param closes: whether it closes after the answer.
    """

    def __init__(self, answer: bytes, *, greeting: bytes = b"", closes: bool = False) -> None:
        self._answer = answer
        self._greeting = greeting
        self._closes = closes
        self.requests: list[bytes] = []
        self.endings: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.tasks: list[asyncio.Task[None]] = []

    def accept(self, reader, writer):
        self.tasks.append(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader, writer):
        writer.write(self._greeting)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError):
                self.requests.append(await reader.readuntil(b"close\r\n\r\n"))
                writer.write(self._answer)
                if self._closes:
                    writer.write_eof()
            self.endings.put_nowait(await reader.read())
        except ConnectionError as exc:
            self.endings.put_nowait(exc)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(answer: bytes = OK, *, greeting: bytes = b"", closes: bool = False, **options):
    """Serve, and yield the server and its port."""
    origin_server = OriginServer(answer, greeting=greeting, closes=closes)
    server = await asyncio.start_server(origin_server.accept, LOOPBACK, 0, **options)
    async with server:
        yield origin_server, server.sockets[0].getsockname()[1]
    await asyncio.gather(*origin_server.tasks)


async def run_check(text: str, target=None, *, time_limit: float = 20.0, **fields) -> None:
    check = HealthCheck(url=parse_check(text), timeout=time_limit)
    target = target or HostPort("elsewhere.invalid", 80)
    await HealthProbe(ServiceSettings(target=target, check=check, **fields)).run()


async def failure(text: str, **fields) -> str:
    with pytest.raises(CheckFailed) as caught:
        await run_check(text, **fields)
    return str(caught.value)


@pytest.fixture
def closed_port():
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))  # but does not listen
        yield taken.getsockname()[1]


async def test_a_server_that_listens_is_healthy_and_sees_an_orderly_end():
    for host in (LOOPBACK, "localhost"):
        async with serving() as (server, port):
            await run_check("tcp", HostPort(host, port))
            assert await server.endings.get() == b""
            assert server.requests == []


async def test_a_server_that_does_not_listen_is_not(closed_port):
    for host in (LOOPBACK, "localhost"):
        target = HostPort(host, closed_port)
        assert await failure("tcp", target=target) == "connection refused"
        assert await failure(f"http://{target}/") == "connection refused"


async def test_a_unix_socket_is_connected_to(tmp_path):
    path = str(tmp_path / "web")
    assert await failure("tcp", target=UnixPath(path)) == "no such file or directory"
    async with await asyncio.start_unix_server(lambda _, writer: writer.close(), path):
        await run_check("tcp", UnixPath(path))


async def test_the_first_port_of_a_range_is_connected_to():
    async with serving() as (server, port):
        await run_check("tcp", HostPort(LOOPBACK, port), name="ftp", ports=PortRange(100, 109))
        await server.endings.get()


async def test_a_name_that_does_not_resolve():
    reason = await failure("tcp", target=HostPort("nowhere.invalid", 1))
    assert reason.startswith("its name does not resolve: ")


async def test_names_are_not_resolved_for_each_check(monkeypatch):
    asked = []
    real = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        asked.append(host)
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with serving() as (server, port):
        for target in (HostPort("localhost", port), HostPort(LOOPBACK, port)):
            service = ServiceSettings(target=target, check=HealthCheck())
            probe = HealthProbe(service)
            for _ in range(3):
                await probe.run()
                await server.endings.get()
    assert asked.count("localhost") == 1
    assert LOOPBACK not in asked[1:]


async def test_a_request():
    async with serving() as (server, port):
        await run_check(f"http://localhost:{port}/healthz?full=1")
        assert await server.endings.get() == b""
    lines = server.requests[0].split(b"\r\n")
    assert lines[0] == b"GET /healthz?full=1 HTTP/1.1"
    assert f"Host: localhost:{port}".encode() in lines
    assert b"Connection: close" in lines
    assert any(line.startswith(b"User-Agent: quictunnel/") for line in lines)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (OK, None),
        (b"HTTP/1.0 204 No Content\r\n\r\n", None),
        (b"HTTP/1.1 302 Found\r\nLocation: http://nowhere.invalid/\r\n\r\n", None),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3 + OK, None),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP status 404"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP status 503"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", "no valid HTTP response"),
        (b"", "no valid HTTP response"),
        (b"HTTP/1.1 200", "no valid HTTP response"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no valid HTTP response"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 2 * MAX_HEAD, "no valid HTTP response"),
    ],
)
async def test_the_status_decides(answer, reason):
    async with serving(answer, closes=True) as (_, port):
        url = f"http://{LOOPBACK}:{port}/"
        if reason is None:
            await run_check(url)
        else:
            assert (await failure(url)).startswith(reason)


async def test_a_server_that_does_not_answer_is_given_up():
    async with serving(b"") as (_, port):
        reason = await failure(f"http://{LOOPBACK}:{port}/", time_limit=0.2)
        assert reason == "no answer within 0.2 s"


@pytest.mark.parametrize(
    ("version", "header"), [("off", b""), ("v1", b"PROXY UNKNOWN\r\n"), ("v2", HEADER_V2)]
)
async def test_a_server_that_expects_a_proxy_header_gets_one_without_a_client(version, header):
    async with serving() as (server, port):
        target = HostPort(LOOPBACK, port)
        await run_check(f"http://{target}/", target, proxy_protocol=version)
        await server.endings.get()
    (request,) = server.requests
    assert request.startswith(header + b"GET / ")


async def test_another_server_gets_no_proxy_header():
    async with serving() as (server, port):
        await run_check(f"http://{LOOPBACK}:{port}/", proxy_protocol="v2")
        await server.endings.get()
    (request,) = server.requests
    assert request.startswith(b"GET / ")


async def test_every_port_of_a_range_gets_the_proxy_header():
    async with serving() as (server, port):
        await run_check(
            f"http://{LOOPBACK}:{port}/",
            HostPort(LOOPBACK, port - 5),
            name="range",
            ports=PortRange(100, 109),
            proxy_protocol="v1",
        )
        await server.endings.get()
    (request,) = server.requests
    assert request.startswith(b"PROXY UNKNOWN")


@pytest.fixture
def tls(tmp_path):
    """A server's TLS settings, and those of a client that accepts its certificate."""
    key = make_key()
    certificate = make_self_signed(["localhost"], key)
    pem, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
    pem.write_bytes(certificate_pem(certificate))
    secret.write_bytes(key_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return context, ssl.create_default_context(cafile=str(pem))


async def test_https_with_a_certificate_that_is_accepted(tls, monkeypatch):
    ours, theirs = tls
    monkeypatch.setattr(health_probe, "_tls_context", lambda: theirs)
    async with serving(ssl=ours) as (server, port):
        await run_check(f"https://localhost:{port}/healthz")
        await server.endings.get()
    assert server.requests[0].startswith(b"GET /healthz ")


async def test_https_with_a_certificate_that_is_not_accepted(tls):
    async with serving(ssl=tls[0]) as (_, port):
        reason = await failure(f"https://localhost:{port}/")
        assert reason.startswith("certificate not accepted: self")


async def test_https_with_a_server_that_does_not_speak_tls():
    async with serving(greeting=b"220 mail.example ESMTP\r\n") as (_, port):
        assert (await failure(f"https://localhost:{port}/")).startswith("TLS failed: ")
