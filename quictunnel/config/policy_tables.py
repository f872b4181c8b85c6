"""The tables `[policy.PLACE]` of a remote's configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quictunnel.config.addresses import Network, parse_network
from quictunnel.config.policy import Policy
from quictunnel.config.ports import PortRange, parse_allowed_ports
from quictunnel.config.services import DEFAULT_SERVICE
from quictunnel.config.values import Kind, Table, located, number_of, texts_of
from quictunnel.errors import SettingsError

POLICY = "policy"
"""The key of the table that contains the policies of places."""

POLICY_KEYS: Mapping[str, Kind] = {
    "allow": "texts",
    "deny": "texts",
    "max-clients": "text",
    "max-clients-per-address": "text",
    "max-rate-per-address": "text",
}
"""The keys of a policy."""


def read_policies(path: Path, tables: Mapping[str, Table]) -> dict[PortRange | None, Policy]:
    """Return the policies of tables, by the ports that they are for; None for the outside address.

    :param path: the file, for errors.
    :raises SettingsError: a value is invalid.
    """
    return dict(_policy(path, name, table) for name, table in tables.items())


def _policy(path: Path, name: str, table: Table) -> tuple[PortRange | None, Policy]:
    """Return the policy of a table, and the ports that it is for.

    :raises SettingsError: a value is invalid.
    """
    place = f"{path}: {POLICY}.{name}"
    ports = None
    if name != DEFAULT_SERVICE:
        with located(f"{place}: a policy is for 'default', a port or a range of ports"):
            ports = parse_allowed_ports(name)
    networks: dict[str, tuple[Network, ...]] = {}
    for key in ("allow", "deny"):
        with located(f"{place}.{key}"):
            texts = texts_of(table, key)
            if key in table and not texts:
                raise SettingsError("the list is empty; leave the key out to accept all clients")
            networks[key] = tuple(map(parse_network, texts))
    numbers = {
        key.replace("-", "_"): number_of(place, key, table)
        for key in ("max-clients", "max-clients-per-address", "max-rate-per-address")
    }
    with located(place):
        return ports, Policy(
            allow=networks["allow"],
            deny=networks["deny"],
            max_clients=numbers["max_clients"],
            max_clients_per_address=numbers["max_clients_per_address"],
            max_rate_per_address=numbers["max_rate_per_address"],
        )
