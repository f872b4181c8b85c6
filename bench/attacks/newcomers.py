"""Origins that start one after the other, each from an address that the remote has never seen.

Python needs some tenths of a second to start them, or seconds on a busy machine. Both are measured:
the time from the start of the program, and the time from the first attempt to connect.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.attacks.site import LINK_PORT, NEWCOMERS, REMOTE
from testkit.programs import (
    ENGINE_SELECTED,
    POLL_INTERVAL,
    QUICTUNNEL,
    READY_ORIGIN,
    Program,
)
from testkit.switch import DEVICE

if TYPE_CHECKING:
    from bench.attacks.site import AttackSite

PAUSE = 3.0
"""Seconds between the end of one origin and the start of the next."""

GIVE_UP = 20.0
"""Seconds after which an origin that is not admitted counts as rejected."""

FIRST_PORT = 2000
"""The port of the first newcomer. Each asks for another one."""


@dataclass(frozen=True)
class FirstLink:
    """How long an origin took until it was ready, in seconds."""

    started: float
    """Since the program was started."""
    dialled: float
    """Since it first dialled the remote."""


class Newcomers(threading.Thread):
    """Starts origins until stopped, and measures the time until each is ready."""

    def __init__(self, site: AttackSite) -> None:
        super().__init__()
        self._site = site
        self._number = 0
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._taken: list[FirstLink] = []
        self._started_at = 0.0
        self._dialled_at: float | None = None

    def take(self) -> list[FirstLink]:
        """Return the times of all origins since the last call.

        One that dials without success counts as if it were ready now.
        """
        with self._lock:
            taken, self._taken = self._taken, []
            if self._dialled_at is not None:
                taken.append(self._first_link(time.monotonic()))
        return taken

    def stop(self) -> None:
        """Stop the present origin."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        """Start origins until stopped."""
        while not self._stopping.is_set():
            self._number += 1
            self._started_at = time.monotonic()
            origin = self._start()
            try:
                self._wait_until_ready(origin)
            finally:
                origin.stop()
            self._stopping.wait(PAUSE)

    def _start(self) -> Program:
        host = self._site.newcomer_host
        host.ip(
            f"link set dev {DEVICE} addrgenmode none",
            f"link set dev {DEVICE} up",
            f"address flush dev {DEVICE}",
            f"address add {NEWCOMERS}.{self._number}/32 dev {DEVICE}",
            f"route replace default dev {DEVICE}",
        )
        words = ["--remote", f"{REMOTE}:{LINK_PORT}", "--name", f"newcomer-{self._number}"]
        words += ["--origin", f"{FIRST_PORT + self._number}=127.0.0.1:1"]
        return self._site.programs.start(
            "newcomer",
            *host.command(QUICTUNNEL, "origin", *words),
            QUICTUNNEL_TOKEN=self._site.tunnel.token.reveal(),
            QUICTUNNEL_ENGINE=self._site.engine,
        )

    def _wait_until_ready(self, origin: Program) -> None:
        while not self._stopping.wait(POLL_INTERVAL):
            now = time.monotonic()
            with self._lock:
                if self._dialled_at is None and ENGINE_SELECTED in origin.stderr:
                    self._dialled_at = now
                is_ready = re.search(READY_ORIGIN, origin.stdout, re.MULTILINE) is not None
                waited = now - (self._dialled_at or now)
                if is_ready or waited > GIVE_UP or origin.process.poll() is not None:
                    never = self._started_at + GIVE_UP
                    self._taken.append(self._first_link(now if is_ready else max(now, never)))
                    self._dialled_at = None
                    return

    def _first_link(self, now: float) -> FirstLink:
        since = self._started_at if self._dialled_at is None else self._dialled_at
        return FirstLink(now - self._started_at, now - since)
