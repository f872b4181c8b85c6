"""What travels on a link. Pure: no I/O, no asyncio; bytes in, facts out, and back again."""
