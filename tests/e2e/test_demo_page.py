"""The demo's live page in a real browser: the network is cut in the middle of the download."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from quictunnel.cli.demo_admin import CUT
from quictunnel.cli.demo_download import SHA256, SIZE
from testkit.browser import browser
from testkit.programs import MissingError

ONE_ENGINE = True

LIVE_PAGE = r"^  Live page +(http://127\.0\.0\.1:\d+/)$"

RECEIVED = "document.querySelector('progress').value"

RESULT = "document.querySelector('#demo-result').textContent"

HISTORY = "fetch('/api/v1/links').then(answer => answer.json()).then(({links}) => links[0])"


@pytest.fixture
def demo(programs, engines):
    """The address of a running demo's live page."""
    program = programs.quictunnel("demo", "--engine", engines[0])
    return program.wait_for(LIVE_PAGE)[1]


@pytest.fixture
def tab(tmp_path):
    try:
        with browser(tmp_path, size=(1280, 900)) as tab:
            tab.command("Runtime.enable")
            tab.command("Log.enable")
            yield tab
    except MissingError as exc:
        pytest.skip(str(exc))


def test_a_download_survives_the_cut_and_the_timeline_shows_it(demo, tab):
    tab.open(demo)
    tab.wait_for("document.body?.dataset.loaded !== undefined")
    tab.run("document.querySelector('#demo-download').click()")
    tab.wait_for(f"{RECEIVED} > {SIZE / 10}")
    tab.run("document.querySelector('#demo-cut').click()")
    tab.wait_for(f"{RESULT}.includes('waiting for')")
    assert tab.run(RECEIVED) < SIZE
    tab.wait_for("document.querySelector('#state').innerText === 'Silent'")
    tab.wait_for("document.querySelectorAll('.silences rect:not(.open)').length === 1")
    width = "document.querySelector('.silences rect').getAttribute('width')"
    assert float(tab.run(width)) > 10  # pixels, which a person sees
    tab.wait_for(f"{RESULT}.includes('SHA-256')")
    assert f"The SHA-256 is right: {SHA256}" in tab.run(RESULT)
    link = tab.run(HISTORY)
    (recovered,) = [change for change in link["changes"] if change["kind"] == "recovered"]
    assert recovered["seconds"] >= CUT - 1
    assert any(sample["silent"] for sample in link["history"])
    errors = [event for event in tab.events if event["method"] == "Runtime.exceptionThrown"]
    errors += [event for event in tab.events if event["method"] == "Log.entryAdded"]
    assert errors == []


def test_the_network_is_not_cut_by_a_link(demo):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{demo}api/v1/actions/cut")
    assert refused.value.code == 405
    refused.value.close()
