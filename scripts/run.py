"""Everything on one machine: the embedded broker, a worker, the notification service, a simulator (``make run``).

KAFKA_BROKERS set, in the environment or in .env: that cluster is used and no broker is started. SMTP_URL set: mails go there;
else a catcher takes them, and shows them on a page.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from honcho import environ
from honcho import manager as honcho_manager

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.kafka.embedded import configured, say  # noqa: E402
from app.kafka.embedded_errors import BrokerError  # noqa: E402
from scripts.when_ready import ready  # noqa: E402

DEFAULT_PORT = 8086
#: The other ports: the notification service, and the catcher's for mails and for its page.
PORTS = {"NOTIFICATIONS_PORT": 8090, "CATCHER_SMTP_PORT": 1025, "CATCHER_PORT": 8025}
CATCHER = "catcher"
#: From the signal to the last process gone, the broker included.
STOP_SECONDS = 9.5
#: What the Procfile's processes get of it, in seconds; the broker needs about one.
PROCESSES_SECONDS = 7.5
PORT_TAKEN = 69  # EX_UNAVAILABLE
BAD_SETTINGS = 2


class Interrupted(Exception):  # noqa: N818  (no error: the user asked)
    """A signal came before the processes ran."""


def settings() -> dict[str, str]:
    """The environment of the processes: .env under the real environment, as the service itself reads them."""
    file = ROOT / ".env"
    fallback = environ.parse(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {**fallback, **os.environ}


class PortTaken(Exception):  # noqa: N818  (a state of the machine)
    """Somebody listens there already, or nobody may."""


def port_of(env: dict[str, str], name: str = "PORT", default: int = DEFAULT_PORT) -> int:
    """A port as a number.

    Raises:
        ValueError: it is none.
    """
    text = env.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError(f"{name} is no port: {text!r}")
    return int(text)


def free_ports(env: dict[str, str]) -> dict[str, int]:
    """The ports that are needed, by the name of their setting.

    Raises:
        ValueError: one is no port, or two are the same.
        PortTaken: one cannot be listened on.
    """
    caught = not env.get("SMTP_URL")
    names = {"PORT": DEFAULT_PORT} | {name: default for name, default in PORTS.items() if caught or not name.startswith("CATCHER")}
    ports = {name: port_of(env, name, default) for name, default in names.items()}
    if len(set(ports.values())) < len(ports):
        raise ValueError(f"{', '.join(ports)} must differ: {', '.join(map(str, ports.values()))}")
    for name, port in ports.items():
        try:
            check_free("127.0.0.1", port)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise PortTaken(
                f"Port {port} is taken or not allowed: stop what listens there, or choose another: {name}={port + 1} make run"
            ) from None
    return ports


def check_free(host: str, port: int) -> None:
    """Raise OSError when the port cannot be listened on."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))


def announce(urls: dict[str, str]) -> None:
    """Wait for what answers and print the addresses where they are not overlooked.

    Args:
        urls: of the worker, the notification service and, where there is one, the catcher, by the names of the Procfile.
    """
    started = time.monotonic()
    while not (ready(urls["worker"]) and ready(urls["notifications"])):
        time.sleep(0.25)
    lines = [f"Teamcast is ready: {urls['worker']}/"]
    if CATCHER in urls:
        lines.append(f"Its mails:         {urls[CATCHER]}/")
    lines.append(f"after {time.monotonic() - started:.0f} s. Ctrl-C stops everything.")
    width = max(map(len, lines)) + 4
    box = [f"╭{'─' * width}╮", *(f"│  {line:<{width - 2}}│" for line in lines), f"╰{'─' * width}╯"]
    print("\n".join(["", *box, ""]), flush=True)


def run_processes(env: dict[str, str], urls: dict[str, str]) -> tuple[int, float]:
    """Run the Procfile until a process ends or a signal comes.

    Returns:
        The exit code (0 after a signal), and when the end began, on the monotonic clock.
    """
    procfile = environ.parse_procfile((ROOT / "Procfile").read_text(encoding="utf-8"))
    manager = honcho_manager.Manager()
    for name, command in procfile.processes.items():
        if name != CATCHER or CATCHER in urls:
            manager.add_process(name, command, env=env, cwd=str(ROOT))
    ending: list[float] = []
    terminate = manager.terminate

    # honcho's own limit is five seconds from when the first of them has left: too early for a worker, and never where none leaves.
    honcho_manager.KILL_WAIT = PROCESSES_SECONDS
    kill = threading.Timer(PROCESSES_SECONDS, manager.kill)
    kill.daemon = True

    def note_and_terminate() -> None:
        if not ending:
            ending.append(time.monotonic())
            kill.start()
        terminate()

    manager.terminate = note_and_terminate
    threading.Thread(target=announce, args=(urls,), daemon=True).start()
    manager.loop()
    kill.cancel()
    code = manager.returncode or 0
    asked = code in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    return (0 if asked else code), (ending[0] if ending else time.monotonic())


def main() -> int:
    """Start everything, wait, stop everything with the broker last; return the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    os.chdir(ROOT)
    env = settings()
    broker = None
    began = None
    try:
        ports = free_ports(env)
        if not env.get("KAFKA_BROKERS"):
            os.environ.update({name: env[name] for name in env if name.startswith("EMBEDDED_KAFKA_")})
            broker = configured()
            broker.start()
            env["KAFKA_BROKERS"] = broker.bootstrap
            env.setdefault("REPLICATION_FACTOR", "1")
        # Saying good-bye to the browsers little by little spares other workers a rush; here there is no other.
        env.setdefault("DRAIN_SECONDS", "1")
        env.update({name: str(port) for name, port in ports.items()})
        urls = {"worker": f"http://127.0.0.1:{ports['PORT']}", "notifications": f"http://127.0.0.1:{ports['NOTIFICATIONS_PORT']}"}
        if "CATCHER_PORT" in ports:
            urls[CATCHER] = f"http://127.0.0.1:{ports['CATCHER_PORT']}"
            env["SMTP_URL"] = f"smtp://127.0.0.1:{ports['CATCHER_SMTP_PORT']}"
        env.setdefault("PUBLIC_URL", urls["worker"])
        env.update(PYTHONUNBUFFERED="1", PATH=f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}")
        code, began = run_processes(env, urls)
    except Interrupted:
        return 0
    except BrokerError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except ValueError as error:
        print(error, file=sys.stderr)
        return BAD_SETTINGS
    except PortTaken as taken:
        print(taken, file=sys.stderr)
        return PORT_TAKEN
    finally:
        if broker is not None and broker.owned:
            # A second Ctrl-C must not leave the broker half stopped.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            say("Stopping Kafka")
            broker.stop(STOP_SECONDS - (time.monotonic() - began) if began else STOP_SECONDS)
    return code


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main())
