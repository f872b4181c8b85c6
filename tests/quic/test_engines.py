"""The selection of the engine, and its errors for an engine that cannot be used."""

from __future__ import annotations

import sys
from types import ModuleType

import aioquic
import pytest
from endpoints import dialled, listening

from quictunnel.errors import SettingsError
from quictunnel.events import EngineSkipped
from quictunnel.quic.engines import selection
from quictunnel.quic.engines.quinn.extension import API, MODULE
from quictunnel.quic.engines.selection import EngineKind, installed, select


@pytest.fixture(autouse=True)
def nothing_selected_yet():
    forget_engines()
    yield
    forget_engines()


def forget_engines():
    selection._load.cache_clear()
    selection._skipped.clear()


@pytest.fixture
def quinn_there(monkeypatch):
    """Have the compiled module installed, as far as the choice looks at it."""
    module = ModuleType(MODULE)
    module.API = API
    module.version = lambda: "quinn-proto 0.11.9"
    monkeypatch.setitem(sys.modules, MODULE, module)
    return module


@pytest.fixture
def quinn_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, MODULE, None)  # as the import system has what is not there


@pytest.fixture
def quinn_broken(monkeypatch):
    """Have a module that the system's loader does not take."""
    monkeypatch.delitem(sys.modules, MODULE, raising=False)

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == MODULE:
                raise ImportError("libc.so.6: version `GLIBC_9.9' not found")

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])


def test_auto_takes_quinn_where_it_is_installed(quinn_there):
    assert (select("auto", None).name, select("auto", None).version) == (
        "quinn",
        "quinn-proto 0.11.9",
    )


def test_auto_takes_aioquic_without_quinn_and_says_nothing(quinn_missing):
    events = []
    kind = select("auto", None, events.append)
    assert (kind.name, kind.version) == ("aioquic", aioquic.__version__)
    assert not events


def test_auto_skips_a_broken_quinn_with_one_event(quinn_broken):
    events = []
    assert select("auto", None, events.append).name == "aioquic"
    assert select("auto", None, events.append).name == "aioquic"
    (event,) = events
    assert isinstance(event, EngineSkipped)
    assert event.engine == "quinn"
    assert "GLIBC_9.9" in event.reason


def test_auto_skips_a_quinn_of_another_version(quinn_there):
    events = []
    quinn_there.API = API + 1
    assert select("auto", None, events.append).name == "aioquic"
    (event,) = events
    assert f"number {API + 1}, not {API}" in event.reason


@pytest.mark.parametrize("congestion", ["bbr", "cubic", "reno"])
def test_every_engine_has_every_congestion_control(quinn_there, congestion):
    assert select("auto", congestion).name == "quinn"
    assert select("quinn", congestion).name == "quinn"
    assert select("aioquic", congestion).name == "aioquic"


def test_aioquic_is_taken_by_name_whatever_else_is_there(quinn_there):
    assert select("aioquic", None).name == "aioquic"


@pytest.mark.parametrize(
    ("engine", "congestion", "sentence"),
    [
        ("quinn", None, r"quinn engine is not installed \(pip install \./engine in a clone"),
        ("msquic", None, "'msquic' is not an engine: use auto, aioquic or quinn"),
        ("auto", "vegas", "'vegas' is not a congestion control: use bbr, cubic or reno"),
    ],
)
def test_what_cannot_be_had_is_a_users_error(quinn_missing, engine, congestion, sentence):
    with pytest.raises(SettingsError, match=sentence):
        select(engine, congestion)


def test_a_broken_quinn_that_was_asked_for_is_a_users_error(quinn_broken):
    with pytest.raises(SettingsError, match="does not work: libc"):
        select("quinn", None)


def test_a_module_that_quinn_needs_and_lacks_is_no_missing_quinn(quinn_there):
    def version():
        raise ModuleNotFoundError("No module named 'other'", name="other")

    quinn_there.version = version
    with pytest.raises(SettingsError, match="does not work: No module named 'other'"):
        select("quinn", None)


async def test_links_say_it_too(quinn_missing):
    with pytest.raises(SettingsError, match="not installed"):
        await dialled(9, engine="quinn")
    with pytest.raises(SettingsError, match="not installed"):
        async with listening(engine="quinn"):
            pass


def test_the_listing_has_each_engine_in_the_order_of_auto(quinn_there):
    found = installed()
    assert list(found) == ["quinn", "aioquic"]
    assert all(isinstance(kind, EngineKind) for kind in found.values())


def test_the_listing_says_why_an_engine_cannot_be_used(quinn_missing):
    found = installed()
    assert "is not installed" in str(found["quinn"])
    assert isinstance(found["aioquic"], EngineKind)


@pytest.mark.parametrize(
    ("file", "command"),
    [
        (None, "pip install ./engine in"),
        ("pipx_metadata.json", "pipx inject quictunnel ./engine in"),
        ("uv-receipt.toml", "uv tool install --force --with ./engine . in"),
    ],
)
def test_the_advice_fits_the_installation(tmp_path, file, command):
    if file is not None:
        (tmp_path / file).touch()
    assert selection.install_advice(tmp_path).startswith(command)
