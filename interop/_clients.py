"""Clients of a web site behind Caddy: curl, and clients for what curl cannot do.

They verify the site's certificate, and ignore proxies of the environment.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interop._facts import program
from testkit.programs import ProgramError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from interop._caddy import Caddy

WITHIN = 900
"""Seconds for a run of curl, enough for a gigabyte on a busy machine."""


@dataclass(frozen=True)
class CurlResult:
    """The result of a run of curl."""

    status: str
    """The HTTP status."""
    version: str
    """The HTTP version, such as 1.1 or 2."""
    seconds: float
    body: str
    trace: str
    """The output of --verbose."""

    def json(self) -> dict[str, Any]:
        """Parse the body as JSON.

        :raises ProgramError: it is not JSON.
        """
        return read_json(self.body)


def read_json(body: str | bytes | bytearray) -> dict[str, Any]:
    """Parse an answer of the site.

    :raises ProgramError: it is not an answer of the site.
    """
    try:
        found = json.loads(body)
    except ValueError:
        raise ProgramError(f"not an answer of the site: {body[:200]!r}") from None
    return dict(found)


def curl(
    caddy: Caddy,
    path: str,
    *options: str | Path,
    name: str = "localhost",
    to: str = "127.0.0.1",
    port: int | None = None,
) -> CurlResult:
    """Request a path of a site behind Caddy with curl.

    :param name: the site's name.
    :param to: the address to connect to, in brackets for IPv6.
    :param port: the port to connect to, by default Caddy's.

    :raises ProgramError: it failed.
    """
    written = "\\n%{http_code} %{http_version} %{time_total}"
    command = [*_basis(caddy, to, port), "--verbose", "--write-out", written, *options]
    command += [f"https://{name}:{caddy.port}{path}"]
    done = _run(command)
    if done.returncode:
        raise ProgramError(f"curl: {done.stderr.decode(errors='replace')[-600:].strip()}")
    body, _, words = done.stdout.decode(errors="replace").rpartition("\n")
    status, version, seconds = words.split()
    return CurlResult(status, version, float(seconds), body, done.stderr.decode(errors="replace"))


def curl_fails(caddy: Caddy, path: str, *options: str, name: str) -> int:
    """Run curl for a request that should fail; return its exit code."""
    return _run([*_basis(caddy), *options, f"https://{name}:{caddy.port}{path}"]).returncode


def curl_many(caddy: Caddy, path: str, count: int, *options: str) -> tuple[list[str], set[str]]:
    """Run one curl with many concurrent requests.

    :param path: `[i]` in it is replaced by 0, 1, 2…
    :return: the bodies in the order of completion, and the HTTP versions.
    :raises ProgramError: a request failed.
    """
    numbered = path.replace("[i]", f"[0-{count - 1}]")
    command = [*_basis(caddy), "--parallel", "--parallel-immediate", "--parallel-max", str(count)]
    command += ["--fail", "--write-out", "version %{http_version}\\n", *options]
    command += [f"https://localhost:{caddy.port}{numbered}"]
    done = _run(command)
    if done.returncode:
        raise ProgramError(f"curl: {done.stderr.decode(errors='replace')[-600:].strip()}")
    lines = done.stdout.decode().splitlines()
    versions = {line.partition(" ")[2] for line in lines if line.startswith("version ")}
    return [line for line in lines if not line.startswith("version ")], versions


def curl_names(
    caddy: Caddy, path: str, names: Sequence[str], *options: str, source: str
) -> tuple[list[dict[str, Any]], int]:
    """Request a path of several names with one curl, which connects to the first one only.

    :param source: the address to connect from.
    :return: the answers in order, and how many connections curl has made.
    :raises ProgramError: a request failed.
    """
    basis = _basis(caddy)
    common = [*basis[1:], "--interface", source, "--fail", *options]
    common += ["--write-out", "\\n%{num_connects}\\n"]
    url = f"https://{names[0]}:{caddy.port}{path}"
    command = basis[:1]
    for name in names:
        command += [*common, "--header", f"Host: {name}:{caddy.port}", url, "--next"]
    command.pop()
    done = _run(command)
    if done.returncode:
        raise ProgramError(f"curl: {done.stderr.decode(errors='replace')[-600:].strip()}")
    lines = [line for line in done.stdout.decode().splitlines() if line]
    return [read_json(line) for line in lines[::2]], sum(map(int, lines[1::2]))


def _basis(caddy: Caddy, to: str = "127.0.0.1", port: int | None = None) -> list[str | Path]:
    return [
        program("curl"),
        *("--silent", "--show-error", "--no-buffer", "--noproxy", "*"),
        *("--cacert", caddy.authority, "--connect-to", f"::{to}:{port or caddy.port}"),
    ]


def _run(command: list[str | Path]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WITHIN, check=False
        )
    except subprocess.TimeoutExpired:
        raise ProgramError(f"curl did not end within {WITHIN} s") from None


@contextlib.contextmanager
def connection(
    caddy: Caddy, name: str = "localhost", receive_buffer: int | None = None
) -> Iterator[http.client.HTTPConnection]:
    """Open a persistent connection for HTTP/1.1 over TLS.

    :param receive_buffer: the size of the socket's receive buffer, for a slow client.
    """
    plain = socket.socket()
    if receive_buffer:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plain.settimeout(WITHIN)
    plain.connect(("127.0.0.1", caddy.port))
    over = http.client.HTTPConnection(name, caddy.port)
    over.sock = caddy.trust().wrap_socket(plain, server_hostname=name)
    with contextlib.closing(over):
        yield over


def pipelined(caddy: Caddy, path: str, count: int) -> list[dict[str, Any]]:
    """Send many requests before reading any answer; return the answers in their order.

    :param path: `[i]` in it is replaced by 0, 1, 2…
    """
    with connection(caddy) as over:
        requests = (
            f"GET {path.replace('[i]', str(i))} HTTP/1.1\r\nHost: localhost:{caddy.port}\r\n\r\n"
            for i in range(count)
        )
        over.sock.sendall("".join(requests).encode())
        with over.sock.makefile("rb") as answers:
            return [_next_answer(answers) for _ in range(count)]


def _next_answer(answers: Any) -> dict[str, Any]:
    """Read one answer by its length. http.client does not support pipelining."""
    length = 0
    while line := answers.readline().strip():
        name, _, value = line.decode().partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return read_json(answers.read(length))
