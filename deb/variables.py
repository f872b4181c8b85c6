"""Prints the variables of deb/nfpm.yaml for the shell: `python -m deb.variables ARCH`."""

from __future__ import annotations

import shlex
import sys

from deb.build import LIBC, MAINTAINER, PYTHONS
from quictunnel import __version__


def variables(arch: str) -> dict[str, str]:
    """Return the variables.

    :param arch: the package's architecture, as Debian names it.
    """
    major, minor = PYTHONS[-1].split(".")
    return {
        "DEB_ARCH": arch,
        "DEB_VERSION": __version__,
        "DEB_MAINTAINER": MAINTAINER,
        "DEB_PYTHON_END": f"{major}.{int(minor) + 1}",
        "DEB_LIBC": ".".join(map(str, LIBC)),
    }


def main() -> None:
    """Print the assignments."""
    for name, value in variables(sys.argv[1]).items():
        print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
