"""What the checker found: six counts, all of which must be 0, and what each is about."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["lost", "repeated", "misordered", "leaked", "wrong_state", "source_lost"]
KINDS: tuple[Kind, ...] = ("lost", "repeated", "misordered", "leaked", "wrong_state", "source_lost")
SHOWN = 200
"""Findings that are kept as texts; all are counted."""


@dataclass(slots=True)
class Verdict:
    """Counts and their reasons."""

    counts: Counter[Kind] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    delivered: int = 0
    """Events that clients got."""
    gaps: Counter[str] = field(default_factory=Counter)
    """Gaps that rich clients were told of, by reason."""
    snapshots: int = 0

    def add(self, kind: Kind, what: str, count: int = 1) -> None:
        """Count a finding."""
        if count:
            self.counts[kind] += count
            if len(self.findings) < SHOWN:
                self.findings.append(f"{kind}: {what}")

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not any(self.counts.values())

    def numbers(self) -> dict[str, int]:
        """Every count, also those that are 0."""
        return {kind: self.counts[kind] for kind in KINDS}
