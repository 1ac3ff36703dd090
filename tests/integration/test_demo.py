"""The demo as a newcomer starts it: real processes, real parts, and nothing left when it ends."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from homevigil.embedded import bus, child
from homevigil.embedded.postgres import temporary_folder

SMALL = ("--patients", "2", "--days", "6")
WITHIN_S = 120


class Started:
    """A demo in a process of its own, in a session of its own; `lines` are read as they come."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "homevigil", "demo", *SMALL, "--web-port", str(child.free_port()), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
        self.said: list[str] = []

    def until(self, pattern: str) -> re.Match[str]:
        """The first line from here on in which `pattern` is found."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"no {pattern!r} in:\n{''.join(self.said)}")

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal to the demo alone, read to its end, and give its exit code."""
        self.process.send_signal(number)
        return self.rest()

    def rest(self) -> int:
        assert self.process.stdout is not None
        self.said += self.process.stdout.readlines()
        return self.process.wait(WITHIN_S)

    @property
    def family(self) -> dict[int, str]:
        """Every living descendant: pid → command."""
        return dict(_descendants(self.process.pid))


@pytest.fixture
def demo() -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def start(*arguments: str, env: Mapping[str, str] | None = None) -> Started:
        started.append(Started(*arguments, env=env))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        assert each.process.stdout is not None
        each.process.stdout.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for sockets, and open to the account that PostgreSQL runs as."""
    made = temporary_folder()
    yield made
    shutil.rmtree(made)


def until_alert(*arguments: str) -> dict[str, Any]:
    """The JSON object of `--until-alert --json`; it stands alone on stdout."""
    command = [sys.executable, "-m", "homevigil", "demo", *SMALL, "--until-alert", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WITHIN_S)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def assert_alert_is_whole(result: dict[str, Any]) -> None:
    readings, alert, times = result["readings"], result["alert"], result["milliseconds"]
    assert readings["sent"] == readings["stored"] > 1
    assert (readings["repeated"], readings["quarantined"]) == (0, 0)
    assert (alert["rule"], alert["rule_version"]) == ("bp-above-140-90-3-days", 1)
    assert set(alert["sentence"]) == set(alert["patient_message"]) == {"en", "zh"}
    assert "140/90" in alert["sentence"]["en"]
    assert "140/90" in alert["sentence"]["zh"]
    assert 0 < times["indicated_to_stored"] < times["indicated_to_judged"] < times["indicated_to_pushed_doctor"]
    assert times["indicated_to_judged"] < times["indicated_to_pushed_patient"]
    assert result["versions"]["timescaledb"] is None
    assert all(result["versions"][part] for part in ("homevigil", "postgresql", "broker", "bleak", "bumble", "numba"))


@pytest.mark.radio
@pytest.mark.skipif(not bus.is_available() and not os.environ.get("CI"), reason="sudo apt-get install dbus-daemon")
def test_a_measured_alert_reaches_doctor_and_patient_through_unmodified_bleak() -> None:
    result = until_alert()
    assert_alert_is_whole(result)
    assert "D-Bus" in result["embedded"]["radio"]


def test_without_a_bus_and_without_mosquitto_the_alert_arrives_all_the_same() -> None:
    result = until_alert("--radio", "air", "--broker", "rumqttd")
    assert_alert_is_whole(result)
    assert "rumqttd" in result["embedded"]["broker"]
    assert "in-process air" in result["embedded"]["radio"]


def test_ctrl_c_leaves_no_process_no_port_and_no_folder(demo: Callable[..., Started]) -> None:
    started = demo("--radio", "air")
    url = started.until(r"Worklist +(http://\S+)")[1]
    family = started.family
    assert len(family) >= 4
    (command,) = {line for line in family.values() if "homevigil.demo.air" in line}
    data = Path(command.split("--meters ")[1]).parent
    assert data.exists()
    assert started.end() == 0
    assert living(family) == {}
    assert not listens(url)
    assert not data.exists()


def test_a_killed_demo_leaves_nothing_that_runs(demo: Callable[..., Started]) -> None:
    started = demo("--radio", "air", "--keep")
    url = started.until(r"Worklist +(http://\S+)")[1]
    data = Path(started.until(r"Data +(\S+)")[1])
    family = started.family
    started.end(signal.SIGKILL)  # its output ends when the last who holds it has ended
    wait_for_the_end_of(family)
    assert not listens(url)
    shutil.rmtree(data)


def test_a_kept_folder_is_gone_on_with(demo: Callable[..., Started], folder: Path) -> None:
    first = demo("--radio", "air", "--data", str(folder))
    password = first.until(r"password (\S+)")[1]
    link = first.until(r"/me/(\S+)")[1]
    first.until(r"→ judged")
    assert first.end() == 0
    second = demo("--radio", "air", "--data", str(folder))
    assert second.until(r"password (\S+)")[1] == password
    assert second.until(r"/me/(\S+)")[1] == link
    second.until(r"→ judged")
    assert second.end() == 0
    assert not any("moving in" in line or "simulated," in line for line in second.said)


def test_a_taken_port_is_left_alone_and_the_pages_answer(demo: Callable[..., Started]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        started = demo("--radio", "air", "--keep", "--web-port", str(port))
        worklist = started.until(r"Worklist +(http://\S+)")[1]
    patient = started.until(r"Patient +(http://\S+)")[1]
    assert f":{port}/" not in worklist
    for url in (worklist, patient):
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 200
    data = Path(started.until(r"Data +(\S+)")[1])
    assert started.end(signal.SIGTERM) == 0
    assert data.exists()
    shutil.rmtree(data)


def test_a_part_that_dies_ends_the_demo_with_its_name(demo: Callable[..., Started]) -> None:
    started = demo("--radio", "air", "--every", "0.5")
    started.until("Live:")
    (server,) = [pid for pid, command in started.family.items() if "-m server run --role intake" in command]
    os.kill(server, signal.SIGKILL)
    assert started.rest() == 1
    assert any("server ended" in line or "was not stored" in line for line in started.said), "".join(started.said)


def test_what_was_asked_for_and_is_not_there_is_named() -> None:
    command = [sys.executable, "-m", "homevigil", "demo", *SMALL, "--until-alert", "--json", "--radio", "bus"]
    env = {**os.environ, "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=WITHIN_S)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "apt-get install dbus-daemon" in done.stderr


def test_json_without_until_alert_is_refused() -> None:
    command = [sys.executable, "-m", "homevigil", "demo", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WITHIN_S)
    assert done.returncode == 2


def living(family: Mapping[int, str]) -> dict[int, str]:
    return {pid: command for pid, command in family.items() if _state(pid) not in (None, "Z")}


def wait_for_the_end_of(family: Mapping[int, str]) -> None:
    """Returns when all have ended: a pidfd becomes readable at that moment."""
    import select

    for pid in living(family):
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        readable, _, _ = select.select([handle], [], [], 20)
        os.close(handle)
        assert readable, family[pid]


def listens(url: str) -> bool:
    host, _, port = url.removeprefix("http://").strip("/").partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def _descendants(root: int) -> Iterator[tuple[int, str]]:
    parents = {int(path.name): _parent(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()}
    wanted = {root}
    for _ in range(6):
        wanted |= {pid for pid, parent in parents.items() if parent in wanted}
    for pid in sorted(wanted - {root}):
        try:
            yield pid, Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return None


def _state(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
