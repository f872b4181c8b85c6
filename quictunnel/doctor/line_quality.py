"""Check: the line to the remote, for five seconds: loss, round trip, path MTU, UDP against TCP."""

from __future__ import annotations

import asyncio
import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from quictunnel.doctor.check import Check
from quictunnel.doctor.finding import Finding, failed, ok, skipped, warning
from quictunnel.doctor.probe_socket import ProbeSocket, SentProbe, probing, tcp_answers
from quictunnel.doctor.udp_answers import UdpAnswers
from quictunnel.quic.path.version_probe import MIN_PROBE_SIZE

DURATION = 5.0
"""Seconds for which probes are sent."""

INTERVAL = 0.025
"""Seconds between two probes: 40 a second, which is 50 KB/s."""

LAST_ANSWER = 1.0
"""Seconds to wait for the last answers."""

PATH_MTUS = (1280, 1320, 1360, 1400, 1420, 1440, 1460, 1480, 1492, 1500)
"""Path MTUs that are tried: the least of IPv6, those of tunnels and DSL, and that of Ethernet."""

HEADERS = {4: 28, 6: 48}
"""Bytes of the headers of IP and UDP."""

USUAL_MTU = 1400
"""Path MTUs below this are reported if larger packets vanish without an ICMP message."""

TCP_INTERVAL = 0.25
"""Seconds between two attempts to connect over TCP."""

TCP_PROMPT = 0.9
"""Seconds in which TCP answers if no packet is lost: a lost SYN is repeated after one second."""

TCP_PORTS = (443, 80)
"""TCP ports to try beside that of the same number as the UDP port."""

LOSS_NOTABLE = 0.05
"""Share of lost packets from which a line is worth a warning."""

LOSS_SEVERE = 0.5
"""Share of lost packets with which a tunnel is of no use."""

LOSS_FOR_MTU = 0.4
"""Share of lost packets above which the path MTU cannot be told."""

LEAST_PER_SIZE = 4
"""Unanswered probes of a size after which the size does not fit the path."""

FEWEST_TCP = 8
"""Attempts over TCP, at least, for a comparison."""


@dataclass(frozen=True, slots=True)
class TcpLoss:
    """Attempts to connect over TCP, and how many of them were answered at once."""

    attempts: int
    prompt: int

    @property
    def share(self) -> float:
        """The share of attempts of which a packet was lost."""
        return 1 - self.prompt / self.attempts


class LineQuality(Check):
    """Sends probes of several sizes to the address that answers, beside TCP to the same machine.

    :param udp: knows the address.
    :param needs: the check that runs `udp`, if it is another one.
    """

    title = "line to the remote"
    time_limit = DURATION + LAST_ANSWER + 6.0

    def __init__(self, udp: UdpAnswers, needs: Check | None = None) -> None:
        self.needs = (needs or udp,)
        self._udp = udp

    async def run(self) -> list[Finding]:
        """Measure, and judge what was measured."""
        host, port = self._udp.address, self._udp.target.port
        if not host:
            return [skipped(self.title, f"not checked, because of: {self._udp.title}")]
        family = 6 if ":" in host else 4
        sizes = [mtu - HEADERS[family] for mtu in PATH_MTUS]
        try:
            with probing(host, port) as probes:
                async with asyncio.TaskGroup() as group:
                    tcp = group.create_task(_measure_tcp(host, port))
                    group.create_task(_send_probes(probes, sizes))
                sent, too_large, error = probes.probes, probes.too_large, probes.error
        except OSError as exc:
            return [self._not_sent(exc)]
        if not sent:
            return [self._not_sent(error)]
        small = [probe for probe in (*self._udp.probes, *sent) if probe.size == MIN_PROBE_SIZE]
        return [
            *judge_loss(small, tcp.result()),
            judge_mtu(sent, too_large, HEADERS[family]),
        ]

    def _not_sent(self, exc: OSError | None) -> Finding:
        reason = "the system's buffer is full" if exc is None else exc.strerror or exc
        sentence = f"probes cannot be sent: {reason}"
        return failed(self.title, sentence, "check this machine's network")


