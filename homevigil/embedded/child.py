"""A child process that never outlives us: not after Ctrl-C, not after `kill -9` of its parent."""

import atexit
import ctypes
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final

from vitals.errors import UnavailableError

PR_SET_PDEATHSIG: Final = 1
STOP_WITHIN_S: Final = 8.0
POLL_S: Final = 0.02

_claims: Final[dict[int, socket.socket]] = {}


def start(
    command: Sequence[str | Path],
    *,
    log: IO[bytes] | int,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: IO[bytes] | int | None = None,
    cwd: str | Path | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    account: str | None = None,
) -> "subprocess.Popen[bytes]":
    """Start `command` in a session of its own, so that a Ctrl-C reaches us and we decide the order of stopping.

    Where Linux offers it, the child gets `death_signal` when we die. `account` runs it as that user (we must be root).
    """
    identity: dict[str, Any] = {}
    if account is not None:
        entry = pwd.getpwnam(account)
        identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    process = None
    try:
        with _signals_held():
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=stdin,
                stdout=log if stdout is None else stdout,
                stderr=log,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
                preexec_fn=_follow_parent(death_signal),
                **identity,
            )
    except BaseException:
        if process is not None:  # nobody else knows it
            stop(process)
        raise
    return process


def stop(process: "subprocess.Popen[bytes]", *, with_signal: signal.Signals = signal.SIGTERM) -> None:
    """Ask `process` to end, and end it if it does not within `STOP_WITHIN_S`."""
    if process.poll() is None:
        process.send_signal(with_signal)
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(
    is_ready: Callable[[], bool], *, process: "subprocess.Popen[bytes]", within_s: float, what: str, log: Path
) -> None:
    """Wait until `is_ready()`; raises `UnavailableError` with the end of the log if the process ends or time runs out."""
    deadline = time.monotonic() + within_s
    while not is_ready():
        if process.poll() is not None:
            raise UnavailableError(f"{what} ended with code {process.returncode} at start:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise UnavailableError(f"{what} did not answer within {within_s:.0f} s:\n{tail(log)}")
        time.sleep(POLL_S)


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log, for an error message."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"


def free_port(wanted: int = 0) -> int:
    """`wanted` if nobody listens there and nobody else has been given it, else a port that the system has free now."""
    for port in (wanted, 0):
        if port != 0 and not _claim(port):
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UnavailableError("no free TCP port on 127.0.0.1")


def accepts(port: int) -> bool:
    """Whether something accepts TCP connections on 127.0.0.1:`port`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return True
    except OSError:
        return False


def _claim(port: int) -> bool:
    """Whether this port is ours among all who ask `free_port`, until this process ends.

    Seconds lie between finding a port free and listening there. Of two demos that are started together, each would find the same
    one free, and the second's gateway would speak to the first's broker. A name in Linux's abstract namespace belongs to one
    process and goes with it; elsewhere the risk stays.
    """
    if port in _claims or not sys.platform.startswith("linux"):
        return True
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0homevigil-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims[port] = claim
    atexit.register(claim.close)
    return True


@contextmanager
def _signals_held() -> Iterator[None]:
    """SIGINT and SIGTERM that come in here are raised again at the end.

    Python runs hooks after a fork and ignores what they raise: a KeyboardInterrupt that falls on one of them is lost, and
    whoever pressed Ctrl-C waits for ever.
    """
    if threading.current_thread() is not threading.main_thread():  # no handler ever runs there
        yield
        return
    came: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in came:
            signal.raise_signal(each)


def _follow_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def follow() -> None:
        libc.prctl(PR_SET_PDEATHSIG, death_signal.value)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return follow
