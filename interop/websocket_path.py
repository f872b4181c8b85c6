"""Links over the remote's WebSocket, through reverse proxies, forward proxies and an interceptor.

Our origin and the one in Go. With each installed engine: through Caddy, HAProxy and nginx; UDP is
dropped and comes back five times, the link moves each time, and no client loses a byte. With the
first engine: through Squid, tinyproxy and microsocks, with and without a password; through
mitmproxy, which sees neither a client's bytes nor the token.
"""

from __future__ import annotations

import contextlib
import math
import re
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interop import _counterpart as counterpart
from interop._commands import Stopwatch
from interop._facts import Facts, run_script
from interop._forward_proxies import PROXIES, running_mitmproxy
from interop._go import build
from interop._program_pair import ProgramPair
from interop._tunnel import engines
from interop._waiting import listening, wait
from interop._websocket_frontends import FRONTENDS, running_haproxy
from testkit.forwarder import Forwarder
from testkit.programs import LINK_ESTABLISHED, QUICTUNNEL, Program, ProgramError, free_port
from testkit.traffic import SIDES, RecordedTraffic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interop._forward_proxies import ForwardProxy
    from testkit.forwarder import Way

WITHIN = 60.0
"""Seconds for a program to end, or for a link to move."""

ROUNDS = 5
"""How often UDP comes back and is dropped."""

MOVED, RETURNED = 4.0, 10.0
"""Seconds until data moves after UDP is dropped, and until it is on UDP again."""

BUSY_FACTOR, BUSY_SECONDS = 3.0, 1.0
"""The allowance for a busy machine, as in the laboratory: a multiple of the bound, plus seconds.

Other scripts run at the same time."""

PROVEN = 1.0
"""Seconds on UDP after which the return has not failed."""

IN_FLIGHT = 0.4
"""Seconds in which data arrives that was on its way before."""

ECHOES = 20
"""Echo connections. The client leads half of them, the origin server the others."""

BULK_RATE = 2_000_000
"""Bytes per second of a transfer in each direction."""

SAMPLE, MANY = 0.5, 100_000
"""Seconds, and the bytes on UDP in them if the link's data is there. Probes are less than 5 kB."""

NO_PORT = 9
"""The UDP port of origins that use the WebSocket only. Nothing listens there."""

LARGEST = 1472
"""Bytes of the largest datagram on a WebSocket."""

DESCRIBES_PATH = re.compile(rf"{LINK_ESTABLISHED}\b.*\bpath=(\w+)")


@dataclass(frozen=True)
class WebSocketStage:
    """A running remote with a WebSocket, an origin server, and how origins are started."""

    facts: Facts
    pair: ProgramPair
    server: counterpart.CounterpartServer
    link: int
    """The remote's UDP port."""
    websocket: int
    """The TCP port of the remote's WebSocket, without TLS."""
    outside: int
    """The TCP port for clients."""

    @property
    def is_ours(self) -> bool:
        """Whether the origin is ours, which has more options than the one in Go."""
        return self.pair.origin[0] == str(QUICTUNNEL)

    def equal(self, fact: str, seen: object, expected: object) -> None:
        """Check a fact about this pair."""
        self.facts.equal(f"{self.pair.name}, {fact}", seen, expected)

    def in_time(self, fact: str, seconds: float, bound: float) -> None:
        """Check how long something took."""
        name = f"{self.pair.name}, {fact}, at most {bound:.0f} s on a quiet machine"
        when = seconds <= bound * BUSY_FACTOR + BUSY_SECONDS
        self.facts.holds(name, f"{seconds:.2f} s", when=when)

    @contextlib.contextmanager
    def running_origin(
        self,
        *options: str | Path,
        link: int = NO_PORT,
        via: str = "websocket",
        server: str | None = None,
    ) -> Iterator[Program]:
        """Run an origin until the end of the block. See `origin_command`."""
        command = self.origin_command(*options, link=link, via=via, server=server)
        with Program("origin", command, self.pair.scratch) as origin:
            origin.wait_for("^ready.*", within=WITHIN)
            yield origin

    def origin_command(
        self,
        *options: str | Path,
        link: int = NO_PORT,
        via: str = "websocket",
        server: str | None = None,
    ) -> list[str]:
        """Return an origin's command line.

        :param server: the origin server, if it is not that of the stage.
        """
        command = self.pair.origin_command(link, server or self.server.address, "laptop")
        return [*command, "--via", via, *map(str, options)]

    def check_bytes(self, how: str, origin: Program) -> None:
        """Check that 10 MB arrive in each direction, and what the origin says about its path."""
        up, down = counterpart.exchange(self.outside)
        right = (up == counterpart.DIGEST, down == counterpart.DIGEST)
        self.equal(f"{how}: 10 MB up, then 10 MB down: SHA-256 is right", right, (True, True))
        self.equal(f"{how}: the path in the origin's log", _paths(origin), ["websocket"])


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    scratch.chmod(0o755)  # Squid and nginx serve as other users
    go = build(scratch / "programs")
    for engine_number, engine in enumerate(engines()):
        ours = (str(QUICTUNNEL), "origin", "--engine", engine)
        origins: dict[str, tuple[str, ...]] = {f"our origin and remote ({engine})": ours}
        origins[f"origin in Go, our remote ({engine})"] = (str(go["origin"]),)
        for number, (name, origin) in enumerate(origins.items()):
            folder = scratch / f"{engine}-{number}"
            folder.mkdir()
            folder.chmod(0o755)
            with _running_stage(facts, name, engine, origin, folder) as stage:
                _moves(stage)
                _frontends(stage)
                if engine_number == 0:  # proxies see no difference between engines
                    _forward_proxies(stage)


