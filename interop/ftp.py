"""Passive FTP: the control connection at one port of the remote, the data at a range of ports.

The server names a data port for each transfer, so the remote has the same ports as the server.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from interop._commands import output_of
from interop._facts import Facts, program, run_script
from interop._tunnel import engines
from interop._waiting import listening
from testkit.programs import free_port
from testkit.tunnel import LOOPBACK, Tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OUTSIDE_HOST = "127.0.0.2"
"""The remote's address. The server has the same ports on another one."""

DATA_PORTS = 40
"""Ports for data. A closed connection keeps its port busy for a minute."""

SIZE = 5_000_000

TRANSFERS = 12
"""Transfers in each direction, of which some run at the same time."""

USER, PASSWORD = "box", "secret"


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    curl = program("curl")
    for engine in engines():
        first = free_port()
        data = f"{first}-{first + DATA_PORTS - 1}"
        folder = scratch / f"{engine}-files"
        folder.mkdir()
        with _server(folder, data, scratch) as port, _tunnel(scratch, engine, port, data):
            url = f"ftp://{USER}:{PASSWORD}@{OUTSIDE_HOST}:{port}/"
            _transfer(facts, engine, [curl, "--silent", "--show-error", "--fail"], url, scratch)
            old = [curl, "--silent", "--show-error", "--fail", "--disable-epsv", url]
            listed = "0.bin" in output_of(old)
            facts.equal(f"{engine}: a listing by PASV instead of EPSV", listed, True)


@contextlib.contextmanager
def _server(folder: Path, data: str, scratch: Path) -> Iterator[int]:
    """Run pyftpdlib's server on this folder; yield its control port."""
    port = free_port()
    command = [sys.executable, "-m", "pyftpdlib", "-i", LOOPBACK, "-p", str(port), "-w"]
    command += ["-d", str(folder), "-r", data, "-n", OUTSIDE_HOST, "-u", USER, "-P", PASSWORD]
    with listening("pyftpdlib", command, scratch, port):
        yield port


@contextlib.contextmanager
def _tunnel(scratch: Path, engine: str, port: int, data: str) -> Iterator[Tunnel]:
    """Expose the server's control port and its data ports, each at the same port."""
    services = ["--origin", f"{port}={LOOPBACK}:{port}", "--origin", f"{data}={LOOPBACK}:{data}"]
    with Tunnel(scratch / engine, (engine, engine), outside=f"{OUTSIDE_HOST}:0") as tunnel:
        tunnel.up(remote=("--ports", port, "--ports", data), origin=tuple(services))
        yield tunnel


def _transfer(facts: Facts, engine: str, curl: list[str], url: str, scratch: Path) -> None:
    """Upload files and download them again, several at the same time."""
    sent = scratch / "sent"
    sent.write_bytes(os.urandom(SIZE))

    def there_and_back(number: int) -> str:
        received = scratch / f"received-{number}"
        output_of([*curl, "--upload-file", sent, f"{url}{number}.bin"])
        output_of([*curl, "--output", received, f"{url}{number}.bin"])
        return hashlib.sha256(received.read_bytes()).hexdigest()

    with ThreadPoolExecutor(4) as pool:
        digests = set(pool.map(there_and_back, range(TRANSFERS)))
    right = digests == {hashlib.sha256(sent.read_bytes()).hexdigest()}
    facts.equal(f"{engine}: {TRANSFERS} files of 5 MB up and down, SHA-256 right", right, True)


if __name__ == "__main__":
    run_script(script)
