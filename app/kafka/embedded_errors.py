"""Why the embedded broker cannot be started: one line a person can act on, and an exit code."""

from __future__ import annotations


class BrokerError(Exception):
    """The embedded broker cannot run here; the text says why and what to do."""

    #: What a command that meets the error exits with (sysexits.h: EX_UNAVAILABLE).
    exit_code = 69


class PortTakenError(BrokerError):
    """Something else listens on the port that the broker wants."""

    exit_code = 69


class JavaMissingError(BrokerError):
    """No Java runtime, or no tool to fetch Kafka with: the development requirements are not installed (EX_CONFIG)."""

    exit_code = 78


class DataFolderError(BrokerError):
    """The data folder cannot be written, or its disk is full (EX_CANTCREAT)."""

    exit_code = 73


class DownloadError(BrokerError):
    """Kafka's jars are not here and cannot be fetched (EX_TEMPFAIL)."""

    exit_code = 75


class StartError(BrokerError):
    """The Java process ended, or did not become ready in time (EX_SOFTWARE)."""

    exit_code = 70
