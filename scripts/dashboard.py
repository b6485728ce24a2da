"""The Grafana dashboard, made from the catalogue of metrics: ``python scripts/dashboard.py`` writes it, ``--check`` only compares.

A panel names metrics as objects of `app.metrics`, so that none can name a metric that there is none of; what no panel shows is a fault.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from prometheus_client.metrics import MetricWrapperBase

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app import metrics  # noqa: E402

FILE = ROOT / "ops" / "grafana" / "teamcast.json"
COLUMNS = 24
HEIGHT = 8
SUFFIXES = {"counter": "_total", "info": "_info"}


def series(metric: MetricWrapperBase, part: str = "") -> str:
    """The name that a metric is scraped by; of a histogram, that of one of its parts."""
    [family] = metric.describe()
    return family.name + SUFFIXES.get(family.type, "") + part


def catalogue() -> dict[str, MetricWrapperBase]:
    """Every metric of ours, by the name of its attribute."""
    return {name: found for name, found in vars(metrics).items() if isinstance(found, MetricWrapperBase)}


@dataclass(slots=True, frozen=True)
class Query:
    """One query of a panel; METRIC stands for the series' name."""

    metric: MetricWrapperBase
    expression: str
    legend: str
    part: str = ""

    @property
    def promql(self) -> str:
        """The query as Prometheus takes it."""
        return self.expression.replace("METRIC", series(self.metric, self.part))


@dataclass(slots=True, frozen=True)
class Panel:
    """One panel."""

    title: str
    queries: list[Query]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    thresholds: list[tuple[str, float]] = field(default_factory=list)


def rate(metric: MetricWrapperBase, by: str) -> Query:
    """How often a counter goes up, a second."""
    return Query(metric, f"sum by ({by}) (rate(METRIC[$__rate_interval]))" if by else "sum(rate(METRIC[$__rate_interval]))", legend(by))


def total(metric: MetricWrapperBase, by: str) -> Query:
    """A gauge summed over workers."""
    return Query(metric, f"sum by ({by}) (METRIC)" if by else "sum(METRIC)", legend(by))


def quantiles(metric: MetricWrapperBase, *, by: str = "") -> list[Query]:
    """Median and 99th percentile of a histogram."""
    labels = ", ".join(filter(None, ["le", by]))
    return [
        Query(
            metric,
            f"histogram_quantile({q}, sum by ({labels}) (rate(METRIC[$__rate_interval])))",
            f"p{q * 100:g} {legend(by)}".strip(),
            "_bucket",
        )
        for q in (0.5, 0.99)
    ]


def legend(by: str) -> str:
    """Labels as Grafana writes them."""
    return " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",") if label)


