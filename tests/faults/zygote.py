"""Starts our programs in a few milliseconds: a process that has imported them already and forks one for each order.

What it forks is a process like any other, with its own pid, environment, log and death; only the imports were done before. A
campaign starts thousands of them, and half a second of imports each would be most of its time. Linux only (`is_possible`).
"""

import ctypes
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from faults.child import main as become
from homevigil.embedded import child

PRELOADED: Final = ("server.cli", "server.app", "server.intake", "server.store.migrate", "gateway.app", "gateway.log")
ORDER_BYTES_MAX: Final = 1 << 18
ADOPTED_WITHIN_S: Final = 10.0
PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36


def is_possible() -> bool:
    return sys.platform.startswith("linux")


# -- the campaign's end ------------------------------------------------------------------------------------------------


class Forked:
    """A forked program, as its starter sees it: the verbs of `subprocess.Popen` that `child.stop` needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"pid {self.pid}", timeout or 0.0)
            time.sleep(0.002)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Zygote:
    """The forking process of this campaign worker."""

    def __init__(self, env: Mapping[str, str]) -> None:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # what it forks becomes our child
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "faults.zygote"]
            self._process = child.start(
                command, log=2, env=env, stdin=theirs.fileno(), stdout=2, death_signal=signal.SIGKILL
            )

    def start(
        self, arguments: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path, preload: Sequence[str] = ()
    ) -> Forked:
        """`python -m faults.child *arguments`. `preload`: modules to import once, for this one and those that follow."""
        order = {"arguments": [*arguments], "env": dict(env), "log": str(log), "cwd": str(cwd), "preload": [*preload]}
        self._link.send(json.dumps(order | {"parent": os.getpid()}).encode())
        pid = self._link.recv(64)
        assert pid, f"the zygote ended with code {self._process.wait()}"
        return Forked(int(pid))

    def close(self) -> None:
        self._link.close()
        self._process.wait()


# -- the zygote's end --------------------------------------------------------------------------------------------------


def serve() -> Sequence[str]:
    """Fork for each order until the campaign goes. Returns in every fork, with the arguments of what it is to become."""
    link = socket.socket(fileno=os.dup(0))
    for module in PRELOADED:
        importlib.import_module(module)
    while said := link.recv(ORDER_BYTES_MAX):
        order = json.loads(said)
        for module in order["preload"]:
            importlib.import_module(module)
        pid = _fork_twice()
        if pid == 0:
            link.close()
            _settle(order)
            return [str(each) for each in order["arguments"]]
        link.send(str(pid).encode())
    os._exit(0)


def _fork_twice() -> int:
    """The pid of a grandchild, or 0 in it. The child between them ends at once, so that the campaign becomes its parent."""
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        pid = os.fork()
        if pid:
            os.write(writing, str(pid).encode())
            os._exit(0)
        os.close(reading)
        os.close(writing)
        return 0
    os.close(writing)
    os.waitpid(between, 0)
    pid = int(os.read(reading, 32))
    os.close(reading)
    return pid


def _settle(order: dict[str, Any]) -> None:
    """Be a process of one's own: session, folder, log and environment; and die with the campaign."""
    deadline = time.monotonic() + ADOPTED_WITHIN_S
    while os.getppid() != order["parent"] and time.monotonic() < deadline:
        time.sleep(0.001)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL.value)
    if os.getppid() != order["parent"]:
        os._exit(1)
    os.setsid()
    os.chdir(order["cwd"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for theirs, ours in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(theirs, ours)
    os.close(nothing)
    os.close(log)
    os.environ.clear()
    os.environ.update(order["env"])


if __name__ == "__main__":
    become(serve())
