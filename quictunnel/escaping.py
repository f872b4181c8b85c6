"""Makes text of peers and files safe to show: escaped, in one line, and bounded."""

from __future__ import annotations

from collections.abc import Iterator

MAX_VALUE = 1000
"""Characters of one value or message in a line. The rest is cut, so that no peer fills the disk."""

MAX_NAME = 64
"""Characters, once escaped, of an id or a name that a peer has chosen."""

MAX_SENTENCE = 256
"""Characters, once escaped, of a peer's sentence for the user, such as the reason of a refusal."""

_CUT = "…"
"""Stands for the rest of a text that is too long."""


def escape(text: str) -> str:
    r"""Return text that is safe on a terminal and in one line, cut to `MAX_VALUE`.

    Control characters, line breaks and direction marks become `\x1b` and the like. A backslash
    becomes two, so that a peer cannot imitate an escape.
    """
    text = _cut(text, MAX_VALUE)
    return text if _is_plain(text) else "".join(_escaped(text))


def cut_name(text: str) -> str:
    """Return an id or a name that a peer has chosen, cut to `MAX_NAME`. It still needs `escape`."""
    return _cut(text, MAX_NAME)


def cut_sentence(text: str) -> str:
    """Return a sentence that a peer has chosen, cut to `MAX_SENTENCE`. It still needs `escape`."""
    return _cut(text, MAX_SENTENCE)


def _cut(text: str, limit: int) -> str:
    """Return the start of a text that has at most `limit` characters once it is escaped."""
    if len(text) <= limit and _is_plain(text):
        return text
    size = end = 0
    for index, piece in enumerate(_escaped(text)):
        size += len(piece)
        if size < limit:  # so that there is room for the mark
            end = index + 1
        elif size > limit:
            return text[:end] + _CUT
    return text


def _is_plain(text: str) -> bool:
    return text.isprintable() and "\\" not in text


def _escaped(text: str) -> Iterator[str]:
    """Yield each character, or its escape."""
    for character in text:
        if character == "\\":
            yield "\\\\"
        elif character.isprintable():
            yield character
        else:
            yield character.encode("unicode_escape").decode("ascii")
