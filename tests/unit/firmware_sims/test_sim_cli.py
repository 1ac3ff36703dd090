"""What `homevigil sim` understands, and what it says of what it does not: nothing is opened here that exists."""

import errno
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import structlog

from firmware_sims import dongle, sim_cli
from firmware_sims.faults import Faults
from firmware_sims.happenings import firmware_of
from firmware_sims.kinds import KINDS
from firmware_sims.voices import measure_of


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """A command line sets the log of its process, which here is that of all tests."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("toaster", 2, "invalid choice"),
        ("blood-pressure", 1, "--dongle usb:0"),
        ("blood-pressure --dongle tcp-client:127.0.0.1:1", 1, "nobody listens there"),
        ("blood-pressure --dongle carrier-pigeon", 1, "no name of a controller; such are usb:0"),
        ("blood-pressure --dongle tcp-client:127.0.0.1:x", 1, "no name of a controller"),
        ("blood-pressure --dongle serial:/dev/none-of-ours", 1, "there is none of this name"),
        ("blood-pressure --fault hang_up --dongle usb:0", 2, "'hang_up' is none of disconnect_after_ms"),
        ("blood-pressure --fault hangs_up=perhaps --dongle usb:0", 2, "hangs_up"),
        ("blood-pressure --systolic high --dongle usb:0", 2, "systolic"),
        ("blood-pressure --glucose 5 --dongle usb:0", 2, "unrecognized arguments"),
        ("blood-pressure --clock yesterday --dongle usb:0", 2, "clock"),
        ("blood-pressure --passkey 1234567 --dongle usb:0", 2, "passkey"),
        ("weight --weight 60 --set weight_unit=stone --dongle usb:0", 2, "weight_unit"),
        ("weight --user 1:x --dongle usb:0", 2, "consent_code"),
        ("weight --zone Moon/Crater --dongle usb:0", 2, "no zone"),
        ("weight --model Toaster --dongle usb:0", 2, "no model 'Toaster'; there are"),
        ("weight --bonds x", 2, "--dongle"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(
    arguments: str,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("DBUS_SYSTEM_BUS_ADDRESS", raising=False)
    assert sim_cli.main(arguments.split()) == code
    complaint = capsys.readouterr().err
    assert re.search(words, complaint), complaint


@pytest.mark.parametrize("package", ["bumble", "dbus_fast"])
def test_without_the_extra_it_says_which_to_install(package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from firmware_sims.sim_cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "weight", "--dongle", "usb:0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (
        1,
        "homevigil sim: simulated meters need more packages: pip install 'homevigil[sims]'\n",
    )


def test_the_list_has_every_kind_fault_and_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim_cli.main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert set(listed["kinds"]) == {kind.replace("_", "-") for kind in KINDS}
    assert listed["kinds"]["blood-pressure"][:2] == ["systolic", "diastolic"]
    assert set(listed["faults"]) == set(Faults.__struct_fields__), "each fault is explained where it is defined"
    assert all(listed["faults"].values())
    assert listed["models"]["A&D UA-651BLE"] == "blood-pressure"
    assert sim_cli.main(["list"]) == 0
    assert "drops_after_indication" in capsys.readouterr().out


def test_a_meter_is_what_was_said_of_it() -> None:
    given = sim_cli._parser().parse_args(
        [
            "weight", "--name", "scale", "--index", "7", "--zone", "Europe/Berlin", "--clock", "-90", "--passkey", "000042",
            "--user", "1:1234", "--fault", "hangs_up", "--fault", "truncate_to=4", "--set", "weight_unit=lb", "--set",
            "secure=false",
        ]
    )  # fmt: skip
    meter = sim_cli._meter(given)
    assert (meter.name, meter.meter_id, meter.zone, meter.passkey) == (
        "scale",
        "F0:00:00:1D:00:07",
        "Europe/Berlin",
        42,
    )
    assert (meter.weight_unit, meter.secure) == ("lb", False)
    assert meter.faults == Faults(hangs_up=True, truncate_to=4)
    assert [(user.index, user.consent_code) for user in meter.users] == [(1, 1234)]
    assert sim_cli._clock("-90") == {"offset_s": -90}
    assert sim_cli._clock("1970") == "1970"
    assert sim_cli._clock("2021-01-01T00:00:00") == {"stuck_at": "2021-01-01T00:00:00"}


def test_a_model_that_is_sold_has_its_ways() -> None:
    given = sim_cli._parser().parse_args(["blood-pressure", "--model", "A&D UA-651BLE", "--passkey", "random"])
    meter = sim_cli._meter(given)
    assert meter.faults.hangs_up
    assert (meter.advertised_name, meter.passkey) == ("A&D_UA-651BLE_0001", "random")


class USBErrorAccess(Exception):
    """As libusb's own is called."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EBUSY, "Device or resource busy"), "sudo systemctl stop bluetooth"),
        (OSError(errno.EPERM, "Operation not permitted"), "run it with sudo"),
        (OSError(errno.ENODEV, "No such device"), "there is none of this name"),
        (OSError(errno.EAFNOSUPPORT, "Address family not supported"), "try usb:0"),
        (USBErrorAccess("LIBUSB_ERROR_ACCESS [-3]"), "run it with sudo"),
        (RuntimeError("something of its own"), "something of its own"),
        (KeyError(), "KeyError"),
    ],
)
def test_a_dongle_that_cannot_be_opened_says_what_to_do(error: Exception, words: str) -> None:
    assert words in dongle._words(error)


def shown_on_the_page() -> list[str]:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "be-the-meter.md").read_text(encoding="utf-8")
    return re.findall(r"^    (?:sudo )?homevigil sim (.+)$", page, re.MULTILINE)


@pytest.mark.parametrize("line", shown_on_the_page())
def test_what_the_page_shows_is_a_meter_that_can_measure_it(line: str) -> None:
    given = sim_cli._parser().parse_args(shlex.split(line))
    firmware = firmware_of(sim_cli._meter(given))
    told = sim_cli._told(given)
    assert told
    firmware.obey(measure_of("m", told), wall=datetime(2026, 11, 21, 7))  # noqa: DTZ001
    assert firmware.is_advertising


def test_the_page_shows_every_kind() -> None:
    assert {line.split()[0].replace("-", "_") for line in shown_on_the_page()} >= {
        "blood_pressure", "glucose", "weight", "temperature", "oxygen_saturation", "heart_rate",
    }  # fmt: skip
