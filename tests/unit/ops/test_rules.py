"""The rules for Prometheus: they hold what their tests say, name no metric that there is none of, and each alert is explained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import dashboard, docs
from tests.prometheus import promtool

FOLDER = docs.ROOT / "ops" / "prometheus"
FILES = ("recording.yml", "alerts.yml")


def rules(*files: str) -> list[dict[str, Any]]:
    found = [yaml.safe_load((FOLDER / name).read_text(encoding="utf-8")) for name in files]
    return [rule for document in found for group in document["groups"] for rule in group["rules"]]


def known() -> set[str]:
    """Every series that is scraped, or recorded."""
    found = {"up", *(rule["record"] for rule in rules("recording.yml"))}
    for metric in dashboard.catalogue().values():
        parts = ("_bucket", "_sum", "_count") if metric._type == "histogram" else ("",)
        found |= {dashboard.series(metric, part) for part in parts}
    return found


def named(expression: str) -> set[str]:
    """The series that a query reads."""
    return set(re.findall(r"\bteamcast[_:][\w:]+", re.sub(r'"[^"]*"', "", expression)))


ALERTS = [pytest.param(rule, id=rule["alert"]) for rule in rules("alerts.yml")]


def test_the_configuration_and_the_rules_are_valid() -> None:
    promtool("check", "config", str(FOLDER / "prometheus.yml"))


def test_the_rules_say_what_they_should() -> None:
    promtool("test", "rules", str(FOLDER / "tests" / "alerts.test.yml"))


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.get("alert") or rule["record"]) for rule in rules(*FILES)])
def test_a_rule_reads_what_there_is(rule: dict[str, Any]) -> None:
    read = named(rule["expr"])
    assert read
    assert read <= known()


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_has_a_test(rule: dict[str, Any]) -> None:
    tests = yaml.safe_load((FOLDER / "tests" / "alerts.test.yml").read_text(encoding="utf-8"))["tests"]
    fired = [one for test in tests for one in test["alert_rule_test"] if one["alertname"] == rule["alert"] and one["exp_alerts"]]
    assert fired


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_says_how_bad_it_is_and_leads_to_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor == rule["alert"].lower()
    assert anchor in docs.anchors((docs.ROOT / page).read_text(encoding="utf-8"))


def test_promtool_that_is_not_content_fails_the_test(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text("groups: [{name: x, rules: [{record: x, expr: 'sum('}]}]")
    with pytest.raises(AssertionError):
        promtool("check", "rules", str(tmp_path / "rules.yml"))
