"""iperf3: four concurrent connections, up and down, with each installed engine.

It has a control connection as well, and reports the received bytes of both ends.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from interop._commands import output_of
from interop._facts import Facts, program, run_script
from interop._tunnel import engines, tunnel
from interop._waiting import wait
from testkit.programs import Program, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 3


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    command = program("iperf3")
    port = free_port()
    for engine in engines():
        with tunnel(f"127.0.0.1:{port}", scratch, engine) as there:
            client = [command, "--client", "127.0.0.1", "--port", str(there.outside_port), "--json"]
            client += ["--time", str(SECONDS), "--parallel", "4"]
            for way, options in (("up", []), ("down", ["--reverse"])):
                with _server(command, port, scratch):
                    end = json.loads(output_of([*client, *options]))["end"]
                rate = end["sum_received"]["bits_per_second"] / 1e6
                came = [stream["receiver"]["bytes"] for stream in end["streams"]]
                fact = f"{engine}: iperf3 {way}, 4 connections: Mbit/s"
                facts.holds(fact, f"{rate:.0f}", when=len(came) == 4 and all(came))


@contextlib.contextmanager
def _server(command: str, port: int, scratch: Path) -> Iterator[None]:
    """Run a server for one test.

    A server takes no second test before it knows of the first one's end, which the client who
    begins another at once may outrun; and a look at its port would be a test to it.
    """
    words = [command, "--server", "--one-off", "--forceflush", "--bind", "127.0.0.1"]
    with Program("iperf3", [*words, "--port", str(port)], scratch) as server:
        wait(lambda: "Server listening" in server.stdout, "iperf3's server to listen")
        yield


if __name__ == "__main__":
    run_script(script)
