"""The embedded Apache Kafka from the command line: ``python -m app.kafka.embedded start`` and ``... tool kafka-topics --list``."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess  # nosec B404
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from app.kafka import embedded_jars, embedded_java, embedded_probe
from app.kafka.embedded_broker import HOST, PORT, EmbeddedKafka, running
from app.kafka.embedded_errors import BrokerError

__all__ = ["EmbeddedKafka", "main"]

#: Where the broker of this checkout keeps its data, relative to the current folder.
DATA_DIR = Path("data") / "kafka"


def say(line: str) -> None:
    """Print a line of progress at once, also into a pipe."""
    print(line, flush=True)


def configured() -> EmbeddedKafka:
    """The broker of this checkout: EMBEDDED_KAFKA_DIR (data/kafka) and EMBEDDED_KAFKA_PORT (9092) say where.

    Raises:
        BrokerError: the port is none.
    """
    text = os.environ.get("EMBEDDED_KAFKA_PORT") or str(PORT)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65535:
        raise BrokerError(f"EMBEDDED_KAFKA_PORT is no port: {text!r}")
    return EmbeddedKafka(Path(os.environ.get("EMBEDDED_KAFKA_DIR") or DATA_DIR), int(text), say=say)


def start() -> int:
    """Run the broker in the foreground until SIGINT or SIGTERM.

    Returns:
        The exit code: 0 after a signal, or when one was already running; 70 when Kafka ended by itself.
    """
    asked = threading.Event()

    def leave(signum: int, frame: FrameType | None) -> None:
        asked.set()

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    broker = configured()
    broker.start()
    if not broker.owned:
        return 0
    while not asked.wait(0.5):
        if broker.exit_code is not None:
            print(f"Kafka ended by itself with exit code {broker.exit_code} (see {broker.log_file})", file=sys.stderr)
            broker.stop()
            return 70
    say("Stopping Kafka")
    broker.stop()
    return 0


def tool(name: str, arguments: Sequence[str]) -> int:
    """Run one of Kafka's own tools against the broker in use, and return its exit code.

    --bootstrap-server is filled in where it is not given: KAFKA_BROKERS, else the embedded broker's address.
    """
    main_class = embedded_java.TOOLS.get(name)
    if main_class is None:
        print(f"no such tool: {name}; there are {', '.join(sorted(embedded_java.TOOLS))}", file=sys.stderr)
        return 2
    arguments = list(arguments)
    given = any(
        argument.split("=", 1)[0] in {"--bootstrap-server", "--bootstrap-controller", "--help", "--version"} for argument in arguments
    )
    if name not in embedded_java.OFFLINE_TOOLS and not given:
        brokers = bootstrap()
        host, _, port = brokers.split(",", 1)[0].rpartition(":")
        if brokers == f"{HOST}:{port}" and not embedded_probe.listening(host, int(port)):
            raise BrokerError(f"No broker answers at {brokers}: start one with `make run`, or set KAFKA_BROKERS.")
        arguments += ["--bootstrap-server", brokers]
    class_path = embedded_jars.ensure(lambda line: print(line, file=sys.stderr, flush=True), fallback=configured().data_dir / "jars")
    options = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={_quiet()}")
    command = embedded_java.command(class_path, main_class, *arguments, options=options)
    process = subprocess.Popen(command)  # noqa: S603  # nosec B603
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The tool got the Ctrl-C too; a console consumer prints its count before it leaves.
            continue


def bootstrap() -> str:
    """The brokers that tools talk to: KAFKA_BROKERS, else the embedded one that runs, else its default address."""
    broker = configured()
    return os.environ.get("KAFKA_BROKERS") or f"{HOST}:{running(broker.data_dir) or broker.port}"


def _quiet() -> Path:
    return Path(__file__).with_name("embedded_tools.log4j2.properties")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m app.kafka.embedded", description="The embedded Apache Kafka, for development.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start", help="run the broker until Ctrl-C; one that runs already is left alone")
    passthrough = commands.add_parser("tool", help="run one of Kafka's own tools", add_help=False)
    passthrough.add_argument("name")
    passthrough.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    try:
        return start() if options.command == "start" else tool(options.name, options.arguments)
    except BrokerError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
