"""A short soak with each engine: clients of all kinds over a bad network.

`python -m bench.soak` is the long one. This one counts clients, not seconds, so it does not depend
on the speed of the machine. It is too short to judge memory.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.soak.plans import PlanLimits
from bench.soak.run import SoakRun, SoakSettings
from testkit.weather import Conditions

SHORT = SoakSettings(
    conditions=Conditions(spell=0.5, outages=2, outage=0.5, rebindings=2),
    limits=PlanLimits(most=300_000, longest=0.3),
    tides=1,
    visits=100,
)


@pytest.mark.nightly
def test_a_soak_finds_no_fault(engines, tmp_path):
    report = SoakRun(replace(SHORT, engines=engines), tmp_path).run()
    assert report.faults == []
    assert report.done["visits"] >= SHORT.visits
    assert report.network["lost in foul weather"] > 0
