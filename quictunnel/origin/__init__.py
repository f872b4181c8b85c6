"""The origin: runs beside the origin server, makes the link, and connects for each client."""
