"""The admin interface of a role: HTTP for programs and people on the same machine."""
