"""Every setting, in one model: environment first, then ``.env``."""

from __future__ import annotations

import re
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, overload

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import StartRefused

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def _seconds(value: Any) -> Any:
    """Seconds from a number or from ``90s``, ``15m``, ``24h``, ``7d``."""
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", value)):
        return float(found[1]) * _UNITS[found[2]]
    return value


def _bytes(value: Any) -> Any:
    """Bytes from a number or from ``64MiB``."""
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(\d+)\s*(KiB|MiB|GiB)\s*", value)):
        return int(found[1]) * _SIZES[found[2]]
    return value


def _words(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(word for word in re.split(r"[,\s]+", value) if word)
    return value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]
Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=0)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=0)]

_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_ORIGIN = re.compile(r"https?://(\*\.)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")

EVERYWHERE = "0.0.0.0"  # noqa: S104  (asked for by turning authentication on)  # nosec B104
"""The address to listen on that means every one of this machine."""
JWT_SECRET_MIN = 32
"""Bytes: an HS256 key is at least as long as its hash (RFC 7518, section 3.2)."""


class Settings(BaseSettings):
    """What can be set. A field's description is its line in docs/settings.md."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", case_sensitive=False, env_ignore_empty=True
    )

    kafka_brokers: Words = Field(default=("127.0.0.1:9092",), description="Brokers, `host:port`, comma separated.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How to talk to the brokers."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(default="PLAIN", description="SASL mechanism.")
    kafka_sasl_username: str | None = Field(default=None, description="SASL user.")
    kafka_sasl_password: SecretStr | None = Field(default=None, description="SASL password.")
    kafka_ssl_cafile: Path | None = Field(default=None, description="PEM file of the brokers' authority.")
    kafka_ssl_certfile: Path | None = Field(default=None, description="PEM file of our certificate.")
    kafka_ssl_keyfile: Path | None = Field(default=None, description="PEM file of our key.")
    kafka_ssl_password: SecretStr | None = Field(default=None, description="Password of our key.")

    host: str | None = Field(default=None, description="Address to listen on. Without authentication only a loopback address is taken.")
    port: Port = Field(default=8086, description="Port of the web server.")
    data_dir: Path | None = Field(default=None, description="Folder of this worker's tables; one a worker. Default `data/<PORT>`.")
    canonical_url: str | None = Field(default=None, description="How other workers reach this one. Default `http://<HOST>:<PORT>`.")
    cluster_secret: SecretStr | None = Field(
        default=None, description="What workers show each other. Unset: a generated file that the workers of one machine share."
    )
    role: Literal["all", "pipeline", "gateway"] = Field(default="all", description="What this process does.")

    partitions: Annotated[int, Field(ge=1, le=10000)] = Field(
        default=8, description="Partitions of the topics that we make. Can never change while the log lives: 32 or more in production."
    )
    replication_factor: Annotated[int, Field(ge=1, le=32)] | None = Field(
        default=None, description="Copies of each topic that we make. Default 3, or as many as there are brokers; 1 on the embedded one."
    )
    retention: Seconds = Field(default=7 * 86400.0, description="How long team.events keeps its records.")
    duplicate_window: Annotated[int, Field(ge=0, le=100_000_000)] = Field(
        default=100_000, description="Offsets of a partition within which a repeat is recognised."
    )
    resume_read_max: Count = Field(default=100_000, description="Records that a resume reads from the log at most.")
    view_bytes: Bytes = Field(default=256 * 2**20, description="Memory for the rows of teams that somebody here looks at.")
    ring_bytes: Bytes = Field(default=256 * 2**20, description="Memory for the newest events of all partitions.")
    drain_seconds: Seconds = Field(default=5.0, description="Over how long a stopping worker says good-bye to its clients.")

    jwt_secret: SecretStr | None = Field(default=None, description="HS256 key, at least 32 bytes. Turns authentication on.")
    jwt_jwks_url: str | None = Field(
        default=None, description="Where the public keys are (https, or http on loopback). Turns authentication on."
    )
    jwt_issuer: str | None = Field(default=None, description="The `iss` that a token must have.")
    jwt_audience: str | None = Field(default=None, description="The `aud` that a token must have.")
    admin_token: SecretStr | None = Field(default=None, description="Bearer token of administrators.")
    metrics_token: SecretStr | None = Field(default=None, description="Bearer token that /metrics asks for.")
    allowed_origins: Words = Field(default=(), description="Origins besides our own, exact or `https://*.example.org`.")

    max_connections: Count = Field(default=20000, description="Sockets of this worker.")
    max_connections_per_user: Count = Field(default=20, description="Sockets of one user on this worker.")
    max_connections_per_address: Count = Field(default=0, description="Sockets of one address; 0 is off.")
    trusted_proxies: Words = Field(default=(), description="Proxies whose X-Forwarded-For is believed.")
    handshakes_per_second: Count = Field(default=1000, description="New sockets a second.")
    handshake_timeout: Seconds = Field(
        default=10.0, description="Time to send a request's headers; 0 is as long as a connection may be idle (75 s)."
    )
    commands_per_second: Count = Field(default=50, description="Commands a second on one socket; twice as many in a burst.")
    max_teams_per_subscribe: Count = Field(default=1000, description="Teams in one subscription.")
    team_series_max: Count = Field(default=100, description="Teams with a metric series of their own; the rest is `other`.")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least level that is logged.")
    log_format: Literal["console", "json"] = Field(default="console", description="How log lines look.")

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("kafka_brokers")
    @classmethod
    def _brokers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for broker in value:
            host, _, port = broker.rpartition(":")
            if not _HOST.fullmatch(host) or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
                raise ValueError(f"{broker!r} is no host:port")
        if not value:
            raise ValueError("names no broker")
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin: https://app.example.org or https://*.example.org")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            try:
                ip_network(word, strict=False)
            except ValueError:
                raise ValueError(f"{word!r} is no address or network") from None
        return value

    @field_validator("canonical_url")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/?#@]+", value.rstrip("/")):
            raise ValueError("must look like http://10.0.0.5:8086")
        return None if value is None else value.rstrip("/")

    @field_validator("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile")
    @classmethod
    def _there(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"there is no file {value}")
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < JWT_SECRET_MIN:
            raise ValueError(f"needs at least {JWT_SECRET_MIN} bytes")
        return value

    @field_validator("jwt_jwks_url")
    @classmethod
    def _safe_key_server(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https://[^/\s]+|http://(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:\d+)?(/|$)", value):
            raise ValueError("must be https, or http on loopback")
        return value

    @model_validator(mode="after")
    def _loopback_without_auth(self) -> Settings:
        if not self.auth and self.host is not None and not is_loopback(self.host):
            raise ValueError("HOST: without JWT_SECRET or JWT_JWKS_URL only a loopback address is served")
        return self

    @property
    def auth(self) -> bool:
        """Whether clients must show a token."""
        return self.jwt_secret is not None or self.jwt_jwks_url is not None

    @property
    def bind(self) -> str:
        """Address that the web server listens on."""
        return self.host or (EVERYWHERE if self.auth else "127.0.0.1")

    @property
    def folder(self) -> Path:
        """Folder of this worker's tables."""
        return self.data_dir or Path("data") / str(self.port)

    @property
    def url(self) -> str:
        """How other workers reach this one."""
        host = "127.0.0.1" if self.bind in (EVERYWHERE, "::") else self.bind
        return self.canonical_url or f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address (brackets allowed) means this machine alone."""
    host = host.strip("[]").lower()
    return host == "::1" or re.fullmatch(r"([a-z0-9_-]+\.)*localhost|127(\.\d{1,3}){3}", host, re.ASCII) is not None


S = TypeVar("S", bound=Settings)


@overload
def load(**overrides: Any) -> Settings: ...


@overload
def load(model: type[S], **overrides: Any) -> S: ...


def load(model: type[Settings] = Settings, **overrides: Any) -> Settings:
    """The settings of this process.

    Args:
        model: Which ones.
        **overrides: Values that the environment does not decide.

    Raises:
        StartRefused: A value is bad; the message names each setting, and never shows a value.
    """
    try:
        return model(**overrides)
    except UnicodeDecodeError:
        raise StartRefused("bad setting: .env is no UTF-8 text") from None
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_url=False, include_input=False):
            name = str(fault["loc"][0]).upper() if fault["loc"] else ""
            text = fault["msg"].removeprefix("Value error, ")
            lines.append(f"{name}: {text}" if name else text)
        raise StartRefused("bad setting: " + "; ".join(lines)) from None


def load_or_exit() -> Settings:
    """The settings of this process; a bad value ends it with exit code 2 and one line."""
    try:
        return load()
    except StartRefused as error:
        print(f"teamcast: {error}", file=sys.stderr)
        raise SystemExit(2) from None
