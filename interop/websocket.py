"""A WebSocket connection that survives changes of the network under the tunnel.

Client and server are those of the websockets package. With each installed engine: the origin's
address changes while the connection is idle, and while messages are in flight.
"""

from __future__ import annotations

import contextlib
import random
import threading
from typing import TYPE_CHECKING

from websockets.sync.client import connect
from websockets.sync.server import serve

from interop._commands import Stopwatch
from interop._facts import Facts, run_script
from interop._tunnel import engines, remote
from testkit.forwarder import ForwarderProgram

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from websockets.sync.client import ClientConnection
    from websockets.sync.server import Server, ServerConnection


WITHIN = 60.0
"""Seconds for an echo after a change of the network, on a busy machine."""

MESSAGES = 200
LARGE = random.Random(4).randbytes(100_000)
"""A large message. A few of them are in flight when the network changes."""


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    for engine in engines():
        with (
            _echo() as (port, met),
            remote(f"127.0.0.1:{port}", scratch, engine) as up,
            ForwarderProgram(up.link_port, scratch) as forwarder,
        ):
            up.start_origin("--remote", forwarder.address)
            up.wait_for_origin()
            # Its keepalive pings would hide an idle connection.
            url = f"ws://127.0.0.1:{up.outside_port}/"
            settings = {"ping_interval": None, "proxy": None, "max_size": None, "compression": None}
            with connect(url, **settings) as client:
                _silent(facts, engine, client, forwarder)
                _busy(facts, engine, client, forwarder)
            facts.equal(f"{engine}: WebSocket: the closing code", client.protocol.close_code, 1000)
            facts.equal(f"{engine}: WebSocket: number of connections", len(met), 1)


@contextlib.contextmanager
def _echo() -> Iterator[tuple[int, list[object]]]:
    """Run an echo server; yield its port, and a list of its clients."""
    met: list[object] = []

    def echo(connection: ServerConnection) -> None:
        met.append(connection.remote_address)
        for message in connection:
            connection.send(message)

    server: Server
    with serve(echo, "127.0.0.1", 0, ping_interval=None, compression=None, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1], met
        finally:
            server.shutdown()
            thread.join()


def _silent(
    facts: Facts, engine: str, client: ClientConnection, forwarder: ForwarderProgram
) -> None:
    client.send("before")
    facts.equal(f"{engine}: WebSocket: an echo", client.recv(WITHIN), "before")
    for number in (1, 2):
        forwarder.change_address()
        with Stopwatch() as watch:
            client.send(f"after change {number}")
            answer = client.recv(WITHIN)
        fact = (
            f"{engine}: WebSocket: echo after a change of network while idle, {watch.seconds:.1f} s"
        )
        facts.equal(fact, answer, f"after change {number}")


def _busy(facts: Facts, engine: str, client: ClientConnection, forwarder: ForwarderProgram) -> None:
    came = 0
    with Stopwatch() as watch:
        for number in range(MESSAGES):
            client.send(number.to_bytes(4) + LARGE)
            if number == MESSAGES // 2:
                forwarder.change_address()
            if number >= 4:  # so many are on their way
                came += client.recv(WITHIN) == (number - 4).to_bytes(4) + LARGE
        for number in range(MESSAGES - 4, MESSAGES):
            came += client.recv(WITHIN) == number.to_bytes(4) + LARGE
    fact = f"{engine}: WebSocket: {MESSAGES} messages during a change of network,"
    facts.equal(f"{fact} {watch.seconds:.1f} s: echoes in order", came, MESSAGES)


if __name__ == "__main__":
    run_script(script)
