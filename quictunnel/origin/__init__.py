"""The origin: the end beside the origin server. It makes the link, and dials for each client."""
