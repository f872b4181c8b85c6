"""OpenSSH: a shell on a terminal, scp of 200 MB in each direction, and a forwarded port.

scp runs with the fastest installed engine, the rest with each.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pty
import signal
import struct
import subprocess
import termios
from typing import TYPE_CHECKING

from interop import _counterpart as counterpart
from interop._commands import WITHIN, Stopwatch, output_of
from interop._facts import Facts, program, run_script
from interop._sshd import SshServer, sshd
from interop._tunnel import engines, tunnel
from interop._waiting import listening, wait
from testkit.programs import free_port

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 200_000_000


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    with sshd(scratch) as server:
        for number, engine in enumerate(engines()):
            with tunnel(server.address, scratch, engine) as there:
                _terminal(facts, engine, server, there.outside_port)
                _forwarded(facts, engine, server, there.outside_port, scratch)
                if number == 0:
                    _copies(facts, engine, server, there.outside_port, scratch)


def _terminal(facts: Facts, engine: str, server: SshServer, outside: int) -> None:
    """Use a shell interactively, and resize its window."""
    ours, its = pty.openpty()
    _resize(its, 24, 80)
    client = subprocess.Popen(
        [*server.ssh(outside, "-tt"), "exec sh"], stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    try:
        os.write(ours, b"PS1='d''one '; tty | tr a-z A-Z; stty size\n")
        shown = _shown(ours, b"done ").decode()
        right = "/DEV/PTS/" in shown and "24 80\r\n" in shown
        facts.equal(f"{engine}: ssh: a terminal of the window's size", right, True)
        _resize(ours, 50, 132)
        client.send_signal(signal.SIGWINCH)  # the kernel signals only the session of the terminal
        os.write(ours, b"until stty size | grep 132; do sleep 0.1; done\n")
        shown = _shown(ours, b"done ").decode()
        facts.equal(f"{engine}: ssh: its new size", "50 132\r\n" in shown, True)
        os.write(ours, b"echo g''o; cat >/dev/null\n")
        _shown(ours, b"go\r\n")
        os.write(ours, b"\x03")
        facts.equal(
            f"{engine}: ssh: Ctrl-C interrupts", "^C" in _shown(ours, b"done ").decode(), True
        )
        os.write(ours, b"exit 7\n")
        facts.equal(f"{engine}: ssh: the shell's exit code", client.wait(WITHIN), 7)
    finally:
        client.kill()
        client.wait()
        os.close(ours)


def _resize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _shown(terminal: int, until: bytes) -> bytes:
    """Read a terminal until it shows these bytes."""
    shown = bytearray()
    os.set_blocking(terminal, False)

    def look() -> bool:
        with contextlib.suppress(BlockingIOError):
            shown.extend(os.read(terminal, 4096))
        return until in shown

    wait(look, f"{until!r} on the terminal")
    return bytes(shown)


def _forwarded(facts: Facts, engine: str, server: SshServer, outside: int, scratch: Path) -> None:
    port = free_port()
    with counterpart.serving() as behind:
        forward = ["-N", "-L", f"127.0.0.1:{port}:{behind.address}"]
        with listening("forward", server.ssh(outside, *forward), scratch, port):
            up, down = counterpart.exchange(port)
    right = up == down == counterpart.DIGEST
    facts.equal(f"{engine}: ssh -L: 10 MB each way within, SHA-256 right", right, True)


def _copies(facts: Facts, engine: str, server: SshServer, outside: int, scratch: Path) -> None:
    here, there, back = (scratch / name for name in ("here", "there", "back"))
    here.write_bytes(os.urandom(SIZE))
    scp = [program("scp"), *server.options, "-q", "-P", str(outside)]
    for way, source, target in (("up", here, there), ("down", there, back)):
        names = [str(source), f"127.0.0.1:{target}"]
        if way == "down":
            names = [f"127.0.0.1:{source}", str(target)]
        with Stopwatch() as watch:
            output_of([*scp, *names])
        fact = f"{engine}: scp, 200 MB {way} at {watch.rate(SIZE)}, SHA-256 right"
        facts.equal(fact, _digest(target) == _digest(here), True)
    for path in (here, there, back):
        path.unlink()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    run_script(script)
