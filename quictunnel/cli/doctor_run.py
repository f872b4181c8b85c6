"""The run of `quictunnel doctor`: prepares a role as its command does, and checks it instead."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from quictunnel.cli import config_option, options
from quictunnel.cli.config_option import Sources
from quictunnel.cli.doctor_report import Report
from quictunnel.cli.file_limit import raise_file_limit
from quictunnel.cli.preparation import prepared
from quictunnel.config.addresses import parse_target
from quictunnel.config.loops import looping_services
from quictunnel.config.secret_strength import weak_secrets
from quictunnel.config.settings import LINK_PORT, OriginSettings, RemoteSettings
from quictunnel.config.via import Via
from quictunnel.doctor.check import Check
from quictunnel.doctor.examination import examine
from quictunnel.doctor.finding import Finding, Level, failed, ok, skipped
from quictunnel.doctor.plans import (
    machine_checks,
    origin_checks,
    path_checks,
    remote_checks,
    session_checks,
)
from quictunnel.doctor.trial_session import TrialSettings
from quictunnel.doctor.websocket_answers import WebSocketAnswers
from quictunnel.errors import SettingsError
from quictunnel.events import Event, LoopSuspected, WebSocketUnverified
from quictunnel.origin.link_dialing import tls_for
from quictunnel.origin.remote_websocket import remote_websocket
from quictunnel.quic.settings import ClientTls
from quictunnel.snapshots import RoleName

EXIT_FAILED = 1
"""The exit code if something does not work."""

SETTINGS = "settings"
"""The title of the finding about options and the configuration file."""

_STAND_INS = {"remote": "--remote=localhost", "origin": "--origin=8000"}
"""Values for options of an origin that the doctor does not need. They are not checked."""


@dataclass(slots=True)
class _Plan:
    """The findings that are known already, and the checks to run."""

    findings: list[Finding]
    checks: list[Check]


def check_machine(fault: str | None = None, *, as_json: bool) -> int:
    """Check this machine alone, print what is found, and return the exit code.

    :param fault: why an end cannot be checked; None if none was asked for.
    """
    if fault is None:
        advice = "put 'doctor' before its command, as in: quictunnel doctor origin --remote HOST"
        finding = skipped("both ends", "not checked", advice)
    else:
        finding = _wrong_settings(fault)
    return _report("machine", _Plan([finding], machine_checks(raise_file_limit())), as_json=as_json)


def check_role(
    ctx: typer.Context,
    role: RoleName,
    arguments: Sequence[str],
    values: Mapping[str, Any],
    *,
    as_json: bool,
) -> int:
    """Check one end, print what is found, and return the exit code.

    :param arguments: those of the role's command.
    :param values: the values of its options, without those of the configuration file.
    """
    if values["log_level"] is None:
        # The findings say what the warnings of the role would.
        arguments = [*arguments, "--log-level=error"]
    plan = _plan(ctx, role, arguments, values)
    plan.checks += machine_checks(raise_file_limit(), values["engine"])
    return _report(role, plan, as_json=as_json)


def _plan(
    ctx: typer.Context, role: RoleName, arguments: Sequence[str], values: Mapping[str, Any]
) -> _Plan:
    """Prepare the role, and return the checks for it.

    If that fails, the path to the remote can still be checked.
    """
    missing = _missing(role, values)
    stand_ins = [_STAND_INS[key] for key in missing]
    try:
        with prepared(ctx, role, [*arguments, *stand_ins]) as (result, context):
            settings, given = result.settings, _events(result.settings, context)
    except SettingsError as exc:
        return _Plan([_wrong_settings(str(exc))], _path(values))
    except typer.TyperException as exc:
        sentence = config_option.describe(exc) or exc.format_message()
        return _Plan([_wrong_settings(sentence)], _path(values))
    source = "the options are" if values["config"] is None else f"{values['config']} is"
    findings = [ok(SETTINGS, f"{source} valid")]
    if isinstance(settings, RemoteSettings):
        return _Plan(findings, remote_checks(settings, given))
    services = () if "origin" in missing else settings.services
    checks = origin_checks(services, given)
    if "remote" in missing:
        findings.append(skipped("remote", "not checked", "add --remote HOST"))
        return _Plan(findings, checks)
    if not services:
        findings.append(skipped("origin server", "not checked", "add its address, such as 8000"))
    trial = TrialSettings(
        target=settings.remote,
        token=settings.token,
        tls=_tls(settings),
        engine=settings.engine,
        via=settings.via,
        websocket=_websocket(settings),
        is_websocket_expected=settings.websocket is not None or settings.via is Via.WEBSOCKET,
    )
    return _Plan(findings, [*session_checks(trial), *checks])


def _missing(role: RoleName, values: Mapping[str, Any]) -> set[str]:
    """Return the options that the role's command needs and the doctor does not."""
    if role == "remote" or values["config"] is not None:
        return set()
    missing = set() if values["remote"] else {"remote"}
    return missing if values["target"] or values["origin"] else {*missing, "origin"}


def _tls(settings: OriginSettings) -> ClientTls:
    """Return how to check the certificate: as the origin does, or not at all without any means."""
    tls = tls_for(settings)
    return replace(tls, verify="none") if tls.verify == "system" else tls


def _websocket(settings: OriginSettings) -> WebSocketAnswers | None:
    """Return the check of the WebSocket; None if the origin uses none."""
    unverified: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, WebSocketUnverified):
            unverified.append(event.reason)

    websocket = remote_websocket(settings, note)
    return None if websocket is None else WebSocketAnswers(websocket, settings.proxy, unverified)


def _events(settings: RemoteSettings | OriginSettings, context: Any) -> list[Event]:  # noqa: ANN401
    """Return the warnings about options and files that a role logs when it starts."""
    events: list[Event] = []
    sources = Sources(context)
    sources.warn_if_exposed(events.append)
    file: Path | None = context.params["token_file"]
    options.read_tokens([], file, sources.name, events.append)
    if isinstance(settings, RemoteSettings):
        sources.tokens(events.append)
        return events
    options.read_proxy(context.params["proxy"], settings.websocket_url, sources.name, events.append)
    events += weak_secrets([] if settings.token is None else [settings.token])
    events += [
        LoopSuspected(service.name, str(service.target), service.where)
        for service in looping_services(settings)
    ]
    return events


def _path(values: Mapping[str, Any]) -> list[Check]:
    """Return the checks of the path to the remote, if its address is known and valid."""
    try:
        target = parse_target(values.get("remote") or "", LINK_PORT)
    except SettingsError:
        return []
    return path_checks(target)


def _wrong_settings(sentence: str) -> Finding:
    return failed(SETTINGS, sentence.removesuffix("."), "correct it; the program does not start so")


def _report(role: str, plan: _Plan, *, as_json: bool) -> int:
    """Run the checks, print what they find, and return the exit code."""
    report = Report(role, as_json=as_json)
    for finding in plan.findings:
        report.add(finding)
    try:
        asyncio.run(_examine(plan.checks, report))
    except KeyboardInterrupt:
        return EXIT_FAILED
    report.finish()
    return EXIT_FAILED if report.count(Level.FAILED) else 0


async def _examine(checks: Sequence[Check], report: Report) -> None:
    await examine(checks, report.add)
