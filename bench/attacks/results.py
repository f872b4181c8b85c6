"""The figures as JSON, from which the table in docs/explanation/security.md is generated."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bench.table import RESULTS, machine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.attacks.bounds import AttackFigures


def save(name: str, figures: Sequence[AttackFigures]) -> Path:
    """Write the figures and what they were measured on; return the file."""
    document = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "attacks": [{**asdict(one), "broken": one.broken()} for one in figures],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path
