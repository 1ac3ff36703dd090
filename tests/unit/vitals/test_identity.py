"""The identity of a reading, pinned: another id would store every reading of every patient a second time."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid5

import pytest

from vitals.identity import NAMESPACE, reading_id

KEPT_AT = datetime(2026, 11, 21, 7, 5, 31, tzinfo=UTC)
CUFF: dict[str, Any] = {
    "meter_id": "F0:00:00:10:00:01",
    "kind": "blood_pressure",
    "raw": bytes.fromhex("1e94005c006f00ea070b1507051e4800010400"),
    "user_slot": 1,
    "meter_time": "2026-11-21T07:05:30",
}
GLUCOMETER: dict[str, Any] = {
    "meter_id": "F0:00:00:08:00:01",
    "kind": "glucose",
    "raw": bytes.fromhex("022b00ea070b150719007eb012"),
    "sequence": 43,
    "meter_time": "2026-11-21T07:25:00",
}
NO_CLOCK: dict[str, Any] = CUFF | {"meter_time": None, "first_kept_at": KEPT_AT}


def test_the_namespace_never_changes() -> None:
    assert UUID("6b0d7f0e-2c5e-5d9c-9a53-5f1f1f0f7c11") == NAMESPACE


@pytest.mark.parametrize(
    ("measurement", "pinned"),
    [
        (CUFF, "34eb9dd9-446e-53f4-85b8-08179909b9fc"),
        (GLUCOMETER, "c49c63d7-d8e4-5c49-a05b-ebd8579f3795"),
        (NO_CLOCK, "12736e10-9f9e-5e05-86f6-f04289344602"),
    ],
    ids=["with a clock", "with a sequence number", "with neither"],
)
def test_an_identity_is_the_same_for_ever(measurement: dict[str, Any], pinned: str) -> None:
    assert reading_id(**measurement) == UUID(pinned)


def test_an_identity_is_uuid5_of_what_the_meter_said() -> None:
    said = "F0:00:00:08:00:01|glucose|sequence 43 at 2026-11-21T07:25:00|-|022b00ea070b150719007eb012"
    assert reading_id(**GLUCOMETER) == uuid5(NAMESPACE, said)


@pytest.mark.parametrize(
    "other",
    [
        {"meter_id": "F0:00:00:10:00:02"},
        {"kind": "glucose"},
        {"raw": b"\x00"},
        {"user_slot": 2},
        {"user_slot": None},
        {"user_slot": 0},
        {"meter_time": "2026-11-21T07:05:31"},
        {"sequence": 0},
        {"sequence": 1},
    ],
    ids=str,
)
def test_another_measurement_is_another_reading(other: dict[str, Any]) -> None:
    assert reading_id(**(CUFF | other)) != reading_id(**CUFF)


def test_when_it_was_kept_is_no_part_of_a_reading_that_the_meter_dated() -> None:
    """A gateway that sends again, or was re-imaged, or corrects the time later, arrives at the same id."""
    assert reading_id(**CUFF, first_kept_at=KEPT_AT) == reading_id(**CUFF)
    assert reading_id(**GLUCOMETER, first_kept_at=KEPT_AT) == reading_id(**GLUCOMETER)


def test_two_equal_measurements_of_a_meter_without_a_clock_are_two_readings() -> None:
    later = NO_CLOCK | {"first_kept_at": KEPT_AT + timedelta(minutes=2)}
    assert reading_id(**later) != reading_id(**NO_CLOCK)


def test_the_same_instant_in_another_zone_is_the_same_reading() -> None:
    in_shanghai = NO_CLOCK | {"first_kept_at": KEPT_AT.astimezone(timezone(timedelta(hours=8)))}
    assert reading_id(**in_shanghai) == reading_id(**NO_CLOCK)


@pytest.mark.parametrize("kept_at", [None, KEPT_AT.replace(tzinfo=None)])
def test_a_meter_without_a_clock_needs_an_aware_instant(kept_at: datetime | None) -> None:
    with pytest.raises(AssertionError):
        reading_id(**(NO_CLOCK | {"first_kept_at": kept_at}))
