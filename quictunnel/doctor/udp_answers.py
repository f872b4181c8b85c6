"""Check: the remote's UDP port answers. If not, TCP tells what the cause is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from quictunnel.config.addresses import HostPort
from quictunnel.config.settings import LINK_PORT
from quictunnel.doctor.check import Check
from quictunnel.doctor.finding import Finding, failed, ok, warning
from quictunnel.doctor.names import RemoteName
from quictunnel.doctor.probe_socket import ProbeSocket, SentProbe, probing, tcp_answers
from quictunnel.origin.diagnosis import Failure, explain_unreachable
from quictunnel.quic.path.version_probe import MIN_PROBE_SIZE, VERSION_1

INTERVAL = 0.025
"""Seconds between two probes. 200 of them find a network that drops 97 % of its UDP packets."""

PATIENCE = 5.0
"""Seconds for the first answer."""

PATIENCE_FOR_OTHERS = 1.5
"""Seconds that other addresses have from when one has answered."""

BURST = 8
"""Probes that are sent at once, at most, if this process was late."""

LATE_AFTER = 1.0
"""Seconds after which a probe without an answer counts as lost."""

SMALL_AFTER = (0.5, 1.5, 2.5)
"""Seconds after which a small packet is sent, too. Remotes answer few of them."""

TCP_PATIENCE = 3.0
"""Seconds for the answer over TCP. The first SYN may be lost."""

OTHER_TCP_PORTS = (443, 22, 80)
"""TCP ports on which public machines usually answer, if only with a refusal."""


@dataclass(slots=True)
class AddressResult:
    """The answers of one address of the remote."""

    host: str
    answered: bool = False
    """Whether it has answered a probe."""
    round_trip: float = 0.0
    """Seconds until the first answer."""
    decided: list[SentProbe] = field(default_factory=list)
    """The probes that were answered, and those that would have been by then."""
    versions: tuple[int, ...] = ()
    """The versions of QUIC that it speaks."""
    error: OSError | None = None
    """The system's error, or that of an ICMP message."""
    has_small_answer: bool = False
    """Whether it has answered only what is small."""
    has_tcp_server: bool | None = None
    """Whether a server listens on the TCP port of the same number; None if nothing answers."""
    is_there: bool = False
    """Whether the machine answers over TCP at all, if only with a refusal."""


class UdpAnswers(Check):
    """Probes all addresses of the remote at the same time.

    :param name: has looked up the addresses.
    """

    title = "UDP to the remote"
    time_limit = PATIENCE + TCP_PATIENCE + 2.0

    def __init__(self, name: RemoteName) -> None:
        self.target = name.target
        self.needs = (name,)
        self.address = ""
        """The first address, in the system's order, that has answered."""
        self.probes: list[SentProbe] = []
        """The probes to it whose fate is known."""
        self._name = name

    async def run(self) -> list[Finding]:
        """Send probes until each address has answered, or for some seconds."""
        first = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_try(host, self.target.port, first))
                for host in self._name.addresses
            ]
        results = [task.result() for task in tasks]
        answered = [result for result in results if result.answered]
        if not answered:
            return [self._no_answer(results)]
        self.address, self.probes = answered[0].host, answered[0].decided
        return [self._answer(answered[0]), *self._silent_addresses(results)]

    def _answer(self, result: AddressResult) -> Finding:
        place = f"UDP port {self.target.port} of {result.host}"
        if VERSION_1 not in result.versions:
            named = ", ".join(f"{version:#x}" for version in result.versions) or "none"
            return failed(
                self.title,
                f"{place} answers as a QUIC server, but it does not speak version 1 of QUIC "
                f"({named})",
                "check that this is the port of 'quictunnel remote'",
            )
        trip = f"{result.round_trip * 1000:.0f} ms"
        return ok(self.title, f"{place} answers as a QUIC server, in {trip}")

    def _silent_addresses(self, results: list[AddressResult]) -> list[Finding]:
        silent = [result.host for result in results if not result.answered]
        if not silent:
            return []
        return [
            warning(
                self.title,
                f"{' and '.join(silent)} of {self.target.host} does not answer, but {self.address} "
                "does",
                f"open UDP port {self.target.port} there too, or remove the address from the name: "
                "an origin tries it as well, and may move to it",
            )
        ]

    def _no_answer(self, results: list[AddressResult]) -> Finding:
        target = self.target
        listening = [result for result in results if result.has_tcp_server]
        if listening:
            return failed(
                self.title,
                f"a TCP server listens on port {target.port} of {listening[0].host}, and nothing "
                "answers there over UDP: this is not the port for origins",
                f"give --remote the UDP port of the remote's line 'ready: origins connect to UDP "
                f"port ...', which is {LINK_PORT} by default",
            )
        if any(result.has_small_answer for result in results):
            return failed(
                self.title,
                f"{target.host} answers small packets, but none of {MIN_PROBE_SIZE} bytes: the "
                f"path MTU is below {MIN_PROBE_SIZE + 28}, which QUIC needs",
                "raise the MTU of the VPN, tunnel or modem on the way",
            )
        failures = [Failure(result.host, result.error or TimeoutError()) for result in results]
        return failed(self.title, explain_unreachable(target, failures), _advice(target, results))


