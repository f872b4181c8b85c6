"""Describes errors of TOML syntax, with advice for the mistakes that are easy to make."""

from __future__ import annotations

import re

_POSITION = re.compile(r"\(at line ([0-9]+), column ([0-9]+)\)")

_QUOTE_TEXT = 'text needs quotes, as in hold = "15m"'
_QUOTE_ASTERISK = 'a name with * needs quotes, as in [policy."*.example.com"]'
_WRITE_LIST = "write a list: ports = [2222, 5432]"

_HEADER = re.compile(r"\s*\[")
_VALUE_BEFORE = re.compile(r"[^=]+=\s*\S.*", re.ASCII)
_UNQUOTED = re.compile(r"[A-Za-z0-9_+.:-]", re.ASCII)


def describe(text: str, error: str) -> str:
    """Return the sentence about a syntax error, without any text of the file.

    :param text: the content of the file, which may contain a secret.
    :param error: the message of `tomllib`.
    """
    sentence = f"{error[:1].lower()}{error[1:]}"
    advice = _advice(text, error)
    return sentence if advice is None else f"{sentence}; {advice}"


def _advice(text: str, error: str) -> str | None:
    match = _POSITION.search(error)
    if match is None:
        return None  # the error is at the end of the file
    # As tomllib does: only \n ends a line.
    line = text.replace("\r\n", "\n").split("\n")[int(match[1]) - 1]
    column = int(match[2]) - 1
    before, rest = line[:column], line[column:]
    if error.startswith("Invalid value"):
        return _QUOTE_TEXT if _UNQUOTED.match(rest) else None
    if _HEADER.match(line):
        return _QUOTE_ASTERISK if rest.startswith("*") else None
    if error.startswith("Expected newline") and _VALUE_BEFORE.match(before):
        if rest.startswith(","):
            return _WRITE_LIST
        # `15m` and `127.0.0.1` are a number and text directly behind it.
        if _UNQUOTED.match(rest) and _UNQUOTED.fullmatch(before[-1]):
            return _QUOTE_TEXT
    return None
