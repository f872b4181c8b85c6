"""How many clients fit: the limit of open files is raised, and some are kept back."""

from __future__ import annotations

import resource

from quictunnel.cli.file_limit import MAX_FILES, RESERVED, raise_file_limit


def limits(monkeypatch, soft, hard):
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: asked.append(pair))
    return asked


def test_the_soft_limit_is_raised_to_the_hard_one(monkeypatch):
    asked = limits(monkeypatch, 1024, 8192)
    assert raise_file_limit() == 8192 - RESERVED
    assert asked == [(8192, 8192)]


def test_without_a_hard_limit_what_is_asked_for_is_bounded(monkeypatch):
    asked = limits(monkeypatch, 256, resource.RLIM_INFINITY)
    assert raise_file_limit() == MAX_FILES - RESERVED
    assert asked == [(MAX_FILES, resource.RLIM_INFINITY)]


def test_a_system_that_grants_less_is_taken_at_what_it_has(monkeypatch):
    def refuse(*_):
        raise ValueError("not allowed to raise maximum limit")

    limits(monkeypatch, 256, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_file_limit() == 256 - RESERVED


def test_a_tiny_limit_still_lets_a_client_in(monkeypatch):
    limits(monkeypatch, 32, 32)
    assert raise_file_limit() == 1


def test_others_have_descriptors_too_and_clients_have_half_at_least(monkeypatch):
    limits(monkeypatch, 1024, 1024)
    assert raise_file_limit(300) == 1024 - RESERVED - 300
    limits(monkeypatch, 256, 256)
    assert raise_file_limit(300) == (256 - RESERVED) // 2
    limits(monkeypatch, 32, 32)
    assert raise_file_limit(300) == 1
