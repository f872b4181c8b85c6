"""A table of limited size that tokens share."""

from __future__ import annotations

from quictunnel.remote.fair_table import FairTable


def test_an_entry_belongs_to_its_token():
    table: FairTable[str, int] = FairTable()
    table.add("t", "a", 1)
    table.add("u", "a", 2)
    assert (table.get("t", "a"), table.get("u", "a"), table.get("v", "a")) == (1, 2, None)
    assert (table.pop("t", "a"), table.pop("t", "a")) == (1, None)
    assert (len(table), list(table)) == (1, [2])


def test_the_token_with_the_most_entries_loses_its_oldest_one():
    table: FairTable[str, int] = FairTable()
    table.add("u", "first", 0)
    for number, key in enumerate("abc"):
        table.add("t", key, number)
    assert table.oldest() == ("t", "a")
    table.add("t", "a", 9)
    assert (table.oldest(), len(table)) == (("t", "b"), 4)
    for key in "bc":
        table.pop("t", key)
    table.add("u", "second", 1)
    assert table.oldest() == ("u", "first")
