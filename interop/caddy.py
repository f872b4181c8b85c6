"""Caddy in front of the remote, as in docs/how-to/caddy.md: HTTPS outside, a site at home.

The Caddyfile is that of docs/, with Caddy's own CA. The clients are curl, aioquic's HTTP/3,
websockets and Python's http.client. With each installed engine: the site gets each client's
address; HTTP/1.1, 2 and 3, WebSocket and Server-Sent Events work; large bodies arrive complete;
many clients and slow ones do not affect others; without an origin the status is 502; a download
survives changes of the origin's network.

    python -m interop.caddy [--megabytes N]    (default: 1000; a tenth after the first engine)
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
from typing import TYPE_CHECKING

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect as open_websocket

from interop import _clients as clients
from interop import _h3
from interop._caddy import caddy, example
from interop._facts import Facts, run_script
from interop._pattern import digest, pieces
from interop._stage import ORIGIN, REMOTE, Stage, running_stage, site
from interop._tunnel import engines, remote
from interop._waiting import need_ipv6, wait
from testkit.programs import LINK_ESTABLISHED, ProgramError, free_port, logged

if TYPE_CHECKING:
    from pathlib import Path

    from interop._caddy import Caddy

MEGABYTE = 1_000_000

MANY = 200
"""Concurrent requests."""

FAMILIES = {"IPv4": ("127.0.0.1", "127.0.0.77"), "IPv6": ("::1", "::1")}
"""The addresses that the client connects to and from. On loopback only IPv4 has several."""

FORGED = ("--header", "X-Forwarded-For: 192.0.2.1")
"""A forged header, which must not be trusted."""


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    need_ipv6()
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1000)
    size = parser.parse_args().megabytes * MEGABYTE
    for number, engine in enumerate(engines()):
        with running_stage(facts, scratch, engine, size // 10 if number else size) as stage:
            _who_came(stage)
            _http1(stage)
            asyncio.run(_http3(stage))
            _websocket(stage)
            _events(stage)
            _upload(stage)
            _download(stage)
            _many(stage)
            _slow_client(stage)
            _network_changes(stage)
        _origin_gone(facts, scratch, engine)


def _who_came(stage: Stage) -> None:
    for family, (to, source) in FAMILIES.items():
        host = f"[{to}]" if ":" in to else to
        for version, option in (("1.1", "--http1.1"), ("2", "--http2")):
            options = (option, "--interface", source, *FORGED)
            got = clients.curl(stage.caddy, "/who", *options, to=host)
            stage.equal(f"HTTP/{version} over {family}: spoken", got.version, version)
            seen = got.json()
            stage.equal(f"HTTP/{version} over {family}: the client", seen["client"], source)
            told = seen["forwarded_for"]
            stage.equal(f"HTTP/{version} over {family}: X-Forwarded-For", told, source)


def _http1(stage: Stage) -> None:
    with clients.connection(stage.caddy) as over:
        seen = []
        for i in range(20):
            over.request("GET", f"/who?i={i}")
            seen.append(clients.read_json(over.getresponse().read()))
    in_order = [answer["i"] for answer in seen] == _numbers(20)
    stage.equal("HTTP/1.1, 20 requests kept alive: answers in order", in_order, True)
    kept = len({s["connection"] for s in seen})
    stage.equal("HTTP/1.1, 20 requests kept alive: connections to the site", kept, 1)
    answers = clients.pipelined(stage.caddy, "/who?i=[i]", 20)
    in_order = [answer["i"] for answer in answers] == _numbers(20)
    stage.equal("HTTP/1.1, 20 requests in one go: answers in order", in_order, True)


async def _http3(stage: Stage) -> None:
    offered = 'h3=":' in clients.curl(stage.caddy, "/who", "--include").body
    stage.equal("HTTP/3 is offered to those who come by HTTP/2", offered, True)
    port, authority = stage.caddy.port, stage.caddy.authority
    for family, (to, source) in FAMILIES.items():
        async with _h3.connected(port, authority, to=to, source=source) as client:
            seen = clients.read_json((await client.ask("/who")).body)
            stage.equal(f"HTTP/3 over {family}: the client", seen["client"], source)
    size = max(stage.size // 50, MEGABYTE)
    async with _h3.connected(port, authority) as client:
        got = await client.ask(f"/bytes?size={size}")
        whole = hashlib.sha256(got.body).hexdigest() == digest(size)
        stage.equal(f"HTTP/3: a download of {_mb(size)} is whole", whole, True)
        sent = await client.ask("/upload", method="POST", body=b"".join(pieces(0, size)))
        whole = clients.read_json(sent.body)["sha256"] == digest(size)
        stage.equal(f"HTTP/3: an upload of {_mb(size)} is whole", whole, True)
        answers = await asyncio.gather(*(client.ask(f"/together?n=100&i={i}") for i in range(100)))
        seen_all = [clients.read_json(answer.body)["i"] for answer in answers]
        each = seen_all == _numbers(100)
        stage.equal("HTTP/3: 100 requests at once are each answered", each, True)


def _websocket(stage: Stage) -> None:
    try:
        _echoes(stage)
    except WebSocketException as exc:
        raise ProgramError(f"WebSocket: {exc}") from None


def _echoes(stage: Stage) -> None:
    at = f"wss://localhost:{stage.caddy.port}/echo"
    large = b"".join(pieces(0, MEGABYTE))
    with open_websocket(at, ssl=stage.caddy.trust(), proxy=None, max_size=None) as socket:
        for i in range(100):
            socket.send(f"message {i}")
        echoes = [socket.recv() for _ in range(100)]
        in_order = echoes == [f"message {i}" for i in range(100)]
        stage.equal("WebSocket: 100 messages come back in order", in_order, True)
        socket.send(large)
        stage.equal("WebSocket: a message of 1 MB comes back", socket.recv() == large, True)
    stage.equal("WebSocket: its closing code", socket.close_code, 1000)


def _events(stage: Stage) -> None:
    # The site sends each event only after the previous one was read here, so no hop may buffer.
    ids = []
    with clients.connection(stage.caddy) as events, clients.connection(stage.caddy) as ticks:
        events.request("GET", "/events?n=5")
        answer = events.getresponse()
        while line := answer.readline():
            if line.startswith(b"id: "):
                ids.append(line[4:].decode().strip())
                ticks.request("POST", "/tick")
                ticks.getresponse().read()
    kind = answer.getheader("Content-Type")
    stage.equal("Server-Sent Events: their type", kind, "text/event-stream")
    stage.equal("Server-Sent Events: each arrives before the next one is sent", ids, _numbers(5))


def _upload(stage: Stage) -> None:
    file = stage.scratch / "body"
    with file.open("wb") as body:
        for piece in pieces(0, stage.size):
            body.write(piece)
    expecting = ("--http1.1", "--header", "Expect: 100-continue", "--expect100-timeout", "60")
    got = clients.curl(stage.caddy, "/upload", *expecting, "--upload-file", file)
    file.unlink()
    seen = got.json()
    what = f"upload of {_mb(stage.size)}"
    stage.equal(f"{what}: the client was told to go on", "100 Continue" in got.trace, True)
    stage.equal(f"{what}: the site was asked before", seen["expect"], True)
    stage.equal(f"{what}: bytes at the site", seen["bytes"], stage.size)
    stage.equal(f"{what}: their SHA-256 is right", seen["sha256"] == digest(stage.size), True)
    _rate(stage, what, got.seconds)


def _download(stage: Stage) -> None:
    file = stage.scratch / "got"
    path = f"/bytes?size={stage.size}"
    first = clients.curl(
        stage.caddy, path, "--range", f"0-{stage.size * 2 // 5 - 1}", "--output", file
    )
    part = file.stat().st_size
    rest = clients.curl(stage.caddy, path, "--continue-at", "-", "--output", file)
    what = f"download of {_mb(stage.size)} in two ranges"
    stage.equal(f"{what}: status", (first.status, rest.status), ("206", "206"))
    stage.equal(f"{what}: bytes in the first one", part, stage.size * 2 // 5)
    with file.open("rb") as body:
        whole = hashlib.file_digest(body, "sha256").hexdigest() == digest(stage.size)
    file.unlink()
    stage.equal(f"{what}: SHA-256 is right", whole, True)
    _rate(stage, what, first.seconds + rest.seconds)


def _many(stage: Stage) -> None:
    for version, option in (("1.1", "--http1.1"), ("2", "--http2")):
        path = f"/together?n={MANY}&i=[i]"
        bodies, versions = clients.curl_many(stage.caddy, path, MANY, option)
        answered = sorted(int(json.loads(body)["i"]) for body in bodies)
        what = f"{MANY} requests at once over HTTP/{version}"
        stage.equal(f"{what}: spoken", versions, {version})
        stage.equal(f"{what}: each has its answer", answered == list(range(MANY)), True)


def _slow_client(stage: Stage) -> None:
    size = 20 * MEGABYTE
    with clients.connection(stage.caddy, receive_buffer=8192) as slow:
        slow.request("GET", f"/bytes?size={size}")
        answer = slow.getresponse()
        start = answer.read(1000)
        quick = clients.curl(
            stage.caddy, f"/bytes?size={size}", "--output", stage.scratch / "quick"
        )
        stage.equal("while a client does not read: another one's status", quick.status, "200")
        whole = hashlib.sha256(start)
        while piece := answer.read(64 * 1024):
            whole.update(piece)
    other = hashlib.sha256((stage.scratch / "quick").read_bytes()).hexdigest()
    stage.equal("while a client does not read: the other's bytes", other == digest(size), True)
    right = whole.hexdigest() == digest(size)
    stage.equal("a client that did not read for long: its bytes are right", right, True)


def _network_changes(stage: Stage) -> None:
    size = max(stage.size // 5, 100 * MEGABYTE)
    with clients.connection(stage.caddy, "roaming.localhost") as over:
        over.request("GET", f"/bytes?size={size}")
        answer = over.getresponse()
        whole, count = hashlib.sha256(), 0
        for limit in (size // 4, size // 2, size):
            while count < limit and (piece := answer.read(min(256 * 1024, limit - count))):
                whole.update(piece)
                count += len(piece)
            if count < size:
                stage.forwarder.change_address()
    what = f"a download of {_mb(size)} whose origin changes its network twice"
    stage.equal(f"{what}: bytes", count, size)
    stage.equal(f"{what}: SHA-256 is right", whole.hexdigest() == digest(size), True)
    addresses = ["127.0.0.1", "127.0.1.1", "127.0.1.2"]
    stage.equal(f"{what}: where it has been", stage.forwarder.addresses(), addresses)
    stage.equal(
        f"{what}: links made",
        len(re.findall(logged(LINK_ESTABLISHED), stage.roaming.origin.stderr)),
        1,
    )


def _origin_gone(facts: Facts, scratch: Path, engine: str) -> None:
    folder = scratch / f"{engine}-gone"
    folder.mkdir()
    with (
        site(folder) as server,
        remote(server, folder, engine, *REMOTE, "--client-wait", "1s") as tunnel,
        caddy(example("localhost", tunnel.outside_port), folder, "localhost") as front,
    ):
        status = clients.curl(front, "/who").status
        facts.equal(f"{engine}, before an origin has connected: status", status, "502")
        with tunnel.start_origin("--origin", f"127.0.0.1:{free_port()}", *ORIGIN):
            tunnel.wait_for_origin()
            status = clients.curl(front, "/who").status
            facts.equal(f"{engine}, an origin without its site: status", status, "502")
        for which in ("first", "second"):
            with tunnel.start_origin(*ORIGIN):
                tunnel.wait_for_origin()
                status = clients.curl(front, "/who").status
                facts.equal(f"{engine}, the {which} origin is connected: status", status, "200")
            status = wait(lambda: _not_200(front), "Caddy's answer without an origin")
            facts.equal(f"{engine}, the {which} origin has ended: status", status, "502")


def _not_200(front: Caddy) -> str | None:
    status = clients.curl(front, "/who").status
    return None if status == "200" else status


def _rate(stage: Stage, what: str, seconds: float) -> None:
    rate = stage.size * 8 / seconds / 1e6
    print(f"      {stage.engine}, {what}: {seconds:.1f} s, {rate:.0f} Mbit/s", flush=True)


def _mb(size: int) -> str:
    return f"{size // MEGABYTE} MB"


def _numbers(count: int) -> list[str]:
    return [str(i) for i in range(count)]


if __name__ == "__main__":
    run_script(script)
