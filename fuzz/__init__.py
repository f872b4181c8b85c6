"""Fuzz targets for the bytes that any client or peer may send.

    make fuzz                              # all targets, for ten minutes in all
    make fuzz ARGS=-max_total_time=3600    # options of libFuzzer, for each target
    python -m fuzz.client_hello CORPUS...  # one target; given files, it runs each of them once

Each target is a module with `check(data)`, which raises if a parser does something wrong. A parser
may refuse bytes with ProtocolError, and a link may be closed. `fuzz/corpus` has seeds for each
target, some of which are vectors of the tests too. The tests run every target over its seeds,
without atheris. ClusterFuzzLite runs the targets as well (`.clusterfuzzlite`).
"""
