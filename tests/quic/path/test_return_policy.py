"""How long UDP must answer before a return, and how many returns may follow each other."""

from __future__ import annotations

from quictunnel.quic.path.return_policy import ReturnPolicy


def test_each_failure_doubles_the_time_up_to_five_minutes():
    policy = ReturnPolicy(0.0)
    times = [policy.steady_time]
    for _ in range(8):
        policy.failed()
        times.append(policy.steady_time)
    assert times == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    policy.succeeded()
    assert policy.steady_time == 5
    policy.failed()
    policy.network_changed()
    assert policy.steady_time == 5


def test_six_returns_may_follow_each_other_and_then_one_a_minute():
    policy = ReturnPolicy(0.0)
    taken = [now for now in range(300) if policy.take(float(now))]
    assert taken[:6] == [0, 1, 2, 3, 4, 5]
    assert len(taken) == 6 + 4
    policy.put_back()
    assert policy.take(300.0)
