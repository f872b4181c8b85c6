"""The live page in a headless Chromium, which shows a role whose state the test decides."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
from observed_role import clients
from served_role import ServedRole

from quictunnel.events import (
    LinkMoved,
    LinkRecovered,
    LinkSilent,
    OriginConnected,
    PathKind,
    PathReason,
    ServiceRefused,
)
from testkit.browser import browser
from testkit.programs import MissingError
from testkit.snapshots import CLIENT, LINK, SERVICE

DESKTOP = (1280, 900)
PHONE = (360, 740)

LOADED = "document.body?.dataset.loaded !== undefined"

SHIFTS = """
new Promise(resolve => {
    const name = ({node}) => `#${node?.id} .${node?.className}: ${node?.textContent}`;
    const report = list => resolve(list.getEntries().map(shift => shift.sources.map(name)));
    new PerformanceObserver(report).observe({type: "layout-shift", buffered: true});
    setTimeout(resolve, 500, []);
})
"""
"""A script that returns the elements that have moved since the page was loaded."""

ROWS = "[...document.querySelectorAll('#clients-grid .rows .row')].filter(row => !row.hidden)"

MARKUP = "<img src=x onerror=document.title='hacked'>"
"""A text that does harm if it becomes markup."""


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """A tab of a browser that all tests here use, one after the other."""
    try:
        with browser(tmp_path_factory.mktemp("browser"), size=DESKTOP) as tab:
            tab.command("Runtime.enable")
            tab.command("Log.enable")
            yield tab
    except MissingError as exc:
        pytest.skip(str(exc))


@pytest.fixture
def served():
    """The interface of a remote."""
    with ServedRole() as served:
        yield served


@pytest.fixture
def page(tab, served):
    """The page, loaded. At the end, the browser has nothing to complain about."""
    resize(tab, DESKTOP)
    tab.events.clear()
    tab.open(served.url)
    tab.run("localStorage.clear()")
    tab.wait_for(LOADED)
    yield tab
    assert complaints(tab) == []
    assert served.events == []
    tab.open("about:blank")


def resize(tab, size) -> None:
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    tab.command("Emulation.setDeviceMetricsOverride", **metrics)


def complaints(tab) -> list:
    """Return errors and warnings of the console, violations of the policy, and failed requests."""
    tab.run("0")  # the events before it have arrived
    found = []
    for event in tab.events:
        method, params = event["method"], event["params"]
        is_error = method == "Runtime.exceptionThrown" or (
            method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning")
        )
        if is_error or (method == "Log.entryAdded" and params["entry"]["level"] != "verbose"):
            found.append(params)
        if method == "Network.responseReceived" and params["response"]["status"] >= 400:
            found.append(params["response"]["url"])
    return found


def text(tab, selector: str) -> str:
    return tab.run(f"document.querySelector({selector!r}).innerText")


def wait_for_text(tab, selector: str, expected: str) -> None:
    tab.wait_for(f"document.querySelector({selector!r})?.innerText.includes({expected!r})")


def first_address(tab) -> str:
    return tab.run(f"{ROWS}.sort((a, b) => a.dataset.index - b.dataset.index)[0]?.innerText")


def test_it_loads_without_complaints_and_nothing_moves(page):
    assert text(page, "#name") == "[::]:9001"
    assert text(page, "#state") == "Ready"
    assert text(page, "#role") == "remote"
    assert "web" in text(page, "#services-list")
    assert "box" in text(page, "#links-list")
    assert CLIENT.address in first_address(page)
    page.wait_for("document.querySelector('#links-list svg path.rate-down').getAttribute('d')")
    assert page.run(SHIFTS) == []


def test_it_asks_no_other_host(page, served):
    asked = {
        event["params"]["request"]["url"]
        for event in page.events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert asked
    assert all(url.startswith(served.url) for url in asked)


def test_texts_of_peers_are_no_markup(page, served):
    def show() -> None:
        served.role.services[:] = [replace(SERVICE, name=MARKUP, reason=MARKUP, urls=(MARKUP,))]
        served.role.links[:] = [replace(LINK, id="l2", origin=MARKUP, agent=MARKUP, peer=MARKUP)]
        served.role.clients[:] = [replace(CLIENT, service=MARKUP, origin=MARKUP)]

    served.change(show)
    served.emit(ServiceRefused(MARKUP, MARKUP, MARKUP, MARKUP, MARKUP, "not-allowed"))
    for place in ("services-list", "links-list", "clients-grid", "events-list", "refusals-list"):
        page.wait_for(f"document.getElementById('{place}').textContent.includes({MARKUP!r})")
    assert page.run("document.querySelectorAll('main img').length") == 0
    assert "hacked" not in page.run("document.title")


def test_only_web_addresses_are_links(page, served):
    urls = ("https://www.example.com/", "tcp://192.0.2.1:22", "javascript:alert(1)")
    served.change(lambda: served.role.services.append(replace(SERVICE, name="more", urls=urls)))
    wait_for_text(page, "#services-list", urls[-1])
    links = page.run("[...document.querySelectorAll('#services-list a')].map(a => a.href)")
    assert links == ["http://192.0.2.1:9000/", urls[0]]


def test_changes_and_events_appear_by_themselves(page, served):
    def change() -> None:
        served.role.state = replace(served.role.state, is_ready=False, reason="port 9000 is taken")
        served.role.services.append(replace(SERVICE, name="ssh", state="unhealthy", reason="why"))

    served.change(change)
    wait_for_text(page, "#state", "Not ready")
    wait_for_text(page, "#state-detail", "port 9000 is taken")
    wait_for_text(page, "#services-list", "why")
    served.emit(OriginConnected("nas", "2fdf26f2", "192.0.2.9:1", ("web",), "quictunnel/9", "l2"))
    wait_for_text(page, "#events-list li", "origin connected")
    assert "origin=nas" in text(page, "#events-list li")


def test_a_silence_and_a_move_are_in_the_timeline(page, served):
    silent = partial(LinkSilent, "box", "2fdf26f2", "198.51.100.7:40000")

    def fall_silent() -> None:
        served.role.links[:] = [replace(LINK, silent_for=7.0)]

    served.change(fall_silent)
    served.emit(silent(7.0, 1, 893.0, False, link="l1"))
    wait_for_text(page, "#state", "Silent")
    page.wait_for("document.querySelectorAll('.silences rect.open').length == 1")
    served.change(lambda: served.role.links.__setitem__(0, replace(LINK, peer="192.0.2.8:2")))
    moved = LinkRecovered("box", "2fdf26f2", "192.0.2.8:2", "198.51.100.7:40000", 8.0, 1, link="l1")
    served.emit(moved)
    page.wait_for("document.querySelectorAll('.silences rect:not(.open)').length == 1")
    page.wait_for("document.querySelectorAll('.moves path').length == 1")
    wait_for_text(page, "#state", "Ready")
    wait_for_text(page, "#links-list summary", "1 silence, 1 move in 10 min")


def test_a_websocket_is_in_the_timeline_and_says_why(page, served):
    kinds = (PathKind.WEBSOCKET, PathKind.UDP, PathReason.UDP_SILENT)
    link = replace(
        LINK, path=kinds[0], path_reason=kinds[2], udp_probe="192.0.2.1:9001 does not answer"
    )
    served.change(lambda: served.role.links.__setitem__(0, link))
    served.emit(LinkMoved("box", "2fdf26f2", "198.51.100.7:40000", None, 1, "l1", *kinds))
    wait_for_text(page, "#links-list summary", "WebSocket")
    wait_for_text(page, "#links-list .facts", "192.0.2.1:9001 does not answer")
    page.wait_for("document.querySelectorAll('.paths rect').length == 1")
    page.wait_for("document.querySelectorAll('.moves path').length == 1")
    change = {"kind": "moved", "from": None, "to": "198.51.100.7:40000", "seconds": None}
    change |= dict(zip(("path", "previous_path", "reason"), kinds, strict=True))
    described = page.run(
        f"import('/page/timeline.js').then(it => it.describe({json.dumps(change)}))"
    )
    assert described == "moved, UDP → WebSocket (UDP does not answer)"


def test_the_timeline_is_read_by_keyboard(page):
    page.wait_for("document.querySelector('.plot').ariaValueText?.includes('25')")
    page.run("document.querySelector('.plot').focus()")
    page.press("ArrowLeft", "ArrowLeft")
    assert page.run("document.querySelector('.plot').getAttribute('aria-valuenow')") == "-4"
    page.press("Escape")
    assert page.run("document.querySelector('.plot').getAttribute('aria-valuenow')") == "0"


def test_clients_are_sorted_by_each_column(page, served):
    def fill() -> None:
        served.role.clients[:] = [
            replace(CLIENT, id=f"c{n}", address=f"192.0.2.{n}:1", age=n, bytes_up=1000 - n)
            for n in range(1, 10)
        ]

    served.change(fill)
    wait_for_text(page, "#clients-grid", "192.0.2.9:1")
    assert "192.0.2.9:1" in first_address(page)  # the oldest
    for column, first in (("bytes_up", 1), ("bytes_up", 9), ("address", 1), ("address", 9)):
        header = f"document.querySelector('.head [data-column={column}]')"
        page.run(f"{header}.querySelector('button').click()")
        page.wait_for(
            f"{ROWS}.find(row => row.dataset.index == 0)?.innerText.includes('192.0.2.{first}:1')"
        )
        assert page.run(f"{header}.ariaSort") in ("ascending", "descending")
        assert page.run("document.querySelectorAll('[aria-sort$=cending]').length") == 1


def test_clients_are_filtered_by_service(page, served):
    def fill() -> None:
        served.role.services.append(replace(SERVICE, name="ssh"))
        served.role.clients.append(replace(CLIENT, id="c2", service="ssh", address="192.0.2.2:2"))

    served.change(fill)
    wait_for_text(page, "#clients-total", "2 clients")
    page.wait_for("document.querySelector('#clients-service option[value=ssh]')")
    page.run("""{
        const select = document.querySelector("#clients-service");
        select.value = "ssh";
        select.dispatchEvent(new Event("change"));
    }""")
    wait_for_text(page, "#clients-total", "1 client")
    assert "192.0.2.2:2" in first_address(page)


def test_a_client_is_closed_after_a_confirmation(page, served):
    close = f"{ROWS}[0].querySelector('button').click()"
    page.run(close)
    page.wait_for("document.querySelector('#confirmation').open")
    assert CLIENT.address in text(page, "#confirmation")
    page.press("Escape")
    page.wait_for("!document.querySelector('#confirmation').open")
    page.run(close)
    page.run("document.querySelector('#confirmation-agree').click()")
    page.wait_for("!document.querySelector('#confirmation').open")
    page.wait_for("document.querySelector('#announcer').textContent.includes('closed')")
    assert served.change(lambda: list(served.role.calls)) == ["close c1"]


def test_a_client_is_closed_by_keyboard(page, served):
    served.change(lambda: served.role.clients.append(replace(CLIENT, id="c2", age=1.0)))
    wait_for_text(page, "#clients-total", "2 clients")
    page.run("document.querySelector('#clients-grid').focus()")
    page.press("ArrowDown", "Delete")
    page.wait_for("document.querySelector('#confirmation').open")
    page.press("Tab", "Enter")
    page.wait_for("document.querySelector('#announcer').textContent.includes('closed')")
    assert served.change(lambda: list(served.role.calls)) == ["close c2"]
    assert page.run("document.activeElement.id") == "clients-grid"


def test_a_client_that_has_left_is_no_failure_of_the_page(page, served):
    page.run(f"{ROWS}[0].querySelector('button').click()")
    served.change(served.role.clients.clear)
    page.run("document.querySelector('#confirmation-agree').click()")
    wait_for_text(page, "#clients-message", "there is no such client; it may have left")
    page.events.clear()  # the browser reports the status 404


def test_two_thousand_clients_need_few_elements(page, served):
    served.change(lambda: served.role.clients.__setitem__(slice(None), clients(2000)))
    wait_for_text(page, "#clients-total", "2,000 clients")
    count = "document.querySelectorAll('#clients-grid *').length"
    before = page.run(count)
    assert before < 1000
    for part in (0.25, 0.5, 0.75, 1):
        page.run(
            "{ const grid = document.querySelector('#clients-grid'); "
            f"grid.scrollTop = grid.scrollHeight * {part}; }}"
        )
        page.wait_for(f"{ROWS}.every(row => row.dataset.missing === undefined)")
    assert page.run(count) == before
    page.wait_for(f"{ROWS}.some(row => row.dataset.index == 1999)")
    asked = [
        event["params"]["request"]["url"]
        for event in page.events
        if event["method"] == "Network.requestWillBeSent"
        and "/api/v1/overview?" in event["params"]["request"]["url"]
    ]
    assert asked
    assert all(int(url.partition("limit=")[2].partition("&")[0]) < 200 for url in asked)


def test_end_and_home_go_to_the_last_and_the_first_client(page, served):
    served.change(lambda: served.role.clients.__setitem__(slice(None), clients(500)))
    wait_for_text(page, "#clients-total", "500 clients")
    page.run("document.querySelector('#clients-grid').focus()")
    active = "document.querySelector('#clients-grid').getAttribute('aria-activedescendant')"
    page.press("End")
    assert page.run(active) == "client-499"
    page.wait_for("document.querySelector('#client-499')?.dataset.active !== undefined")
    page.press("Home", "PageDown")
    assert page.run(active) == "client-10"


def test_an_address_has_a_qr_code_and_can_be_copied(page):
    page.run("document.querySelector('[aria-label^=\"QR code of\"]').click()")
    page.wait_for("document.querySelector('#qr-code img').naturalWidth > 0")
    assert SERVICE.urls[0] in text(page, "#qr")
    page.press("Escape")
    page.wait_for("!document.querySelector('#qr').open")
    page.run(
        "navigator.clipboard.writeText = async (text) => { window.copied = text; };"
        "document.querySelector('#services-list [aria-label^=\"Copy\"]').click()"
    )
    page.wait_for(f"window.copied === {SERVICE.urls[0]!r}")


def test_the_theme_is_that_of_the_system_or_the_chosen_one(page):
    def paper(scheme: str) -> str:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.command("Emulation.setEmulatedMedia", features=features)
        return page.run("getComputedStyle(document.body).backgroundColor")

    light, dark = paper("light"), paper("dark")
    assert light != dark
    page.run("document.querySelector('#theme').click()")
    assert paper("dark") == light
    page.run("window.isOld = true; location.reload()")
    page.wait_for(f"!window.isOld && {LOADED}")
    assert paper("dark") == light
    page.run("document.querySelector('#theme').click()")
    assert paper("light") == dark


def test_a_phone_shows_everything_without_scrolling_sideways(page, served):
    resize(page, PHONE)
    served.change(lambda: served.role.clients.__setitem__(slice(None), clients(100)))
    wait_for_text(page, "#clients-total", "100 clients")
    assert page.run("document.documentElement.scrollWidth") <= PHONE[0]
    assert CLIENT.address in first_address(page)


def test_nothing_moves_while_values_change(page, served):
    for second in range(3):
        silent = None if second % 2 else 3.0 + second
        served.change(partial(served.role.links.__setitem__, 0, replace(LINK, silent_for=silent)))
        served.change(lambda: served.role.clients.__setitem__(slice(None), clients(300)))
        wait_for_text(page, "#state", "Ready" if second % 2 else "Silent")
    assert page.run(SHIFTS) == []


def test_it_says_that_the_role_does_not_answer_and_continues(page, served):
    served.stop()
    page.wait_for("!document.querySelector('#banner').hidden")
    served.start()
    page.wait_for("document.querySelector('#banner').hidden")
    served.emit(OriginConnected("nas", "2fdf26f2", "192.0.2.9:1", ("web",), "quictunnel/9", "l2"))
    wait_for_text(page, "#events-list", "origin=nas")
    page.events.clear()  # the browser reports the requests that have failed


def test_an_origin_shows_its_remote_and_no_column_of_origins(tab):
    resize(tab, DESKTOP)
    with ServedRole("origin") as served:
        state = replace(served.role.state, role="origin", name="laptop", addresses=("vps:9001",))
        served.change(lambda: setattr(served.role, "state", state))
        tab.open(served.url)
        tab.wait_for(LOADED)
        assert text(tab, "#name") == "laptop"
        assert text(tab, ".addresses") == "Remote vps:9001"
        assert tab.run("document.querySelectorAll('[data-column=origin]').length") == 0
        assert LINK.peer in text(tab, "#links-list summary")
        tab.open("about:blank")
