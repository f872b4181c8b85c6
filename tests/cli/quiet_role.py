"""The part of a role's double that the admin interface looks at."""

from __future__ import annotations


class QuietRole:
    """A role without links and sites."""

    def has_site(self, _name):
        return False

    def list_links(self):
        return []
