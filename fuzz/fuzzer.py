"""Runs a fuzz target with atheris, which is libFuzzer for Python."""

from __future__ import annotations

import importlib
import sys

OPTIONS = ["-timeout=5", "-rss_limit_mb=1024", "-max_len=17000", "-len_control=20"]
"""Options of libFuzzer: no input may take 5 s, and the longest is above the parsers' limits."""

_INSTRUMENTED = ("quictunnel", "fuzz")


def run(target: str) -> None:
    """Call `check` of a module with ever new bytes until it raises, or until the options say stop.

    The program's arguments are options of libFuzzer and folders of inputs. New inputs are saved in
    the first folder.
    """
    import atheris  # noqa: PLC0415 - the tests import the targets without it

    # atheris counts only branches of modules that it loads itself, so all are loaded again.
    for name in [name for name in sys.modules if name.partition(".")[0] in _INSTRUMENTED]:
        del sys.modules[name]
    with atheris.instrument_imports(include=_INSTRUMENTED):
        module = importlib.import_module(target)
    atheris.Setup([sys.argv[0], *OPTIONS, *sys.argv[1:]], module.check)
    atheris.Fuzz()
