"""How long a process takes to end, in time that it could have used."""

import os
import select
import signal
import subprocess
from pathlib import Path
from time import monotonic

WITHIN_S = 30.0


def end(process: "subprocess.Popen[str] | subprocess.Popen[bytes]", with_signal: signal.Signals) -> tuple[int, float]:
    """Its exit code and the seconds from the signal to its end, without those in which it was ready and others had the cores."""
    waited_s = _waited_for_a_core_s(process.pid)
    started = monotonic()
    process.send_signal(with_signal)
    handle = os.pidfd_open(process.pid)
    try:
        ended, _, _ = select.select([handle], [], [], WITHIN_S)
    finally:
        os.close(handle)
    assert ended, f"it still runs after {WITHIN_S:.0f} s"
    took_s = monotonic() - started
    waited_s = _waited_for_a_core_s(process.pid) - waited_s  # nobody has reaped it: its figures are still there
    return process.wait(), took_s - waited_s


def _waited_for_a_core_s(pid: int) -> float:
    """Of its main thread; 0 where the kernel does not count it."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except FileNotFoundError:
        return 0.0
