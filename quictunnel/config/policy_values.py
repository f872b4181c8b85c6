"""The keys of a policy. The tables `[policy.PLACE]` and `[service.NAME]` have the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quictunnel.config.addresses import parse_network
from quictunnel.config.files import quoted
from quictunnel.config.networks import NetworkSet, read_networks
from quictunnel.config.policy import Policy
from quictunnel.config.units import parse_duration, parse_rate
from quictunnel.config.values import Kind, Table, located, number_of, table_located, texts_of
from quictunnel.errors import SettingsError

POLICY_KEYS: Mapping[str, Kind] = {
    "allow": "texts",
    "allow-file": "path",
    "deny": "texts",
    "deny-file": "path",
    "max-clients": "text",
    "max-clients-per-address": "text",
    "max-rate-per-address": "text",
    "rate-per-client": "text",
    "rate": "text",
    "idle-timeout": "text",
}
"""The keys of a policy."""


def read_policy(place: str, table: Table) -> Policy:
    """Return the policy of a table, which may have other keys too.

    :param place: the file and the table, for errors.
    :raises SettingsError: a value is invalid, or a file of networks cannot be read.
    """
    allow, deny = _networks(place, "allow", table), _networks(place, "deny", table)
    max_clients = number_of(place, "max-clients", table)
    max_clients_per_address = number_of(place, "max-clients-per-address", table)
    max_rate_per_address = number_of(place, "max-rate-per-address", table)
    rate_per_client = rate_of(place, "rate-per-client", table)
    rate = rate_of(place, "rate", table)
    idle_timeout = None
    if "idle-timeout" in table:
        with located(f"{place}.idle-timeout"):
            idle_timeout = parse_duration(str(table["idle-timeout"]))
    with table_located(place):
        return Policy(
            allow=allow,
            deny=deny,
            max_clients=max_clients,
            max_clients_per_address=max_clients_per_address,
            max_rate_per_address=max_rate_per_address,
            rate_per_client=rate_per_client,
            rate=rate,
            idle_timeout=idle_timeout,
        )


def rate_of(place: str, key: str, table: Table) -> int | None:
    """Return a rate in bytes per second, or None if the key is not set.

    :param place: the file and the table, for errors.
    :raises SettingsError: it is not a rate.
    """
    if key not in table:
        return None
    with located(f"{place}.{key}"):
        return parse_rate(str(table[key]))


def network_files(tables: Mapping[str, Table]) -> tuple[Path, ...]:
    """Return the files of networks that tables name."""
    names = (table.get(key) for table in tables.values() for key in ("allow-file", "deny-file"))
    return tuple(Path(str(name)) for name in names if name is not None)


def _networks(place: str, key: str, table: Table) -> NetworkSet:
    """Return the networks of a list and of its file together.

    :raises SettingsError: one is malformed, the file cannot be read, or nothing is allowed.
    """
    with located(f"{place}.{key}"):
        texts = texts_of(table, key)
        if key in table and not texts:
            raise SettingsError("the list is empty; leave the key out to accept all clients")
        networks = list(map(parse_network, texts))
    file_key = f"{key}-file"
    if file_key in table:
        path = Path(str(table[file_key]))
        with located(f"{place}.{file_key}"):
            networks += read_networks(path)
            if key == "allow" and not networks:
                raise SettingsError(
                    f"the list of networks {quoted(path)} is empty; leave the key out to accept "
                    "all clients"
                )
    return NetworkSet(networks)
