"""The decisions about new peers, without engines: accept, Retry, wait, and lose a place."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from quictunnel.protocol.address import Address
from quictunnel.quic import link_admission, source_handshakes
from quictunnel.quic.handshake_limits import TOO_MANY_OF_SITE
from quictunnel.quic.limits import (
    HANDSHAKE_BURST,
    HANDSHAKE_PATIENCE,
    HANDSHAKES_PER_SECOND,
    PROVEN_SOURCE_FACTOR,
    RESERVED_SHARE,
    RETRIES_PER_SECOND,
    RETRY_ABOVE,
    SITE_FACTOR,
    SOURCE_HANDSHAKE_BURST,
    SOURCE_HANDSHAKES_PER_SECOND,
    SOURCE_UNPROVEN_LINKS,
    UNPROVEN_LINKS,
    WAITING_PEERS,
    WAITING_TIME,
)
from quictunnel.quic.link_admission import LinkAdmission, Verdict
from quictunnel.quic.settings import LinkSettings

HERE, THERE = "192.0.2.1", "198.51.100.2"


class NewPeer:
    """A connection attempt."""

    def __init__(self, host: str, port: int, *, is_validated: bool) -> None:
        self.path = (host, port, b"")
        self.is_validated = is_validated


class Admitting:
    """A `LinkAdmission`, its clock, and links that are only objects."""

    def __init__(self, **settings) -> None:
        self.now = 0.0
        self.reports: Counter[tuple[object, str]] = Counter()
        self.ignored: list[NewPeer] = []
        self.displaced: list[object] = []
        self.admission: LinkAdmission[object] = LinkAdmission(
            LinkSettings(**settings),
            lambda: self.now,
            report=lambda source, reason: self.reports.update([(source, reason)]),
            ignore=self.ignored.append,
        )
        self._port = 0

    def judge(self, host: str, *, is_validated: bool = True) -> Verdict:
        self._port += 1
        return self.admission.judge(NewPeer(host, self._port, is_validated=is_validated))

    def open_all(self) -> list[object]:
        """Accept all peers whose turn has come; return their links."""
        links = []
        while (opening := self.admission.next_opening()) is not None:
            if opening.displaced is not None:
                self.displaced.append(opening.displaced)
                self.admission.link_ended(opening.displaced, Address(HERE, 1))
            link = object()
            self.admission.link_opened(link, opening.peer)
            links.append(link)
        return links

    def open(self, host: str, count: int = 1, *, is_validated: bool = True) -> list[object]:
        """Let so many peers of a host come; return the links of those that are accepted."""
        links = []
        for _ in range(count):
            self.judge(host, is_validated=is_validated)
            links += self.open_all()
        return links

    def prove(self, link: object) -> None:
        self.admission.link_validated(link)
        self.admission.link_proven(link)

    def end(self, link: object, host: str = HERE) -> None:
        self.admission.link_ended(link, Address(host, 1))


def test_in_quiet_times_a_peer_is_accepted_without_a_retry():
    admitting = Admitting()
    assert admitting.judge(HERE, is_validated=False) is Verdict.WAIT
    assert len(admitting.open_all()) == 1
    assert admitting.admission.unproven == 1
    assert not admitting.admission.has_waiting


def test_a_source_has_so_many_links_without_proof():
    admitting = Admitting()
    assert len(admitting.open(HERE, 3 * SOURCE_UNPROVEN_LINKS)) == SOURCE_UNPROVEN_LINKS
    assert len(admitting.open(THERE)) == 1


def test_peers_of_a_source_that_is_full_wait_for_a_place():
    admitting = Admitting()
    links = admitting.open(HERE, SOURCE_UNPROVEN_LINKS)
    assert admitting.judge(HERE) is Verdict.WAIT
    assert admitting.open_all() == []
    admitting.end(links[3])
    assert len(admitting.open_all()) == 1
    assert admitting.displaced == []


def test_the_oldest_link_of_a_full_source_goes_once_it_has_had_some_time():
    admitting = Admitting()
    links = admitting.open(HERE, SOURCE_UNPROVEN_LINKS)
    admitting.now = HANDSHAKE_PATIENCE
    assert len(admitting.open(HERE)) == 1
    assert admitting.displaced == links[:1]


def test_a_peer_that_waits_in_vain_is_ignored_and_reported():
    admitting = Admitting()
    admitting.open(HERE, SOURCE_UNPROVEN_LINKS)
    admitting.now = 0.5  # by the end of the waiting time, the links may be displaced
    links = admitting.open(THERE, SOURCE_UNPROVEN_LINKS)
    for link in links:
        admitting.prove(link)
    admitting.judge(HERE)
    admitting.now = 0.5 + WAITING_TIME
    assert admitting.open_all() == []
    assert len(admitting.ignored) == 1
    assert not admitting.admission.has_waiting
    assert sum(admitting.reports.values()) == 1


def test_handshakes_without_proof_are_limited_for_each_source():
    admitting = Admitting()
    opened = 0
    for _ in range(10 * SOURCE_HANDSHAKE_BURST):
        for link in admitting.open(HERE):
            opened += 1
            admitting.end(link)
    assert opened == SOURCE_HANDSHAKE_BURST
    admitting.now += 1.0
    assert len(admitting.open_all()) == SOURCE_HANDSHAKES_PER_SECOND


def test_origins_behind_one_nat_may_all_connect_at_once():
    admitting = Admitting()
    for _ in range(10 * SOURCE_HANDSHAKE_BURST):
        (link,) = admitting.open(HERE)
        admitting.prove(link)


def test_all_handshakes_together_are_limited_with_a_reserve_for_proven_sources():
    admitting = Admitting()
    (link,) = admitting.open(HERE)
    admitting.prove(link)
    opened = 0
    for number in range(2 * HANDSHAKE_BURST):
        for link in admitting.open(f"2001:db8:{number:x}::1"):
            opened += 1
            admitting.end(link)
    assert HANDSHAKE_BURST / 2 <= opened < HANDSHAKE_BURST
    assert len(admitting.open(HERE)) == 1
    admitting.now += 1.0
    assert len(admitting.open_all()) <= HANDSHAKES_PER_SECOND


def test_the_source_without_a_recent_handshake_comes_first():
    admitting = Admitting()
    for number in range(2 * HANDSHAKE_BURST):
        for link in admitting.open(f"2001:db8:{number % 40:x}::1"):
            admitting.end(link)
    assert admitting.admission.has_waiting
    admitting.judge(THERE)
    admitting.now += 1.5 / HANDSHAKES_PER_SECOND
    opening = admitting.admission.next_opening()
    assert opening.peer.address.host == THERE
    assert admitting.admission.next_opening() is None


def crowd(admitting: Admitting, sources: int) -> None:
    """Let peers of so many sources come, until no handshake and no place in the queue is left."""
    for _ in range(2):
        for number in range(sources):
            for link in admitting.open(f"2001:db8:{number:x}::1"):
                admitting.end(link)


def test_a_full_queue_has_room_for_a_new_source():
    admitting = Admitting()
    crowd(admitting, 140)
    assert len(admitting.admission._waiting) == WAITING_PEERS
    assert admitting.judge(THERE) is Verdict.WAIT
    admitting.now += 1.5 / HANDSHAKES_PER_SECOND
    assert admitting.admission.next_opening().peer.address.host == THERE


def test_a_full_queue_has_room_for_a_proven_source():
    admitting = Admitting()
    (link,) = admitting.open(HERE)
    admitting.prove(link)
    crowd(admitting, 300)
    assert admitting.judge(HERE) is Verdict.WAIT
    assert len(admitting.open_all()) == 1


def test_a_source_with_many_peers_in_a_full_queue_loses_the_last_one():
    admitting = Admitting()
    for number in range(4):
        for _ in range(50):
            admitting.judge(f"192.0.2.{number}")
    assert admitting.judge(THERE) is Verdict.WAIT
    assert len(admitting.ignored) == 1


def test_a_full_table_has_room_for_a_new_source():
    admitting = Admitting()
    links: dict[int, list[object]] = {}
    for number in range(UNPROVEN_LINKS // SOURCE_UNPROVEN_LINKS):
        links[number] = admitting.open(f"192.0.2.{number}", SOURCE_UNPROVEN_LINKS)
        admitting.now += 0.01
    before = admitting.admission.unproven
    assert before < UNPROVEN_LINKS, "some places are reserved"
    admitting.displaced.clear()
    assert len(admitting.open(THERE)) == 1
    assert admitting.admission.unproven == before
    assert len(admitting.displaced) == 1


def test_the_busiest_source_loses_its_oldest_link():
    admitting = Admitting(max_unproven=5)
    first = admitting.open(HERE, 2)
    admitting.open(THERE, 2)
    assert len(admitting.open("203.0.113.3")) == 1
    assert admitting.displaced == first[:1]


def test_a_source_with_as_many_links_as_the_busiest_one_waits_for_some_time():
    admitting = Admitting(max_unproven=4)
    (oldest,) = admitting.open(HERE)
    admitting.open(THERE)
    admitting.open("203.0.113.3")
    assert admitting.open(THERE) == []
    admitting.now = HANDSHAKE_PATIENCE - 0.1
    assert admitting.open_all() == []
    admitting.now = HANDSHAKE_PATIENCE - 0.01
    (new,) = admitting.open("203.0.113.4")
    assert admitting.displaced == [oldest]
    assert new is not oldest


def test_places_are_reserved_for_sources_that_have_proven_themselves():
    admitting = Admitting()
    (link,) = admitting.open(HERE)
    admitting.prove(link)
    for number in range(UNPROVEN_LINKS):
        admitting.open(f"2001:db8:{number:x}::1")
    unproven = admitting.admission.unproven
    admitting.displaced.clear()
    assert len(admitting.open(HERE, 5)) == 5
    assert admitting.displaced == []
    assert admitting.admission.unproven == unproven + 5


def test_a_proven_source_has_larger_limits_that_end():
    admitting = Admitting()
    (link,) = admitting.open(HERE)
    admitting.prove(link)
    admitting.end(link)
    most = PROVEN_SOURCE_FACTOR * SOURCE_UNPROVEN_LINKS
    assert len(admitting.open(HERE, 2 * most)) == most
    assert len(admitting.open(THERE)) == 1


def test_a_new_source_does_not_displace_links_of_a_proven_one():
    admitting = Admitting(max_unproven=4)
    (link,) = admitting.open(HERE)
    admitting.prove(link)
    admitting.open(HERE, 4)
    assert admitting.open(THERE) == []
    assert admitting.displaced == []


# Sites


def network(number: int) -> str:
    """Return an address in one of the 65,536 networks of one site."""
    return f"2001:db8:1:{number % 65_536:x}::1"


def test_handshakes_without_proof_are_limited_for_each_site():
    admitting = Admitting()
    opened = 0
    for number in range(3 * HANDSHAKE_BURST):
        for link in admitting.open(network(number)):
            opened += 1
            admitting.end(link)
    assert opened == SITE_FACTOR * SOURCE_HANDSHAKE_BURST
    admitting.now += 1.0
    assert len(admitting.open_all()) == SITE_FACTOR * SOURCE_HANDSHAKES_PER_SECOND


def test_a_site_has_so_many_links_without_proof():
    admitting = Admitting()
    most = SITE_FACTOR * SOURCE_UNPROVEN_LINKS
    links = [link for number in range(2 * most) for link in admitting.open(network(number))]
    assert len(links) == most
    assert len(admitting.open(THERE)) == 1
    assert admitting.displaced == []
    admitting.now = HANDSHAKE_PATIENCE - 0.01
    admitting.open_all()
    assert admitting.displaced == []
    admitting.now = HANDSHAKE_PATIENCE
    assert len(admitting.open(network(2 * most))) == 1
    assert admitting.displaced == links[:1]


def test_peers_that_wait_in_vain_for_their_site_are_reported():
    admitting = Admitting()
    for number in range(SITE_FACTOR * SOURCE_HANDSHAKE_BURST):
        for link in admitting.open(network(number)):
            admitting.end(link)
    admitting.now = 1 / 32
    for number in range(WAITING_PEERS):
        admitting.judge(network(number))
    for admitting.now in (WAITING_TIME + 1 / 64, WAITING_TIME + 1 / 32):
        admitting.open_all()
    assert {reason for _, reason in admitting.reports} == {TOO_MANY_OF_SITE}


def test_the_busiest_site_loses_a_link_although_each_of_its_sources_has_one():
    admitting = Admitting(max_unproven=10)
    first, *_ = [link for number in range(6) for link in admitting.open(network(number))]
    admitting.open(THERE, 2)
    assert len(admitting.open("203.0.113.3")) == 1
    assert admitting.displaced == [first]


def test_a_proven_source_is_not_limited_by_its_site():
    admitting = Admitting()
    (link,) = admitting.open(network(7))
    admitting.prove(link)
    for number in range(100, 100 + 3 * HANDSHAKE_BURST):
        admitting.open(network(number))
    assert admitting.open(network(8)) == []
    assert len(admitting.open(network(7))) == 1


def test_all_networks_of_a_site_may_connect_at_once():
    admitting = Admitting()
    for number in range(10 * SITE_FACTOR * SOURCE_HANDSHAKE_BURST):
        (link,) = admitting.open(network(number))
        admitting.prove(link)


@pytest.mark.parametrize("rate", [200, 800])
def test_an_origin_gets_in_while_all_networks_of_a_site_flood(rate):
    admitting = Admitting()
    numbers = itertools.count()
    for dial in range(15):
        for _ in range(20):
            admitting.now += 0.05
            for _ in range(rate // 20):
                admitting.judge(network(next(numbers)))
            admitting.open_all()
        host = f"192.0.2.{dial}"  # another one each time, so that none is known
        assert admitting.judge(host) is Verdict.WAIT
        assert admitting.admission.next_opening().peer.address.host == host


def test_a_site_comes_last_although_its_first_sources_are_forgotten(monkeypatch):
    monkeypatch.setattr(source_handshakes, "MAX_SOURCES", 16)
    admitting = Admitting()
    for link in admitting.open("203.0.113.3"):
        admitting.end(link)
    for number in range(100):
        admitting.now += 0.01
        for link in admitting.open(network(number)):
            admitting.end(link)
    admitting.judge(network(0))
    admitting.judge("203.0.113.3")
    assert admitting.admission.next_opening().peer.address.host == "203.0.113.3"


# Addresses that are not validated


def test_above_so_many_links_a_new_peer_must_validate_its_address():
    admitting = Admitting()
    for number in range(RETRY_ABOVE):
        assert admitting.judge(f"192.0.2.{number}", is_validated=False) is Verdict.WAIT
    assert admitting.judge(THERE, is_validated=False) is Verdict.RETRY
    admitting.open_all()
    assert admitting.judge(THERE, is_validated=False) is Verdict.RETRY
    assert admitting.judge(THERE) is Verdict.WAIT
    assert len(admitting.open_all()) == 1


def test_who_sends_in_the_name_of_a_source_does_not_shut_it_out():
    admitting = Admitting()
    verdicts = [admitting.judge(HERE, is_validated=False) for _ in range(100)]
    assert verdicts[:SOURCE_UNPROVEN_LINKS] == [Verdict.WAIT] * SOURCE_UNPROVEN_LINKS
    assert set(verdicts[SOURCE_UNPROVEN_LINKS:]) == {Verdict.RETRY}
    admitting.open_all()
    assert len(admitting.open(HERE, SOURCE_UNPROVEN_LINKS)) == SOURCE_UNPROVEN_LINKS


def test_forged_handshakes_turn_into_retries_also_if_they_end_at_once():
    admitting = Admitting()
    accepted = 0
    for _ in range(10 * HANDSHAKE_BURST):
        for link in admitting.open(HERE, is_validated=False):
            accepted += 1
            admitting.end(link)
    assert accepted <= HANDSHAKE_BURST / 2 + 1
    assert len(admitting.open(HERE)) == 1
    assert len(admitting.open(THERE)) == 1


def test_a_complete_handshake_validates_the_address_and_counts_for_the_source():
    admitting = Admitting()
    links = admitting.open(HERE, SOURCE_UNPROVEN_LINKS, is_validated=False)
    for link in links:
        admitting.admission.link_validated(link)
    assert admitting.judge(HERE, is_validated=False) is Verdict.RETRY
    assert admitting.open(HERE) == []
    assert len(admitting.open(THERE)) == 1


def test_retries_are_limited_in_total():
    admitting = Admitting(retry_above=0)
    verdicts = [admitting.judge(HERE, is_validated=False) for _ in range(2 * RETRIES_PER_SECOND)]
    most = RETRIES_PER_SECOND * (1 - RESERVED_SHARE)
    assert verdicts.count(Verdict.RETRY) == most
    assert verdicts[-1] is Verdict.IGNORE
    assert admitting.reports == {(HERE, link_admission.NO_RETRY): 2 * RETRIES_PER_SECOND - most}


def test_a_proven_source_gets_a_retry_in_a_flood_that_uses_all_others():
    admitting = Admitting(retry_above=0)
    (link,) = admitting.open(HERE)
    admitting.prove(link)
    for number in range(10 * RETRIES_PER_SECOND):
        admitting.now += 0.1 / RETRIES_PER_SECOND
        admitting.judge(f"198.51.{number % 200}.9", is_validated=False)
    assert admitting.judge(THERE, is_validated=False) is Verdict.IGNORE
    assert admitting.judge(HERE, is_validated=False) is Verdict.RETRY


def test_peers_that_wait_are_dropped_when_the_listener_closes():
    admitting = Admitting()
    admitting.judge(HERE)
    admitting.judge(THERE)
    admitting.admission.reject_waiting()
    assert len(admitting.ignored) == 2
    assert not admitting.admission.has_waiting


@pytest.mark.parametrize("is_validated", [True, False])
def test_nothing_is_kept_of_links_that_have_ended(is_validated):
    admitting = Admitting()
    links = admitting.open(HERE, 5, is_validated=is_validated)
    admitting.prove(links[0])
    for link in links:
        admitting.end(link)
        admitting.end(link)
    admission = admitting.admission
    assert admission.unproven == 0
    assert not admission._links.groups
    assert not admission._proven_links
    assert not admission.proven_sources._linked
