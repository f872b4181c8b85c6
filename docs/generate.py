"""Writes the pages of the site that come from the program: `python docs/generate.py`.

    reference/cli.md              the commands and options, from the command line's own definitions
    reference/log.md              the log messages and their fields, from the events
    reference/metrics.md          the metrics, from their table
    reference/admin-api.md        the admin API, from its OpenAPI document
    explanation/quinn-engine.md   the engine's README

Git ignores these pages, so none of them can be out of date. `make docs` writes them first.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer.main
from typer.core import TyperOption

from quictunnel import events
from quictunnel.admin.event_stream import EventStreams
from quictunnel.admin.managed import ManagedRole
from quictunnel.admin.metric_table import METRICS, MetricDefinition
from quictunnel.admin.openapi import OPENAPI_PATH, document
from quictunnel.admin.routes import make_operations
from quictunnel.cli.main import app
from quictunnel.observe import tallies
from quictunnel.observe.event_log import EventLog
from quictunnel.snapshots import RoleName

DOCS = Path(__file__).parent

PROGRAM = "quictunnel"

ROLES: tuple[RoleName, ...] = ("remote", "origin")

MANY = "may be given several times"

EXIT_CODES = {
    0: "The program ended in order.",
    1: "It failed. `status`: the role is not ready. `probe`: the service does not work. `doctor`: "
    "something does not work. `service status`: a service does not run.",
    2: "An option, a setting or a file is wrong, or an address is in use.",
    3: "The remote does not accept this origin, or the origin does not accept the remote. Once "
    "connected, an origin ends so only if the remote proves its refusal. `status`, `top`, "
    "`clients` and `events`: no role runs, or it does not answer this user.",
}
"""The meanings of the exit codes, as Markdown."""


def cli_page() -> str:
    """Return the page about the command line."""
    lines = [
        "# Command line",
        "",
        "This page is generated from the program. `quictunnel COMMAND --help` prints the same.",
        "",
        *_command(typer.main.get_command(app), PROGRAM),
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()),
    ]
    return "\n".join(lines) + "\n"


def _command(
    command: Any,  # noqa: ANN401 - typer has no public name for the type
    path: str,
) -> Iterator[str]:
    yield from (f"## {path}", "", _text(command.help or ""), "")
    panels = option_panels(command)
    for title, options in panels.items():
        if set(panels) != {"Options"}:
            yield from (f"**{title}**", "")
        yield from ("| option | default | environment variable | |", "|---|---|---|---|")
        yield from (_option(option) for option in options)
        yield ""
    for name, child in getattr(command, "commands", {}).items():
        yield from _command(child, f"{path} {name}")


def option_panels(command: Any) -> dict[str, list[TyperOption]]:  # noqa: ANN401 - as above
    """Return a command's options by the title of their group in the help."""
    panels: dict[str, list[TyperOption]] = {}
    for option in command.params:
        if isinstance(option, TyperOption) and not option.hidden:
            panels.setdefault(option.rich_help_panel or "Options", []).append(option)
    return panels


def _option(option: TyperOption) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if argument := placeholder_of(option):
        names = names.removesuffix("`") + f" {argument}`"
    text = _text(option.help or "")
    if option.multiple and MANY not in text:
        text = f"{text.removesuffix('.')}; {MANY}."
    cells = (names, _default(option), f"`{option.envvar}`" if option.envvar else "", text)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def placeholder_of(option: TyperOption) -> str:
    """Return the placeholder of an option's value, or its choices; empty for a flag."""
    choices = get_args(option.type_descriptor.annotation)
    return option.metavar or "|".join(map(str, choices))


def default_of(option: TyperOption) -> str:
    """Return an option's default as plain text; `required` without one, empty if it is nothing."""
    if option.required:
        return "required"
    shown = option.show_default if isinstance(option.show_default, str) else option.default
    if shown is None or isinstance(shown, bool) or shown in ((), []):
        return ""
    return plain(str(shown))


def _default(option: TyperOption) -> str:
    text = default_of(option)
    if not text or text == "required":
        return text
    return text.replace("<", "&lt;") if isinstance(option.show_default, str) else f"`{text}`"


def plain(text: str) -> str:
    """Return a help text without Rich's escapes."""
    return text.replace(r"\[", "[").strip()


def _text(text: str) -> str:
    """Return a help text as Markdown: without Rich's escapes, each paragraph on one line."""
    return plain(text).replace("<", "&lt;")


