"""The judgement of a line, from probes and from TCP beside them."""

from __future__ import annotations

import pytest

from quictunnel.doctor.finding import Level
from quictunnel.doctor.line_quality import HEADERS, TcpLoss, judge_loss, judge_mtu
from quictunnel.doctor.probe_socket import SentProbe
from quictunnel.quic.path.version_probe import MIN_PROBE_SIZE

GOOD_TCP = TcpLoss(attempts=16, prompt=16)


def probes(
    answered: int, lost: int, size: int = MIN_PROBE_SIZE, trip: float = 0.02
) -> list[SentProbe]:
    return [SentProbe(size, 1.0, 1.0 + trip)] * answered + [SentProbe(size, 1.0)] * lost


@pytest.mark.parametrize(
    ("answered", "tcp", "level", "words"),
    [
        (
            100,
            GOOD_TCP,
            Level.OK,
            "0 % of 100 UDP packets are lost, and the round trip takes 20 ms",
        ),
        (97, GOOD_TCP, Level.OK, "3 %"),
        (80, GOOD_TCP, Level.WARNING, "UDP is throttled on the way: 20 %"),
        (3, GOOD_TCP, Level.FAILED, "UDP is throttled on the way: 97 %"),
        (0, GOOD_TCP, Level.FAILED, "UDP is throttled on the way: 100 %"),
        (80, TcpLoss(16, 10), Level.WARNING, "the network loses packets of all kinds: 20 %"),
        (20, TcpLoss(16, 2), Level.FAILED, "the network loses packets of all kinds: 80 %"),
        (20, None, Level.FAILED, "80 % of 100 UDP packets are lost"),
        (80, TcpLoss(4, 4), Level.WARNING, "20 % of 100 UDP packets are lost"),
    ],
)
def test_loss(answered, tcp, level, words):
    (finding,) = judge_loss(probes(answered, 100 - answered), tcp)
    assert finding.level is level
    assert words in finding.sentence
    assert bool(finding.advice) == (level is not Level.OK)


def sizes(**answered: bool) -> list[SentProbe]:
    """Return a good line's probes, and six for each path MTU over IPv4."""
    found = probes(50, 0)
    for name, arrives in answered.items():
        found += probes(6 * arrives, 6 * (not arrives), int(name[1:]) - HEADERS[4])
    return found


@pytest.mark.parametrize(
    ("sent", "too_large", "level", "words"),
    [
        (sizes(_1280=True, _1500=True), (), Level.OK, "packets of 1,500 bytes reach the remote"),
        (sizes(_1280=True, _1492=True, _1500=False), (), Level.OK, "those of 1,500 do not"),
        (sizes(_1280=True, _1320=False, _1500=False), (), Level.WARNING, "silently"),
        (sizes(_1280=True, _1320=False), (1292,), Level.OK, "and the network says so"),
        (sizes(_1280=True, _1320=False), (1472,), Level.WARNING, "silently"),
        # A larger size has arrived, so the missing one was lost.
        (sizes(_1280=True, _1320=False, _1500=True), (), Level.OK, "packets of 1,500 bytes"),
        (probes(20, 80), (), Level.SKIPPED, "too many packets are lost"),
        ([], (), Level.SKIPPED, "too many packets are lost"),
    ],
)
def test_path_mtu(sent, too_large, level, words):
    finding = judge_mtu(sent, too_large, HEADERS[4])
    assert finding.level is level
    assert words in finding.sentence


def test_few_probes_of_a_size_say_nothing():
    sent = probes(50, 0) + probes(0, 3, 1472)
    assert judge_mtu(sent, (), HEADERS[4]).level is Level.OK
