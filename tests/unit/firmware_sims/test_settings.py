"""The meters file is read strictly: a fault that was misspelt must not be a meter that behaves."""

import json
from datetime import datetime
from typing import Any

import pytest

from firmware_sims.faults import Faults
from firmware_sims.settings import Meter, WrongClock, meter_id, parse_meters
from vitals.errors import MalformedError


def file(*meters: dict[str, Any]) -> bytes:
    return json.dumps({"meters": meters}).encode()


CUFF = {"name": "bp-01", "kind": "blood_pressure", "index": 1, "secure": True, "zone": "Asia/Shanghai", "clock": "ok"}
GLUCOMETER = {"name": "glu-01", "kind": "glucose", "index": 1}


def test_a_file_names_its_meters() -> None:
    assert parse_meters(file(CUFF, GLUCOMETER)) == (
        Meter(name="bp-01", kind="blood_pressure", index=1),
        Meter(name="glu-01", kind="glucose", index=1),
    )


def test_a_meter_is_known_by_its_bluetooth_address() -> None:
    assert [meter.meter_id for meter in parse_meters(file(CUFF, GLUCOMETER))] == [
        "F0:00:00:10:00:01",
        "F0:00:00:08:00:01",
    ]
    assert meter_id("blood_pressure", 0x1234) == "F0:00:00:10:12:34"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("absent", "absent"),
        ("1970", "1970"),
        ({"offset_s": -90}, WrongClock(offset_s=-90)),
        ({"stuck_at": "2021-01-01T00:00:00"}, WrongClock(stuck_at=datetime(2021, 1, 1))),  # noqa: DTZ001
    ],
)
def test_a_clock_can_be_wrong_in_many_ways(said: object, meant: object) -> None:
    assert parse_meters(file({**CUFF, "clock": said}))[0].clock == meant


def test_faults_are_said_by_name() -> None:
    (meter,) = parse_meters(file({**CUFF, "faults": {"hangs_up": True, "disconnect_after_ms": 40}}))
    assert meter.faults == Faults(hangs_up=True, disconnect_after_ms=40)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="no meters"),
        pytest.param(file({**CUFF, "kind": "toaster"}), id="unknown kind"),
        pytest.param(file({**CUFF, "index": 65536}), id="index too large"),
        pytest.param(file({**CUFF, "faults": {"hang_up": True}}), id="misspelt fault"),
        pytest.param(file({**CUFF, "clock": "wrong"}), id="unknown clock"),
        pytest.param(file({**CUFF, "clock": {"stuck_at": "2021-01-01T00:00:00Z"}}), id="a meter's clock with a zone"),
        pytest.param(file({**CUFF, "name": "a" * 23}), id="name longer than an advertisement"),
        pytest.param(file(CUFF, {**GLUCOMETER, "name": "bp-01"}), id="two of one name"),
        pytest.param(file(CUFF, {**CUFF, "name": "bp-02"}), id="two of one address"),
    ],
)
def test_a_file_that_is_not_as_documented_is_refused(wrong: bytes) -> None:
    with pytest.raises(MalformedError, match="meters_file"):
        parse_meters(wrong)


def test_the_longest_name_that_fits_an_advertisement_is_taken() -> None:
    (meter,) = parse_meters(file({**CUFF, "name": "n" * 22}))
    assert 3 + 4 + 2 + len(meter.name) == 31
