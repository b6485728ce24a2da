"""How every Kafka client of this project connects."""

from __future__ import annotations

import ssl
from typing import Any

from app.kafka import connection as connections
from app.kafka import fetcher as fetchers
from app.settings import Settings

connections.install()
fetchers.install()

REQUEST_TIMEOUT_MS = 30_000


def connection(settings: Settings) -> dict[str, Any]:
    """Keyword arguments of an aiokafka client: brokers and credentials."""
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.kafka_brokers),
        "security_protocol": settings.kafka_security_protocol,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        options["ssl_context"] = ssl_context(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password.get_secret_value() if settings.kafka_sasl_password else None
    return options


def ssl_context(settings: Settings) -> ssl.SSLContext:
    """TLS as the KAFKA_SSL_* settings ask for."""
    context = ssl.create_default_context(cafile=str(settings.kafka_ssl_cafile) if settings.kafka_ssl_cafile else None)
    if settings.kafka_ssl_certfile:
        password = settings.kafka_ssl_password.get_secret_value() if settings.kafka_ssl_password else None
        context.load_cert_chain(settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile, password)
    return context


def faust_credentials(settings: Settings) -> Any:
    """The same as Faust's ``broker_credentials``; ``None`` for PLAINTEXT."""
    import faust  # noqa: PLC0415  (services that only produce do without Faust)

    if settings.kafka_security_protocol == "PLAINTEXT":
        return None
    if settings.kafka_security_protocol == "SSL":
        return faust.SSLCredentials(ssl_context(settings))
    return faust.SASLCredentials(
        username=settings.kafka_sasl_username,
        password=settings.kafka_sasl_password.get_secret_value() if settings.kafka_sasl_password else None,
        mechanism=settings.kafka_sasl_mechanism,
        ssl_context=ssl_context(settings) if settings.kafka_security_protocol == "SASL_SSL" else None,
    )
