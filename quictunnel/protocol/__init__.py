"""What travels on a link. Pure: no I/O, no asyncio; bytes in, facts out, and the other way round."""
