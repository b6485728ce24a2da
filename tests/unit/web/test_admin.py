"""What a body of POST /api/admin/disconnect may be."""

from __future__ import annotations

from typing import Any

import pytest

from web.problems import Problem
from web.views.admin import user_of


@pytest.mark.parametrize("body", [b'{"userId":7}', b'{"userId":7,"reason":"left the company","x":{}}', b' {"userId": 7}\n'])
def test_it_names_a_user_and_what_else_it_says_is_ignored(body: bytes) -> None:
    assert user_of(body) == 7


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "not-json", None),
        (b"{", "not-json", None),
        (b"\xef\xbb\xbf{}", "not-json", None),
        (b"\xff", "not-utf8", None),
        (b"[7]", "not-an-object", None),
        (b"[" * 2000, "too-deep", None),
        (b"{}", "missing-field", "userId"),
        (b'{"userId":null}', "missing-field", "userId"),
        (b'{"userId":0}', "missing-field", "userId"),
        (b'{"userId":"7"}', "wrong-type", "userId"),
        (b'{"userId":7.0}', "wrong-type", "userId"),
        (b'{"userId":true}', "wrong-type", "userId"),
        (b'{"userId":[7]}', "wrong-type", "userId"),
        (b'{"userId":-1}', "out-of-range", "userId"),
        (b'{"userId":9007199254740992}', "out-of-range", "userId"),
    ],
)
def test_anything_else_is_refused_with_its_fault(body: bytes, code: str, field: str | None) -> None:
    with pytest.raises(Problem) as refused:
        user_of(body)
    [error] = refused.value.members["errors"]
    expected: dict[str, Any] = {"field": field, "code": code}
    assert (refused.value.status, {name: error[name] for name in ("field", "code")}) == (400, expected)
    assert error["message"]
