"""`quictunnel doctor` names the cause when the network between the two ends is broken.

The router does not translate TCP over IPv4, so most of these use IPv6.
"""

from __future__ import annotations

import pytest
from uplinks import IPV6_NAME, REMOTE_NAME, WIFI

from testkit.diagnosis import Diagnosis, diagnose

pytestmark = pytest.mark.one_engine


@pytest.fixture
def ipv6_lab(lab):
    """A laboratory whose ends reach each other over IPv6 only, with a remote that runs."""
    lab.use_ipv6()
    lab.start_remote()
    return lab


def diagnose_at_origin(lab, remote=REMOTE_NAME) -> Diagnosis:
    words = ("origin", "--remote", remote)
    token = lab.tunnel.token.reveal()
    programs, host = lab.tunnel.programs, lab.origin_host
    return diagnose(programs, *words, host=host, QUICTUNNEL_TOKEN=token)


def test_a_good_network(lab):
    lab.start_remote()
    found = diagnose_at_origin(lab)
    assert found.exit_code == 0, found
    assert not found.problems + found.warnings, found
    assert found.confirms("path MTU"), found


def test_udp_is_dropped(ipv6_lab):
    ipv6_lab.lose_udp(1)
    found = diagnose_at_origin(ipv6_lab)
    assert found.blames("UDP to the remote: no answer from"), found
    assert found.advises("the machine answers over TCP, so it runs, and only UDP is lost"), found


def test_udp_is_throttled_to_a_loss_of_97_percent(ipv6_lab):
    ipv6_lab.lose_udp(1 - 0.03**0.5)  # in each direction
    found = diagnose_at_origin(ipv6_lab)
    assert "UDP is throttled on the way: 9" in "\n".join(found.problems), found
    assert found.exit_code == 1
    # The handshake may fail, too. Nothing else is blamed.
    assert all(each.startswith(("UDP against TCP", "handshake")) for each in found.problems)


def test_a_network_that_loses_packets_of_all_kinds(ipv6_lab):
    ipv6_lab.change(loss=0.15)
    found = diagnose_at_origin(ipv6_lab)
    assert found.warns_of("loss and round trip: the network loses packets of all kinds"), found


def test_an_mtu_of_1280_without_icmp(ipv6_lab):
    ipv6_lab.change(mtu=1280)
    found = diagnose_at_origin(ipv6_lab)
    assert found.warns_of(
        "path MTU: packets of 1,280 bytes reach the remote, those of 1,320 do not, and no ICMP"
    ), found


def test_an_mtu_that_is_too_small_for_quic(ipv6_lab):
    ipv6_lab.change(mtu=1240)
    found = diagnose_at_origin(ipv6_lab)
    assert found.blames("UDP to the remote: .* answers small packets, but none of 1200 bytes"), (
        found
    )


def test_an_mtu_of_1280_of_this_machine(ipv6_lab):
    ipv6_lab.origin_host.ip(f"link set dev {WIFI.name} mtu 1280")
    found = diagnose_at_origin(ipv6_lab)
    assert not found.problems + found.warnings, found


def test_a_name_with_only_ipv6_on_a_machine_without_it(lab):
    found = diagnose_at_origin(lab, IPV6_NAME)
    assert found.blames(
        "name of the remote: ipv6.example.com has only IPv6 addresses .* this machine has no IPv6"
    ), found
    assert found.advises("an A record"), found


def test_an_ipv6_address_that_does_not_answer_beside_ipv4(lab):
    lab.start_remote("--listen", "0.0.0.0:9001")
    lab.join(WIFI, 6)
    lab.remote_host.ip("address del 2001:db8:7::7/64 dev net")
    found = diagnose_at_origin(lab)
    assert found.warns_of("UDP to the remote: 2001:db8:7::7 of .* does not answer, but"), found


def test_a_machine_that_is_not_there(ipv6_lab):
    ipv6_lab.darken()
    found = diagnose_at_origin(ipv6_lab)
    assert found.blames("UDP to the remote: no answer from"), found
    assert found.advises("nothing answers over TCP either"), found


def test_this_machine_is_offline(lab):
    lab.leave(WIFI)
    found = diagnose_at_origin(lab)
    assert found.blames("name of the remote: this machine has no route"), found


def test_a_remote_that_does_not_run_on_a_machine_that_does(lab):
    lab.join(WIFI, 6)
    found = diagnose_at_origin(lab)
    assert found.blames("UDP to the remote: nobody listens at"), found
