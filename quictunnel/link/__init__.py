"""QUIC: sockets, links, and streams that are `asyncio.Transport`s. What the bytes mean is not known here."""
