"""A remote that accepts origins from some networks only."""

from __future__ import annotations

from configured_tunnel import exchange

from testkit.programs import logged
from testkit.tunnel import LOOPBACK

ELSEWHERE = 'origins-from = "192.0.2.0/24"\n'
HERE = 'origins-from = ["192.0.2.0/24", "127.0.0.0/8"]\n'


def test_the_networks_of_origins_change_while_the_remote_runs(setup):
    remote_lines = r"^Origins may connect from "
    setup.write_remote(ELSEWHERE)
    setup.start(0)
    remote, origin = setup.tunnel.remote, setup.tunnel.origin
    remote.wait_for(f"{remote_lines}these networks: 192.0.2.0/24$")
    reason = '"its network is not one of --origins-from"'
    remote.wait_for_log(logged("peer dropped", source=LOOPBACK, reason=reason))
    setup.write_remote(HERE)
    remote.wait_for(f"{remote_lines}these networks: 192.0.2.0/24, 127.0.0.0/8$")
    origin.wait_for(setup.ready(0))
    pair = setup.pair(0)
    exchange(*pair)
    setup.write_remote(ELSEWHERE)
    assert pair[0].is_reset()
    assert pair[1].is_reset()
    origin.wait_for("^lost: ")
    setup.write_remote()
    remote.wait_for(f"{remote_lines}every network$")
    origin.wait_for(setup.ready(0), times=2)
    exchange(*setup.pair(0))
