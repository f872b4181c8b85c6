"""Limits on what a peer may cost. Constants only; docs/reference/protocol.md lists them.

A peer that has not proven that it knows a token is unproven. Its link gets little of everything.
"""

from __future__ import annotations

UNPROVEN_DATAGRAMS = 256
"""Datagrams that the accepting end processes for a link without proof. A handshake and the largest
hello need fewer than 100 on a good path."""

UNPROVEN_DATAGRAMS_FREE = 24
"""The first of them, which are always processed. The handshake and a hello with 128 usual services
need fewer than 20, also on a bad path. The remote takes the others at the following rate."""

UNPROVEN_DATAGRAMS_PER_SECOND = 250
"""Datagrams per second, beyond the free ones, that the accepting end processes for all links
without proof together, in the long run. Further ones are lost, as on a congested path."""

UNPROVEN_DATAGRAM_BURST = 2000
"""The same, at once: the largest hellos of dozens of origins that start together."""

UNPROVEN_PATH_DATAGRAMS = 512
"""Datagrams that the accepting end takes from a path other than UDP until it carries a proven link.
A new link has at most `UNPROVEN_DATAGRAMS` for its proof, and one that moves has its proof."""

UNPROVEN_FRAMES = 1024
"""Frames, other than PADDING, that either end processes for a link without proof. The largest hello
needs about 100 on a bad path. What a remote may send before its proof is checked, 1 MiB, fits
fewer than 900 full packets."""

FRAMES_PER_PACKET = 512
"""Frames, other than PADDING, that any packet may contain. The smallest frames with a purpose take
5 bytes, so honest packets of 1,452 bytes contain fewer than 300."""

LINK_FRAMES_PER_PACKET = 32
"""Frames of any packet that do nothing for a stream: all but PADDING that name none (ACK, PING,
CRYPTO, connection IDs, paths, limits of the link), and STREAM frames without data or FIN."""

PACKETS_PER_DATAGRAM = 8
"""Packets that a datagram may join, with aioquic. Honest datagrams join at most one of each
encryption level."""

HANDSHAKE_BYTES = 64 * 1024
"""Bytes of TLS messages that an end accepts at each encryption level, with aioquic. Long
certificate chains fit. quinn has a limit of its own."""

MAX_LINKS = 1024
"""Links that a listener has at once."""

UNPROVEN_LINKS = 128
"""Links without proof that a listener has at once."""

RESERVED_SHARE = 0.25
"""Share of the places and of the handshakes for links without proof, and of the Retries, that is
kept for sources that have proven themselves recently."""

RETRY_ABOVE = 16
"""Links without proof above which a new peer must prove its address with a Retry (RFC 9000, section
8.1.2)."""

SOURCE_UNPROVEN_LINKS = 8
"""Links without proof of one source. Further peers of the source wait."""

SOURCE_HANDSHAKES_PER_SECOND = 4
"""Handshakes per second of one source, in the long run. One that leads to a proof does not
count."""

SOURCE_HANDSHAKE_BURST = 32
"""Handshakes of one source that may follow each other at once: the origins behind one NAT, after a
power failure there."""

PROVEN_SOURCE_FACTOR = 4
"""Factor by which a source that has proven itself recently exceeds the three limits above."""

SITE_FACTOR = 4
"""Factor by which a site, an IPv6 network of 48 bits, exceeds the three limits above.
A source that has proven itself recently is not limited by its site."""

PROVEN_SOURCES = 4096
"""Sources that have proven themselves recently and are remembered; the newest are kept."""

PROVEN_SOURCE_LIFETIME = 86_400.0
"""Seconds for which a source is remembered after the end of its last proven link."""

HANDSHAKES_PER_SECOND = 50
"""Handshakes per second of all peers together, in the long run. One that leads to a proof does not
count. With aioquic, a handshake takes about 3 ms."""

HANDSHAKE_BURST = 200
"""Handshakes of all peers together that may follow each other at once. When half of them are used,
a new peer must prove its address with a Retry."""

HANDSHAKES_PER_TURN = 1
"""Handshakes that start in one turn of the event loop, so that other links need not wait."""

HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a handshake may take at the accepting end."""

HANDSHAKE_PATIENCE = 2.0
"""Seconds after which a link without proof loses its place to a peer that waits for it."""

WAITING_PEERS = 128
"""New peers that wait for a place or a handshake."""

SOURCE_WAITING_PEERS = 32
"""New peers of one source that wait."""

WAITING_TIME = 2.0
"""Seconds that a new peer waits. Then its datagrams are dropped, and it may send them again."""

RETRIES_PER_SECOND = 1500
"""Retries per second in total. Those that are not reserved are more than the Initial packets that
fit 10 Mbit/s."""

ICMP_ERRORS_PER_SECOND = 32
"""ICMP errors that are read from a UDP socket in a second. Anybody can forge them. The kernel
discards further ones until the second is over, which costs no CPU time here."""
