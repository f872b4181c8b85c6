"""Lists of services that are longer than a message: splits them into parts and joins the parts."""

from __future__ import annotations

from collections.abc import Sequence

from quictunnel.errors import ProtocolError
from quictunnel.protocol.messages import MAX_SERVICES, RefusedService, Service, Services

MAX_LISTED = 1024
"""Services that one origin may have. It bounds the memory that a peer can claim with a list."""


def split_list(
    services: Sequence[Service], refused: Sequence[RefusedService] = ()
) -> list[Services]:
    """Return the messages that carry a list, in order: one, or several numbered parts.

    :param services: at most `MAX_LISTED`, together with `refused`.
    """
    total = len(services) + len(refused)
    if total <= MAX_SERVICES:
        return [Services(services=list(services), refused=list(refused))]
    parts = -(-total // MAX_SERVICES)
    messages = []
    for number in range(parts):
        start, end = number * MAX_SERVICES, (number + 1) * MAX_SERVICES
        messages.append(
            Services(
                services=list(services[start:end]),
                refused=list(refused[max(0, start - len(services)) : max(0, end - len(services))]),
                part=number + 1,
                parts=parts,
            )
        )
    return messages


class ServiceListJoiner:
    """Joins the parts of the lists that one peer sends. Unusable after an error."""

    def __init__(self) -> None:
        self._services: list[Service] = []
        self._refused: list[RefusedService] = []
        self._part = 0
        self._parts = 0

    def add(self, message: Services) -> Services | None:
        """Return the complete list, once its last part has come; None before that.

        :raises ProtocolError: the part is not the next one, or the list is too long.
        """
        if message.part is None and message.parts is None and not self._parts:
            return message
        part, parts = message.part or 0, message.parts or 0
        expected = self._parts or parts
        if part != self._part + 1 or parts != expected or part > parts:
            raise ProtocolError(
                f"part {part} of {parts} of a list of services, "
                f"where part {self._part + 1} of {expected or 1} was due"
            )
        self._part, self._parts = part, parts
        self._services += message.services
        self._refused += message.refused
        if max(len(self._services), len(self._refused)) > MAX_LISTED:
            raise ProtocolError(f"a list of more than {MAX_LISTED} services")
        if part < parts:
            return None
        joined = Services(services=self._services, refused=self._refused)
        self._services, self._refused = [], []
        self._part = self._parts = 0
        return joined
