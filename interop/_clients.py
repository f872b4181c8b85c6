"""Clients of a web site behind Caddy: curl, and such as do what curl does not.

Each checks the site's certificate, and takes no proxy from its environment.
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
    from collections.abc import Iterator
    from pathlib import Path

    from interop._caddy import Caddy

WITHIN = 900
"""Seconds for any one run of curl: a gigabyte on a busy machine."""


@dataclass(frozen=True)
class Curl:
    """What came of one run of curl."""

    status: str
    """The HTTP status."""
    version: str
    """The HTTP version: 1.1, 2."""
    seconds: float
    body: str
    talk: str
    """What --verbose says."""

    def json(self) -> dict[str, Any]:
        """Return the body, read as JSON.

        :raises ProgramError: it is none.
        """
        return read_json(self.body)


def read_json(body: str | bytes | bytearray) -> dict[str, Any]:
    """Read an answer of the site.

    :raises ProgramError: it is another one's answer, or none.
    """
    try:
        found = json.loads(body)
    except ValueError:
        raise ProgramError(f"no answer of the site: {body[:200]!r}") from None
    return dict(found)


def curl(
    caddy: Caddy,
    path: str,
    *options: str | Path,
    name: str = "localhost",
    to: str = "127.0.0.1",
    port: int | None = None,
) -> Curl:
    """Run curl for a path of a site behind Caddy.

    :param name: the site's name.
    :param to: the address to connect to; in brackets if it is of IPv6.
    :param port: another port to connect to than Caddy's own.

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
    return Curl(status, version, float(seconds), body, done.stderr.decode(errors="replace"))


def curl_fails(caddy: Caddy, path: str, *options: str, name: str) -> int:
    """Run curl for what it should not get; return its exit code."""
    return _run([*_basis(caddy), *options, f"https://{name}:{caddy.port}{path}"]).returncode


def curl_many(caddy: Caddy, path: str, count: int, *options: str) -> tuple[list[str], set[str]]:
    """Run one curl that asks for a path many times at once.

    :param path: `[i]` in it stands for 0, 1, 2…
    :return: the bodies, in the order of their ends, and the HTTP versions spoken.
    :raises ProgramError: one failed.
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
    """Open a connection for HTTP/1.1 over TLS that stays open between requests.

    :param receive_buffer: bytes, for one that shall take little at a time.
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
    """Send many requests in one go, before any answer; return the answers as they came.

    :param path: `[i]` in it stands for 0, 1, 2…
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
    """Read one answer, by its length; http.client reads none ahead."""
    length = 0
    while line := answers.readline().strip():
        name, _, value = line.decode().partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return read_json(answers.read(length))
