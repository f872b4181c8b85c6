"""The properties of a line: how fast, how long, how lossy, and how long its queue is."""

from __future__ import annotations

from dataclasses import dataclass

from testkit.network import Network

HEADERS = 28
"""Bytes of IPv4 and UDP headers. They take their share of the line."""

MBIT = 125_000
"""Bytes."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line, the same in both directions."""

    rate: float
    """Bytes per second, including the headers of IP and UDP."""
    rtt: float
    """The round-trip time in seconds, with an empty queue."""
    jitter: float = 0.0
    """The largest additional delay in seconds. Each datagram draws its own."""
    overtaking: bool = False
    """Whether a datagram that is late by jitter lets others overtake it."""
    loss: float = 0.0
    """The share of datagrams that are lost."""
    burst: int = 1
    """How many datagrams in a row each loss takes."""
    queue: int = 256_000
    """Bytes that the queue holds at most. Later datagrams are dropped."""

    @property
    def bdp(self) -> float:
        """The bandwidth-delay product in bytes."""
        return self.rate * self.rtt

    def network(self, seed: int, *, overhead: int = 0) -> Network:
        """Return the network that behaves like this line.

        :param overhead: bytes of headers to add to each datagram's size.
        """
        network = Network(overhead=overhead, seed=seed)
        self.apply(network)
        return network

    def apply(self, network: Network) -> None:
        """Turn a network into this line. Datagrams in flight arrive as they would have."""
        network.delay = self.rtt / 2
        network.jitter = self.jitter
        network.overtaking = self.overtaking
        network.loss = self.loss
        network.burst = self.burst
        network.rate = self.rate
        network.queue = self.queue / self.rate
