"""What a path has delivered at best, and of late. Rates are bytes a second.

In one thing it goes another way than the draft, whose best rate is that of a single sample (5.5.6).
Acknowledgements that were held up come together, and what is sent between the first of them and the
last finds part of them still to come: its sample has them all, in less time than they took. Ends
that stand still now and then, as all do on busy machines, make samples that are a tenth too good,
and each would stand for two cycles. So a round counts for what half of its samples reach; only in
startup, where each sample is better than the one before, all count.
"""

from __future__ import annotations

import statistics

STARTUP_KEPT = 0.9
"""What is believed of startup's best sample. Where much was lost, a peer's window is full of what
waits for it, and none of startup's rounds had enough to send for half of its samples."""

GONE = 0.5
"""Who gets less than so much of the best rate, ..."""

GONE_ROUNDS = 6
"""... in so many rounds one after another, ..."""

GONE_SECONDS = 1.0
"""... and for so long, where rounds are short, will not get it again by asking for all of it."""


class Decline:
    """When the best rate is there no more.

    The draft believes it for two cycles of probes (5.5.6), which take up to six seconds: a path
    that has become slower would be filled at its old rate with each probe until then, and its queue
    overflow by all that is too much.
    """

    def __init__(self) -> None:
        self._rounds = 0
        self._since = 0.0
        self._best = 0.0

    def add(self, rate: float, believed: float, now: float) -> float | None:
        """Take the rate of a round in which there was enough to send.

        :return: what to believe in place of `believed`, if that is gone: the best of those rounds.
        """
        if rate >= GONE * believed:
            self._rounds = 0
            return None
        if not self._rounds:
            self._since, self._best = now, 0.0
        self._rounds += 1
        self._best = max(self._best, rate)
        if self._rounds < GONE_ROUNDS or now < self._since + GONE_SECONDS:
            return None
        self._rounds = 0
        return self._best


class Rates:
    """The best rate of this cycle and the one before (BBR.MaxBwFilterLen), and the last round's."""

    def __init__(self) -> None:
        self.best = 0.0
        self.latest = 0.0
        """The last round's; in startup, the best of this one and the last."""
        self._cycles = [0.0, 0.0]
        self._in_startup = True
        self._round: list[float] = []
        self._round_limited = False  # by the sender, who had less to send
        self._best_round = 0.0  # of startup
        self._decline = Decline()

    def add(self, rate: float, *, app_limited: bool) -> None:
        """Take a sample; 0 is none."""
        if not rate:
            return
        self._round.append(rate)
        self._round_limited |= app_limited
        if self._in_startup:
            self.latest = max(self.latest, rate)
            self._count(rate, app_limited=app_limited)

    def end_round(self, now: float) -> None:
        """A round is over; what comes next is of another."""
        if not self._round:
            return
        median = statistics.median_high(self._round)
        if self._in_startup:
            self._best_round = max(self._best_round, median)
        else:
            self.latest = median
            self._count(median, app_limited=self._round_limited)
            if not self._round_limited:
                self._give_up_what_is_gone(median, now)
        self._round.clear()
        self._round_limited = False

    def end_startup(self) -> None:
        """Go by rounds from now on, and by the best of those that were."""
        if self._in_startup:
            self._in_startup = False
            self.best = max(self._best_round, STARTUP_KEPT * self.best)
            self._cycles = [0.0, self.best]

    def advance_cycle(self) -> None:
        """Forget the best rate but of this cycle and the one before it (5.5.6).

        One in which there was always too little to send has no rate, and does not count.
        """
        if self._cycles[1]:
            self._cycles = [self._cycles[1], 0.0]

    def begin_latest(self, rate: float) -> None:
        """Let what is the latest begin with this sample, in startup."""
        if self._in_startup:
            self.latest = rate

    def _count(self, rate: float, *, app_limited: bool) -> None:
        if rate >= self.best or not app_limited:
            self._cycles[1] = max(self._cycles[1], rate)
            self.best = max(self._cycles)

    def _give_up_what_is_gone(self, rate: float, now: float) -> None:
        instead = self._decline.add(rate, self.best, now)
        if instead is not None:
            self.best = instead
            self._cycles = [0.0, instead]
