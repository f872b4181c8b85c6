"""Sinks for events: the log. Roles emit events and do not know these modules."""
