"""Tables and files of what was measured."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.measure import machine

RESULTS = Path(__file__).resolve().parent / "results"
WORST = frozenset({"lost", "twice", "closed"})
"""Of these the largest of several runs counts, of all else the median."""

Row = Mapping[str, Any]


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def merge(rows: Sequence[Row], keys: int) -> list[dict[str, Any]]:
    """One row for those whose first ``keys`` members are the same: medians, and of what must be 0 the worst."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.values())[:keys], []).append(row)
    merged = []
    for these in groups.values():
        names = list(these[0])
        merged.append({name: these[0][name] for name in names[:keys]})
        for name in names[keys:]:
            merged[-1][name] = (max if name in WORST else median)(one[name] for one in these)
    return merged


def table(rows: Sequence[Row], keys: int = 1) -> str:
    """Rows as Markdown; the first ``keys`` columns are words."""
    names = list(rows[0])
    head = f"| {' | '.join(names)} |\n|{' --- |' * keys}{' ---: |' * (len(names) - keys)}"
    return "\n".join([head, *(f"| {' | '.join(_cell(value) for value in row.values())} |" for row in rows)])


def note(row: Row) -> None:
    """Show a run while the others go on."""
    print(", ".join(f"{name} {_cell(value)}" for name, value in row.items()), file=sys.stderr, flush=True)


def publish(name: str, rows: Sequence[Row], keys: int = 1, file: Path | None = None, words: str = "") -> None:
    """Write all rows as JSON, and print the table of medians."""
    line = machine()
    file = file or RESULTS / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"benchmark": name, "machine": line, "words": words, "runs": rows}, indent=1), encoding="utf-8")
    print(f"\n{name}: {words}\n{line}\n\n{table(merge(rows, keys), keys)}\n\n{file}", flush=True)
