"""Clients without a name: who is the oldest, and how many one source has."""

from __future__ import annotations

import pytest

from quictunnel.remote import unnamed_clients
from quictunnel.remote.unnamed_clients import UnnamedClients


@pytest.fixture
def unnamed(monkeypatch):
    monkeypatch.setattr(unnamed_clients, "MAX_UNNAMED_PER_SOURCE", 2)
    return UnnamedClients()


def test_the_client_that_came_first_is_the_oldest(unnamed):
    assert unnamed.oldest is None
    for client in "abc":
        unnamed.add(client)
    unnamed.count("b", "192.0.2.7")
    unnamed.count("a", "192.0.2.8")
    oldest = []
    for client in "abc":
        oldest.append(unnamed.oldest)
        unnamed.discard(client)
    assert oldest == ["a", "b", "c"]
    assert unnamed.oldest is None


def test_a_source_with_too_many_clients_loses_its_oldest(unnamed):
    for client in "abcde":
        unnamed.add(client)
    counted = [unnamed.count(client, "192.0.2.7") for client in "abc"]
    assert counted == [None, None, "a"]
    unnamed.discard("a")
    assert unnamed.count("d", "192.0.2.8") is None
    assert unnamed.count("e", "192.0.2.7") == "b"


def test_nothing_is_kept_of_clients_that_have_gone(unnamed):
    for client in "ab":
        unnamed.add(client)
    unnamed.count("a", "192.0.2.7")
    for client in "aabc":  # one that is not there is no error
        unnamed.discard(client)
    assert (unnamed._sources, unnamed._by_source) == ({}, {})
