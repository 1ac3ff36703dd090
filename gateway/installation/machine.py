"""Whether a machine can be a gateway: what it is, what stands in the way, and what would be better.

The judgement is a pure function of the facts, so that every refusal is tested without such a machine.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BLUEZ_NEEDED: Final = (5, 55)
"""What bleak 3 asks for."""
SYSTEMD_NEEDED: Final = (247,)
"""The oldest that knows every line of the unit that its hardening rests on (ProtectProc, ProcSubset)."""
GLIBC_NEEDED: Final = (2, 28)
"""What the wheels are built for (manylinux_2_28)."""
KERNEL_ADVISED: Final = (6, 12)
ROOM_NEEDED_MIB: Final = 300
"""Two releases of 60 MiB beside one another, with room to unpack, and some left for the outbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The facts. A version is empty where the program is missing or says none."""

    architecture: str
    is_64_bit: bool
    python: tuple[int, int]
    kernel: tuple[int, ...]
    glibc: tuple[int, ...]
    free_mib: int
    bluez: tuple[int, ...]
    systemd: tuple[int, ...]
    is_systemd_running: bool
    is_root: bool


def look(place: Path) -> Machine:
    """This machine; the room is that of the disk on which `place`, or the next folder above it that is there, lies."""
    while not place.exists():
        place = place.parent
    return Machine(
        architecture=platform.machine(),
        is_64_bit=sys.maxsize > 2**32,
        python=sys.version_info[:2],
        kernel=_version(platform.release()),
        glibc=_version(platform.libc_ver()[1]),
        free_mib=shutil.disk_usage(place).free // 2**20,
        bluez=_asked("bluetoothctl", "--version") or _asked("/usr/libexec/bluetooth/bluetoothd", "--version"),
        systemd=_asked("systemctl", "--version"),
        is_systemd_running=Path("/run/systemd/system").exists(),
        is_root=os.geteuid() == 0,
    )


def refusals(machine: Machine, *, built_for: str, pythons: list[tuple[int, int]]) -> list[str]:
    """What stands in the way of a release built for a type of machine and some Pythons; each sentence says what to do."""
    known = " and ".join(f"{major}.{minor}" for major, minor in pythons)
    here = f"{machine.python[0]}.{machine.python[1]}"
    wrong = [
        (
            machine.architecture != built_for,
            f"this release is for {built_for}: take the file for this machine, which is {machine.architecture}",
        ),
        (
            not machine.is_64_bit,
            "the system is 32-bit although the machine is not: write the card anew with Raspberry Pi OS (64-bit)",
        ),
        (machine.python not in pythons, f"the system's Python is {here} and this release is for {known}"),
        (
            machine.glibc < GLIBC_NEEDED,
            f"the C library is older than {_dots(GLIBC_NEEDED)}, or not glibc: use Raspberry Pi OS or Debian, 12 or newer",
        ),
        (
            machine.free_mib < ROOM_NEEDED_MIB,
            f"{machine.free_mib} MiB are free and {ROOM_NEEDED_MIB} are needed: make room, but never in the outbox",
        ),
    ]
    return [sentence for is_wrong, sentence in wrong if is_wrong]


def refusals_to_run(machine: Machine) -> list[str]:
    """What stands in the way of running a gateway on the machine itself, not only of laying its files into a folder."""
    wrong = [
        (not machine.is_root, "start it as root: sudo ./install"),
        (
            machine.bluez < BLUEZ_NEEDED,
            f"BlueZ {_dots(BLUEZ_NEEDED)} or newer is needed, here is {_dots(machine.bluez) or 'none'}: apt-get install bluez",
        ),
        (
            machine.systemd < SYSTEMD_NEEDED or not machine.is_systemd_running,
            f"systemd {_dots(SYSTEMD_NEEDED)} or newer must run here: it starts the gateway and watches it",
        ),
    ]
    return [sentence for is_wrong, sentence in wrong if is_wrong]


def advices(machine: Machine) -> list[str]:
    """What works and could be better."""
    if machine.kernel >= KERNEL_ADVISED:
        return []
    # Measured on Debian's kernels in a virtual machine: 6.1.192, list_del corruption in hci_chan_del, 2 of 2; 6.12.107, 0 of 2.
    return [
        f"the kernel is {_dots(machine.kernel[:2])}; {_dots(KERNEL_ADVISED)} or newer is better: on 6.1 a meter that has "
        "forgotten its pairing can bring down Bluetooth until the next restart (sudo apt-get full-upgrade, then restart)"
    ]


def _asked(*command: str) -> tuple[int, ...]:
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return _version(said)


def _version(text: str) -> tuple[int, ...]:
    """The first number with dots in a text: `bluetoothctl: 5.66` is (5, 66)."""
    found = re.search(r"\d+(?:\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def _dots(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
