"""A machine with a real systemd, in namespaces of this kernel: what the sandbox of a unit does, only systemd can say.

Debian as mmdebstrap makes it, kept in the user's cache folder and never written to; every machine has a layer of its own above
it, in memory. It shares this machine's network, so that meters and broker of a test are there, and can change nothing of this
kernel: /proc/sys and /sys are read-only in it. Root is needed.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from .userland import CannotBuildError, mirror

PACKAGES: Final = "systemd,systemd-sysv,dbus,bluez,python3"
UP_WITHIN_S: Final = 60.0
LAYERS: Final = """
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,ro,bind proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
echo 127.0.0.1 localhost > etc/hosts
mkdir -p old
pivot_root . old
umount -l old
export container=test
exec /lib/systemd/systemd --log-target=journal --show-status=0
"""


@dataclass(slots=True, kw_only=True)
class SmallMachine:
    """`with SmallMachine(root=debian("trixie")) as machine:` is booted."""

    root: Path
    _process: "subprocess.Popen[bytes]" = field(init=False)
    _cgroup: Path = field(init=False)
    _place: Path = field(init=False)
    pid: int = 0

    def __enter__(self) -> Self:
        self._place = Path(tempfile.mkdtemp(prefix="homevigil-machine-"))
        self._cgroup = _unified() / f"homevigil-test-{os.getpid()}"
        self._cgroup.mkdir(exist_ok=True)
        enter = f'echo $$ > {self._cgroup}/cgroup.procs; exec "$@"'
        apart = ["unshare", "-m", "-p", "-u", "-i", "-C", "--fork", "--kill-child"]
        inside = ["sh", "-c", LAYERS, "sh", str(self.root), str(self._place)]
        self._process = subprocess.Popen(
            ["sh", "-c", enter, "sh", *apart, *inside], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # unshare's --kill-child ends the first process in there, and with it all others
        self._process.communicate()
        for _ in range(100):
            try:
                for group in sorted(self._cgroup.rglob("*/"), reverse=True):
                    group.rmdir()
                self._cgroup.rmdir()
                break
            except OSError:
                time.sleep(0.05)  # the last of them are still ending
        self._place.rmdir()

    @property
    def inside(self) -> Path:
        """Its root folder, as seen from here."""
        return Path(f"/proc/{self.pid}/root")

    @property
    def bus_address(self) -> str:
        return f"unix:path={self.inside}/run/dbus/system_bus_socket"

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """As root in there."""
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
        enter = ["nsenter", f"--target={self.pid}", "-m", "-p", "-u", "-i", "-C", "--wdns=/", "env", "-i", path]
        return subprocess.run([*enter, *command], capture_output=True, text=True, check=False, timeout=180)

    def show(self, unit: str, what: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={what}", unit).stdout.strip()

    def shows(self, unit: str, what: str, value: str, within_s: float = 30.0) -> bool:
        """Whether a property of a unit comes to be so; systemd is asked again and again."""
        until = time.monotonic() + within_s
        while self.show(unit, what) != value:
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True

    def _wait(self) -> None:
        until = time.monotonic() + UP_WITHIN_S
        state = ""
        while time.monotonic() < until:
            if self._process.poll() is not None:
                assert self._process.stderr is not None
                raise CannotBuildError(f"it did not start: {self._process.stderr.read().decode()[-500:]}")
            self.pid = _only_child(self._process.pid)
            if self.pid and (self.inside / "run/systemd/system").exists():
                state = self.run("systemctl", "is-system-running").stdout.strip()
                if state in ("running", "degraded"):
                    return
            time.sleep(0.1)
        raise CannotBuildError(f"systemd was not up within {UP_WITHIN_S:.0f} s: {state}")


def debian(suite: str) -> Path:
    """The folder of a Debian with systemd and BlueZ, made if it is not there yet (half a minute). Raises `CannotBuildError`."""
    if os.geteuid() != 0:
        raise CannotBuildError("a machine with a real systemd needs root: sudo python3 run.py test --full")
    if shutil.which("mmdebstrap") is None:
        raise CannotBuildError("mmdebstrap is missing; to run this suite, on Debian: sudo apt-get install mmdebstrap")
    base = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(base) if base else Path.home() / ".cache") / "homevigil" / "systemd"
    place = cache / f"{suite}-{hashlib.sha256(PACKAGES.encode()).hexdigest()[:16]}"
    if not place.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=cache) as temporary:
            root = Path(temporary) / "root"
            command = [
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                f"--include={PACKAGES}",
                suite,
                str(root),
                mirror(),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise CannotBuildError(f"mmdebstrap failed: {done.stderr[-800:]}")
            root.rename(place)
    return place


def _unified() -> Path:
    """Where this machine's cgroup2 is mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise CannotBuildError("this machine has no cgroup2 mounted; a systemd cannot run in it")


def _only_child(pid: int) -> int:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return int(children[0]) if len(children) == 1 else 0
