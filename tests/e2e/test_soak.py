"""A short soak: clients who do everything that clients do, over a bad network, with each engine.

`python -m bench.soak` is the long one. This one counts clients, not seconds, so it asks nothing of
a machine's speed; and it is too short to tell anything about memory.
"""

from __future__ import annotations

from dataclasses import replace

from bench.soak.network import Conditions
from bench.soak.plans import Measure
from bench.soak.run import Run, Settings

SHORT = Settings(
    conditions=Conditions(spell=0.5, outages=2, outage=0.5, rebindings=2),
    measure=Measure(most=300_000, longest=0.3),
    tides=1,
    visits=100,
)


def test_nothing_is_lost_and_nothing_left(engines, tmp_path):
    report = Run(replace(SHORT, engines=engines), tmp_path).run()
    assert report.faults == []
    assert report.done["visits"] >= SHORT.visits
    assert report.network["lost in foul weather"] > 0
