"""Whose links a remote can end by a stateless reset: its own, and those of the run before."""

from __future__ import annotations

from quictunnel.remote.server import derive_reset_key

KEPT = bytes(range(32))


def test_it_is_the_same_after_a_restart():
    assert derive_reset_key(KEPT, 9001) == derive_reset_key(KEPT, 9001)


def test_remotes_beside_each_other_have_different_ones():
    keys = {derive_reset_key(KEPT, 9001), derive_reset_key(KEPT, 9002), KEPT}
    assert len(keys) == 3
    assert {len(key) for key in keys if key} == {32}


def test_without_a_port_or_a_kept_key_it_ends_with_the_remote():
    assert derive_reset_key(KEPT, 0) is None
    assert derive_reset_key(None, 9001) is None
