"""scripts/supervise.py: what is started again and what is not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

LIVED_LONG = "import scripts.supervise as s; s.SHORT_LIFE_SECONDS = 0; import sys; sys.exit(s.Supervisor(sys.argv[1:]).run())"


def supervise(child: str, *, patient: bool = True) -> subprocess.Popen[str]:
    supervisor = ["-c", LIVED_LONG] if patient else ["scripts/supervise.py"]
    return subprocess.Popen([sys.executable, *supervisor, sys.executable, "-u", "-c", child], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_what_fails_is_started_again_until_it_ends_well(tmp_path: Path) -> None:
    note = tmp_path / "note"
    child = f"import pathlib, sys; p = pathlib.Path({str(note)!r}); again = p.exists(); p.write_text(''); sys.exit(0 if again else 3)"

    process = supervise(child)
    output, _ = process.communicate(timeout=20)

    assert process.returncode == 0
    assert "exit code 3; starting it again" in output


def test_bad_settings_end_it() -> None:
    process = supervise("raise SystemExit(2)")

    assert process.wait(10) == 2
    process.communicate()


def test_what_does_not_last_is_not_started_again() -> None:
    process = supervise("raise SystemExit(3)", patient=False)

    assert process.communicate(timeout=10)[0] == ""
    assert process.returncode == 3


def test_what_only_lacked_brokers_is_started_again_however_short_it_lived(tmp_path: Path) -> None:
    note = tmp_path / "note"
    child = f"import pathlib, sys; p = pathlib.Path({str(note)!r}); again = p.exists(); p.write_text(''); sys.exit(0 if again else 69)"

    process = supervise(child, patient=False)
    output, _ = process.communicate(timeout=20)

    assert process.returncode == 0
    assert "exit code 69; starting it again" in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_child_once_as_sigterm_and_ends_both(number: signal.Signals) -> None:
    child = (
        "import signal, time, sys\n"
        "seen = []\n"
        "signal.signal(signal.SIGTERM, lambda *_: seen.append(1))\n"
        "print('up')\n"
        "while not seen: time.sleep(0.01)\n"
        "time.sleep(0.3); print(len(seen)); sys.exit(7)"
    )
    process = supervise(child)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"

    process.send_signal(number)
    output, _ = process.communicate(timeout=10)

    assert output == "1\n"
    assert process.returncode == 7
