"""What a client and its server do with one connection, drawn by dice; and the bytes they send.

Both are drawn from the visit's number, so both ends know them, and what arrives can be checked
byte by byte without being sent along.
"""

from __future__ import annotations

import math
import random
import struct
from dataclasses import dataclass, field, replace

HEADER = struct.Struct(">8sQ")
"""The first bytes of a client: GREETING and the number of its visit."""

GREETING = b"soaking\n"

PIECE = 64 * 1024
"""Bytes in one call at most."""

_PERIOD = 1 << 20
_BYTES = memoryview(random.Random(1).randbytes(_PERIOD) * 2)


@dataclass(frozen=True)
class Content:
    """What one end sends in one visit: a head of its own, then bytes like no other visit's."""

    head: bytes
    start: int

    @classmethod
    def of(cls, number: int, end: str) -> Content:
        """Return what `client` or `server` sends in the visit of this number."""
        head = HEADER.pack(GREETING, number) if end == "client" else b""
        return cls(head, random.Random(f"{end} {number}").randrange(_PERIOD))

    def piece(self, offset: int, size: int) -> memoryview:
        """Return bytes from `offset` on: so many, or fewer, but some."""
        if offset < len(self.head):
            return memoryview(self.head)[offset : offset + size]
        start = (self.start + offset - len(self.head)) % _PERIOD
        return _BYTES[start : start + min(size, PIECE)]

    def first_wrong(self, data: memoryview, offset: int) -> int | None:
        """Return where the bytes that came at `offset` are not those sent; None: nowhere."""
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
    """What one end does. Offsets are into what it sends, or for `stalls`, into what it hears."""

    size: int = 0
    """Bytes that it sends, then FIN."""
    piece: int = PIECE
    """Bytes in one call."""
    gates: tuple[tuple[int, int], ...] = ()
    """(offset, n): waits there until it has heard n bytes."""
    pauses: tuple[tuple[int, float], ...] = ()
    """(offset, seconds): waits there before it sends more, or FIN."""
    stalls: tuple[tuple[int, float], ...] = ()
    """(offset, seconds): stops hearing there for a while."""
    ends_last: bool = False
    """Sends FIN only when it has heard the other's."""
    resets: tuple[str, float] | None = None
    """Resets once it has `sent` or `heard` so many bytes, or `after` so many seconds."""


@dataclass(frozen=True)
class Plan:
    """What both ends do."""

    kind: str
    client: HalfPlan
    server: HalfPlan = field(default_factory=HalfPlan)


@dataclass(frozen=True)
class PlanLimits:
    """How much of everything."""

    most: int = 4_000_000
    """Bytes one way."""
    longest: float = 6.0
    """Seconds of a stall or pause."""


def draw(number: int, seed: int, limits: PlanLimits) -> Plan:
    """Return the plan of the visit of this number."""
    return _Drawing(random.Random(f"{seed} {number}"), limits).plan()


class _Drawing:
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
        """Return a size; as many are between 1 and 10 as between 10,000 and 100,000."""
        return int(math.exp(self.dice.uniform(math.log(least), math.log(self.limits.most))))

    def piece(self) -> int:
        return self.dice.choice([PIECE, PIECE, 1400, 10_000])

    def seconds(self) -> float:
        return self.dice.uniform(0, self.limits.longest)

    def knock(self) -> Plan:
        """Say nothing, or not enough to be known; and go."""
        size = self.dice.choice([0, 0, 1, HEADER.size - 1])
        resets = ("sent", size) if self.dice.random() < 0.5 else None
        return Plan("knock", HalfPlan(size, resets=resets))

    def talk(self) -> Plan:
        """Question and answer in turns."""
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
        """Be there for a while, in silence."""
        client = HalfPlan(HEADER.size, pauses=((HEADER.size, self.seconds()),))
        return Plan("sit", client, HalfPlan(1))

    def slow(self, plan: Plan) -> Plan:
        """Let an end stop sending or hearing for a while now and then."""
        ends = {"client": plan.client, "server": plan.server}
        for end, other in (("client", "server"), ("server", "client")):
            if self.dice.random() < 0.1:
                at = self.dice.randint(0, ends[end].size)
                paused = (*ends[end].pauses, (at, self.seconds()))
                ends[end] = replace(ends[end], pauses=tuple(sorted(paused)))
            if self.dice.random() < 0.15:
                at = self.dice.randrange(ends[other].size)
                ends[end] = replace(ends[end], stalls=((at, self.seconds()),))
        return replace(plan, **ends)

    def impatient(self, plan: Plan) -> Plan:
        """Let an end reset now and then."""
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
