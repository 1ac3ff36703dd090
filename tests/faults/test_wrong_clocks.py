"""The tool of ring P4 does what it says: only the wall clock is wrong, and it can be stepped."""

import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from faults.wrong_clocks import WrongClock, forget, why_not
from gateway.clock import Clock
from server.clock import now

SAY = """
import sys
from gateway.clock import Clock
clock = Clock()
for _ in sys.stdin:
    print(clock.wall().isoformat(), clock.since_boot_s(), clock.boot_id(), flush=True)
"""


CONTEND = """
import resource, threading
is_over = threading.Event()

def wake_often():
    while not is_over.wait(0.001):
        pass

others = [threading.Thread(target=wake_often) for _ in range(3)]
for each in others:
    each.start()
sum(range(60_000_000))  # all that time it has Python's lock
ours, everybodys = resource.getrusage(resource.RUSAGE_THREAD), resource.getrusage(resource.RUSAGE_SELF)
is_over.set()
print((everybodys.ru_utime + everybodys.ru_stime) / (ours.ru_utime + ours.ru_stime))
"""


@pytest.fixture
def clock(tmp_path: Path) -> WrongClock:
    if (reason := why_not()) is not None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return WrongClock(file=tmp_path / "clock", off_by=timedelta(days=-1))


@pytest.mark.parametrize("then", [timedelta(), timedelta(days=1), timedelta(days=5000), timedelta(days=-20_000)])
def test_only_the_wall_clock_is_wrong_and_it_can_be_stepped(clock: WrongClock, then: timedelta) -> None:
    command = [sys.executable, "-c", SAY]
    with subprocess.Popen(
        command, env=os.environ | clock.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for off_by in (timedelta(days=-1), then):
            clock.step(off_by)
            wall, since_boot_s, boot_id = _ask(process)
            assert abs(wall - now() - off_by) < timedelta(minutes=1)
            assert abs(since_boot_s - Clock().since_boot_s()) < 60
            assert boot_id == Clock().boot_id()
        assert process.stdin is not None
        process.stdin.close()
    forget(process.pid)
    assert not Path(f"/dev/shm/faketime_shm_{process.pid}").exists()


def test_threads_that_wait_for_pythons_lock_leave_the_cores_to_others(clock: WrongClock) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONTEND], env=os.environ | clock.environment, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 1.5, "times the work of the one that has it"


def _ask(process: "subprocess.Popen[str]") -> tuple[datetime, float, str]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    wall, since_boot_s, boot_id = process.stdout.readline().split()
    return datetime.fromisoformat(wall), float(since_boot_s), boot_id
