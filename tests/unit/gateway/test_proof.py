"""That a release is well is said once, after it has been; and which release it is."""

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from gateway import proof
from gateway.proof import prove, running_release


async def test_what_was_well_for_long_enough_says_so_once_though_not_without_a_break(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    answers = iter([True, False] * (proof.LOOKS - 1) + [False, True])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        async with asyncio.timeout(10):
            await prove(lambda: next(answers), look_s=0)
        assert listener.recv(200).decode().startswith(f"STATUS=well, as {running_release()}: ")
        with pytest.raises(BlockingIOError):
            listener.recv(200)
    assert list(answers) == []


async def test_what_is_not_well_never_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    looks, enough = 0, asyncio.Event()

    def look() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3 * proof.LOOKS:
            enough.set()
        return False

    proving = asyncio.create_task(prove(look, look_s=0))
    async with asyncio.timeout(10):
        await enough.wait()
    assert not proving.done()
    proving.cancel()


def test_a_release_is_called_as_its_folder_is_whatever_led_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "releases/0.2.0-py3.11").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/0.2.0-py3.11")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "current"))
    assert running_release() == "0.2.0-py3.11"
