"""Facts about this process agree with what the test does to it."""

from __future__ import annotations

import os
import resource
import sys
import time
from itertools import pairwise

import pytest

from quictunnel.observe import process

IS_LINUX = sys.platform == "linux"


def test_cpu_time_grows_with_work():
    before = process.cpu_seconds()
    while time.process_time() < before + 0.02:
        pass
    assert process.cpu_seconds() >= before + 0.02


@pytest.mark.skipif(not IS_LINUX, reason="only Linux has /proc")
def test_memory_that_is_used_is_resident():
    before = process.resident_bytes()
    block = bytearray(os.urandom(1)) * 64_000_000
    assert process.resident_bytes() > before + len(block) / 2


def test_memory_is_unknown_without_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "_STATM", str(tmp_path / "statm"))
    assert process.resident_bytes() is None


def test_each_open_file_counts(tmp_path):
    *_, before = process.count_descriptors()
    files = [(tmp_path / "file").open("w") for _ in range(10)]
    *_, after = process.count_descriptors()
    for file in files:
        file.close()
    assert after == before + 10


@pytest.fixture
def old_kernel(monkeypatch):
    """A kernel that does not report the number of descriptors."""
    monkeypatch.setattr(process, "_reported_descriptors", lambda: 0)


def test_old_kernels_list_descriptors(old_kernel, tmp_path):
    *_, before = process.count_descriptors()
    with (tmp_path / "file").open("w"):
        *_, after = process.count_descriptors()
    assert after == before + 1 == len(os.listdir("/dev/fd"))


def test_many_descriptors_are_listed_in_steps(old_kernel, monkeypatch):
    monkeypatch.setattr(process, "MAX_LISTED", 10)
    duplicates = [os.dup(0) for _ in range(95)]
    counts = list(process.count_descriptors())
    for duplicate in duplicates:
        os.close(duplicate)
    steps = [after - before for before, after in pairwise(counts)]
    assert len(counts) > 9
    assert max(steps) <= 10


def test_descriptors_are_unknown_where_the_system_does_not_list_them(
    old_kernel, monkeypatch, tmp_path
):
    monkeypatch.setattr(process, "_FOLDERS", (str(tmp_path / "fd"),))
    assert list(process.count_descriptors()) == []


def test_the_limit_is_that_of_the_process(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1234, 5678))
    assert process.max_descriptors() == 1234
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, 5678))
    assert process.max_descriptors() is None
