"""An origin with more services than one message can list."""

from __future__ import annotations

import pytest
from configured_tunnel import ConfiguredTunnel, exchange

ONE_ENGINE = True

SERVICES = 1000
LAST = SERVICES - 1


@pytest.fixture
def many(tunnel, tmp_path):
    many = ConfiguredTunnel(tunnel, tmp_path, SERVICES)
    yield many
    many.close()


def ready_lines(many) -> list[str]:
    return [line for line in many.tunnel.origin.stdout.splitlines() if line.startswith("ready:")]


def test_a_thousand_services_are_served_and_a_change_prints_one_of_them(many):
    many.up(*range(SERVICES))
    assert len(ready_lines(many)) == SERVICES
    pairs = [many.pair(number) for number in (0, 500, LAST)]
    for pair in pairs:
        exchange(*pair)
    many.write_origin(*range(LAST), SERVICES)
    many.tunnel.origin.wait_for(many.ready(SERVICES))
    assert len(ready_lines(many)) == SERVICES + 1
    for pair in (*pairs, many.pair(0), many.pair(SERVICES)):
        exchange(*pair)


def test_services_are_served_although_those_of_the_hello_are_refused(many):
    many.write_remote(f"ports = {many.port + LAST}\n")
    many.start(*range(SERVICES))
    many.tunnel.origin.wait_for(many.ready(LAST))
    exchange(*many.pair(LAST))
    many.tunnel.origin.wait_for("^refused: service s", times=LAST)


def test_an_origin_without_any_of_its_services_ends(many):
    many.write_remote("ports = 1\n")
    many.start(*range(SERVICES))
    assert many.tunnel.origin.wait() == 3
    sentence = f"the remote does not let origins have port {many.port}"
    assert sentence in many.tunnel.origin.stderr
