"""The edges of the process: systemd's datagrams, the command line, and what importing it brings along."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from unit.gateway.samples import NOW, reading

from gateway import systemd
from gateway.outbox import Outbox


def _python(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HOMEVIGIL_GATEWAY_")}
    return subprocess.run(
        [sys.executable, *arguments], env=clean | environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_systemd_hears_what_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        assert systemd.notify("READY=1")
        assert listener.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_said_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not systemd.notify("READY=1")


def test_the_watchdog_is_fed_twice_as_often_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    assert systemd.watchdog_period_s() is None
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert systemd.watchdog_period_s() == 15.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert systemd.watchdog_period_s() is None


def test_the_gateway_never_carries_the_servers_weight() -> None:
    code = (
        "import sys, gateway.app, gateway.bleak_radio, gateway.pairing_agent, gateway.cli;"
        "print([m for m in ('numpy', 'numba', 'psycopg', 'fastapi', 'server', 'firmware_sims') if m in sys.modules])"
    )
    done = _python("-c", code)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_help_brings_no_library_of_the_radio_or_the_line() -> None:
    code = (
        "import sys, gateway.cli;"
        "print([m for m in ('pydantic', 'paho', 'bleak', 'sqlite3', 'structlog', 'asyncio') if m in sys.modules])"
    )
    assert _python("-c", code).stdout.strip() == "[]"
    assert "Read meters and send readings" in _python("-m", "gateway", "--help").stdout


def test_the_outbox_can_be_counted(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with Outbox(path, now=NOW) as outbox:
        outbox.keep(reading(1))
        running = _python("-m", "gateway", "status", "--json", HOMEVIGIL_GATEWAY_OUTBOX=str(path))
        assert json.loads(running.stdout)["running"] is True
    done = _python("-m", "gateway", "outbox", "--path", str(path), "--json")
    assert json.loads(done.stdout)["unconfirmed"] == 1
    status = json.loads(_python("-m", "gateway", "status", "--path", str(path), "--json").stdout)
    assert status["running"] is False
    assert status["outbox"]["kept"] == 1
    assert "unconfirmed: 1" in _python("-m", "gateway", "outbox", "--path", str(path)).stdout


def test_an_outbox_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    done = _python("-m", "gateway", "outbox", "--path", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "there is no outbox" in done.stderr


@pytest.mark.parametrize("command", ["status", "outbox"])
@pytest.mark.parametrize("there", ["words", "somebody else's database", "a folder", "half an outbox", "nothing yet"])
def test_a_file_that_is_no_outbox_is_said_so_without_a_traceback(tmp_path: Path, command: str, there: str) -> None:
    path = tmp_path / "outbox.sqlite"
    match there:
        case "words":
            path.write_bytes(b"not SQLite at all, only words that go on for longer than a header " * 4)
        case "somebody else's database":
            with closing(sqlite3.connect(path)) as db:
                db.execute("create table diary (entry text)")
        case "a folder":
            path.mkdir()
        case "half an outbox":
            Outbox(path, now=NOW).close()
            path.write_bytes(path.read_bytes()[:4096])
        case "nothing yet":
            path.touch()
    before = path.read_bytes() if path.is_file() else None
    done = _python("-m", "gateway", command, "--path", str(path))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert str(path) in done.stderr
    assert "outbox" in done.stderr.replace(str(path), "")
    assert (path.read_bytes() if path.is_file() else None) == before


def test_wrong_settings_end_the_gateway_with_a_word_and_without_a_traceback() -> None:
    done = _python("-m", "gateway", "run", HOMEVIGIL_GATEWAY_ID="gw/1")
    assert done.returncode == 2
    line = json.loads(done.stderr)
    assert line["event"] == "settings_wrong"
    assert "HOMEVIGIL_GATEWAY_ZONE" in line["why"]


def test_an_outbox_in_use_ends_the_gateway_with_a_word(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with Outbox(path, now=NOW):
        done = _python(
            "-m",
            "gateway",
            "run",
            HOMEVIGIL_GATEWAY_ID="gw-1",
            HOMEVIGIL_GATEWAY_ZONE="Asia/Shanghai",
            HOMEVIGIL_GATEWAY_OUTBOX=str(path),
        )
    assert done.returncode == 3
    assert "stop that one first" in done.stderr
    assert "Traceback" not in done.stderr
