"""The links of a listener that have not proven themselves, by source and site of their peer.

Peers whose address is not validated are one group, because the address may be forged: a source must
not be charged for links that others open in its name.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from quictunnel.protocol.source import Site, Source, site_of

LinkT = TypeVar("LinkT")
KeyT = TypeVar("KeyT")

Group: TypeAlias = Source | None
"""A source whose peers have validated addresses, or None for all peers without."""


def group_of(source: Source, *, is_validated: bool) -> Group:
    """Return the group in which a peer of this source is counted."""
    return source if is_validated else None


def site_of_group(group: Group) -> Site | None:
    """Return the site of a group's source; None for peers without a validated address."""
    return None if group is None else site_of(group)


@dataclass(slots=True)
class _Place:
    """A link's place in the table."""

    source: Source
    opened_at: float
    is_validated: bool

    @property
    def group(self) -> Group:
        return group_of(self.source, is_validated=self.is_validated)


class UnprovenLinks(Generic[LinkT]):
    """The links without proof. The caller bounds their number."""

    def __init__(self) -> None:
        self._places: dict[LinkT, _Place] = {}
        # The oldest link of each comes first.
        self._groups: dict[Group, dict[LinkT, None]] = {}
        self._sites: dict[Site | None, dict[LinkT, None]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, link: object) -> bool:
        """Return whether a link has a place."""
        return link in self._places

    def group(self, link: LinkT) -> Group:
        """Return the group in which a link in the table is counted."""
        return self._places[link].group

    def source(self, link: LinkT) -> Source:
        """Return the source of a link in the table."""
        return self._places[link].source

    def is_validated(self, link: LinkT) -> bool:
        """Return whether the address of a link in the table is validated."""
        return self._places[link].is_validated

    def count(self, group: Group) -> int:
        """Return the number of a group's links."""
        return len(self._groups.get(group, ()))

    def count_site(self, group: Group) -> int:
        """Return the number of links of a group's site."""
        return len(self._sites.get(site_of_group(group), ()))

    def count_claimed(self, source: Source) -> int:
        """Return the number of links of a source, and of those that only claim to be of it."""
        unvalidated = self._groups.get(None, ())
        claimed = sum(self._places[link].source == source for link in unvalidated)
        return self.count(source) + claimed

    def add(self, link: LinkT, source: Source, now: float, *, is_validated: bool) -> None:
        """Add a link."""
        place = self._places[link] = _Place(source, now, is_validated)
        self._join_group(link, place.group)

    def validate(self, link: LinkT) -> None:
        """Count a link for its source, because its address is validated now."""
        place = self._places[link]
        self._leave_group(link, place.group)
        place.is_validated = True
        self._join_group(link, place.group)

    def remove(self, link: LinkT) -> None:
        """Remove a link."""
        self._leave_group(link, self._places.pop(link).group)

    @property
    def groups(self) -> Collection[Group]:
        """The groups that have links."""
        return self._groups.keys()

    def oldest(self, group: Group) -> LinkT:
        """Return the oldest link of a group that has links."""
        return next(iter(self._groups[group]))

    def oldest_of_site(self, group: Group) -> LinkT:
        """Return the oldest link of a group's site that has links."""
        return next(iter(self._sites[site_of_group(group)]))

    def opened_at(self, link: LinkT) -> float:
        """Return when a link in the table was opened."""
        return self._places[link].opened_at

    def _join_group(self, link: LinkT, group: Group) -> None:
        self._groups.setdefault(group, {})[link] = None
        self._sites.setdefault(site_of_group(group), {})[link] = None

    def _leave_group(self, link: LinkT, group: Group) -> None:
        _leave(link, self._groups, group)
        _leave(link, self._sites, site_of_group(group))


def _leave(link: LinkT, sets: dict[KeyT, dict[LinkT, None]], key: KeyT) -> None:
    """Remove a link from one of several sets, and the set with its last link."""
    links = sets[key]
    del links[link]
    if not links:
        del sets[key]
