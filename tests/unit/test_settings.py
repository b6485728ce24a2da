"""Settings: environment, then ``.env``; a bad value ends the start with one line that names it, and never with a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import settings
from app.errors import StartRefused
from app.kafka.client import connection
from app.settings import Settings, is_loopback, load, load_or_exit

SECRET = "s3cret-s3cret-s3cret-s3cret-s3cret"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine, and no ``.env``."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def refusal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StartRefused) as refused:
        load()
    return str(refused.value)


def loaded(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load()


# --- what holds when nothing is set


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("port", 8086),
        ("partitions", 8),
        ("replication_factor", None),
        ("retention", 7 * 86_400),
        ("duplicate_window", 100_000),
        ("resume_read_max", 100_000),
        ("role", "all"),
        ("max_connections", 20_000),
        ("max_connections_per_user", 20),
        ("max_connections_per_address", 0),
        ("handshakes_per_second", 1000),
        ("handshake_timeout", 10),
        ("commands_per_second", 50),
        ("max_teams_per_subscribe", 1000),
        ("kafka_security_protocol", "PLAINTEXT"),
        ("jwt_secret", None),
        ("jwt_jwks_url", None),
        ("admin_token", None),
        ("metrics_token", None),
        ("allowed_origins", ()),
        ("trusted_proxies", ()),
        ("cluster_secret", None),
        ("log_format", "console"),
    ],
)
def test_the_defaults_are_those_that_are_promised(name: str, default: object) -> None:
    assert getattr(load(), name) == default


def test_without_authentication_a_worker_listens_on_loopback_and_names_itself_so() -> None:
    found = load()
    assert not found.auth
    assert (found.bind, found.url, found.folder) == ("127.0.0.1", "http://127.0.0.1:8086", Path("data/8086"))


def test_with_authentication_it_listens_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    found = loaded(monkeypatch, JWT_SECRET=SECRET, PORT="8087")
    assert found.auth
    assert (found.bind, found.url, found.folder) == ("0.0.0.0", "http://127.0.0.1:8087", Path("data/8087"))


def test_a_key_server_alone_turns_authentication_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, JWT_JWKS_URL="https://keys.example.org/jwks").auth


@pytest.mark.parametrize(("host", "url"), [("::1", "http://[::1]:8086"), ("localhost", "http://localhost:8086")])
def test_how_others_reach_it_follows_the_address(monkeypatch: pytest.MonkeyPatch, host: str, url: str) -> None:
    assert loaded(monkeypatch, HOST=host).url == url


def test_what_is_set_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = loaded(monkeypatch, CANONICAL_URL="https://worker-1.example.org", DATA_DIR=str(tmp_path), log_level="warning")
    assert (found.url, found.folder, found.log_level) == ("https://worker-1.example.org", tmp_path, "WARNING")


def test_the_environment_goes_before_the_file_and_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("PORT=8090\nPARTITIONS=32\nRETENTION=1d\nSOMETHING_ELSE=x\n", encoding="utf-8")
    found = loaded(monkeypatch, PORT="8091", PARTITIONS="")
    assert (found.port, found.partitions, found.retention) == (8091, 32, 86_400)


# --- units and lists


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("0.5", 0.5), ("250ms", 0.25), ("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), (" 1.5 h ", 5400)],
)
def test_a_duration_is_seconds_or_has_a_unit(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    assert loaded(monkeypatch, RETENTION=text).retention == seconds


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("4096", 4096), ("4KiB", 4096), ("64MiB", 64 << 20), (" 2 GiB", 2 << 30)])
def test_a_size_is_bytes_or_has_a_unit(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    assert loaded(monkeypatch, RING_BYTES=text).ring_bytes == size


def test_lists_are_separated_by_commas_or_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = loaded(monkeypatch, KAFKA_BROKERS="a:1, b:2,,", ALLOWED_ORIGINS="https://a.example.org https://*.b.example.org")
    assert found.kafka_brokers == ("a:1", "b:2")
    assert found.allowed_origins == ("https://a.example.org", "https://*.b.example.org")


# --- bad values


BAD = [
    ("PORT", "0"),
    ("PORT", "65536"),
    ("PORT", "http"),
    ("PARTITIONS", "0"),
    ("PARTITIONS", "-1"),
    ("PARTITIONS", "1.5"),
    ("REPLICATION_FACTOR", "0"),
    ("REPLICATION_FACTOR", "three"),
    ("RETENTION", "-1"),
    ("RETENTION", "-1d"),
    ("RETENTION", "7w"),
    ("RETENTION", "nan"),
    ("RETENTION", "inf"),
    ("RETENTION", "9" * 400 + "d"),
    ("RETENTION", "1d 2h"),
    ("DRAIN_SECONDS", "soon"),
    ("HANDSHAKE_TIMEOUT", "-0.1"),
    ("DUPLICATE_WINDOW", "-1"),
    ("DUPLICATE_WINDOW", "many"),
    ("RESUME_READ_MAX", "-1"),
    ("RING_BYTES", "64MB"),
    ("RING_BYTES", "1.5GiB"),
    ("RING_BYTES", "-1"),
    ("VIEW_BYTES", "9" * 5000 + "KiB"),
    ("ROLE", "boss"),
    ("LOG_LEVEL", "LOUD"),
    ("LOG_FORMAT", "xml"),
    ("KAFKA_BROKERS", "localhost"),
    ("KAFKA_BROKERS", ":9092"),
    ("KAFKA_BROKERS", "a:9092,b"),
    ("KAFKA_BROKERS", "a:0"),
    ("KAFKA_BROKERS", "a:65536"),
    ("KAFKA_BROKERS", "a:²"),
    ("KAFKA_BROKERS", ","),
    ("KAFKA_SECURITY_PROTOCOL", "TLS"),
    ("KAFKA_SASL_MECHANISM", "GSSAPI"),
    ("MAX_CONNECTIONS", "-1"),
    ("MAX_CONNECTIONS_PER_USER", "x"),
    ("COMMANDS_PER_SECOND", "-5"),
    ("JWT_JWKS_URL", "keys.example.org"),
    ("JWT_JWKS_URL", "http://keys.example.org/jwks"),
    ("JWT_JWKS_URL", "http://localhost.example.org/"),
    ("JWT_JWKS_URL", "http://localhost@example.org/"),
    ("JWT_JWKS_URL", "http://127.0.0.1.example.org/"),
    ("JWT_JWKS_URL", "http://127.0.0.1:80@example.org/"),
    ("JWT_JWKS_URL", "ftp://127.0.0.1/"),
    ("JWT_JWKS_URL", "https:///jwks"),
    ("HOST", "0.0.0.0"),
    ("HOST", "192.168.1.2"),
    ("HOST", "::"),
    ("HOST", "example.org"),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_refuses_the_start_in_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    said = refusal(monkeypatch, **{name: value})
    assert f"{name}: " in said
    assert "\n" not in said


# Values that nothing can come of, so that a misspelt one is not found out by those who are refused later.
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLOWED_ORIGINS", "app.example.org"),
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "https://app.example.org/board"),
        ("ALLOWED_ORIGINS", "https://app.*.example.org"),
        ("CANONICAL_URL", "worker-1:8086"),
        ("TRUSTED_PROXIES", "10.0.0.300"),
        ("KAFKA_BROKERS", "kafka://a:9092"),
    ],
)
def test_a_value_that_can_never_match_or_be_reached_is_a_bad_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert f"{name}: " in refusal(monkeypatch, **{name: value})


def test_a_file_that_is_not_there_is_a_bad_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("KAFKA_SSL_CAFILE", "/nowhere/ca.pem")
    with pytest.raises(StartRefused, match="KAFKA_SSL_CAFILE"):
        connection(load())


def test_an_env_file_that_is_no_text_refuses_the_start() -> None:
    Path(".env").write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(StartRefused, match=r"\.env"):
        load()


def test_every_bad_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(monkeypatch, PORT="x", ROLE="boss")
    assert "PORT: " in said
    assert "ROLE: " in said


@pytest.mark.parametrize("secret", ["", " ", "short-but-secret", "x" * 31, "é" * 15])
def test_a_jwt_secret_shorter_than_its_hash_is_refused(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    if not secret:
        assert not loaded(monkeypatch, JWT_SECRET=secret).auth
        return
    assert "JWT_SECRET: needs at least 32 bytes" in refusal(monkeypatch, JWT_SECRET=secret)


def test_bytes_and_not_characters_make_a_secret_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, JWT_SECRET="é" * 16).auth


SECRETS = ["JWT_SECRET", "ADMIN_TOKEN", "METRICS_TOKEN", "CLUSTER_SECRET", "KAFKA_SASL_PASSWORD", "KAFKA_SSL_PASSWORD"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    shown = "hush" if name == "JWT_SECRET" else SECRET
    said = refusal(monkeypatch, PORT="x", **{name: shown})
    assert shown not in said
    monkeypatch.delenv("PORT")
    monkeypatch.setenv(name, SECRET)
    assert SECRET not in repr(load()) + str(load())


def test_a_bad_value_ends_the_process_with_code_2_and_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PORT", "x")
    with pytest.raises(SystemExit) as ended:
        load_or_exit()
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("teamcast: bad setting: PORT: ")


# --- loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.0.9", "localhost", "LOCALHOST", "::1", "[::1]", "board.localhost"])
def test_loopback_means_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "128.0.0.1",
        "127.0.0.1.example.org",
        "localhost.example.org",
        "mylocalhost",
        "127.0.0.1\n",
        "127.0.0",
        "127.1",
        "2130706433",
        "::ffff:127.0.0.1",
        "example.org/.localhost",
        "example.org@x.localhost",
    ],
)
def test_nothing_else_does(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_without_authentication_a_loopback_address_may_be_named(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    assert loaded(monkeypatch, HOST=host).bind == host


def test_with_authentication_any_address_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, HOST="192.168.1.2", JWT_SECRET=SECRET).bind == "192.168.1.2"


@pytest.mark.parametrize("url", ["https://keys.example.org/jwks", "http://127.0.0.1:9000/jwks", "http://localhost", "http://[::1]:1/x"])
def test_a_key_server_is_https_or_on_this_machine(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert loaded(monkeypatch, JWT_JWKS_URL=url).jwt_jwks_url == url


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
    assert settings.JWT_SECRET_MIN == 32
