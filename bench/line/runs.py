"""A row of the table: runs of one measurement for each column, and their medians."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from testkit.programs import ProgramError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.line.figures import Measured
    from bench.line.measures import LineMeasure

FIRST_SEED = 7


@dataclass
class ResultCell:
    """The results of one column's runs."""

    done: list[Measured] = field(default_factory=list)
    failed: int = 0

    def __str__(self) -> str:
        """Return the medians of the figures, and how many runs are in doubt; nothing if none was.

        A run that the emulator was too slow for is one of them, and told.
        """
        words = [short(median) for median in self.medians()]
        if self.failed:
            words.append(f"({self.failed} failed)")
        if self.overloaded:
            words.append(f"({self.overloaded} overloaded)")
        return " ".join(words)

    def medians(self) -> list[float]:
        """Return the median of each figure over the runs; nothing if no run succeeded."""
        if not self.done:
            return []
        of_each = zip(*(measured.figures for measured in self.done), strict=True)
        return [statistics.median(figures) for figures in of_each]

    @property
    def overloaded(self) -> int:
        """How many runs the emulator was too slow for."""
        return sum(bool(measured.overload) for measured in self.done)


def short(figure: float) -> str:
    """Return a small figure with three decimals, a large one without."""
    return f"{figure:.0f}" if figure > 10 or isinstance(figure, int) else f"{figure:.3f}"


def row(
    measure: LineMeasure[Any],
    columns: Sequence[Any],
    *,
    runs: int,
    at_once: int,
    again: int = 0,
    say: Callable[[str], None],
) -> list[ResultCell]:
    """Repeat a measurement for each column, each time with another seed.

    The columns take turns, because the speed of the machine drifts.

    :param at_once: the number of concurrent runs.
    :param again: the most repetitions of a run in which the emulator was overloaded. The last
        repetition counts.
    :param say: called with a report of each run.
    """
    cells = [ResultCell() for _ in columns]

    def take(turn: int, who: Any, cell: ResultCell) -> None:
        for more in range(again, -1, -1):
            began = time.monotonic()
            told = f"{turn + 1}/{runs} {who}: "
            try:
                measured = measure(who, seed=FIRST_SEED + turn)
            except (ProgramError, OSError) as exc:  # OSError: a connection was reset
                cell.failed += 1
                say(f"{told}failed: {exc} ({time.monotonic() - began:.0f} s)")
                return
            if measured is None:
                return
            repeat = bool(measured.overload) and more > 0
            told += _told(measured) + (", and again" if repeat else "")
            say(f"{told} ({time.monotonic() - began:.0f} s)")
            if not repeat:
                cell.done.append(measured)
                return

    with ThreadPoolExecutor(at_once) as pool:
        taken = [
            pool.submit(take, turn, who, cell)
            for turn in range(runs)
            for who, cell in zip(columns, cells, strict=True)
        ]
        try:
            for future in taken:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return cells


def _told(measured: Measured) -> str:
    told = " ".join(map(short, measured.figures))
    if measured.overload:
        told += f" (the emulator was overloaded: {measured.overload})"
    return told
