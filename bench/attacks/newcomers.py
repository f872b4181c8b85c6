"""Origins that start one after the other, each from an address that the remote has never seen."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from bench.attacks.site import LINK_PORT, NEWCOMERS, REMOTE
from testkit.programs import QUICTUNNEL, READY_ORIGIN, Program, ProgramError
from testkit.switch import DEVICE

if TYPE_CHECKING:
    from bench.attacks.site import AttackSite

PAUSE = 3.0
"""Seconds between the end of one origin and the start of the next."""

GIVE_UP = 20.0
"""Seconds after which an origin that is not admitted counts as rejected."""

FIRST_PORT = 2000
"""The port of the first newcomer. Each asks for another one."""


class Newcomers(threading.Thread):
    """Starts origins until stopped, and measures the time until each is ready."""

    def __init__(self, site: AttackSite) -> None:
        super().__init__()
        self._site = site
        self._number = 0
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._taken: list[float] = []
        self._waiting_since: float | None = None

    def take(self) -> list[float]:
        """Return the seconds of all origins since the last call; an unready one counts as it is."""
        with self._lock:
            taken, self._taken = self._taken, []
            if self._waiting_since is not None:
                waited = time.monotonic() - self._waiting_since
                if waited > max(taken, default=0.0):
                    taken.append(waited)
        return taken

    def stop(self) -> None:
        """Stop the present origin."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        """Start origins until stopped."""
        while not self._stopping.is_set():
            self._number += 1
            with self._lock:
                self._waiting_since = time.monotonic()
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
        start = self._waiting_since
        assert start is not None
        while not self._stopping.is_set():
            waited = time.monotonic() - start
            try:
                origin.wait_for(READY_ORIGIN, within=0.2)
            except ProgramError:
                if waited < GIVE_UP:
                    continue
            with self._lock:
                self._taken.append(time.monotonic() - start)
                self._waiting_since = None
            return
