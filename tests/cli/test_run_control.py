"""Commands of the admin interface for the role of a process: drain and reload."""

from __future__ import annotations

import pytest

from quictunnel.cli.run_control import RunControl
from quictunnel.errors import SettingsError
from quictunnel.events import (
    CertificateLoaded,
    ConfigurationRejected,
    ConfigurationReloaded,
    InternalErrorOccurred,
)


def control_with(outcome, events):
    control = RunControl()
    control.connect(lambda: events.append("drain"), lambda emit: emit(outcome), events.append)
    return control


def test_a_reload_emits_its_events_and_returns_what_needs_a_restart():
    events = []
    reloaded = ConfigurationReloaded("remote.toml", ("listen",))
    assert control_with(reloaded, events).reload() == ("listen",)
    assert events == [reloaded]


def test_a_rejected_file_is_an_error():
    events = []
    with pytest.raises(SettingsError, match="unknown key"):
        control_with(ConfigurationRejected("remote.toml", "unknown key"), events).reload()
    assert len(events) == 1


@pytest.mark.parametrize(
    "outcome",
    [
        InternalErrorOccurred("reloading", ZeroDivisionError(), None),
        CertificateLoaded("a", "b", "c"),
    ],
)
def test_another_outcome_is_an_internal_error(outcome):
    with pytest.raises(SettingsError, match="internal error"):
        control_with(outcome, []).reload()


def test_without_a_file_there_is_nothing_to_reload():
    control = RunControl()
    control.connect(lambda: None, None, lambda _event: None)
    with pytest.raises(SettingsError, match="no configuration file"):
        control.reload()


def test_a_drain_drains_the_role_once_it_is_connected():
    control, events = RunControl(), []
    control.drain()
    control.connect(lambda: events.append("drain"), None, events.append)
    control.drain()
    assert events == ["drain"]