ROWS: list[tuple[str, list[Panel]]] = [
    (
        "Now",
        [
            Panel("Workers ready", [total(metrics.READY, "")], kind="stat", width=4),
            Panel("Members", [total(metrics.GROUP_MEMBERS, "group")], kind="stat", width=4, thresholds=[("red", 0), ("green", 1)]),
            Panel("Records not read", [total(metrics.CONSUMER_LAG, "group")], kind="stat", width=4),
            Panel("Sockets", [total(metrics.CONNECTIONS, "")], kind="stat", width=4),
            Panel("Slowest team", [Query(metrics.TEAM_LAG, "max(METRIC)", "")], unit="s", kind="stat", width=4),
            Panel("Versions", [Query(metrics.BUILD, "count by (version) (METRIC)", "{{version}}")], kind="stat", width=4),
        ],
    ),
    (
        "Reading",
        [
            Panel("Events a second, by topic", [rate(metrics.EVENTS, "topic")], unit="cps"),
            Panel("Lag, by topic", [total(metrics.CONSUMER_LAG, "group, topic")]),
            Panel(
                "Lag, the ten worst partitions",
                [Query(metrics.CONSUMER_LAG, "topk(10, sum by (topic, partition) (METRIC))", "{{topic}}-{{partition}}")],
            ),
            Panel("Teams that are behind", [Query(metrics.TEAM_LAG, "topk(10, max by (team) (METRIC) > 0)", "team {{team}}")], unit="s"),
            Panel("Rebalances in 15 minutes", [Query(metrics.REBALANCES, "sum by (group) (increase(METRIC[15m]))", "{{group}}")]),
            Panel(
                "Dead letters in 10 minutes",
                [Query(metrics.DEAD_LETTERS, "sum by (topic, code) (increase(METRIC[10m])) > 0", "{{topic}} {{code}}")],
            ),
            Panel("Timestamps replaced", [rate(metrics.CLAMPED, "topic")], unit="cps"),
            Panel(
                "Time until unread records expire",
                [
                    Query(metrics.RETENTION_HEADROOM, "min by (topic) (METRIC)", "{{topic}}"),
                    Query(metrics.RETENTION, "min(METRIC)", "shortest retention"),
                ],
                unit="s",
            ),
            Panel("Age of what is known about lag", [Query(metrics.LAG_AGE, "METRIC", "{{instance}}")], unit="s"),
        ],
    ),
    (
        "Delivery",
        [
            Panel("From source record to socket", quantiles(metrics.DELIVERY_SECONDS), unit="s"),
            Panel("Deliveries a second", [rate(metrics.DELIVERIES, "")], unit="cps"),
            Panel("Sockets, by kind", [total(metrics.CONNECTIONS, "mode")]),
            Panel("Sockets, by team", [Query(metrics.TEAM_CONNECTIONS, "topk(10, sum by (team) (METRIC))", "team {{team}}")]),
            Panel("Users online, by worker", [Query(metrics.ONLINE_USERS, "METRIC", "{{instance}}")]),
            Panel("Messages of who is online, a second", [rate(metrics.PRESENCE_MESSAGES, "")], unit="cps"),
            Panel("Sockets that were closed", [rate(metrics.DROPPED_CLIENTS, "reason")], unit="cps"),
            Panel("Resumes, by what answered them", [rate(metrics.RESUMES, "source")], unit="cps"),
            Panel("How far workers are behind the log", [Query(metrics.TAIL_LAG, "METRIC", "{{instance}}")], unit="s"),
            Panel("How far back repeats are", quantiles(metrics.REPEAT_DISTANCE)),
            Panel("Mails", [rate(metrics.EMAILS, "template, outcome")], unit="cps"),
        ],
    ),
    (
        "Workers",
        [
            Panel("Ready", [Query(metrics.READY, "METRIC", "{{instance}}")]),
            Panel("Event loop delay", quantiles(metrics.EVENT_LOOP_DELAY, by="instance"), unit="s"),
            Panel("RocksDB", [Query(metrics.ROCKSDB_BYTES, "sum by (instance, part) (METRIC)", "{{instance}} {{part}}")], unit="bytes"),
            Panel(
                "Rows, and records of the changelog",
                [Query(metrics.TABLE_ROWS, "sum(METRIC)", "rows"), Query(metrics.CHANGELOG_RECORDS, "sum(METRIC)", "changelog")],
            ),
            Panel(
                "Memory for clients",
                [Query(metrics.RING_BYTES, "METRIC", "{{instance}} ring"), Query(metrics.VIEW_BYTES, "METRIC", "{{instance}} views")],
                unit="bytes",
            ),
        ],
    ),
]


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": "teamcast",
        "title": "Teamcast",
        "tags": ["teamcast", "kafka"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]},
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for title, panels in ROWS:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        }
        x, y = 0, y + 1
        for panel in panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + HEIGHT
            number += 1
            yield _panel(panel, number, x, y)
            x += panel.width
        y += HEIGHT


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    steps = [{"color": color, "value": value if index else None} for index, (color, value) in enumerate(panel.thresholds)]
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": " ".join(dict.fromkeys(query.metric._documentation for query in panel.queries)),
        "datasource": source,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": panel.unit} | ({"thresholds": {"mode": "absolute", "steps": steps}} if steps else {}),
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + index), "expr": query.promql, "legendFormat": query.legend, "datasource": source}
            for index, query in enumerate(panel.queries)
        ],
    }


def shown() -> set[str]:
    """The metrics that some panel shows, by the names of their attributes."""
    objects = {id(query.metric) for _title, panels in ROWS for panel in panels for query in panel.queries}
    return {name for name, found in catalogue().items() if id(found) in objects}


def text() -> bytes:
    """The file."""
    return orjson.dumps(dashboard(), option=orjson.OPT_INDENT_2) + b"\n"


def main(arguments: list[str]) -> int:
    """Write the file, or compare it; the exit code."""
    missing = sorted(catalogue().keys() - shown())
    if missing:
        print(f"no panel shows {', '.join(missing)}", file=sys.stderr)
        return 1
    if "--check" not in arguments:
        FILE.write_bytes(text())
    elif FILE.read_bytes() != text():
        print(f"{FILE.relative_to(ROOT)} is out of date: run python scripts/dashboard.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
