"""A connection's part of the process's budget for unread data."""

from __future__ import annotations

import pytest

from quictunnel.quic.engines.aioquic.receive_credit import ReceiveCredit
from quictunnel.quic.flow_control import LINK_WINDOW_UNPROVEN, RELIEF, RELIEF_EVERY, Budget

MIB = 1024 * 1024


@pytest.fixture
def budget() -> Budget:
    return Budget(8 * MIB)


def test_unread_data_counts_against_the_budget_of_all_connections(budget: Budget) -> None:
    first, second = ReceiveCredit(budget), ReceiveCredit(budget)
    first.update(MIB, received=1000, now=0.0)
    second.update(MIB, received=500, now=0.0)
    assert budget.unread == 1500
    first.add_read(400)
    first.update(MIB, received=1000, now=0.0)
    assert budget.unread == 1100


def test_the_limit_of_an_unproven_peer_does_not_move(budget: Budget) -> None:
    credit = ReceiveCredit(budget)
    credit.add_read(LINK_WINDOW_UNPROVEN)
    limit = LINK_WINDOW_UNPROVEN
    assert credit.update(limit, received=LINK_WINDOW_UNPROVEN, now=0.0) == limit
    assert budget.links == 0


def test_a_trusted_peer_is_granted_its_part_of_what_is_free(budget: Budget) -> None:
    credit, other = ReceiveCredit(budget), ReceiveCredit(budget)
    for _ in range(2):
        credit.trust()
    other.trust()
    assert budget.links == 2
    assert credit.update(MIB, received=MIB, now=0.0) == MIB + (8 * MIB - MIB) // 2


def test_the_limit_follows_the_reader_when_the_budget_is_used_up(budget: Budget) -> None:
    credit = ReceiveCredit(budget)
    credit.trust()
    limit = credit.update(8 * MIB, received=8 * MIB, now=0.0)
    assert limit == 8 * MIB
    assert credit.relief_at == RELIEF_EVERY
    assert not credit.may_grow
    credit.add_read(1000)
    assert credit.update(limit, received=8 * MIB, now=0.1) == 8 * MIB + 1000
    assert credit.update(limit, received=8 * MIB, now=RELIEF_EVERY) == 8 * MIB + RELIEF


def test_closing_gives_everything_back_once(budget: Budget) -> None:
    credit = ReceiveCredit(budget)
    credit.trust()
    credit.update(MIB, received=1000, now=0.0)
    for _ in range(2):
        credit.close()
        assert (budget.links, budget.unread) == (0, 0)
    credit.trust()
    assert credit.update(MIB, received=2000, now=1.0) == MIB
    assert (budget.links, budget.unread) == (0, 0)


def test_closing_a_connection_that_was_never_trusted(budget: Budget) -> None:
    ReceiveCredit(budget).close()
    assert budget.links == 0
