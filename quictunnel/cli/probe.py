"""`quictunnel probe`: checks from the outside whether a service works."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from quictunnel.cli import options
from quictunnel.cli.options import read
from quictunnel.cli.output import print_error, print_line
from quictunnel.cli.probe_run import ProbeResult, UrlProbe
from quictunnel.cli.probe_url import ProbeUrl, TcpUrl, parse_probe_url, parse_status
from quictunnel.cli.readable import readable_time
from quictunnel.config.units import format_duration, parse_duration
from quictunnel.errors import OutOfRange
from quictunnel.escaping import escape

EXIT_WORKS = 0
EXIT_FAILED = 1

TIMEOUT = "15s"
"""How long a probe may take by default, which is more than a remote's `--client-wait`."""

_TIMEOUT_RANGE = (0.1, 3600.0)

_DIGITS = 6
"""Decimal places of seconds in JSON."""

Url = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        help="The URL of the service: https://HOST/, http://HOST/ or tcp://HOST:PORT.",
        show_default=False,
    ),
]

Insecure = Annotated[
    bool,
    options.OPTIONS.option(
        "--insecure",
        "Accept any certificate.",
        envvar="QUICTUNNEL_PROBE_INSECURE",
        metavar="",
    ),
]

Status = Annotated[
    list[str],
    options.OPTIONS.option(
        "--status CODE",
        "A status of HTTP, or a range such as 200-299, that counts as success; may be given "
        "several times.",
        envvar="QUICTUNNEL_PROBE_STATUS",
        show_default="every status below 500",
    ),
]

Timeout = Annotated[
    str,
    options.OPTIONS.option(
        "--timeout DURATION",
        "How long everything may take. A remote lets a client wait for an origin for its "
        "--client-wait, so let this be longer.",
        envvar="QUICTUNNEL_PROBE_TIMEOUT",
    ),
]

Json = Annotated[
    bool,
    options.OPTIONS.option(
        "--json",
        "Print a JSON object, with times in seconds.",
        envvar="QUICTUNNEL_PROBE_JSON",
        metavar="",
    ),
]


def probe(
    url: Url,
    *,
    insecure: Insecure = False,
    status: Status = [],  # noqa: B006 - nothing changes it
    timeout: Timeout = TIMEOUT,
    as_json: Json = False,
) -> int:
    """Check from the outside whether a service works: through the remote to its server and back.

    Examples:
      quictunnel probe https://www.example.com/
      quictunnel probe tcp://vps.example.com:2222 --timeout 20s

    It prints one line: the times since its start until the connection is there, until the first
    byte and until the end. If the service does not work, the line is on standard error and says
    why, and the exit code is 1. Run it from cron or a monitor, best on a third machine.

    At tcp:// it sends nothing. A server that greets the client works, and so does one that only
    lets the connection be open. A reset, or an end without a byte, is a failure.
    """
    target = parse_probe_url(url)
    ranges = [read("--status", parse_status, text) for text in status]
    seconds = read("--timeout", parse_duration, timeout)
    least, most = _TIMEOUT_RANGE
    if not least <= seconds <= most:
        raise OutOfRange(
            "--timeout", f"must be between {format_duration(least)} and {format_duration(most)}"
        )
    result = UrlProbe(target, statuses=ranges, timeout=seconds, is_verifying=not insecure).run()
    if as_json:
        print_line(json.dumps(_object(target, result), indent=2))
    elif result.failure is None:
        print_line(escape(f"ok: {target} {_answer(target, result)}: {_times(result)}"))
    else:
        times = f" ({_times(result)})" if result.connect is not None else ""
        print_error("quictunnel probe", f"{target}: {result.failure}{times}")
    return EXIT_WORKS if result.failure is None else EXIT_FAILED


def _answer(url: ProbeUrl, result: ProbeResult) -> str:
    """Return what the server has answered, in a few words."""
    if not isinstance(url, TcpUrl):
        return f"HTTP {result.status}"
    return "sends nothing" if result.greeting is None else f'sends "{result.greeting}"'


def _times(result: ProbeResult) -> str:
    times = [f"connected {readable_time(result.connect)}"]
    if result.first_byte is not None:
        times.append(f"first byte {readable_time(result.first_byte)}")
    return ", ".join([*times, f"total {readable_time(result.total)}"])


def _object(url: ProbeUrl, result: ProbeResult) -> dict[str, object]:
    """Return the JSON object of a probe."""
    values = asdict(result)
    rounded = {
        name: round(value, _DIGITS) if isinstance(value, float) else value
        for name, value in values.items()
    }
    return {"url": str(url), "ok": result.failure is None, **rounded}
