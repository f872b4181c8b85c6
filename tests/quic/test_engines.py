"""Which engine carries a link: the choice, and what it says of an engine that cannot be used."""

from __future__ import annotations

import logging
import sys
from types import ModuleType

import aioquic
import pytest
from endpoints import dialled, listening

from quictunnel.errors import SettingsError
from quictunnel.quic.engines.quinn.extension import API, MODULE
from quictunnel.quic.engines.selection import EngineKind, choose, installed


@pytest.fixture(autouse=True)
def nothing_chosen_yet():
    choose.cache_clear()
    yield
    choose.cache_clear()


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


def warnings(caplog):
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_auto_takes_quinn_where_it_is_installed(quinn_there):
    assert (choose("auto", None).name, choose("auto", None).version) == (
        "quinn",
        "quinn-proto 0.11.9",
    )


def test_auto_takes_aioquic_without_quinn_and_says_nothing(quinn_missing, caplog):
    kind = choose("auto", None)
    assert (kind.name, kind.version) == ("aioquic", aioquic.__version__)
    assert not warnings(caplog)


def test_auto_passes_over_a_broken_quinn_with_one_warning(quinn_broken, caplog):
    assert choose("auto", None).name == "aioquic"
    assert choose("auto", None).name == "aioquic"
    (warning,) = warnings(caplog)
    assert "GLIBC_9.9" in str(warning.quictunnel_facts["reason"])


def test_auto_passes_over_a_quinn_of_another_version(quinn_there, caplog):
    quinn_there.API = API + 1
    assert choose("auto", None).name == "aioquic"
    (warning,) = warnings(caplog)
    assert f"number {API + 1}, not {API}" in str(warning.quictunnel_facts["reason"])


@pytest.mark.parametrize("congestion", ["bbr", "cubic", "reno"])
def test_every_engine_has_every_congestion_control(quinn_there, congestion):
    assert choose("auto", congestion).name == "quinn"
    assert choose("quinn", congestion).name == "quinn"
    assert choose("aioquic", congestion).name == "aioquic"


def test_aioquic_is_taken_by_name_whatever_else_is_there(quinn_there):
    assert choose("aioquic", None).name == "aioquic"


@pytest.mark.parametrize(
    ("engine", "congestion", "sentence"),
    [
        ("quinn", None, r"quinn engine is not installed \(pip install \./engine in a clone"),
        ("msquic", None, "'msquic' is not an engine: auto, aioquic or quinn"),
        ("auto", "vegas", "'vegas' is not a congestion control: bbr, cubic or reno"),
    ],
)
def test_what_cannot_be_had_is_a_users_error(quinn_missing, engine, congestion, sentence):
    with pytest.raises(SettingsError, match=sentence):
        choose(engine, congestion)


def test_a_broken_quinn_that_was_asked_for_is_a_users_error(quinn_broken, caplog):
    with pytest.raises(SettingsError, match="does not work: libc"):
        choose("quinn", None)
    assert not warnings(caplog)


def test_a_module_that_quinn_needs_and_lacks_is_no_missing_quinn(quinn_there):
    def version():
        raise ModuleNotFoundError("No module named 'other'", name="other")

    quinn_there.version = version
    with pytest.raises(SettingsError, match="does not work: No module named 'other'"):
        choose("quinn", None)


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
