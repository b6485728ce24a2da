"""The dashboard: made from the catalogue, current, and without a metric that there is none of."""

from __future__ import annotations

import json

from scripts import dashboard
from tests.unit.ops.test_rules import known, named


def test_the_file_is_what_the_script_makes() -> None:
    assert dashboard.FILE.read_bytes() == dashboard.text(), "run python scripts/dashboard.py"


def test_every_metric_has_a_panel() -> None:
    assert dashboard.catalogue().keys() - dashboard.shown() == set()


def test_no_panel_names_a_metric_that_there_is_none_of() -> None:
    panels = json.loads(dashboard.FILE.read_bytes())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert queries
    for query in queries:
        assert named(query), query
        assert named(query) <= known(), query


def test_panels_do_not_cover_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(dashboard.FILE.read_bytes())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= dashboard.COLUMNS
        taken |= cells
