"""When the losses of a path mean that it carries nearly nothing."""

from __future__ import annotations

from quictunnel.quic.path.loss_meter import MAX_GAP, SAMPLE_INTERVAL, LossMeter


def throttled_at(meter: LossMeter, *phases: tuple[float, float, float], start: float = 0.0):
    """Add samples; return the times at which the meter calls the path throttled.

    :param phases: seconds, packets per second, and the share of them that is lost.
    """
    now, sent, lost, found = start, 0.0, 0.0, []
    for duration, rate, share in phases:
        for _ in range(int(duration / SAMPLE_INTERVAL)):
            meter.add(now, int(sent), int(lost))
            if meter.is_throttled:
                found.append(now)
            now += SAMPLE_INTERVAL
            sent += rate * SAMPLE_INTERVAL
            lost += rate * SAMPLE_INTERVAL * share
    return found


def test_a_path_that_loses_97_percent_is_found_within_four_seconds():
    assert throttled_at(LossMeter(), (6, 50, 0.97))[0] == 4.0
    after = throttled_at(LossMeter(), (20, 50, 0.0), (6, 50, 0.97))[0]
    assert 22.5 <= after <= 24


def test_a_path_that_loses_half_is_not_meant():
    assert throttled_at(LossMeter(), (60, 500, 0.5)) == []


def test_few_packets_mean_nothing():
    assert throttled_at(LossMeter(), (60, 5, 1.0)) == []


def test_the_losses_of_a_burst_do_not_count_against_the_few_packets_after_it():
    meter = LossMeter()
    sent, lost = 0, 0
    for step in range(40):
        sent += 10_000 if step == 10 else 5
        lost += 500 if step == 11 else 0  # declared half a second later
        meter.add(step * SAMPLE_INTERVAL, sent, lost)
        assert not meter.is_throttled, step


def test_another_path_and_a_stop_of_the_process_begin_anew():
    meter = LossMeter()
    assert throttled_at(meter, (6, 50, 0.97))
    meter.clear()
    assert not meter.is_throttled
    assert throttled_at(meter, (3.5, 50, 0.97)) == []
    assert throttled_at(meter, (3.5, 50, 0.97), start=3.5 + MAX_GAP + 1) == []