def _advice(target: HostPort, results: list[AddressResult]) -> str:
    if any(result.error is not None for result in results):
        return "on the remote's machine, 'quictunnel doctor remote' looks for the cause"
    if any(result.is_there for result in results):
        return (
            f"the machine answers over TCP, so it runs, and only UDP is lost: open UDP port "
            f"{target.port} in its firewall and at its provider, and look at --origins-from there. "
            "If that is done, this network blocks UDP: let the remote serve a WebSocket with its "
            "option --websocket, or try another network, such as a phone's hotspot. "
            "A CDN in front of the name does not forward UDP"
        )
    return (
        "nothing answers over TCP either: check the address, that the machine runs, and that this "
        "machine is online"
    )


async def _try(host: str, port: int, first: asyncio.Event) -> AddressResult:
    """Probe one address.

    :param first: set when any address has answered.
    """
    result = AddressResult(host)
    try:
        with probing(host, port) as probes:
            await _probe(probes, result, first)
    except OSError as exc:
        result.error = exc
    if not result.answered and not first.is_set():
        await _try_tcp(result, port)
    return result


async def _probe(probes: ProbeSocket, result: AddressResult, first: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    deadline = start + PATIENCE
    small = list(SMALL_AFTER)
    due = 1
    while (now := loop.time()) < deadline:
        for _ in range(min(due - len(probes.probes), BURST)):
            probes.send(MIN_PROBE_SIZE)
        if small and now >= start + small[0]:
            small.pop(0)
            probes.send_small()
        if await probes.wait_for_answer(INTERVAL):
            break
        if probes.error is not None:
            break  # the answer is an ICMP message
        if first.is_set():
            deadline = min(deadline, start + PATIENCE_FOR_OTHERS)
        due = int((loop.time() - start) / INTERVAL) + 1
    late = loop.time() - LATE_AFTER
    result.decided = [
        probe for probe in probes.probes if probe.answered_at is not None or probe.sent_at < late
    ]
    result.error = probes.error
    result.has_small_answer = probes.has_small_answer
    for probe in probes.answers:
        result.answered, result.round_trip = True, probe.round_trip or 0.0
        result.versions, result.error = tuple(probes.versions), None
        first.set()


async def _try_tcp(result: AddressResult, port: int) -> None:
    answers = await asyncio.gather(
        *(tcp_answers(result.host, each, TCP_PATIENCE) for each in (port, *OTHER_TCP_PORTS))
    )
    result.has_tcp_server = answers[0]
    result.is_there = any(answer is not None for answer in answers)
