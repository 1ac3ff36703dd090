"""The two upper rungs of the ladder, as a small program of root's: `python -m gateway.adapter_reset FOLDER`, run by systemd.

It takes one request out of the gateway's runtime folder and does it. The gateway may have been taken over: the request is read
without following a link, of a few bytes only, and there are exactly two of them. It imports nothing of the gateway that runs.
"""

import asyncio
import fcntl
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

REQUEST: Final = "adapter-request"
LONGEST: Final = 32
RECOVER_S: Final = 60.0
RESTART: Final = ("systemctl", "restart", "bluetooth.service")
NOTHING, WRONG, FAILED = 0, 2, 1

_RESET: Final = re.compile(r"reset hci([0-9]{1,2})")
_HCIDEVUP: Final = 0x400448C9
_HCIDEVDOWN: Final = 0x400448CA
"""Of the kernel's include/net/bluetooth/hci_sock.h; they are the same on every machine that we are built for."""
_AF_BLUETOOTH: Final = 31
_BTPROTO_HCI: Final = 1


def take(folder: Path) -> str:
    """The request in `folder`, removed from there; empty if there is none. Raises `OSError` for what is no plain file."""
    path = folder / REQUEST
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    finally:
        _remove(path)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(LONGEST).decode("ascii", "replace").strip()


def _remove(path: Path) -> None:
    """systemd starts us for as long as it is there, and after twelve times no more."""
    try:
        path.unlink(missing_ok=True)
    except (IsADirectoryError, PermissionError):  # unlink(2) may say either of a folder
        path.rmdir()


def do(request: str) -> int:
    """Carry out `request`; the exit code."""
    if not request:
        return NOTHING
    if request == "restart":
        print("restarting bluetoothd", flush=True)
        return subprocess.run(RESTART, check=False, timeout=RECOVER_S).returncode and FAILED
    if (match := _RESET.fullmatch(request)) is not None:
        print(f"resetting hci{match[1]}", flush=True)
        return NOTHING if reset(int(match[1])) else FAILED
    print("a request that is none", file=sys.stderr)
    return WRONG


def reset(number: int) -> bool:
    """Reset the adapter, by `bluetooth-auto-recovery` if it is installed (rfkill, power, USB), else by down and up."""
    try:
        from bluetooth_adapters import get_adapters_from_hci
        from bluetooth_auto_recovery import recover_adapter
    except ImportError:
        return _down_and_up(number)
    address = get_adapters_from_hci().get(number, {}).get("bdaddr", "00:00:00:00:00:00")
    return bool(asyncio.run(asyncio.wait_for(recover_adapter(number, address), RECOVER_S)))


def _down_and_up(number: int) -> bool:
    try:
        with socket.socket(_AF_BLUETOOTH, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _BTPROTO_HCI) as hci:
            fcntl.ioctl(hci.fileno(), _HCIDEVDOWN, number)
            fcntl.ioctl(hci.fileno(), _HCIDEVUP, number)
    except OSError as e:
        print(f"hci{number}: {e}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(do(take(Path(sys.argv[1]))))
