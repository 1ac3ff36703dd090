"""How the machine is: read from the kernel's own files, laid out as on a Raspberry Pi."""

import os
from pathlib import Path

import pytest

from gateway.health import describe_kernel, look_at_machine


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """The files of a Raspberry Pi 4 that are looked at."""
    for path, words in {
        "proc/self/statm": "27000 14000 3000 1 0 9000 0\n",
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.5\0",
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
        "sys/class/thermal/thermal_zone0/temp": "48312\n",
        "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
        "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
        "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n",
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(words)
    (tmp_path / "proc/self/fd").mkdir()
    for nth in range(9):
        (tmp_path / "proc/self/fd" / str(nth)).touch()
    return tmp_path


def test_a_pi_in_order(pi: Path) -> None:
    machine = look_at_machine(pi, root=pi)
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    assert machine.rss_mb == round(14000 * page_bytes / 1e6, 1)
    assert (machine.open_files, machine.temperature_c, machine.undervoltage) == (9, 48.3, False)
    assert machine.disk_free_mb is not None
    assert machine.disk_free_mb > 0
    assert describe_kernel(pi)["board"] == "Raspberry Pi 4 Model B Rev 1.5"
    assert describe_kernel(pi)["system"] == "Debian GNU/Linux 12 (bookworm)"


def test_a_weak_power_supply_is_seen(pi: Path) -> None:
    (pi / "sys/class/hwmon/hwmon1/in0_lcrit_alarm").write_text("1\n")
    assert look_at_machine(pi, root=pi).undervoltage is True


def test_what_a_machine_does_not_show_is_not_said(tmp_path: Path) -> None:
    machine = look_at_machine(tmp_path / "nowhere", root=tmp_path)
    assert set(machine.describe()) <= {"load"}
    assert describe_kernel(tmp_path).keys() == {"kernel", "machine"}


def test_this_very_process_is_seen() -> None:
    machine = look_at_machine(Path.cwd())
    assert machine.rss_mb is not None
    assert machine.rss_mb > 5
    assert machine.open_files is not None
    assert machine.open_files >= 3