def log_page() -> str:
    """Return the page about the log messages."""
    lines = [
        "# Log messages",
        "",
        "This page is generated from `quictunnel/events.py`. Each log line is one event: the",
        "message, then the event's fields as `key=value` (or as members of a JSON object with",
        "`--log-format json`). Fields without a value are left out. Durations are in seconds and",
        "sizes in bytes. Texts of peers are escaped, names cut to 64 characters, and reasons to",
        "256. An event with the field `suppressed` is logged at a bounded rate:",
        "[Security](../explanation/security.md#the-log) explains both. A few fields have one word",
        "of a list, for programs that count events. The lists are at the end of this page.",
        "",
    ]
    explained = _field_docstrings()
    for kind in event_types():
        record = _record(kind)
        lines += [f"## {record.getMessage()}", "", _docstring(kind), ""]
        lines += [f"Level: {record.levelname.lower()}. Event: `{kind.__name__}`.", ""]
        hints = get_type_hints(kind)
        fields = [field.name for field in dataclasses.fields(kind)]
        if shown := [name for name in fields if name != "exception"]:
            lines += ["| field | |", "|---|---|"]
            lines += [
                f"| `{name}` | {explained[kind.__name__][name]}{_link_to_words(hints[name])} |"
                for name in shown
            ]
            lines.append("")
    for words in word_lists():
        lines += [f"## {words.__name__}", "", _docstring(words), "", "| word | |", "|---|---|"]
        lines += [f"| `{word.value}` | {explained[words.__name__][word.name]} |" for word in words]
        lines.append("")
    return "\n".join(lines)


def event_types() -> list[type[events.Event]]:
    """Return the events in the order of their definition."""
    return [
        kind
        for kind in vars(events).values()
        if inspect.isclass(kind) and issubclass(kind, events.Event) and kind is not events.Event
    ]


def word_lists() -> list[type[enum.StrEnum]]:
    """Return the enumerations of words in fields, in the order of their definition."""
    return [
        kind
        for kind in vars(events).values()
        if inspect.isclass(kind) and issubclass(kind, enum.StrEnum)
    ]


def _link_to_words(hint: Any) -> str:  # noqa: ANN401 - any type of a field
    """Return a link to the words that a field can have; empty if it can have any value."""
    if not (inspect.isclass(hint) and issubclass(hint, enum.StrEnum)):
        return ""
    return f" See [{hint.__name__}](#{hint.__name__.lower()})."


def _record(kind: type[events.Event]) -> logging.LogRecord:
    """Return what is logged for an event of this type."""
    records: list[logging.LogRecord] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger = logging.Logger(PROGRAM, logging.DEBUG)
    logger.addHandler(Collector())
    fields = {field.name: None for field in dataclasses.fields(kind)}
    EventLog(logger)(kind(**fields))
    (record,) = records
    return record


def _docstring(kind: type) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split())


def _field_docstrings() -> dict[str, dict[str, str]]:
    """Return the docstring below each field of each class, and below each word of a list."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(events)).body:
        if isinstance(node, ast.ClassDef):
            fields = found[node.name] = {}
            for field, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign | ast.Assign) and isinstance(after, ast.Expr):
                    target = field.targets[0] if isinstance(field, ast.Assign) else field.target
                    assert isinstance(target, ast.Name)
                    assert isinstance(after.value, ast.Constant)
                    fields[target.id] = " ".join(str(after.value.value).split())
    return found


WORDS = {
    events.ClientEnding: "Endings of clients, and kinds of rejected clients and failed connections",
    events.RefusalKind: "Kinds of refused services, rejected origins and failed proofs",
    events.DropKind: "Kinds of failed handshakes",
    events.LinkEnding: "Kinds of ends of links",
}
"""The values of labels that are words of the program, and their titles."""


def metrics_page() -> str:
    """Return the page about the metrics."""
    lines = [
        "# Metrics",
        "",
        "This page is generated from `quictunnel/admin/metric_table.py`. Both ends have metrics at",
        "`/metrics` of the [admin interface](../how-to/admin.md), in the text format of",
        "Prometheus. Counters start at 0 with the program. A metric without a value is left out.",
        "",
        f"The labels `service` and `origin` are names. The first {tallies.MAX_NAMES:,} of each are",
        f"shown; later ones are counted together as `{tallies.OTHER}`. Histograms show the first",
        f"{tallies.MAX_TIMED} services. No address of a client is a label. Gauges of links are",
        "about the link that gets the new clients of its origin, and counters about all of its",
        "links.",
        "",
        "| metric | type | labels | end | |",
        "|---|---|---|---|---|",
        *map(_metric_row, METRICS),
    ]
    explained = _field_docstrings()
    for kind, title in WORDS.items():
        lines += ["", f"## {title}", "", "| word | meaning |", "|---|---|"]
        lines += [f"| `{word.value}` | {explained[kind.__name__][word.name]} |" for word in kind]
        if kind is events.DropKind:
            lines.append(f"| `{tallies.HELLO_TIMEOUT}` | It has sent no hello in time. |")
    return "\n".join(lines) + "\n"


def _metric_row(metric: MetricDefinition) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return (
        f"| `{metric.name}` | {metric.type} | {labels} | {metric.role or 'both'} | {metric.help} |"
    )


def engine_page() -> str:
    """Return the engine's README, whose relative links lead nowhere on the site."""
    readme = (DOCS.parent / "engine" / "README.md").read_text("utf-8")
    return re.sub(r"\[([^\]]+)\]\((?!https?:|#)[^)]+\)", r"\1", readme)


