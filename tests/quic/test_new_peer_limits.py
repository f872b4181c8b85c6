"""The tables and buckets that limit new peers, each on its own."""

from __future__ import annotations

import pytest

from quictunnel.protocol.address import Address
from quictunnel.protocol.source import source_of
from quictunnel.quic import proven_sources, source_handshakes
from quictunnel.quic.limits import (
    PROVEN_SOURCE_LIFETIME,
    SOURCE_HANDSHAKE_BURST,
    SOURCE_HANDSHAKES_PER_SECOND,
    SOURCE_WAITING_PEERS,
    WAITING_PEERS,
    WAITING_TIME,
)
from quictunnel.quic.proven_sources import ProvenSources
from quictunnel.quic.rate_budget import RateBudget
from quictunnel.quic.source_handshakes import SourceHandshakes
from quictunnel.quic.unproven_links import UnprovenLinks
from quictunnel.quic.waiting_peers import WaitingPeer, WaitingPeers

HERE, THERE = "192.0.2.1", "198.51.100.2"


def test_a_bucket_is_full_at_first_and_filled_at_its_rate():
    bucket = RateBudget(rate=2, burst=3, now=10.0)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(10.4)
    assert bucket.take(10.5)
    assert bucket.level(1000.0) == 3


def test_a_bucket_keeps_what_is_reserved():
    bucket = RateBudget(rate=1, burst=3, now=0.0)
    assert [bucket.take(0.0, reserved=2) for _ in range(2)] == [True, False]
    assert bucket.take(0.0)


def test_a_token_that_is_put_back_can_be_taken_again():
    bucket = RateBudget(rate=1, burst=1, now=0.0)
    assert bucket.take(0.0)
    bucket.put_back()
    bucket.put_back()
    assert [bucket.take(0.0) for _ in range(2)] == [True, False]


def test_a_source_is_proven_while_it_has_a_link_and_for_some_time_after_it():
    sources = ProvenSources()
    assert not sources.has(HERE, 0.0)
    sources.link_proven(HERE)
    sources.link_proven(HERE)
    assert sources.has(HERE, 10 * PROVEN_SOURCE_LIFETIME)
    sources.link_ended(HERE, HERE, 5.0)
    sources.link_ended(HERE, HERE, 6.0)
    assert sources.has(HERE, 6.0 + PROVEN_SOURCE_LIFETIME)
    assert not sources.has(HERE, 6.1 + PROVEN_SOURCE_LIFETIME)


def test_the_last_source_of_a_link_that_has_moved_is_proven_too():
    sources = ProvenSources()
    sources.link_proven(HERE)
    assert not sources.has(THERE, 1.0)
    sources.link_ended(HERE, THERE, 2.0)
    assert sources.has(HERE, 3.0)
    assert sources.has(THERE, 3.0)


def test_the_newest_proven_sources_are_kept(monkeypatch):
    monkeypatch.setattr(proven_sources, "PROVEN_SOURCES", 2)
    sources = ProvenSources()
    for now, source in enumerate(("a", "b", "a", "c")):
        sources.link_proven(source)
        sources.link_ended(source, source, float(now))
    assert [sources.has(source, 5.0) for source in "abc"] == [True, False, True]


def test_a_source_has_a_burst_and_then_a_rate():
    handshakes = SourceHandshakes()
    for _ in range(SOURCE_HANDSHAKE_BURST):
        handshakes.start(HERE, 0.0)
    assert handshakes.tokens(HERE, 0.0) == 0
    assert handshakes.tokens(HERE, 1.0) == SOURCE_HANDSHAKES_PER_SECOND
    assert handshakes.tokens(THERE, 0.0) == SOURCE_HANDSHAKE_BURST
    assert handshakes.latest(THERE) < handshakes.latest(HERE) == 0.0


def test_a_factor_multiplies_both():
    handshakes = SourceHandshakes()
    for _ in range(SOURCE_HANDSHAKE_BURST):
        handshakes.start(HERE, 0.0, factor=4)
    assert handshakes.tokens(HERE, 0.0, factor=4) == 3 * SOURCE_HANDSHAKE_BURST
    assert handshakes.tokens(HERE, 1.0, factor=4) == (
        3 * SOURCE_HANDSHAKE_BURST + 4 * SOURCE_HANDSHAKES_PER_SECOND
    )


def test_a_forgiven_handshake_does_not_count():
    handshakes = SourceHandshakes()
    for _ in range(5 * SOURCE_HANDSHAKE_BURST):
        handshakes.start(HERE, 0.0)
        handshakes.forgive(HERE)
    handshakes.forgive(THERE)
    assert handshakes.tokens(HERE, 0.0) == SOURCE_HANDSHAKE_BURST
    assert handshakes.tokens(THERE, 0.0) == SOURCE_HANDSHAKE_BURST


def test_the_source_with_the_oldest_handshake_is_forgotten(monkeypatch):
    monkeypatch.setattr(source_handshakes, "MAX_SOURCES", 2)
    handshakes = SourceHandshakes()
    for now, source in enumerate(("a", "b", "a", "c")):
        handshakes.start(source, float(now))
    assert [handshakes.latest(source) for source in "abc"] == [2.0, float("-inf"), 3.0]


def test_links_of_validated_peers_are_counted_for_their_source():
    links = UnprovenLinks()
    links.add("one", HERE, 1.0, is_validated=False)
    links.add("two", HERE, 2.0, is_validated=True)
    links.add("three", THERE, 3.0, is_validated=False)
    assert (links.count(HERE), links.count(None), links.count_claimed(HERE)) == (1, 2, 2)
    links.validate("one")
    assert (links.count(HERE), links.count(None), links.count_claimed(HERE)) == (2, 1, 2)
    for link in ("one", "two", "three"):
        links.remove(link)
    assert not len(links)
    assert not links.groups