@contextlib.contextmanager
def _running_stage(
    facts: Facts, name: str, engine: str, origin: tuple[str, ...], folder: Path
) -> Iterator[WebSocketStage]:
    websocket = free_port()
    remote = [str(QUICTUNNEL), "remote", "--engine", engine, "--state-dir", str(folder / "state")]
    remote += ["--websocket", f"127.0.0.1:{websocket}"]
    pair = ProgramPair(name, tuple(remote), origin, folder)
    with counterpart.serving() as server, pair.running_remote() as (_, link, outside):
        yield WebSocketStage(facts, pair, server, link, websocket, outside)


class _UdpMeter:
    """A network whose UDP can be dropped, and which counts the bytes that it forwards."""

    def __init__(self, link: int) -> None:
        self.network = Forwarder(link, on_datagram=self._count)
        self._bytes = 0

    def _count(self, _: Way, data: bytes) -> None:
        if not self.network.is_dark:
            self._bytes += len(data)

    def carries_data(self) -> bool:
        """Count for a while; return whether that was more than probes."""
        before = self._bytes
        time.sleep(SAMPLE)
        return self._bytes - before > MANY


def _moves(stage: WebSocketStage) -> None:
    """Check that a link moves between UDP and the WebSocket while its clients have data."""
    url = f"ws://127.0.0.1:{stage.websocket}/quictunnel"
    meter = _UdpMeter(stage.link)
    with meter.network as network, _running_traffic(stage.outside) as (server, traffic):
        network.is_dark = True
        with stage.running_origin(
            "--websocket", url, link=network.port, via="auto", server=server
        ) as origin:
            _open_connections(traffic)
            for number in range(1, ROUNDS + 1):
                _return_and_fall_back(stage, meter, traffic, number)
            stage.equal("clients that lost their connection", traffic.lost(), [])
            faults = traffic.finish(WITHIN)
            size = sum(end.received for each in traffic.connections for end in each.ends.values())
            count = len(traffic.connections)
            fact = f"what is wrong with {size / 1e6:.0f} MB on {count} connections"
            stage.equal(fact, faults, [])
            stage.equal("the links, each with its first path", _paths(origin), ["websocket"])


@contextlib.contextmanager
def _running_traffic(outside: int) -> Iterator[tuple[str, RecordedTraffic]]:
    """Yield the address of an origin server, and the traffic between its clients and itself."""
    server = socket.create_server(("127.0.0.1", 0), backlog=2 * ECHOES)
    address = f"127.0.0.1:{server.getsockname()[1]}"
    with contextlib.closing(
        RecordedTraffic(server, socket.socket, ("127.0.0.1", outside), bulk_rate=BULK_RATE)
    ) as traffic:
        yield address, traffic


