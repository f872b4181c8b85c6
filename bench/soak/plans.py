"""Random plans of a client and its server for one connection, and their payload.

Plan and payload are derived from the number of the visit, so both ends know them, and the receiver
can verify every byte.
"""

from __future__ import annotations

import math
import random
import struct
from dataclasses import dataclass, field, replace

HEADER = struct.Struct(">8sQ")
"""The first bytes of a client: GREETING and the number of the visit."""

GREETING = b"soaking\n"

PIECE = 64 * 1024
"""The most bytes per call."""

_PERIOD = 1 << 20
_BYTES = memoryview(random.Random(1).randbytes(_PERIOD) * 2)


@dataclass(frozen=True)
class Payload:
    """The bytes that one end sends: a header, then bytes unlike those of other visits."""

    head: bytes
    start: int

    @classmethod
    def of(cls, number: int, end: str) -> Payload:
        """Return the payload of `client` or `server` in the visit of this number."""
        head = HEADER.pack(GREETING, number) if end == "client" else b""
        return cls(head, random.Random(f"{end} {number}").randrange(_PERIOD))

    def piece(self, offset: int, size: int) -> memoryview:
        """Return at least one and at most `size` bytes from `offset`."""
        if offset < len(self.head):
            return memoryview(self.head)[offset : offset + size]
        start = (self.start + offset - len(self.head)) % _PERIOD
        return _BYTES[start : start + min(size, PIECE)]

    def first_wrong(self, data: memoryview, offset: int) -> int | None:
        """Return where the bytes received at `offset` differ from the payload, or None."""
        at = 0
        while at < len(data):
            right = self.piece(offset + at, len(data) - at)
            if data[at : at + len(right)] != right:
                pairs = zip(data[at:], right, strict=False)
                return offset + at + next(i for i, (one, other) in enumerate(pairs) if one != other)
            at += len(right)
        return None


@dataclass(frozen=True)
class HalfPlan:
    """The plan of one end. Offsets count sent bytes, or received bytes for `stalls`."""

    size: int = 0
    """Bytes to send, then FIN."""
    piece: int = PIECE
    """Bytes per call."""
    gates: tuple[tuple[int, int], ...] = ()
    """(offset, n): wait at the offset until n bytes have been received."""
    pauses: tuple[tuple[int, float], ...] = ()
    """(offset, seconds): pause sending at the offset."""
    stalls: tuple[tuple[int, float], ...] = ()
    """(offset, seconds): pause reading at the offset."""
    ends_last: bool = False
    """Send FIN only after the other end's FIN."""
    resets: tuple[str, float] | None = None
    """Reset after so many bytes `sent` or `heard`, or `after` so many seconds."""


@dataclass(frozen=True)
class Plan:
    """The plan of both ends."""

    kind: str
    client: HalfPlan
    server: HalfPlan = field(default_factory=HalfPlan)


@dataclass(frozen=True)
class PlanLimits:
    """Limits of random plans."""

    most: int = 4_000_000
    """The most bytes in one direction."""
    longest: float = 6.0
    """The longest pause or stall, in seconds."""


def draw(number: int, seed: int, limits: PlanLimits) -> Plan:
    """Return the plan of the visit of this number."""
    return _RandomPlan(random.Random(f"{seed} {number}"), limits).plan()


class _RandomPlan:
    def __init__(self, dice: random.Random, limits: PlanLimits) -> None:
        self.dice = dice
        self.limits = limits

    def plan(self) -> Plan:
        kinds = {
            self.knock: 1,
            self.talk: 4,
            self.download: 4,
            self.upload: 4,
            self.both: 3,
            self.sit: 2,
        }
        plan = self.dice.choices(list(kinds), list(kinds.values()))[0]()
        if plan.kind != "knock":
            plan = self.impatient(self.slow(plan))
        return plan

    def size(self, least: int = 1) -> int:
        """Return a size, distributed logarithmically."""
        return int(math.exp(self.dice.uniform(math.log(least), math.log(self.limits.most))))

    def piece(self) -> int:
        return self.dice.choice([PIECE, PIECE, 1400, 10_000])

    def seconds(self) -> float:
        return self.dice.uniform(0, self.limits.longest)

    def knock(self) -> Plan:
        """Send no complete header, and close."""
        size = self.dice.choice([0, 0, 1, HEADER.size - 1])
        resets = ("sent", size) if self.dice.random() < 0.5 else None
        return Plan("knock", HalfPlan(size, resets=resets))

    def talk(self) -> Plan:
        """Exchange questions and answers."""
        asked = answered = 0
        questions, answers = [], []
        for _ in range(self.dice.randint(1, 20)):
            questions.append((asked, answered))
            asked += HEADER.size + self.dice.randrange(500)
            answers.append((answered, asked))
            answered += self.dice.randint(1, 20_000)
        client = HalfPlan(asked, gates=tuple(questions), ends_last=self.dice.random() < 0.3)
        return Plan("talk", client, HalfPlan(answered, gates=tuple(answers)))

    def download(self) -> Plan:
        client = HalfPlan(HEADER.size, ends_last=self.dice.random() < 0.5)
        return Plan("download", client, HalfPlan(self.size(), self.piece()))

    def upload(self) -> Plan:
        size = HEADER.size + self.size()
        return Plan("upload", HalfPlan(size, self.piece()), HalfPlan(1, gates=((0, size),)))

    def both(self) -> Plan:
        client = HalfPlan(HEADER.size + self.size(), self.piece())
        server = HalfPlan(self.size(), self.piece(), ends_last=self.dice.random() < 0.3)
        return Plan("both", client, server)

    def sit(self) -> Plan:
        """Be idle for a while."""
        client = HalfPlan(HEADER.size, pauses=((HEADER.size, self.seconds()),))
        return Plan("sit", client, HalfPlan(1))

    def slow(self, plan: Plan) -> Plan:
        """Let some ends pause sending or reading."""
        ends = {"client": plan.client, "server": plan.server}
        for end, other in (("client", "server"), ("server", "client")):
            if self.dice.random() < 0.1:
                at = self.dice.randint(0, ends[end].size)
                paused = (*ends[end].pauses, (at, self.seconds()))
                ends[end] = replace(ends[end], pauses=tuple(sorted(paused)))
            if self.dice.random() < 0.15:
                at = self.dice.randrange(ends[other].size)
                ends[end] = replace(ends[end], stalls=((at, self.seconds()),))
        return replace(plan, client=ends["client"], server=ends["server"])

    def impatient(self, plan: Plan) -> Plan:
        """Let some ends reset."""
        draw = self.dice.random()
        if draw < 0.12:
            return replace(plan, client=self.resetting(plan.client, plan.server))
        if draw < 0.2:
            return replace(plan, server=self.resetting(plan.server, plan.client))
        return plan

    def resetting(self, half: HalfPlan, other: HalfPlan) -> HalfPlan:
        return replace(
            half,
            resets=self.dice.choice(
                [
                    ("sent", self.dice.randint(0, half.size)),
                    ("heard", self.dice.randint(0, other.size)),
                    ("after", self.dice.random()),
                ]
            ),
        )
