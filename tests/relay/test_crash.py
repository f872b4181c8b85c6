"""`kill -9` in the midst of a download: the client must see an error, not a short file."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from relay_doubles import PATIENCE

VICTIM = """
import asyncio, socket, sys
sys.path.insert(0, {folder!r})
from relay_doubles import MemoryLink
from quictunnel.protocol.codes import Code
from quictunnel.relay.idle_timer import IdleTimer
from quictunnel.relay.relay import Relay
from quictunnel.relay.tcp_transport import SocketTransport
from quictunnel.relay.readiness import readiness

async def main():
    loop = asyncio.get_running_loop()
    near, far = MemoryLink().stream_pair()

    def let_in():
        client, _ = server.accept()
        client.setblocking(False)
        timer = IdleTimer(300, Relay.linger_expired)
        relay = Relay(linger_timer=timer, tcp_reset_code=Code.CLIENT_RESET, on_end=print)
        near.attach(relay.stream)
        SocketTransport(client, readiness(loop)).attach(relay.tcp)

    server = socket.create_server(("127.0.0.1", 0))
    loop.add_reader(server, let_in)
    far.attach(asyncio.Protocol())
    far.write(b"half of a download")
    {ending}
    print(server.getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(params=["pass", "far.write_eof()"], ids=["mid-stream", "half-closed"])
def victim(request):
    """A process that relays one client, with its port as the first line of its output."""
    program = VICTIM.format(folder=str(Path(__file__).parent), ending=request.param)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        yield process
        process.kill()


def test_a_killed_process_resets_its_clients(victim):
    port = int(victim.stdout.readline())
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        assert client.recv(18, socket.MSG_WAITALL) == b"half of a download"
        errors = select.poll()
        errors.register(client, 0)  # No event: errors and hang-ups are always told.
        victim.kill()
        assert errors.poll(PATIENCE * 1000)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
