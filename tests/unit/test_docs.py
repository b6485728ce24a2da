"""The documentation says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.domain.errors import Code
from app.settings import Settings
from scripts import docs
from web.sockets.close_codes import CloseCode

PAGES = [pytest.param(page, id=str(page.relative_to(docs.ROOT))) for page in docs.pages()]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_up_to_date_and_leads_somewhere(page: Path) -> None:
    assert docs.faults(page) == []


@pytest.mark.parametrize("name", docs.TABLES)
def test_every_table_stands_on_a_page(name: str) -> None:
    assert [page for page in docs.pages() if f"<!-- generated: {name} -->" in page.read_text(encoding="utf-8")]


def test_every_setting_is_told_with_its_default() -> None:
    told = docs.settings_table()

    assert re.findall(r"^\| `([A-Z_0-9]+)` \|", told, re.MULTILINE) == [name.upper() for name in Settings.model_fields]
    assert "| `RETENTION` | `7d` |" in told
    assert "| `RING_BYTES` | `256MiB` |" in told
    assert "| `PORT` | `8086` |" in told


def test_every_close_code_is_told_with_what_the_client_does() -> None:
    told = re.findall(r"^\| (\d{4}) \| [^|]+ \| ([^|]*) \|$", docs.close_code_table(), re.MULTILINE)

    assert [int(code) for code, _duty in told] == [int(code) for code in CloseCode]
    assert {duty for code, duty in told if int(code) >= 4500} == {"stop"}
    assert all("reconnect" in duty for code, duty in told if int(code) < 4500)


def test_every_dead_letter_code_is_told() -> None:
    assert set(docs.DEAD_LETTERS) == set(Code)


def test_a_counter_is_told_by_the_name_that_is_scraped() -> None:
    told = docs.metric_table()

    assert "`teamcast_dead_letters_total{topic,code}` | counter" in told
    assert "`teamcast_ready` | gauge" in told


def test_a_table_that_is_out_of_date_a_dead_link_and_an_unknown_target_are_faults(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- generated: settings -->\nold\n<!-- end -->\n[gone](nowhere.md) [here](#nothing) `make everything`\n")

    assert docs.faults(page) == [
        "a table is out of date: run python scripts/docs.py",
        "nowhere.md leads nowhere",
        "#nothing names no heading",
        "there is no make everything",
    ]


def test_a_rewritten_page_is_up_to_date_and_keeps_its_own_words() -> None:
    text = "before\n<!-- generated: close codes -->\nold\n<!-- end -->\nafter\n"

    new = docs.rewritten(text)

    assert new.startswith("before\n")
    assert new.endswith("\nafter\n")
    assert "| 4001 |" in new
    assert docs.rewritten(new) == new