def test_links_of_validated_peers_are_counted_for_their_site():
    links = UnprovenLinks()
    sources = [source_of(Address(host, 1)) for host in ("2001:db8:1::1", "2001:db8:1:2::1")]
    links.add("one", sources[0], 1.0, is_validated=True)
    links.add("two", sources[1], 2.0, is_validated=False)
    assert (links.count_site(sources[0]), links.count_site(None)) == (1, 1)
    links.validate("two")
    assert (links.count_site(sources[0]), links.count_site(None)) == (2, 0)
    assert links.oldest_of_site(sources[1]) == "one"
    for link in ("one", "two"):
        links.remove(link)
    assert not links._sites


class Incoming:
    """A new peer; only its identity matters."""


def waiting(
    host: str,
    port: int,
    at: float = 0.0,
    *,
    is_validated: bool = True,
    is_unknown: bool = True,
    previous: float = float("-inf"),
) -> WaitingPeer:
    address = Address(host, port)
    source = source_of(address)
    return WaitingPeer(
        Incoming(), address, source, is_validated, at, is_unknown, (previous, previous)
    )


def test_peers_of_a_source_wait_in_order():
    peers = WaitingPeers()
    first, second, third = (waiting(HERE, port) for port in (1, 2, 3))
    for peer in (first, second, third):
        assert peers.accepts(peer)
        peers.add(peer)
    assert peers.remove_first(HERE) is first
    assert peers.remove_last(HERE) is third
    assert peers.first(HERE) is peers.remove_first(HERE) is second
    assert not len(peers)
    assert not peers.groups


def test_one_peer_of_each_socket_waits():
    peers = WaitingPeers()
    peers.add(waiting(HERE, 1))
    assert not peers.accepts(waiting(HERE, 1))
    assert peers.accepts(waiting(HERE, 2))
    assert peers.accepts(waiting(THERE, 1))


def test_so_many_peers_of_a_source_wait():
    peers = WaitingPeers()
    for port in range(SOURCE_WAITING_PEERS):
        assert peers.accepts(waiting(HERE, 1 + port))
        peers.add(waiting(HERE, 1 + port))
    assert not peers.accepts(waiting(HERE, 9999))
    assert peers.accepts(waiting(THERE, 9999))


def test_so_many_peers_wait():
    peers = WaitingPeers()
    for number in range(WAITING_PEERS):
        assert not peers.is_full
        peers.add(waiting(f"192.0.2.{number}", 1))
    assert peers.is_full
    assert peers.remove_for(waiting(THERE, 1)) is None


def test_the_group_with_the_most_peers_loses_the_last_one():
    peers = WaitingPeers()
    last = waiting(HERE, 3)
    for peer in (waiting(HERE, 1), waiting("192.0.2.8", 1), waiting(HERE, 2), last):
        peers.add(peer)
    assert peers.remove_for(waiting(THERE, 1)) is last
    assert peers.remove_for(waiting(HERE, 4)) is None
    assert len(peers) == 3


def test_among_equal_groups_the_one_with_the_latest_handshake_loses():
    peers = WaitingPeers()
    latest = waiting("192.0.2.8", 1, previous=3.0)
    for peer in (waiting(HERE, 1, previous=2.0), latest):
        peers.add(peer)
    assert peers.remove_for(waiting(THERE, 1, previous=3.0)) is None
    assert peers.remove_for(waiting(THERE, 1)) is latest


def test_the_site_with_the_most_peers_loses_one_before_the_source_with_the_most():
    peers = WaitingPeers()
    of_site = [waiting(f"2001:db8:1:{number}::1", 1) for number in range(3)]
    for peer in (waiting(HERE, 1), waiting(HERE, 2), *of_site):
        peers.add(peer)
    assert peers.remove_for(waiting(THERE, 1)) in of_site
    assert len(peers) == 4


def test_a_new_peer_takes_the_place_of_the_busiest_source_in_a_busy_site():
    peers = WaitingPeers()
    last = waiting("2001:db8:1:1::1", 2)
    for peer in (waiting(HERE, 1), waiting("2001:db8:1:1::1", 1), last):
        peers.add(peer)
    assert peers.remove_for(waiting("2001:db8:1:1::1", 3)) is None
    assert peers.remove_for(waiting("2001:db8:1:2::1", 1)) is last
    assert peers.remove_all()
    assert not peers._sites


def test_a_proven_source_displaces_an_unknown_one_and_not_vice_versa():
    peers = WaitingPeers()
    unknown = waiting(HERE, 1)
    for peer in (unknown, waiting(THERE, 1, is_unknown=False)):
        peers.add(peer)
    assert peers.remove_for(waiting(THERE, 2, is_unknown=False)) is unknown
    assert peers.remove_for(waiting(HERE, 2)) is None


def test_nobody_waits_for_longer_than_the_waiting_time():
    peers = WaitingPeers()
    early, late, other = waiting(HERE, 1, 0.0), waiting(HERE, 2, 1.0), waiting(THERE, 1, 0.5)
    for peer in (early, late, other):
        peers.add(peer)
    assert peers.remove_expired(WAITING_TIME - 0.1) == []
    assert peers.remove_expired(WAITING_TIME + 0.5) == [early, other]
    assert peers.remove_all() == [late]
    assert not len(peers)


@pytest.mark.parametrize("is_validated", [True, False])
def test_peers_that_only_claim_a_source_are_one_group(is_validated):
    peers = WaitingPeers()
    peers.add(waiting(HERE, 1, is_validated=is_validated))
    peers.add(waiting(THERE, 1, is_validated=is_validated))
    assert len(peers.groups) == (2 if is_validated else 1)
    assert peers.count_claimed(HERE) == 1
