"""Writes a manual page for each command into a folder: `python docs/man.py FOLDER`.

The pages come from the command line's own definitions, as the page about the command line does.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main
from typer.core import TyperArgument

from docs.generate import EXIT_CODES, default_of, option_panels, placeholder_of, plain
from quictunnel import __version__
from quictunnel.cli.main import PROGRAM, app


def pages() -> Mapping[str, str]:
    """Return the pages by file name."""
    commands = dict(_walk(typer.main.get_command(app), PROGRAM))
    names = {path: path.replace(" ", "-") for path in commands}
    return {f"{names[path]}.1": _page(path, commands[path], names) for path in commands}


def _walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - a private type
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _walk(child, f"{path} {name}")


def _page(path: str, command: Any, names: Mapping[str, str]) -> str:  # noqa: ANN401
    summary, *paragraphs = plain(command.help or "").split("\n\n")
    children = getattr(command, "commands", {})
    arguments = [param for param in command.params if isinstance(param, TyperArgument)]
    words = " ".join(argument.metavar or "ARGUMENT" for argument in arguments)
    if children:
        words = "COMMAND"
    lines = [
        f'.TH {names[path].upper()} 1 "" "{PROGRAM} {__version__}" "{PROGRAM}"',
        ".SH NAME",
        f"{_escape(names[path])} \\- {_escape(summary.rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_escape(path)}",
        _escape(f"[OPTIONS] {words}".strip()),
        ".SH DESCRIPTION",
        f"{_escape(summary)}",
    ]
    for paragraph in paragraphs:
        lines += _paragraph(paragraph)
    if children:
        lines.append(".SH COMMANDS")
        for name, child in children.items():
            first = plain(child.help or "").split("\n\n")[0]
            lines += [".TP", f".BR {_escape(names[f'{path} {name}'])} (1)", _escape(first)]
    if arguments:
        lines.append(".SH ARGUMENTS")
        for argument in arguments:
            lines += [".TP", f".I {_escape(argument.metavar or '')}"]
            lines.append(_escape(plain(argument.help or "")))
    panels = option_panels(command)
    if panels:
        lines.append(".SH OPTIONS")
    for title, options in panels.items():
        if set(panels) != {"Options"}:
            lines.append(f'.SS "{_escape(title)}"')
        for option in options:
            lines += _option(option)
    lines.append(".SH EXIT STATUS")
    for code, meaning in EXIT_CODES.items():
        lines += [".TP", f".B {code}", _escape(meaning.replace("`", "'"))]
    others = [name for other, name in sorted(names.items()) if _are_near(path, other)]
    lines += [".SH SEE ALSO"]
    lines += [f".BR {_escape(name)} (1){',' if name != others[-1] else ''}" for name in others]
    return "\n".join(lines) + "\n"


def _are_near(path: str, other: str) -> bool:
    """Return whether a page should name another one: the one above it, and those beside it."""
    above = path.rpartition(" ")[0]
    return other != path and (other.rpartition(" ")[0] == above or other in (above, PROGRAM))


def _paragraph(text: str) -> Iterator[str]:
    yield ".PP"
    if "\n  " not in text:
        yield _escape(text)
        return
    title, *examples = text.splitlines()
    yield from (_escape(title), ".PP", ".nf", ".RS 2")
    yield from (_escape(example.strip()) for example in examples)
    yield from (".RE", ".fi")


def _option(option: Any) -> Iterator[str]:  # noqa: ANN401 - a private type
    names = ", ".join(f"\\fB{_escape(name)}\\fR" for name in option.opts)
    placeholder = placeholder_of(option)
    yield ".TP"
    yield names + (f" \\fI{_escape(placeholder)}\\fR" if placeholder else "")
    facts = [plain(option.help or "")]
    if default := default_of(option):
        facts.append("It is required." if default == "required" else f"Default: {default}.")
    if option.envvar:
        facts.append(f"Environment variable: {option.envvar}.")
    yield _escape(" ".join(facts))


def _escape(text: str) -> str:
    """Return a text as roff: on one line, with no request and no escape."""
    line = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", line)


def main(folder: Path) -> None:
    """Write all pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
