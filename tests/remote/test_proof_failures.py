"""Failed proofs are counted by source, IPv6 by its /64, and the count is bounded."""

from __future__ import annotations

from quictunnel.protocol.address import Address
from quictunnel.remote import proof_failures as failures
from quictunnel.remote.proof_failures import ProofFailures


def test_failures_of_one_host_add_up_whatever_the_port():
    counted = ProofFailures()
    assert counted.record(Address("192.0.2.1", 1)) == 1
    assert counted.record(Address("192.0.2.1", 2)) == 2
    assert counted.record(Address("192.0.2.2", 1)) == 1
    assert counted.total == 3


def test_one_ipv6_network_is_one_source():
    counted = ProofFailures()
    counted.record(Address("2001:db8::1", 1))
    assert counted.record(Address("2001:db8::ffff:1", 1)) == 2
    assert counted.record(Address("2001:db8:0:1::1", 1)) == 1


def test_a_good_proof_forgives():
    counted = ProofFailures()
    counted.record(Address("192.0.2.1", 1))
    counted.clear(Address("192.0.2.1", 2))
    assert counted.record(Address("192.0.2.1", 1)) == 1
    assert counted.total == 2


def test_the_source_longest_quiet_is_forgotten(monkeypatch):
    monkeypatch.setattr(failures, "MAX_SOURCES", 2)
    counted = ProofFailures()
    for host in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"):
        counted.record(Address(host, 1))
    assert counted.record(Address("192.0.2.1", 1)) == 3
    assert counted.record(Address("192.0.2.2", 1)) == 1
