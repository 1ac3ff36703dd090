"""The few words a service says to systemd: one datagram each, no library. Silent where no systemd listens."""

import os
import socket


def notify(message: str) -> bool:
    """Send `message` (`READY=1`, `WATCHDOG=1`, `STOPPING=1`, `STATUS=…`); whether somebody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
        try:
            s.sendto(message.encode(), address)
        except OSError:
            return False
    return True


def watchdog_period_s() -> float | None:
    """How often systemd wants to hear `WATCHDOG=1`, with the usual factor of two to spare; None if it does not."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC"), os.environ.get("WATCHDOG_PID")
    if not microseconds or (pid and int(pid) != os.getpid()):
        return None
    return int(microseconds) / 1_000_000 / 2
