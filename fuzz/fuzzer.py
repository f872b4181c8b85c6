"""Runs a fuzz target with atheris, which is libFuzzer for Python."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

OPTIONS = ["-timeout=5", "-rss_limit_mb=1024", "-max_len=17000", "-len_control=20"]
"""Options of libFuzzer: no input may take 5 s, and the longest is above the parsers' limits."""

_INSTRUMENTED = ("quictunnel", "fuzz")


def run(target: str, *, also: Sequence[str] = ()) -> None:
    """Call `check` of a module with ever new bytes until it raises, or until the options say stop.

    The program's arguments are options of libFuzzer and folders of inputs. New inputs are saved in
    the first folder.

    :param also: other packages whose branches guide the fuzzer.
    """
    import atheris  # noqa: PLC0415 - the tests import the targets without it

    # atheris counts only branches of modules that it loads itself, so all are loaded again.
    packages = (*_INSTRUMENTED, *also)
    for name in [name for name in sys.modules if f"{name}.".startswith(_dotted(packages))]:
        del sys.modules[name]
    with atheris.instrument_imports(include=packages):
        module = importlib.import_module(target)
    atheris.Setup([sys.argv[0], *OPTIONS, *sys.argv[1:]], module.check)
    atheris.Fuzz()


def _dotted(packages: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{package}." for package in packages)
