"""Which tokens are good, with our own secret."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.auth import Authenticator, BadToken, Identity
from app.errors import StartRefused
from app.settings import Settings
from tests.tokens import SECRET, claims, hs256, jwk, public_pem, segment, signed

NOW = 1_795_000_000.0
GOOD = claims(7, now=NOW)


def settings(**more: Any) -> Settings:
    return Settings(_env_file=None, jwt_secret=SECRET, **more)


async def verify(token: str, **more: Any) -> Identity:
    return await Authenticator(settings(**more)).verify(token, NOW)


async def test_a_good_token_names_its_user_and_its_end() -> None:
    assert await verify(hs256(GOOD)) == Identity(7, frozenset(), NOW + 300)


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("admin", {"admin"}),
        (" produce  admin ", {"produce", "admin"}),
        (["produce", "admin"], {"produce", "admin"}),
        ([], set()),
        ("", set()),
        (None, set()),
        ("administrator", {"administrator"}),
        (["produce admin", 7, None], {"produce admin"}),
        (7, set()),
        ({"admin": True}, set()),
        (True, set()),
    ],
    ids=lambda value: repr(sorted(value)) if isinstance(value, set) else repr(value),
)
async def test_scopes_are_a_text_or_a_list(scope: Any, scopes: set[str]) -> None:
    assert (await verify(hs256(GOOD | {"scope": scope}))).scopes == scopes


@pytest.mark.parametrize(
    "payload",
    [
        GOOD | {"sub": "9007199254740991"},
        GOOD | {"exp": NOW - 29.5},
        GOOD | {"exp": NOW + 0.5},
        GOOD | {"nbf": NOW + 30},
        GOOD | {"iat": NOW + 1e6, "jti": 7, "aud": ["somebody else"], "iss": 7},
    ],
    ids=repr,
)
async def test_good_claims_at_their_bounds(payload: dict[str, Any]) -> None:
    assert (await verify(hs256(payload))).expires_at == payload["exp"]


async def test_a_token_for_ever_ends_at_a_time_that_timers_know() -> None:
    assert (await verify(hs256(GOOD | {"exp": 1e300}))).expires_at < 1e12
    assert (await verify(hs256(GOOD | {"exp": 10**40}))).expires_at < 1e12


BAD_SUBJECTS = [
    "",
    "0",
    "-7",
    "+7",
    "07",
    "7.0",
    " 7",
    "7 ",
    "7\n",
    "٧",
    "9007199254740992",
    "1" * 17,
    "user:7",
    7,
    7.0,
    True,
    None,
    ["7"],
    {},
]


@pytest.mark.parametrize("subject", BAD_SUBJECTS, ids=repr)
async def test_a_subject_that_is_no_user_id_is_refused(subject: Any) -> None:
    with pytest.raises(BadToken, match="sub"):
        await verify(hs256(GOOD | {"sub": subject}))


@pytest.mark.parametrize("when", [None, True, "1795000300", math.nan, math.inf, [], {}, "never"], ids=repr)
@pytest.mark.parametrize("name", ["exp", "nbf"])
async def test_a_time_that_is_no_number_is_refused(name: str, when: Any) -> None:
    with pytest.raises(BadToken):
        await verify(hs256(GOOD | {name: when}))


@pytest.mark.parametrize("missing", ["sub", "exp"])
async def test_sub_and_exp_are_needed(missing: str) -> None:
    with pytest.raises(BadToken, match=missing):
        await verify(hs256(claims(7, now=NOW, **{missing: None})))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (GOOD | {"exp": NOW - 30}, "expired"),
        (GOOD | {"exp": 0}, "expired"),
        (GOOD | {"exp": -(10**40)}, "expired"),
        (GOOD | {"nbf": NOW + 31}, "not valid yet"),
        ([GOOD], "no object"),
        ("7", "no object"),
        (None, "no object"),
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b'{"sub": "7", "exp": NaN}', "no JSON"),
        (b'\xef\xbb\xbf{"sub": "7", "exp": 2000000000}', "no JSON"),
        (b'{"sub": "7\xff", "exp": 2000000000}', "no JSON"),
        (b"[" * 5000, "no JSON"),
    ],
    ids=repr,
)
async def test_bad_claims(payload: Any, reason: str) -> None:
    with pytest.raises(BadToken, match=reason):
        await verify(hs256(payload))


@pytest.mark.parametrize(
    ("more", "good"),
    [
        ({"iss": "us"}, False),
        ({"iss": "us", "aud": "teamcast"}, True),
        ({"iss": "us", "aud": ["other", "teamcast"]}, True),
        ({"iss": "us", "aud": "other"}, False),
        ({"iss": "us", "aud": "teamcast2"}, False),
        ({"iss": "us", "aud": {"teamcast": 1}}, False),
        ({"iss": "us", "aud": []}, False),
        ({"iss": ["us"], "aud": "teamcast"}, False),
        ({"iss": "US", "aud": "teamcast"}, False),
        ({"iss": "us/", "aud": "teamcast"}, False),
        ({"aud": "teamcast"}, False),
    ],
    ids=repr,
)
async def test_issuer_and_audience_are_checked_when_set(more: dict[str, Any], good: bool) -> None:
    token = hs256(GOOD | more)
    if good:
        assert (await verify(token, jwt_issuer="us", jwt_audience="teamcast")).user_id == 7
    else:
        with pytest.raises(BadToken, match=r"issuer|audience"):
            await verify(token, jwt_issuer="us", jwt_audience="teamcast")


UNSIGNED = f"{segment({'alg': 'none'})}.{segment(GOOD)}."
TOKEN = hs256(GOOD)
HEAD, BODY, SIGNATURE = TOKEN.split(".")
BAD_TOKENS = {
    "empty": "",
    "no parts": "token",
    "two parts": f"{HEAD}.{BODY}",
    "four parts": f"{TOKEN}.{SIGNATURE}",
    "five parts, as encrypted ones have": ".".join([HEAD, "a", "b", "c", "d"]),
    "dots": "..",
    "no signature": f"{HEAD}.{BODY}.",
    "signature of another": f"{HEAD}.{BODY}.{hs256(GOOD | {'sub': '8'}).split('.')[2]}",
    "other claims": f"{HEAD}.{segment(GOOD | {'sub': '8'})}.{SIGNATURE}",
    "a signature cut short": TOKEN[:-4],
    "bits behind the signature": TOKEN[:-1] + chr(ord(TOKEN[-1]) + 1),
    "a space behind": TOKEN + " ",
    "a line behind": TOKEN + "\n",
    "standard base64": f"{HEAD}.{BODY}.{SIGNATURE[:-2]}+/",
    "no ASCII": TOKEN + "é",
    "half a character": TOKEN + "\ud800",
    "null": TOKEN + "\0",
    "too long": hs256(GOOD | {"more": "x" * 16_384}),
    "another secret": hs256(GOOD, secret="another secret of thirty-two bytes"),
    "an empty secret": hs256(GOOD, secret=b""),
    "alg none": UNSIGNED,
    "alg none, signed": hs256(GOOD, alg="none"),
    "alg None": f"{segment({'alg': 'None'})}.{segment(GOOD)}.",
    "alg null": hs256(GOOD, alg=None),
    "no alg": f"{segment({'typ': 'JWT'})}.{BODY}.{SIGNATURE}",
    "alg a list": hs256(GOOD, alg=["HS256"]),
    "alg in small letters": hs256(GOOD, alg="hs256"),
    "alg HS512": hs256(GOOD, alg="HS512"),
    "alg RS256 with no key server": signed(GOOD, "RS256", "one"),
    "alg RS256, signed with our secret": hs256(GOOD, alg="RS256"),
    "jku": hs256(GOOD, jku="https://evil.example/keys"),
    "x5u": hs256(GOOD, x5u="https://evil.example/cert"),
    "jwk": hs256(GOOD, jwk=jwk("RS256", "one")),
    "crit": hs256(GOOD, crit=["exp"]),
    "crit, and what it names": hs256(GOOD, crit=["b64"], b64=True),
    "crit empty": hs256(GOOD, crit=[]),
    "claims outside": hs256(GOOD, b64=False),
    "kid a number": hs256(GOOD, kid=7),
    "a header that is a list": f"{segment(['alg', 'HS256'])}.{BODY}.{SIGNATURE}",
    "a header that is no JSON": f"{segment(b'{alg: HS256}')}.{BODY}.{SIGNATURE}",
    "a deep header": f"{segment(b'[' * 5000)}.{BODY}.{SIGNATURE}",
    "a header with a huge number": f"{segment(b'9' * 5000)}.{BODY}.{SIGNATURE}",
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_a_bad_token_is_refused_and_the_reason_has_nothing_of_it(token: str) -> None:
    with pytest.raises(BadToken) as refused:
        await verify(token)
    parts = [part for part in token.split(".") if len(part) > 8]
    assert not any(part in str(refused.value) for part in parts)


async def test_a_public_key_is_not_taken_for_a_secret() -> None:
    with pytest.raises(StartRefused, match="JWT_SECRET"):
        Authenticator(Settings(_env_file=None, jwt_secret=public_pem("RS256", "one").decode()))


def _mutations() -> st.SearchStrategy[str]:
    """A good token with something of it put elsewhere, left out or changed."""
    places = st.integers(0, len(TOKEN) - 1)
    return st.builds(lambda a, b, text: TOKEN[: min(a, b)] + text + TOKEN[max(a, b) :], places, places, st.text(max_size=8))


def _json() -> st.SearchStrategy[Any]:
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    return st.recursive(
        plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6
    )


@hypothesis_settings(deadline=None)  # a busy machine is not what is tested
@given(st.text() | _mutations() | st.lists(st.binary(max_size=40).map(segment), max_size=5).map(".".join))
@example("\ud800.\ud800.\ud800")
async def test_garbage_is_a_bad_token_and_nothing_else(token: str) -> None:
    if token != TOKEN:
        with pytest.raises(BadToken):
            await verify(token)


@hypothesis_settings(deadline=None)  # a busy machine is not what is tested
@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "b64", "crit", "jwk", "zip"]), _json() | st.sampled_from(["HS256", "RS256", "none"])
    )
)
async def test_any_header_gives_a_user_or_a_bad_token(header: dict[str, Any]) -> None:
    try:
        assert (await verify(hs256(GOOD, **header))).user_id == 7
    except BadToken:
        assert header
    else:
        assert header.get("alg", "HS256") == "HS256"
        assert "crit" not in header


@hypothesis_settings(deadline=None)  # a busy machine is not what is tested
@given(st.dictionaries(st.sampled_from(["sub", "exp", "nbf", "iss", "aud", "scope"]), _json()))
async def test_any_claims_give_a_user_or_a_bad_token(more: dict[str, Any]) -> None:
    try:
        found = await verify(hs256(GOOD | more))
    except BadToken:
        assert more
    else:
        assert str(found.user_id) == (GOOD | more)["sub"]
        assert found.expires_at > NOW - 30
