"""The fast engine: quinn-proto, in a compiled package that may not be installed.

`extension` imports the compiled module and checks its version. Connections are native objects.
`endpoint` converts Python's keys and settings for the native endpoint, and `endpoint_socket`
connects the native socket I/O to the event loop. Only this package imports the compiled module.
"""
