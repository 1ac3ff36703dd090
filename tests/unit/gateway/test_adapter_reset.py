"""Root's small program: two requests, read once, through no link, and nothing else is done for anybody."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gateway.adapter import REQUEST as WRITTEN
from gateway.adapter_reset import NOTHING, REQUEST, WRONG, do, take

REPOSITORY = Path(__file__).parents[3]


def test_what_the_gateway_writes_is_what_root_reads(tmp_path: Path) -> None:
    assert WRITTEN == REQUEST
    (tmp_path / REQUEST).write_text("reset hci0\n")
    assert take(tmp_path) == "reset hci0"
    assert take(tmp_path) == ""


def test_a_link_is_not_followed_and_does_not_stay(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("restart")
    (tmp_path / REQUEST).symlink_to(secret)
    with pytest.raises(OSError):
        take(tmp_path)
    assert secret.exists()
    assert not (tmp_path / REQUEST).is_symlink()


def test_a_folder_is_no_request_and_does_not_stay(tmp_path: Path) -> None:
    (tmp_path / REQUEST).mkdir()
    with pytest.raises(OSError, match="directory"):
        take(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / REQUEST)
    assert take(tmp_path) == ""


def test_of_a_long_request_only_the_beginning_is_read(tmp_path: Path) -> None:
    (tmp_path / REQUEST).write_bytes(b"restart" + b"x" * 1_000_000)
    assert len(take(tmp_path)) == 32


@pytest.mark.parametrize(
    "request_text",
    ["reset", "reset hci", "reset hci100", "reset hci0; reboot", "restart now", "RESTART", "\ufffd", "reset hci٣"],
)
def test_what_is_neither_of_the_two_is_refused(request_text: str) -> None:
    assert do(request_text) == WRONG


def test_no_request_is_no_work() -> None:
    assert do("") == NOTHING


def _run(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gateway.adapter_reset", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_a_restart_asks_systemd_for_one_service(tmp_path: Path) -> None:
    told = tmp_path / "told"
    programs = tmp_path / "programs"
    programs.mkdir()
    systemctl = programs / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" > {told}\n')
    systemctl.chmod(0o755)
    (tmp_path / REQUEST).write_text("restart\n")
    done = _run(tmp_path, PATH=f"{programs}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert told.read_text() == "restart bluetooth.service\n"


def test_a_reset_goes_to_the_library_if_it_is_there_with_the_adapters_address(tmp_path: Path) -> None:
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    (libraries / "bluetooth_adapters.py").write_text(
        "def get_adapters_from_hci(): return {1: {'bdaddr': 'AA:BB:CC:DD:EE:FF'}}\n"
    )
    (libraries / "bluetooth_auto_recovery.py").write_text(
        "async def recover_adapter(number, address):\n    print(number, address)\n    return True\n"
    )
    (tmp_path / REQUEST).write_text("reset hci1\n")
    done = _run(tmp_path, PYTHONPATH=f"{libraries}:{REPOSITORY}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 AA:BB:CC:DD:EE:FF"


def test_an_adapter_that_is_not_there_fails_and_says_so(tmp_path: Path) -> None:
    (tmp_path / REQUEST).write_text("reset hci99\n")
    done = _run(tmp_path)
    assert done.returncode == 1
    assert "hci99" in done.stderr


def test_the_running_gateway_never_imports_what_only_root_needs() -> None:
    program = (
        "import sys, gateway.app, gateway.bleak_radio, gateway.cli; print('bluetooth_auto_recovery' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert not [line for line in extras["gateway"] if line.startswith("bluetooth-auto-recovery")]
