"""Decides when a dialed link leaves UDP for a path that something else carries, and returns.

On UDP, a silent peer or the loss of nearly all packets opens such a path beside the attempts of
`PathMigration`. On that path, UDP is only probed. The link returns once UDP has answered steadily,
or as soon as UDP answers at all while the link is silent. The path stays open for a while after a
return, in case UDP does not carry the link after all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from quictunnel.events import PathReason
from quictunnel.quic.path.answer_check import AnswerCheck
from quictunnel.quic.path.loss_meter import SAMPLE_INTERVAL, LossMeter
from quictunnel.quic.path.migration import MigratingLink
from quictunnel.quic.path.path_opening import PathOpening
from quictunnel.quic.path.return_policy import RETURN_PROOF, RETURN_TRIAL, ReturnPolicy

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from quictunnel.quic.path.carried_endpoint_socket import CarriedEndpointSocket
    from quictunnel.quic.path.datagram_path import DatagramPath, PathOpener
    from quictunnel.quic.path.migration import PathMigration
    from quictunnel.quic.path.probe_record import ProbeRecord
    from quictunnel.quic.path.udp_prober import UdpProber

ANSWER_TIMEOUT = 3.0
"""Seconds that a path which the link has just moved to has for an answer, before another is
opened."""

LASTING_PATH = 5.0
"""Seconds of use after which the end of a path counts as the first failure. A path that ends sooner
counts as another failed attempt."""

PATH_SILENT = "the path does not answer"
"""Why an open path is replaced by another one of its kind."""


class FallbackLink(MigratingLink, Protocol):
    """The link, as its fallback sees it."""

    @property
    def is_silent(self) -> bool:
        """Whether the peer does not answer."""


class Fallback:
    """Moves one dialed link between UDP and paths that an opener opens.

    :param migration: moves the link on UDP, and back to UDP.
    :param attach: makes a socket of an open path.
    :param use: continues the link on such a socket, for a reason.
    :param open_failed: takes each new reason why no path can be opened.
    :param look: returns a value that differs when the machine's addresses have changed.
    """

    def __init__(
        self,
        link: FallbackLink,
        *,
        opener: PathOpener,
        migration: PathMigration,
        attach: Callable[[DatagramPath], CarriedEndpointSocket],
        use: Callable[[CarriedEndpointSocket, str], None],
        open_failed: Callable[[str], None],
        look: Callable[[], object],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.prober: UdpProber | None = None
        """Probes UDP while the link is elsewhere; None for a link that never uses UDP."""
        self._link = link
        self._migration = migration
        self._attach = attach
        self._use = use
        self._look = look
        self._loop = loop
        self._opening = PathOpening(
            opener,
            loop,
            opened=self._opened,
            is_needed=lambda: self._reason_to_move() is not None,
            failed=open_failed,
        )
        self._check = AnswerCheck(link, loop, self._check_failed)
        self._meter = LossMeter()
        self._returns = ReturnPolicy(loop.time())
        self._is_on_udp = True
        self._path: CarriedEndpointSocket | None = None  # in use; None after its end
        self._standby: CarriedEndpointSocket | None = None  # open in case a return fails
        self._ended_because = ""  # of the path that was in use
        self._moved_at = loop.time()
        self._left_udp_at = -math.inf
        self._addresses: object = None  # when the path in use was opened
        self._doubted_at: float | None = None  # only a later answer saves the path in use
        self._doubt = ""  # why
        self._trial: asyncio.TimerHandle | None = None
        self._sampling: asyncio.TimerHandle | None = None

    # Called by the dialer

    def start_on_udp(self) -> None:
        """Follow a link that was made on UDP."""
        self._start_sampling()

    def start_on_path(self, socket: CarriedEndpointSocket) -> None:
        """Follow a link that was made on another path."""
        self._take_path(socket)

    def close(self) -> None:
        """Cancel all tasks and timers, and close all paths."""
        self._opening.stop()
        self._check.cancel()
        self._end_trial()
        self._stop_sampling()
        if self.prober is not None:
            self.prober.stop()
        for socket in (self._path, self._standby):
            if socket is not None:
                socket.close()
        self._path = self._standby = None

    # Signals

    def peer_unanswered(self) -> None:
        """Handle that the link is silent. Called again and again while it is."""
        if not self._is_on_udp:
            self._hurry()
            if self._path is not None and self._loop.time() < self._moved_at + ANSWER_TIMEOUT:
                return
            self._opening.start(at_once=self._path is not None)
            return
        if self._trial is not None and self._loop.time() >= self._moved_at + ANSWER_TIMEOUT:
            self._end_silent_return()
        if self._standby is not None and self._standby.is_open:
            self._end_silent_return()
            self._move_to(self._standby, PathReason.UDP_SILENT)
            return
        self._opening.start(at_once=True)
        self._migration.peer_unanswered()

    def peer_answered(self) -> None:
        """Handle the first answer of a silent peer."""
        if self._is_on_udp or self._path is not None:
            self._opening.reset()
            self._relax()

    def network_changed(self, reason: str) -> None:
        """Move if the machine has other addresses now, otherwise ping."""
        if self._link.is_closed:
            return
        addresses = self._look()
        is_elsewhere = addresses != self._addresses
        self._addresses = addresses
        if is_elsewhere:
            self._returns.network_changed()
        if self._is_on_udp:
            self._migration.network_changed(reason)
            if is_elsewhere:
                self._drop_standby()
            if self._opening.is_running:
                self._opening.hasten(anew=is_elsewhere)
            return
        self._link.path_changed()
        self._doubt = reason
        if is_elsewhere:
            self._doubted_at = math.inf
            self._restart_probes()
            self._opening.hasten(anew=True)
        elif self._opening.is_running:
            self._opening.hasten(anew=False)
        else:
            self._check.ask()

    def path_closed(self, socket: CarriedEndpointSocket, reason: str) -> None:
        """Handle the end of a path."""
        if socket is self._standby:
            self._standby = None
        elif socket is self._path:
            self._path = None
            if self._link.is_closed:
                return
            self._ended_because = reason
            self._check.cancel()
            self._hurry()
            if self._loop.time() >= self._moved_at + LASTING_PATH:
                self._opening.reset()
            self._opening.start(at_once=False)

    def probe_answered(self) -> None:
        """Return to UDP if that is better than what the link has, and not too often."""
        if self._is_on_udp or self.prober is None or self._link.is_closed:
            return
        if self._path is None or (self._link.is_silent and self._has_had_time()):
            self._return()
        elif self._take_return(self.prober.record) and not self._return():
            self._returns.put_back()

    def _has_had_time(self) -> bool:
        """Return whether the peer could have answered since the link left UDP.

        Some networks let probes pass and block links. The answer to a probe may then come before
        that of the path, and the link would return to UDP each time.
        """
        return self._loop.time() >= self._left_udp_at + ANSWER_TIMEOUT

    def _take_return(self, record: ProbeRecord) -> bool:
        """Return whether UDP has answered for long enough, and count a return."""
        now = self._loop.time()
        return record.is_steady(now, self._returns.steady_time) and self._returns.take(now)

    # Paths

    def _opened(self, path: DatagramPath) -> None:
        """Move to a path that was just opened, or close it if it is not needed any more."""
        socket = self._attach(path)
        reason = self._reason_to_move()
        if reason is None:
            socket.close()
        else:
            self._move_to(socket, reason)

    def _reason_to_move(self) -> str | None:
        """Return why the link needs a path that was just opened; None if it does not."""
        if self._link.is_closed:
            return None
        if self._is_on_udp:
            if self._link.is_silent:
                return PathReason.UDP_SILENT
            return PathReason.UDP_THROTTLED if self._meter.is_throttled else None
        if self._path is None:
            return self._ended_because
        if self._doubted_at is not None and self._link.engine.answered_at <= self._doubted_at:
            return self._doubt
        return PATH_SILENT if self._link.is_silent else None

    def _move_to(self, socket: CarriedEndpointSocket, reason: str) -> None:
        previous, was_on_udp = self._path, self._is_on_udp
        if self._standby is not socket:
            self._drop_standby()
        self._standby = None
        self._take_path(socket, leaves_udp=was_on_udp)
        self._link.path_changed()
        self._use(socket, reason)
        if previous is not None:
            previous.close()

    def _take_path(self, socket: CarriedEndpointSocket, *, leaves_udp: bool = True) -> None:
        self._migration.suspend()
        self._end_trial()
        self._stop_sampling()
        self._check.cancel()
        self._is_on_udp = False
        self._path = socket
        self._doubted_at = None
        self._moved_at = self._loop.time()
        self._addresses = self._look()
        if leaves_udp:
            self._left_udp_at = self._moved_at
            self._restart_probes()
        self._relax()

    def _return(self) -> bool:
        """Move to UDP, and keep the path for a while. Return False if there is no route."""
        path, was_silent = self._path, self._link.is_silent
        if not self._migration.resume(PathReason.UDP_ANSWERS):
            return False
        self._is_on_udp = True
        self._path = None
        self._moved_at = self._loop.time()
        if path is not None and was_silent:
            path.close()
        elif path is not None:
            path.is_reading = False
            self._standby = path
        self._doubted_at = None
        self._opening.stop()
        self._check.cancel()
        if self.prober is not None:
            self.prober.stop()
        self._trial = self._loop.call_later(RETURN_TRIAL, self._succeed_return)
        self._start_sampling()
        return True

    def _end_silent_return(self) -> None:
        """Count the return as failed, unless UDP has carried the link before the silence."""
        if self._link.engine.answered_at < self._moved_at + RETURN_PROOF:
            self._fail_return()
        self._end_trial()

    def _fail_return(self) -> None:
        if self._trial is not None:
            self._returns.failed()
        self._end_trial()

    def _succeed_return(self) -> None:
        self._trial = None
        self._returns.succeeded()
        self._drop_standby()

    def _end_trial(self) -> None:
        if self._trial is not None:
            self._trial.cancel()
            self._trial = None

    def _drop_standby(self) -> None:
        standby, self._standby = self._standby, None
        if standby is not None:
            standby.close()

    # Doubts

    def _check_failed(self, pinged_at: float) -> None:
        """Replace the path, unless the answer comes before another one is open."""
        if not self._is_on_udp and not self._link.is_closed:
            self._doubted_at = pinged_at
            if self.prober is not None and self.prober.record.steady_since is None:
                self.prober.start()
            self._opening.start(at_once=True)

    def _start_sampling(self) -> None:
        self._meter.clear()
        self._addresses = self._look()
        self._sampling = self._loop.call_later(SAMPLE_INTERVAL, self._sample)

    def _stop_sampling(self) -> None:
        if self._sampling is not None:
            self._sampling.cancel()
            self._sampling = None

    def _sample(self) -> None:
        self._sampling = self._loop.call_later(SAMPLE_INTERVAL, self._sample)
        statistics = self._link.engine.statistics
        self._meter.add(self._loop.time(), statistics.packets_sent, statistics.packets_lost)
        if not self._meter.is_throttled:
            return
        self._fail_return()
        if self._standby is not None and self._standby.is_open:
            self._move_to(self._standby, PathReason.UDP_THROTTLED)
        else:
            self._opening.start(at_once=True)

    # Probes

    def _restart_probes(self) -> None:
        if self.prober is not None:
            self.prober.start()

    def _hurry(self) -> None:
        if self.prober is not None:
            self.prober.hurry()

    def _relax(self) -> None:
        if self.prober is not None:
            self.prober.relax()
