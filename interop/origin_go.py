"""An origin and a remote in Go, written from docs/reference/protocol.md alone, together with ours.

The Go origin with our remote and our origin with the Go remote, with each installed engine: bytes,
endings, tokens and proofs, take-over and drain.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from interop import _counterpart as counterpart
from interop._commands import Stopwatch
from interop._facts import Facts, run_script
from interop._go import build
from interop._program_pair import ProgramPair
from interop._tunnel import engines
from interop._waiting import wait
from testkit.programs import (
    CLIENT_ACCEPTED,
    QUICTUNNEL,
    Program,
    free_port,
    running,
)

if TYPE_CHECKING:
    from pathlib import Path

WITHIN = 60.0
"""Seconds for a program to end."""

BACK_WITHIN = 90.0
"""Seconds for an origin to detect the death of its remote, and to reconnect to the new one."""

REFUSED = 3
"""The exit code of an origin of either kind for which retrying is useless."""


ACCEPTED = rf"({CLIENT_ACCEPTED}|client in)"
"""The message of an origin, ours or the one in Go, about a new client."""


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    go = build(scratch / "programs")
    middle = str(go["middle"])
    for engine in engines():
        ours = (str(QUICTUNNEL),)
        state = ("--state-dir", str(scratch / "state"))
        remote = (*ours, "remote", *state, "--engine", engine)
        origin = (*ours, "origin", "--engine", engine)
        pairs = (
            ProgramPair(
                f"origin in Go, our remote ({engine})", remote, (str(go["origin"]),), scratch
            ),
            ProgramPair(
                f"remote in Go, our origin ({engine})", (str(go["remote"]),), origin, scratch
            ),
        )
        for number, ends in enumerate(pairs):
            folder = scratch / f"{engine}-{number}"
            folder.mkdir()
            _facts(facts, replace(ends, scratch=folder), middle)


def _facts(facts: Facts, ends: ProgramPair, middle: str) -> None:
    with counterpart.serving() as server, ends.running_remote() as (remote, link, outside):
        first = ends.origin_command(link, server.address, "laptop")
        with running("origin", first, ends.scratch) as origin:
            _bytes_and_endings(facts, ends.name, server, outside)
            _who_it_is(facts, ends.name, origin, outside)
            _take_over(facts, ends, server, (link, outside), origin)
        _impostors(facts, ends, server, link, middle)
        _origin_leaves(facts, ends, server, link, outside)
        with running("origin", first, ends.scratch) as origin:
            _remote_leaves(facts, ends.name, remote, origin, outside)
        _remote_dies(facts, ends, server)
    _nobody_listens(facts, ends)


def _bytes_and_endings(
    facts: Facts, name: str, server: counterpart.CounterpartServer, outside: int
) -> None:
    up, down = counterpart.exchange(outside)
    facts.equal(f"{name}: 10 MB up, then FIN: SHA-256 is right", up == counterpart.DIGEST, True)
    facts.equal(
        f"{name}: 10 MB down afterwards: SHA-256 is right", down == counterpart.DIGEST, True
    )
    with counterpart.connect(outside, b"reset\n") as client:
        facts.equal(f"{name}: the origin server resets: the client sees", _ending(client), "reset")
    client = counterpart.connect(outside, b"await\n")
    client.recv(16)  # the origin server has accepted it
    counterpart.reset(client)
    seen = server.endings.get(timeout=WITHIN)
    facts.equal(f"{name}: the client resets: the origin server sees", seen, "reset")


_ending = counterpart.ending


def _who_it_is(facts: Facts, name: str, origin: Program, outside: int) -> None:
    with counterpart.connect(outside, b"hold\n") as client:
        client.recv(16)
        host, port = client.getsockname()
        address = re.escape(f"{host}:{port}")
        line = origin.wait_for_log(rf"{ACCEPTED}\s+client={address}\b.*")[0]
    seen = re.search(r"service=\"?default\"? id=\"?[0-9a-f]{16}", line) is not None
    facts.equal(f"{name}: the origin logs the client's address, service and id", seen, True)


def _take_over(
    facts: Facts,
    ends: ProgramPair,
    server: counterpart.CounterpartServer,
    at: tuple[int, int],
    old: Program,
) -> None:
    link, outside = at
    with counterpart.connect(outside, b"hold\n") as client:
        client.recv(16)
        command = ends.origin_command(link, server.address, "laptop")
        who = f"{ends.name}: a second origin of the name"
        if ends.remote[0] == str(QUICTUNNEL):
            with Program("too early", command, ends.scratch) as early:
                code = early.wait(WITHIN)
            facts.equal(f"{who}, while the first one answers: exit code", code, REFUSED)
        old.signal(signal.SIGSTOP)
        with running("second", command, ends.scratch):
            facts.equal(f"{who}: the first one's client sees", _ending(client), "reset")
            old.signal(signal.SIGCONT)
            code = old.wait(WITHIN)
            facts.equal(f"{who}: the first one ends for good, exit code", code, REFUSED)
            up, _ = counterpart.exchange(outside)
            facts.equal(f"{who}: it serves", up == counterpart.DIGEST, True)


def _impostors(
    facts: Facts, ends: ProgramPair, server: counterpart.CounterpartServer, link: int, middle: str
) -> None:
    accepted = server.accepted
    other = ends.token(secrets.token_urlsafe(32))
    with contextlib.ExitStack() as stack:
        command = ends.origin_command(link, server.address, "wrong", other)
        refused, not_proven = "does not accept this token", "the token"
        caller = Program("wrong", command, ends.scratch)
        callers = [("a wrong secret", stack.enter_context(caller), refused)]
        for how in ("pass", "reflect", "guess"):
            command = [middle, "--remote", f"127.0.0.1:{link}", "--try", how]
            program = stack.enter_context(running(f"middle-{how}", command, ends.scratch))
            door = int(program.ready.rpartition(":")[2])
            command = ends.origin_command(door, server.address, f"victim-{how}")
            caller = Program(f"victim-{how}", command, ends.scratch)
            words = refused if how == "pass" else not_proven
            callers.append((f"a man in the middle ({how})", stack.enter_context(caller), words))
        for who, called, words in callers:
            code = called.wait(WITHIN)
            said = words if words in called.last_words() else called.last_words()
            fact = f"{ends.name}: {who}: the origin ends for good, with the reason"
            facts.equal(fact, (code, said), (REFUSED, words))
    facts.equal(
        f"{ends.name}: clients that reached the origin server meanwhile",
        server.accepted - accepted,
        0,
    )


def _origin_leaves(
    facts: Facts, ends: ProgramPair, server: counterpart.CounterpartServer, link: int, outside: int
) -> None:
    command = ends.origin_command(link, server.address, "leaves")
    with running("leaves", command, ends.scratch) as origin:
        _leaves(facts, f"{ends.name}: SIGTERM to the origin", origin, outside)


def _remote_leaves(facts: Facts, name: str, remote: Program, origin: Program, outside: int) -> None:
    _leaves(facts, f"{name}: SIGTERM to the remote", remote, outside)
    facts.equal(f"{name}: the origin is still running", origin.process.poll(), None)


def _leaves(facts: Facts, name: str, program: Program, outside: int) -> None:
    with counterpart.connect(outside, b"hold\n") as client:
        client.recv(16)
        program.signal(signal.SIGTERM)
        time.sleep(0.5)  # time enough to end if it did not wait
        facts.equal(f"{name}: it drains", program.process.poll(), None)
        client.sendall(b"last words\n")
        answer = client.makefile("rb").read()
        facts.equal(f"{name}: the client gets the answer and FIN", answer, b"LAST WORDS\n")
    facts.equal(f"{name}: exit code", program.wait(WITHIN), 0)


def _remote_dies(facts: Facts, ends: ProgramPair, server: counterpart.CounterpartServer) -> None:
    """Kill and restart the remote. Ours then resets its origins' links by stateless resets."""
    with contextlib.ExitStack() as stack:
        # The ports are fixed, because the reset key belongs to an address.
        link, outside = free_port(), free_port()
        with ends.running_remote(link, outside) as (remote, _, _):
            command = ends.origin_command(link, server.address, "stays")
            origin = stack.enter_context(running("stays", command, ends.scratch))
            remote.kill()

        def serves() -> bool:
            with contextlib.suppress(
                OSError
            ):  # the Go remote does not let clients wait for an origin
                return counterpart.exchange(outside)[0] == counterpart.DIGEST
            return False

        stack.enter_context(ends.running_remote(link, outside))
        with Stopwatch() as watch:
            served = wait(serves, "the origin to be back", BACK_WITHIN)
        fact = f"{ends.name}: the remote is killed and restarted, {watch.seconds:.1f} s"
        alive = origin.process.poll() is None
        facts.equal(f"{fact} later the same origin serves clients", served and alive, True)


def _nobody_listens(facts: Facts, ends: ProgramPair) -> None:
    with ends.running_remote() as (_, link, outside):
        command = ends.origin_command(link, "127.0.0.1:9", "closed")
        origin = running("closed", command, ends.scratch)
        with origin:
            try:
                with counterpart.connect(outside, b"") as client:
                    seen = _ending(client)
            except ConnectionResetError:  # it came before the connection was returned
                seen = "reset"
            facts.equal(f"{ends.name}: no origin server: the client sees", seen, "reset")


if __name__ == "__main__":
    run_script(script)
