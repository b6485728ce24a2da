"""Write app/kafka/embedded_jars.lock anew: every jar that the embedded broker and its tools need, with its SHA-256.

Run it after changing KAFKA below: ``python scripts/lock_jars.py``. It needs the network, jgo, and about half a minute.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import jgo

KAFKA = "4.3.1"
LOG4J = "2.25.4"  # the version that Kafka 4.3.1 itself depends on
# Kafka's POMs leave the logging back end out (its own distribution adds it); without it the broker logs nothing.
# The "!" keeps log4j's own list of versions out of the tree: with it, it would pull kafka-clients back to 3.9.
LOGGING = f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J}!"
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA}+org.apache.kafka:kafka-tools:{KAFKA}+{LOGGING}"
# Kafka Connect and its web server come with kafka-tools for one plug-in lister that nobody needs here.
CONNECT = (
    "connect-",
    "jersey-",
    "jetty-",
    "hk2-",
    "jakarta.",
    "javax.",
    "jaxb-",
    "activation",
    "jackson-jakarta-",
    "jackson-module-",
    "aopalliance",
    "osgi-",
    "javassist",
    "classgraph",
    "maven-artifact",
    "plexus-utils",
    "swagger-",
)
LOCK = Path(__file__).resolve().parent.parent / "app" / "kafka" / "embedded_jars.lock"


def main() -> None:
    """Resolve the dependency tree, fetch every jar, and write the lock file."""
    lines = []
    for artifact in jgo.resolve(ENDPOINT):
        if artifact.artifactId.startswith(CONNECT):
            continue
        jar = artifact.resolve()
        lines.append(f"{artifact.groupId}:{artifact.artifactId}:{artifact.version} {hashlib.sha256(jar.read_bytes()).hexdigest()}")
        print(lines[-1], flush=True)
    header = f"# The jars of the embedded broker, Apache Kafka {KAFKA}: written by scripts/lock_jars.py, not by hand.\n"
    LOCK.write_text(header + "".join(f"{line}\n" for line in sorted(lines)), encoding="utf-8")


if __name__ == "__main__":
    main()
