"""An end of a pair that sends packets which no engine sends by itself. Not a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testkit.crafted_packets import PacketCrafter

if TYPE_CHECKING:
    from pair import End, Pair


class Attack:
    """One end sends crafted packets, and the other end takes them at once.

    :param by: the attacking end of the pair.
    """

    def __init__(self, pair: Pair, by: End) -> None:
        self.pair = pair
        self.path = by.path
        self.target = pair.other(by)
        self.crafter = PacketCrafter(by.engine)
        self.answers = 0
        """Datagrams that the target has sent."""

    def send(self, frames: bytes) -> None:
        self.send_datagram(self.crafter.packet(frames))

    def send_datagram(self, data: bytes) -> None:
        target = self.target
        self.pair.now += 0.001
        target.take([(data, self.path)], self.pair.now)
        target.engine.dispatch(target)
        self.answers += len(target.engine.transmit(self.pair.now))
        target.engine.dispatch(target)


def on_server(pair: Pair) -> Attack:
    return Attack(pair, pair.client)
