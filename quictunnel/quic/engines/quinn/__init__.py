"""The fast engine: quinn-proto, compiled, in a package of its own that may not be installed.

`extension` finds out whether it is, and whether it fits. Its connections are native objects that
need nothing here; `endpoint` makes what is Python's into what the module takes, and `carriage`
joins its socket, which the module reads and writes by itself, to the event loop. Nothing outside
this package may know the compiled module.
"""
