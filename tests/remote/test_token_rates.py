"""Each token with a rate has one, which all of its clients share."""

from __future__ import annotations

from quictunnel.config.grants import Grant
from quictunnel.remote.token_rates import TokenRates
from testkit.clock import virtual_time


@virtual_time
async def test_clients_of_a_token_share_its_rate():
    rates = TokenRates()
    assert rates.limits("a", None) == ()
    (first,) = rates.limits("a", 5000)
    assert rates.limits("a", 5000) == (first,)
    assert rates.limits("b", 5000) != (first,)


@virtual_time
async def test_changed_rights_change_the_rate_of_current_clients():
    rates = TokenRates()
    (limit,) = rates.limits("a", 5000)
    rates.apply({"a": Grant(rate=8000)})
    assert limit.from_tcp._rate == limit.from_stream._rate == 8000
    assert rates.limits("a", 8000) == (limit,)
    rates.apply({"a": Grant()})
    assert limit.from_tcp._rate is None
    assert rates.limits("a", None) == ()


@virtual_time
async def test_a_rate_that_is_removed_and_put_back_is_that_of_current_clients_too():
    rates = TokenRates()
    (limit,) = rates.limits("a", 5000)
    rates.apply({})
    assert limit.from_tcp._rate is None
    rates.apply({"a": Grant(rate=8000)})
    assert limit.from_tcp._rate == 8000
    assert rates.limits("a", 8000) == (limit,)
