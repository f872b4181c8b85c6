"""`python -m bench.origins`: many origins in one process, each with its own token and service.

The arguments are the remote's UDP port, the address of the origin server, the first of the ports at
the remote, and a file with the tokens. Each origin asks for one port. It prints a line that begins
with `ready` when all ports are granted, and runs until it is killed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bench.limits import raise_descriptors
from quictunnel.config.addresses import HostPort, parse_target
from quictunnel.config.ports import PortRange
from quictunnel.config.services import ServiceSettings
from quictunnel.config.settings import OriginSettings
from quictunnel.config.tokens import Token
from quictunnel.events import Event, ServicesGranted
from quictunnel.origin.client import Origin
from testkit.tunnel import LOOPBACK


def settings(remote: int, server: HostPort, port: int, token: Token) -> OriginSettings:
    """Return the settings of one origin."""
    service = ServiceSettings(name=f"s{port}", target=server, ports=PortRange(port, port))
    return OriginSettings(
        remote=HostPort(LOOPBACK, remote), services=(service,), token=token, name=f"o{port}"
    )


async def serve(remote: int, server: HostPort, first: int, tokens: list[Token]) -> None:
    """Run an origin for each token."""
    waiting = {str(port) for port in range(first, first + len(tokens))}
    is_ready = asyncio.Event()

    def note(event: Event) -> None:
        if isinstance(event, ServicesGranted):
            waiting.difference_update(service.name.removeprefix("s") for service in event.services)
            if not waiting:
                is_ready.set()

    origins = [
        Origin(settings(remote, server, first + number, token), emit=note)
        for number, token in enumerate(tokens)
    ]
    for origin in origins:
        await origin.start()
    await is_ready.wait()
    print(f"ready: {len(origins)} origins", flush=True)
    await asyncio.gather(*(origin.wait_closed() for origin in origins))


def main(remote: str, server: str, first: str, tokens: str) -> None:
    """Read the arguments, and serve."""
    raise_descriptors()
    lines = Path(tokens).read_text().split()
    made = [Token.parse(line) for line in lines]
    asyncio.run(serve(int(remote), parse_target(server), int(first), made))


if __name__ == "__main__":
    main(*sys.argv[1:])
