"""The checks that a role runs beside its start. Importing them costs a role nearly no memory."""

from __future__ import annotations

from quictunnel.doctor.check import LocalCheck
from quictunnel.doctor.clock import Clock
from quictunnel.doctor.machine import Descriptors, Offloads


def startup_checks(max_clients: int) -> list[LocalCheck]:
    """Return the quick checks that a role runs beside its start. It reports the rest by itself.

    :param max_clients: the clients that the limit of open files allows.
    """
    return [Offloads(), Descriptors(max_clients), Clock()]
