"""A shell asks the installed program for commands and options."""

from __future__ import annotations

import os
import subprocess

import pytest

from testkit.programs import QUICTUNNEL, clean_environment

BASH = """
eval "$("$1" completion bash)"
COMP_WORDS=({words})
COMP_CWORD={index}
_quictunnel_completion "$1"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("quictunnel rem", ["remote"]),
        ("quictunnel remote --outs", ["--outside"]),
        ("quictunnel service un", ["uninstall"]),
        ("quictunnel remote --engine q", ["quinn"]),
    ],
)
def test_bash_completes(words, found):
    path = f"{QUICTUNNEL.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", BASH.format(words=words, index=words.count(" ")), "bash", QUICTUNNEL],
        env=clean_environment() | {"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == found
