"""The tables `[policy.PLACE]` of a remote's configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quictunnel.config.hosts import is_host, parse_host
from quictunnel.config.policy import Place, Policy
from quictunnel.config.policy_values import read_policy
from quictunnel.config.ports import parse_allowed_ports
from quictunnel.config.services import DEFAULT_SERVICE
from quictunnel.config.values import Table, located
from quictunnel.errors import SettingsError

POLICY = "policy"
"""The key of the table that contains the policies of places."""


def read_policies(path: Path, tables: Mapping[str, Table]) -> dict[Place, Policy]:
    """Return the policies of tables, by the places that they are for.

    :param path: the file, for errors.
    :raises SettingsError: a value is invalid.
    """
    policies: dict[Place, Policy] = {}
    for name, table in tables.items():
        place, policy = _policy(path, name, table)
        if place in policies:
            raise SettingsError(f"{path}: {POLICY}.{name}: another table is for the same place")
        policies[place] = policy
    return policies


def _policy(path: Path, name: str, table: Table) -> tuple[Place, Policy]:
    """Return the policy of a table, and the place that it is for.

    :raises SettingsError: a value is invalid.
    """
    place = f"{path}: {POLICY}.{name}"
    with located(f"{place}: a policy is for 'default', a port, a range of ports or a host name"):
        for_place = _place(name)
    return for_place, read_policy(place, table)


def _place(name: str) -> Place:
    """Return the place of the table `[policy.NAME]`.

    :raises SettingsError: it is none.
    """
    if name == DEFAULT_SERVICE:
        return None
    return parse_host(name) if is_host(name) else parse_allowed_ports(name)
