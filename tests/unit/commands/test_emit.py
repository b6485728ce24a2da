"""Where the value of an emitted event comes from."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.commands.emit import read


def test_from_the_argument() -> None:
    assert read(' {"a":"ä"} ') == '{"a":"ä"}'.encode()


def test_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b'{"a":1}\n')))
    assert read("-") == b'{"a":1}'


def test_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_bytes(b'{"a":1}\n')
    assert read(f"@{tmp_path}/event.json") == b'{"a":1}'


def test_bytes_that_are_no_utf8_stay_as_they_are() -> None:
    assert read("\udcff") == b"\xff"
