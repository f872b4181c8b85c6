"""The id of a link."""

from __future__ import annotations

from quictunnel.protocol.link_id import link_id


def test_an_id_depends_on_the_exporter_alone():
    exporter = bytes(range(32))
    assert link_id(exporter) == link_id(bytes(exporter)) != link_id(bytes(32))


def test_an_id_is_short_and_does_not_show_the_exporter():
    exporter = bytes(range(32))
    assert len(link_id(exporter)) == 16
    assert link_id(exporter) not in exporter.hex()
