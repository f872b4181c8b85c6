"""The fast engine: quinn-proto, compiled, in a package of its own that may not be installed.

`extension` finds out whether it is, and whether it fits. Nothing outside this package may know the
compiled module.
"""
