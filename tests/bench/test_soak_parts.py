"""The parts of the soak without sockets: weather, plans, payload, memory, logs."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from itertools import pairwise

import pytest

from bench.soak.plans import PIECE, Payload, PlanLimits, draw
from bench.soak.verdict import VARIATION, Rest, memory_faults, trend
from bench.soak.watch import JsonLog, Resources, open_files, resources
from testkit.programs import CLIENT_ACCEPTED, CLIENT_CLOSED, LINK_ESTABLISHED
from testkit.weather import Conditions, Weather

CALM = Conditions(loss=0, runs=0, overtaken=0, twice=0, spell=0, outages=0, rebindings=0, rate=0)


def arrivals(conditions: Conditions, datagrams: int = 5000, every: float = 0.001) -> list:
    network = Weather(conditions, now=100.0)
    return [network.arrivals(1200, "up", 100 + number * every) for number in range(datagrams)]


# The weather


def test_a_calm_network_only_delays_and_keeps_the_order():
    came = arrivals(CALM)
    assert all(len(times) == 1 for times in came)
    assert all(one <= other for one, other in pairwise(times[0] for times in came))
    late = [times[0] - 100 - number * 0.001 for number, times in enumerate(came)]
    assert min(late) >= 0.01
    assert max(late) <= 0.015 + 1e-9


def test_foul_weather_loses_duplicates_and_reorders():
    came = arrivals(replace(CALM, loss=0.1, twice=0.1, overtaken=0.2, jitter=0))
    lost = sum(not times for times in came)
    twice = sum(len(times) == 2 for times in came)
    assert 400 < lost < 600
    assert 250 < twice < 500
    alone = [times[0] for times in came if times]
    assert sum(one > other for one, other in pairwise(alone)) > 500


def test_runs_of_datagrams_are_lost():
    came = arrivals(replace(CALM, runs=0.01, run=10))
    kept = "".join("x" if times else "-" for times in came)
    assert max(map(len, kept.split("x"))) >= 8
    assert 0.02 < kept.count("-") / len(kept) < 0.1


def test_fair_and_foul_weather_alternate():
    came = arrivals(replace(CALM, loss=1, spell=0.2))
    lost = [not times for times in came]
    assert 0.2 < sum(lost) / len(lost) < 0.8
    assert 8 < sum(one != other for one, other in pairwise(lost)) < 60


def test_a_rate_queues_datagrams_and_then_drops_them():
    came = arrivals(replace(CALM, rate=600_000, queue=0.05, jitter=0))
    kept = [times[0] for times in came if times]
    assert 0.45 < len(kept) / len(came) < 0.55
    assert min(other - one for one, other in pairwise(kept)) == pytest.approx(0.002)


def test_nothing_arrives_during_an_outage():
    came = arrivals(replace(CALM, outages=1, outage=0.5))
    kept = "".join("x" if times else "-" for times in came)
    dark = [len(run) for run in kept.split("x") if run]
    assert 1 <= len(dark) <= 10
    assert 100 <= max(dark) <= 501


def test_each_rebinding_is_reported_once():
    network = Weather(replace(CALM, rebindings=1), now=0)
    forgotten = [network.rebinds(now / 100) for now in range(1000)]
    assert 4 < sum(forgotten) < 25
    assert network.done["rebindings"] == sum(forgotten)


def test_the_same_seed_gives_the_same_weather():
    assert arrivals(Conditions(seed=4)) == arrivals(Conditions(seed=4))
    assert arrivals(Conditions(seed=4)) != arrivals(Conditions(seed=5))


# Plans and payload


def test_plans_are_the_same_at_both_ends_and_stay_within_the_measure():
    limits = PlanLimits(most=10_000, longest=0.5)
    for number in range(500):
        plan = draw(number, 7, limits)
        assert plan == draw(number, 7, limits)
        assert plan.server.size <= 20 * 20_000
        for half in (plan.client, plan.server):
            assert all(0 <= at <= half.size for at, _ in (*half.gates, *half.pauses))
            assert all(0 <= seconds <= 0.5 for _, seconds in (*half.pauses, *half.stalls))
        assert not (plan.client.ends_last and plan.server.ends_last)


def test_payload_is_verified_in_pieces_of_any_size():
    says = Payload.of(5, "client")
    sent = bytearray()
    while len(sent) < 3_000_000:
        sent += says.piece(len(sent), PIECE)
    for start, end in ((0, len(sent)), (7, 30), (1_000_000, 2_500_000)):
        assert says.first_wrong(memoryview(sent)[start:end], start) is None
    sent[2_000_000] ^= 1
    assert says.first_wrong(memoryview(sent), 0) == 2_000_000
    sent[2_000_000] ^= 1
    assert says.first_wrong(memoryview(sent)[1:], 0) is not None
    assert Payload.of(6, "client").first_wrong(memoryview(sent)[16:], 16) is not None


# Memory


def points(per_client: float, bumps: tuple = ()) -> list:
    base = 50_000_000
    return [
        (120 * tide, round(base + per_client * 120 * tide + bumps[tide % len(bumps)] * VARIATION))
        for tide in range(20)
    ]


@pytest.mark.parametrize(
    ("per_client", "bumps", "grows"),
    [
        (0, (0,), False),
        (100, (0, 0.5), False),
        (0, (0, 2, 1), False),
        (20_000, (0,), True),
        (20_000, (0, 2, 1), True),
    ],
)
def test_memory_that_grows_with_the_clients_is_a_fault(per_client, bumps, grows):
    found = trend(points(per_client, bumps))
    assert found.is_growth is grows
    if bumps == (0,):
        assert found.per_client == pytest.approx(per_client, abs=1)
    rests = [Rest(n, Resources(held, held, 1, 7)) for n, held in points(per_client, bumps)]
    assert len(list(memory_faults("remote", rests))) == (2 if grows else 0)


def test_memory_that_only_warms_up_is_no_growth():
    warm = [(120 * tide, 50_000_000 + min(tide, 8) * 2_000_000) for tide in range(20)]
    assert not trend(warm).is_growth


def test_too_few_points_give_no_verdict():
    assert trend(points(1_000_000, (0,))[:8]) is None
    few = [(served // 2, held) for served, held in points(1_000_000, (0,))]
    assert trend(few) is None


# Resources and logs of a program


def test_the_resources_of_this_process(tmp_path):
    before = resources(os.getpid())
    assert before.resident >= before.unique > 1_000_000
    with (tmp_path / "one more").open("w"):
        assert resources(os.getpid()).descriptors == before.descriptors + 1
        assert open_files(os.getpid())[str(tmp_path / "one more")] == 1


def test_a_log_gives_open_clients_and_bad_lines(tmp_path):
    path = tmp_path / "log"
    log = JsonLog(path)
    lines = [
        json.dumps({"level": level, "message": message, "id": who})
        for level, message, who in (
            ("info", LINK_ESTABLISHED, None),
            ("info", CLIENT_ACCEPTED, "a"),
            ("info", CLIENT_ACCEPTED, "b"),
            ("warning", "client turned away", None),
            ("info", CLIENT_CLOSED, "a"),
            ("error", "a bug", None),
        )
    ]
    text = "\n".join([*lines, "Traceback (most recent call last):", lines[1]])
    path.write_text(text)
    log.read()
    assert log.present == {"b"}
    assert [line[:9] for line in log.bad] == ['{"level":', "Traceback"]
    assert log.links == log.levels["warning"] == 1
    path.write_text(text + "\n")
    log.read()
    assert log.present == {"a", "b"}