async def _send_probes(probes: ProbeSocket, sizes: Sequence[int]) -> None:
    """Send probes for some seconds: every other one of the smallest size, which always fits."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(int(DURATION / INTERVAL)):
        await asyncio.sleep(start + number * INTERVAL - loop.time())
        probes.send(MIN_PROBE_SIZE if number % 2 == 0 else sizes[number // 2 % len(sizes)])
    await asyncio.sleep(LAST_ANSWER)


async def _measure_tcp(host: str, port: int) -> TcpLoss | None:
    """Connect again and again to a TCP port that answers; return None if none does."""
    ports = (port, *TCP_PORTS)
    answers = await asyncio.gather(*(tcp_answers(host, each, 2 * TCP_PROMPT) for each in ports))
    answering = [each for each, answer in zip(ports, answers, strict=True) if answer is not None]
    if not answering:
        return None
    loop = asyncio.get_running_loop()
    end = loop.time() + DURATION - 2 * TCP_PROMPT
    attempts = []
    async with asyncio.TaskGroup() as group:
        while loop.time() < end:
            attempts.append(group.create_task(tcp_answers(host, answering[0], TCP_PROMPT)))
            await asyncio.sleep(TCP_INTERVAL)
    return TcpLoss(len(attempts), sum(each.result() is not None for each in attempts))


def judge_loss(small: Sequence[SentProbe], tcp: TcpLoss | None) -> list[Finding]:
    """Return the finding about loss and round trip.

    :param small: the probes of a size that fits every path.
    :param tcp: what TCP has shown on the same path, if anything.
    """
    title = "loss and round trip"
    trips = sorted(trip for probe in small if (trip := probe.round_trip) is not None)
    missing = len(small) - len(trips)
    loss = missing / max(1, len(small))
    lost = f"{missing * 100 // max(1, len(small))} % of {len(small)} UDP packets are lost"
    if loss < LOSS_NOTABLE:
        median = statistics.median(trips) * 1000
        sentence = f"{lost}, and the round trip takes {median:.0f} ms"
        return [ok(title, f"{sentence} ({trips[0] * 1000:.0f} to {trips[-1] * 1000:.0f} ms)")]
    level = failed if loss >= LOSS_SEVERE else warning
    if tcp is None or tcp.attempts < FEWEST_TCP:
        return [
            level(
                title,
                lost,
                "try another network at this end. If the loss stays, look at the remote's network",
            )
        ]
    beside = f"{tcp.share * 100:.0f} % of {tcp.attempts} TCP connections beside them were delayed"
    if tcp.share < loss / 3:
        return [
            level(
                "UDP against TCP",
                f"UDP is throttled on the way: {lost}, but {beside} by a loss",
                "use another network, or a VPN that hides UDP, or ask the provider of this network "
                "or of the remote to end the limit on UDP",
            )
        ]
    return [
        level(
            title,
            f"the network loses packets of all kinds: {lost}, and {beside} by a loss",
            "look at this end's Wi-Fi or mobile reception first, then at an overloaded line",
        )
    ]


def judge_mtu(sent: Sequence[SentProbe], too_large: Collection[int], headers: int) -> Finding:
    """Return the finding about the largest packets that reach the remote.

    :param sent: all probes.
    :param too_large: the sizes that the system or an ICMP message has called too large.
    :param headers: bytes of the headers in front of a probe.
    """
    title = "path MTU"
    by_size: Mapping[int, list[bool]] = defaultdict(list)
    for probe in sent:
        by_size[probe.size].append(probe.answered_at is not None)
    small = by_size.get(MIN_PROBE_SIZE, [])
    loss = 1 - sum(small) / max(1, len(small))
    if loss > LOSS_FOR_MTU:
        return skipped(title, "too many packets are lost to find it out")
    fitting = max(size for size, answers in by_size.items() if any(answers))
    above = [
        size
        for size, answers in by_size.items()
        if size > fitting and len(answers) >= LEAST_PER_SIZE
    ]
    mtu = fitting + headers
    if not above:
        return ok(title, f"packets of {mtu:,} bytes reach the remote")
    sentence = (
        f"packets of {mtu:,} bytes reach the remote, those of {min(above) + headers:,} do not"
    )
    if too_large and min(too_large) <= min(above):
        return ok(title, f"{sentence}, and the network says so")
    if mtu >= USUAL_MTU:
        return ok(title, sentence)
    return warning(
        title,
        f"{sentence}, and no ICMP message says so: a router on the way drops them silently",
        "the tunnel finds this size by itself and works. TCP through the same line may hang: lower "
        f"the MTU of the tunnel or VPN on the way to {mtu}, or let ICMP 'fragmentation needed' and "
        "'packet too big' through its firewall",
    )
