"""A row of the table: one measure, again and again on each column, and what comes of it."""

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
class Cell:
    """What the runs of one column have given."""

    done: list[Measured] = field(default_factory=list)
    failed: int = 0

    def __str__(self) -> str:
        """Return the medians of the figures, and how many runs are in doubt; nothing if none was.

        A run that the emulator was too slow for is one of them, and told.
        """
        words = []
        if self.done:
            of_each = zip(*(measured.figures for measured in self.done), strict=True)
            words = [short(statistics.median(figures)) for figures in of_each]
        if self.failed:
            words.append(f"({self.failed} failed)")
        if overloaded := sum(bool(measured.overload) for measured in self.done):
            words.append(f"({overloaded} overloaded)")
        return " ".join(words)


def short(figure: float) -> str:
    """Return a share or a multiple with three digits behind the point; what is large, without."""
    return f"{figure:.0f}" if figure > 10 or isinstance(figure, int) else f"{figure:.3f}"


def row(
    measure: LineMeasure[Any],
    columns: Sequence[Any],
    *,
    runs: int,
    at_once: int,
    again: int = 0,
    say: Callable[[str], None],
) -> list[Cell]:
    """Take a measure so many times on each column, with other dice each time.

    The columns take turns: the machine's speed drifts, and what is compared was measured within
    seconds.

    :param at_once: how many runs go on at a time.
    :param again: how many more are made at most in place of one that the emulator was too slow for:
        what was measured is not the line that was asked for. The last of them counts.
    :param say: what is called with words for each run.
    """
    cells = [Cell() for _ in columns]

    def take(turn: int, who: Any, cell: Cell) -> None:
        for more in range(again, -1, -1):
            began = time.monotonic()
            told = f"{turn + 1}/{runs} {who}: "
            try:
                measured = measure(who, seed=FIRST_SEED + turn)
            except (ProgramError, OSError) as exc:  # OSError: a connection was cut
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
