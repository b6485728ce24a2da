"""Apache Kafka as a child process: one node in KRaft mode, for development and tests."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import shutil
import subprocess  # nosec B404
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.kafka import embedded_jars, embedded_java, embedded_probe
from app.kafka.embedded_errors import BrokerError, DataFolderError, PortTakenError, StartError

HOST = "127.0.0.1"
PORT = 9092
HEAP = "-Xmx512m"
#: Largest batch the broker takes, in bytes: far above anything the service writes, so that no dead letter is refused.
MESSAGE_MAX_BYTES = 80 * 1024 * 1024
#: Free disk below which Kafka is not started, in bytes: it would stop by itself soon, and less politely.
DISK_NEEDED_BYTES = 256 * 1024 * 1024
START_SECONDS = 120.0
STOP_SECONDS = 8.0
FORMAT_SECONDS = 120.0

_PROPERTIES = """\
# Written at every start by the embedded broker; edits are lost.
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller_port}
log.dirs={log_dirs}
auto.create.topics.enable=false
message.max.bytes={message_max_bytes}
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""

_LOG4J = """\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {folder}/kafka.log
appender.file.filePattern = {folder}/kafka.%i.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{ISO8601}} %p %c{{1}} %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 20MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
"""


class EmbeddedKafka:
    """One Kafka node whose data, configuration and logs live in one folder.

    Attributes:
        data_dir: the folder; what is written there survives a restart.
        port: of the broker, on 127.0.0.1 only.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = PORT,
        controller_port: int | None = None,
        *,
        repository: Path | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Describe a broker; nothing is touched before `start`.

        Args:
            data_dir: made when missing.
            port: where clients connect; keep it below 32768, ports above are handed out to outgoing connections.
            controller_port: of KRaft's controller, by default the next one.
            repository: the cache of jars, by default Maven's own.
            say: takes a line of progress.
        """
        self.data_dir = data_dir.absolute()
        self.port = port
        self._controller_port = controller_port or port + 1
        self._repository = repository
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The address for clients: `127.0.0.1:<port>`."""
        return f"{HOST}:{self.port}"

    @property
    def log_file(self) -> Path:
        """Kafka's own log."""
        return self.data_dir / "logs" / "kafka.log"

    @property
    def owned(self) -> bool:
        """Whether this object started the broker, and `stop` therefore ends it."""
        return self._process is not None

    @property
    def exit_code(self) -> int | None:
        """What the Java process ended with; None while it runs, or when it is not ours."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start the broker and wait until it serves; one of ours that already runs in the folder is used and left alone.

        Raises:
            BrokerError: one of its kinds, saying why and what to do.
        """
        with self._starting():
            if self._reuse():
                self._say(f"Kafka is already running at {self.bootstrap}")
                return
            self._check_ports()
            self._check_disk()
            class_path = embedded_jars.ensure(self._say, self._repository, self.data_dir / "jars")
            self._write_configuration()
            if not (self.data_dir / "log" / "meta.properties").exists():
                self._format(class_path)
            started = time.monotonic()
            self._launch(class_path)
            try:
                self._wait_ready()
            except BaseException:
                self.stop()
                raise
            self._say(f"Kafka is running at {self.bootstrap} ({time.monotonic() - started:.1f} s)")

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End the broker if this object started it: SIGTERM, and SIGKILL after `seconds`."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(max(0.1, seconds))
        except subprocess.TimeoutExpired:
            self._say("Kafka did not stop in time: killed (it recovers its log at the next start)")
            process.kill()
            process.wait()
        self._pid_file.unlink(missing_ok=True)

    @property
    def _pid_file(self) -> Path:
        return self.data_dir / "broker.json"

    @property
    def _properties(self) -> Path:
        return self.data_dir / "server.properties"

    @contextmanager
    def _starting(self) -> Iterator[None]:
        """Let only one process at a time start a broker in the folder."""
        try:
            (self.data_dir / "logs").mkdir(parents=True, exist_ok=True)
            lock = (self.data_dir / "start.lock").open("w")
        except OSError as error:
            raise DataFolderError(f"The data folder {self.data_dir} cannot be written: {error.strerror}.") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            except BrokerError:
                raise
            except OSError as error:
                raise DataFolderError(f"The data folder {self.data_dir} cannot be written: {error.strerror}.") from error

    def _reuse(self) -> bool:
        address = running(self.data_dir)
        if address is None:
            return False
        self.port = address
        return True

    def _check_ports(self) -> None:
        for port in (self.port, self._controller_port):
            if not embedded_probe.listening(HOST, port):
                continue
            if embedded_probe.speaks_kafka(HOST, port):
                raise PortTakenError(
                    f"Another Kafka already listens on {HOST}:{port}: set KAFKA_BROKERS={HOST}:{port} to use it, "
                    "or EMBEDDED_KAFKA_PORT to a free port."
                )
            raise PortTakenError(f"Port {port} is taken by another program: stop it, or set EMBEDDED_KAFKA_PORT to a free port.")

    def _check_disk(self) -> None:
        free = shutil.disk_usage(self.data_dir).free
        if free < DISK_NEEDED_BYTES:
            raise DataFolderError(
                f"The disk of {self.data_dir} is full: {free // 2**20} MiB free, Kafka needs {DISK_NEEDED_BYTES // 2**20} MiB."
            )

    def _write_configuration(self) -> None:
        self._properties.write_text(
            _PROPERTIES.format(
                host=HOST,
                port=self.port,
                controller_port=self._controller_port,
                log_dirs=self.data_dir / "log",
                message_max_bytes=MESSAGE_MAX_BYTES,
            ),
            encoding="utf-8",
        )
        (self.data_dir / "log4j2.properties").write_text(_LOG4J.format(folder=self.data_dir / "logs"), encoding="utf-8")

    def _format(self, class_path: list[Path]) -> None:
        self._say("Formatting Kafka's storage")
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ("format", f"--cluster-id={cluster}", "--config", str(self._properties), "--ignore-formatted")
        options = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", self._logging_option)
        try:
            result = subprocess.run(  # noqa: S603  (our own command line)  # nosec B603
                embedded_java.command(class_path, "kafka.tools.StorageTool", *arguments, options=options),
                capture_output=True,
                text=True,
                timeout=FORMAT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StartError(f"Formatting Kafka's storage in {self.data_dir} took over {FORMAT_SECONDS:.0f} s.") from error
        if result.returncode:
            text = (result.stderr or result.stdout).strip().splitlines()
            raise StartError(f"Kafka's storage in {self.data_dir} cannot be formatted: {text[0] if text else result.returncode}")

    @property
    def _logging_option(self) -> str:
        return f"-Dlog4j2.configurationFile={self.data_dir / 'log4j2.properties'}"

    def _launch(self, class_path: list[Path]) -> None:
        self._say("Starting Kafka")
        options = (HEAP, "-Xms128m", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true", self._logging_option)
        arguments = embedded_java.command(class_path, "kafka.Kafka", str(self._properties), options=options)
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        self._process = embedded_java.spawn(arguments, self.data_dir / "logs" / "java.out")
        self._pid_file.write_text(json.dumps({"pid": self._process.pid, "port": self.port}), encoding="utf-8")

    def _wait_ready(self) -> None:
        assert self._process is not None  # noqa: S101  (called right after the launch)  # nosec B101
        deadline = time.monotonic() + START_SECONDS
        while embedded_probe.brokers(HOST, self.port, timeout=1) == 0:
            if self._process.poll() is not None:
                raise StartError(f"Kafka ended while starting: {self._last_error()} (see {self.log_file})")
            if time.monotonic() > deadline:
                raise StartError(f"Kafka was not ready within {START_SECONDS:.0f} s (see {self.log_file})")
            time.sleep(0.05)

    def _last_error(self) -> str:
        """The line of this start's log, or of Java's own output, that says best what went wrong."""
        text = ""
        if self.log_file.exists():
            with self.log_file.open(encoding="utf-8", errors="replace") as file:
                file.seek(self._log_start if self.log_file.stat().st_size >= self._log_start else 0)
                text = file.read()
        caused = re.findall(r"^(?:Caused by: )?[\w.]+(?:Exception|Error): (.+)$", text, re.MULTILINE)
        faults = re.findall(r"(?:ERROR|FATAL) \S+ (.+)", text)
        output = (self.data_dir / "logs" / "java.out").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return next(iter((*caused[-1:], *faults[-1:], *output[-1:])), "no reason given")


def running(data_dir: Path) -> int | None:
    """The port of the broker that already runs in a data folder, or None.

    Its process must be alive and something that speaks Kafka must answer on its port: a file left over from a crash proves nothing.
    """
    try:
        noted = json.loads((data_dir / "broker.json").read_text(encoding="utf-8"))
        pid, port = int(noted["pid"]), int(noted["port"])
        os.kill(pid, 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return port if embedded_probe.brokers(HOST, port) else None
