"""The sums of links' counters never fall, whatever links come and go."""

from __future__ import annotations

from dataclasses import replace

from quictunnel.admin.link_totals import LinkTotals
from testkit.snapshots import LINK

NEW = replace(LINK, bytes_sent=0, bytes_received=0, packets_sent=0, packets_lost=0, bytes_lost=0)
"""A link that has sent and received nothing yet."""


def link(number: int, **counters):
    return replace(NEW, id=f"l{number}", **counters)


def update(totals, *links):
    totals.update((link.origin, link) for link in links)


def test_links_of_one_origin_are_added():
    totals = LinkTotals()
    update(totals, link(1, bytes_sent=10), link(2, bytes_sent=5))
    assert totals.by_origin["box"].bytes_sent == 15


def test_a_link_that_has_grown_counts_once():
    totals = LinkTotals()
    update(totals, link(1, packets_sent=10, packets_lost=1))
    update(totals, link(1, packets_sent=12, packets_lost=1))
    counters = totals.by_origin["box"]
    assert (counters.packets_sent, counters.packets_lost) == (12, 1)


def test_a_link_that_has_ended_still_counts():
    totals = LinkTotals()
    update(totals, link(1, bytes_received=1000, bytes_lost=50))
    update(totals)
    update(totals, link(2, bytes_received=3, bytes_lost=2))
    counters = totals.by_origin["box"]
    assert (counters.bytes_received, counters.bytes_lost) == (1003, 52)


def test_origins_are_counted_apart():
    totals = LinkTotals()
    update(totals, link(1, bytes_sent=10), link(2, origin="nas", bytes_sent=5))
    assert totals.by_origin["box"].bytes_sent == 10
    assert totals.by_origin["nas"].bytes_sent == 5
