"""How the machine in the home is: memory, files, disk, warmth, voltage, read from the kernel's own files.

What a kernel, a container or a hardened unit does not show is None, never a guess. Nothing here names a person or a place.
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path("/")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`rss_mb` and `open_files` are of this process, `disk_free_mb` of the disk of the outbox, 1 MB = 10^6 bytes.

    `undervoltage`: the Pi's own monitor has seen less than 4.63 V since it was last asked, in the kernel's words
    `in0_lcrit_alarm` of the driver raspberrypi-hwmon (Linux, drivers/hwmon/raspberrypi-hwmon.c).
    """

    rss_mb: float | None
    open_files: int | None
    disk_free_mb: int | None
    temperature_c: float | None
    undervoltage: bool | None
    load: float | None

    def describe(self) -> dict[str, Any]:
        """What is known, for the status."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def look_at_machine(disk: Path, root: Path = ROOT) -> Machine:
    """How it is now. `disk` lies on the disk that matters; `root` is where /proc and /sys are."""
    return Machine(
        rss_mb=_rss_mb(root),
        open_files=_open_files(root),
        disk_free_mb=_disk_free_mb(disk),
        temperature_c=_temperature_c(root),
        undervoltage=_undervoltage(root),
        load=_load(),
    )


def describe_kernel(root: Path = ROOT) -> dict[str, str]:
    """Which kernel, which distribution, which board; for a diagnosis."""
    system = os.uname()
    found = {"kernel": f"{system.sysname} {system.release}", "machine": system.machine}
    board = _words(root / "proc/device-tree/model")
    if board:
        found["board"] = board
    for line in (_words(root / "etc/os-release") or "").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            found["system"] = value.strip('"')
    return found


def _rss_mb(root: Path) -> float | None:
    """The second word of statm is the resident set, in pages (proc_pid_statm(5))."""
    fields = (_words(root / "proc/self/statm") or "").split()
    return round(int(fields[1]) * PAGE_BYTES / 1e6, 1) if len(fields) > 1 else None


def _open_files(root: Path) -> int | None:
    try:
        return sum(1 for _ in (root / "proc/self/fd").iterdir())
    except OSError:
        return None


def _disk_free_mb(disk: Path) -> int | None:
    """What is left to us, who are not root."""
    try:
        found = os.statvfs(disk)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize // 1_000_000


def _temperature_c(root: Path) -> float | None:
    """Of the warmest zone, in the kernel's thousandths of a degree (Linux, Documentation/driver-api/thermal/sysfs-api.rst)."""
    found = [_number(zone / "temp") for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"))]
    degrees = [value / 1000 for value in found if value is not None]
    return round(max(degrees), 1) if degrees else None


def _undervoltage(root: Path) -> bool | None:
    for monitor in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if _words(monitor / "name") == "rpi_volt":
            alarm = _number(monitor / "in0_lcrit_alarm")
            return None if alarm is None else bool(alarm)
    return None


def _load() -> float | None:
    try:
        return round(os.getloadavg()[1], 2)
    except OSError:
        return None


def _number(file: Path) -> int | None:
    try:
        return int(_words(file) or "")
    except ValueError:
        return None


def _words(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return None