def _open_connections(traffic: RecordedTraffic) -> None:
    for side in SIDES:
        traffic.open("echo", side, ECHOES // 2)
        traffic.open("bulk", side)
    traffic.let("echo", "bulk")
    _seconds_until_data(traffic, time.monotonic())


def _return_and_fall_back(
    stage: WebSocketStage, meter: _UdpMeter, traffic: RecordedTraffic, number: int
) -> None:
    meter.network.is_dark = False
    with Stopwatch() as watch:
        wait(meter.carries_data, "data on UDP", WITHIN)
    stage.in_time(f"UDP is back ({number}): data on UDP after", watch.seconds, RETURNED)
    time.sleep(PROVEN)
    meter.network.is_dark = True
    seconds = _seconds_until_data(traffic, time.monotonic())
    stage.in_time(f"UDP is dropped ({number}): data for each client after", seconds, MOVED)


def _seconds_until_data(traffic: RecordedTraffic, since: float) -> float:
    """Return how long after a time the slowest connection had data.

    :raises ProgramError: it had none in time.
    """
    waits = traffic.seconds_until_data(since + IN_FLIGHT, traffic.connections, WITHIN)
    if without := [name for name, seconds in waits.items() if seconds == math.inf]:
        raise ProgramError(f"no data within {WITHIN:.0f} s: {', '.join(without)}")
    return max(waits.values()) + IN_FLIGHT


def _frontends(stage: WebSocketStage) -> None:
    for name, running_frontend in FRONTENDS.items():
        folder = _folder(stage, name)
        with running_frontend(stage.websocket, folder) as (url, certificate):
            trust = ("--websocket-ca", certificate) if stage.is_ours else ()
            with stage.running_origin("--websocket", url, *trust) as origin:
                stage.check_bytes(f"through {name}", origin)


def _forward_proxies(stage: WebSocketStage) -> None:
    """Check proxies of the origin, each with a reverse proxy with TLS at the other side."""
    with running_haproxy(stage.websocket, stage.pair.scratch) as (url, certificate):
        _proxies(stage, url)
        _interceptor(stage, url, certificate)


def _proxies(stage: WebSocketStage, url: str) -> None:
    for name, running_proxy in PROXIES.items():
        for login in (False, True):
            how = f"through {name}, {'with' if login else 'without'} a password"
            folder = _folder(stage, f"{name}-{login}")
            with running_proxy(folder, login=login) as proxy:
                address = proxy.with_login() if login else proxy.address
                with stage.running_origin("--websocket", url, "--proxy", address) as origin:
                    stage.check_bytes(how, origin)
                    if not login:
                        _proxy_restarts(stage, how, proxy)
                if login and stage.is_ours:
                    _logins(stage, name, url, proxy)


def _proxy_restarts(stage: WebSocketStage, how: str, proxy: ForwardProxy) -> None:
    with counterpart.connect(stage.outside, b"hold\n") as held:
        held.recv(16)
        proxy.program.kill()
        port = int(proxy.address.rpartition(":")[2])
        with listening("again", proxy.command, stage.pair.scratch, port):
            held.sendall(b"last words\n")
            answer = held.makefile("rb").read()
    stage.equal(f"{how}, which is killed and restarted: its client", answer, b"LAST WORDS\n")


def _logins(stage: WebSocketStage, name: str, url: str, proxy: ForwardProxy) -> None:
    wrong = secrets.token_hex(8)
    for kind, address, words in (
        ("no password", proxy.address, "asks for a user name and a password"),
        ("a wrong password", proxy.with_login(wrong), "rejects the user name or the password"),
    ):
        command = stage.origin_command("--websocket", url, "--proxy", address)
        with Program("refused", command, stage.pair.scratch) as origin:
            seen = origin.wait_for_log(rf"the proxy \S+ ({words})")[1]
            how = f"through {name} with {kind}: what the origin says"
            stage.equal(how, seen, words)
            output = origin.stdout + origin.stderr
            stage.equal(f"{how}: with the password", wrong in output, False)


def _interceptor(stage: WebSocketStage, url: str, certificate: Path) -> None:
    """Check what a proxy that ends TLS gets to see."""
    marker = secrets.token_hex(32).translate(str.maketrans("0123456789", "ghijklmnop")).encode()
    token = Path(stage.pair.token()).read_bytes().strip()
    how = "through mitmproxy, which ends TLS"
    with running_mitmproxy(_folder(stage, "mitmproxy")) as mitmproxy:
        options = ("--websocket", url, "--proxy", mitmproxy.proxy.address)
        with stage.running_origin(*options) as origin:
            with counterpart.connect(stage.outside, b"hold\n") as client:
                client.sendall(marker + b"\n")
                answer = client.makefile("rb").read()
            stage.equal(f"{how}: the client's answer", answer, b"here" + marker.upper() + b"\n")
            stage.check_bytes(how, origin)
        heads, messages = mitmproxy.heads.read_bytes(), mitmproxy.messages.read_bytes()
        openings = len(re.findall(rb"^GET /quictunnel HTTP/1.1\r$", heads, re.MULTILINE))
        fact = f"{stage.pair.name}, {how}: opening requests that it sees"
        stage.facts.holds(fact, openings, when=openings > 0)
        found = [
            name
            for name, value in (
                ("the client's bytes", marker),
                ("the answer", marker.upper()),
                ("the token", token),
                ("its secret", token.partition(b".")[2]),
            )
            if value in heads + messages
        ]
        stage.equal(f"{how}: what it sees of these four", found, [])
        sizes = _sizes(messages)
        stage.facts.holds(
            f"{stage.pair.name}, {how}: messages that it saw, and the largest one",
            (len(sizes), max(sizes, default=0)),
            when=len(sizes) > 10_000 and max(sizes) <= LARGEST,
        )
        if stage.is_ours:
            command = stage.origin_command(*options, "--websocket-ca", certificate)
            with Program("untrusting", command, stage.pair.scratch) as origin:
                words = "does not verify with"
                said = origin.wait_for_log(rf"the certificate of \S+ ({words})")[1]
                stage.equal(f"{how}, and --websocket-ca: what the origin says", said, words)


def _paths(origin: Program) -> list[str]:
    """Return the path of each link that an origin has made."""
    return DESCRIBES_PATH.findall(origin.stderr)


def _sizes(kept: bytes) -> list[int]:
    """Return the sizes of the messages that mitmproxy has kept."""
    sizes, at = [], 0
    while at < len(kept):
        sizes.append(int.from_bytes(kept[at : at + 4]))
        at += 4 + sizes[-1]
    return sizes


def _folder(stage: WebSocketStage, name: str) -> Path:
    folder = stage.pair.scratch / name
    folder.mkdir()
    folder.chmod(0o755)
    return folder


if __name__ == "__main__":
    run_script(script)