def admin_api_page() -> str:
    """Return the page about the admin API of both roles."""
    remotes, origins = (openapi_document(name) for name in ROLES)
    lines = [
        "# Admin API",
        "",
        "This page is generated from the OpenAPI document, which a running role serves at",
        f"`{OPENAPI_PATH}`. [Use the admin interface](../how-to/admin.md) shows how to reach it.",
        "Bodies are JSON objects. A failed request has a body with the member `error`, a sentence.",
        "Durations are seconds, sizes are bytes, and rates are bytes per second.",
        "",
    ]
    for path in {**remotes["paths"], **origins["paths"]}:
        missing = [] if path in remotes["paths"] else ["Only an origin has it."]
        if path not in origins["paths"]:
            missing = ["Only a remote has it."]
        for method, operation in {**origins["paths"], **remotes["paths"]}[path].items():
            lines += [f"## {method.upper()} {path}", ""]
            lines += [" ".join([operation["summary"], *missing]), "", *_api_operation(operation)]
    schemas = {**origins["components"]["schemas"], **remotes["components"]["schemas"]}
    for name, schema in sorted(schemas.items()):
        lines += [f"## {name}", "", " ".join(schema.get("description", "").split()), ""]
        if members := schema.get("properties", {}):
            lines += ["| member | type | |", "|---|---|---|"]
            lines += [
                f"| `{member}` | {_api_type(each)} | {each['description']} |"
                for member, each in members.items()
            ]
            lines.append("")
    return "\n".join(lines)


def openapi_document(name: RoleName) -> dict[str, Any]:
    """Return the OpenAPI document of a role. It is made without a running one."""
    absent: Any = None
    has_site = (lambda _name: False) if name == "remote" else None
    managed = ManagedRole(name, absent, absent, absent, absent, absent, absent, has_site)
    return document(make_operations(managed, EventStreams(absent)))


def _api_operation(operation: dict[str, Any]) -> Iterator[str]:
    if parameters := operation.get("parameters"):
        yield from ("| parameter | in | type | default | |", "|---|---|---|---|---|")
        for each in parameters:
            default = each["schema"].get("default")
            shown = "" if default is None else f"`{str(default).lower()}`"
            kind = _api_type(each["schema"])
            yield f"| `{each['name']}` | {each['in']} | {kind} | {shown} | {each['description']} |"
        yield ""
    yield from ("| status | body | |", "|---|---|---|")
    for status, response in operation["responses"].items():
        ((media_type, content),) = response["content"].items()
        body = _api_type(content["schema"]) if "schema" in content else f"`{media_type}`"
        yield f"| {status} | {body} | {response['description'].removesuffix('.')}. |"
    yield ""


def _api_type(schema: dict[str, Any]) -> str:
    """Return a JSON Schema in words, with links to the objects that the page describes."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_api_type, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_api_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


PAGES = {
    "reference/cli.md": cli_page,
    "reference/log.md": log_page,
    "reference/metrics.md": metrics_page,
    "reference/admin-api.md": admin_api_page,
    "explanation/quinn-engine.md": engine_page,
}


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
