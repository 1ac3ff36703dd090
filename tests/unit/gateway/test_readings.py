"""From a record to a reading, and the second look once the clock can be believed."""

from datetime import datetime, timedelta

import pytest
from unit.gateway.samples import GATEWAY, METER, NOW, SHANGHAI, bp_frame, evidence

from gateway.outbox_rows import HeldReading, Unbelieved
from gateway.readings import settled, to_reading
from gateway.sessions.commands import MeterRecord
from gateway.timing import Evidence
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.reading import GUEST, Reading, TimeQuality

WRONG = NOW - timedelta(days=10_000)
"""What a box without a battery-backed clock believes after a power cut."""


def _reading(known: Evidence, *, stamped: bool = True, user_slot: int | None = None) -> Reading:
    raw = bp_frame(stamped=stamped)
    frame = BloodPressureMeasurement.from_bytes(raw)
    record = MeterRecord(
        characteristic="2a35",
        raw=raw,
        measurement=frame.to_measurement(),
        evidence=known,
        user_slot=user_slot,
        meter_time=frame.meter_time,
    )
    return to_reading(record, meter_id=METER, gateway_id=GATEWAY, zone=SHANGHAI, decoder="test")


def _held(known: Evidence, *, stamped: bool = True) -> HeldReading:
    unbelieved = Unbelieved(boot_id="boot-1", since_boot_s=50.0, evidence=known)
    return HeldReading(seq=1, reading=_reading(known, stamped=stamped), unbelieved=unbelieved)


def test_a_corrected_time_is_no_part_of_the_identity() -> None:
    wall = datetime(2026, 11, 21, 7, 0)  # noqa: DTZ001
    alone = _reading(evidence(meter_wall=wall))
    corrected = _reading(evidence(meter_wall=wall, clock_meter=wall, clock_at=NOW))
    assert alone.measured_at != corrected.measured_at
    assert alone.reading_id == corrected.reading_id


def test_without_any_time_of_the_meter_two_equal_frames_are_two_readings() -> None:
    first = _reading(evidence(is_stamped=False), stamped=False)
    second = _reading(evidence(is_stamped=False, received_at=NOW + timedelta(seconds=40)), stamped=False)
    assert first.raw == second.raw
    assert first.reading_id != second.reading_id


def test_a_guests_record_keeps_the_id_that_it_had_when_a_guest_was_nobody() -> None:
    known = evidence(meter_wall=datetime(2026, 11, 21, 7, 0))  # noqa: DTZ001
    guest, nobody, second = (_reading(known, user_slot=slot) for slot in (GUEST, None, 2))
    assert (guest.user_slot, nobody.user_slot) == (GUEST, None)
    assert guest.reading_id == nobody.reading_id != second.reading_id


NEVER_SET = datetime(1970, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    "clock", [{}, {"clock_meter": NEVER_SET, "clock_at": NOW}], ids=["unreadable", "standing still"]
)
def test_a_dead_clock_makes_no_repeat_of_two_equal_frames(clock: dict[str, datetime]) -> None:
    first = _reading(evidence(meter_wall=NEVER_SET, **clock))
    second = _reading(evidence(meter_wall=NEVER_SET, received_at=NOW + timedelta(hours=3), **clock))
    assert first.raw == second.raw
    assert first.meter_time == second.meter_time
    assert first.reading_id != second.reading_id


def test_a_clock_that_was_never_set_but_runs_tells_records_apart() -> None:
    running = {"clock_meter": NEVER_SET + timedelta(hours=1), "clock_at": NOW}
    first = _reading(evidence(meter_wall=NEVER_SET, **running))
    again = _reading(evidence(meter_wall=NEVER_SET, received_at=NOW + timedelta(hours=3), **running))
    assert first.reading_id == again.reading_id


def test_a_held_reading_without_a_time_stamp_gets_the_true_time_of_receipt() -> None:
    held = _held(evidence(received_at=WRONG, is_stamped=False, is_live=True), stamped=False)
    reading = settled(held, now=NOW, since_boot_s=170.0, boot_id="boot-1")
    assert reading.received_at == reading.measured_at == NOW - timedelta(seconds=120)
    assert reading.time_quality is TimeQuality.RECEIVED
    assert reading.reading_id == held.reading.reading_id


def test_a_held_reading_of_a_meter_with_a_right_clock_gets_its_true_time_and_offset() -> None:
    here = (NOW - timedelta(seconds=120)).astimezone(SHANGHAI).replace(tzinfo=None)
    taken = here - timedelta(minutes=30)
    held = _held(evidence(received_at=WRONG, meter_wall=taken, clock_meter=here, clock_at=WRONG))
    assert abs(held.reading.clock_offset_s or 0) > 1e6
    reading = settled(held, now=NOW, since_boot_s=170.0, boot_id="boot-1")
    assert reading.measured_at == NOW - timedelta(minutes=32)
    assert reading.time_quality is TimeQuality.CORRECTED
    assert reading.clock_offset_s == 0.0


def test_a_held_reading_of_an_unreadable_clock_is_judged_anew() -> None:
    """By our wrong clock the meter was decades ahead; by the right one it agrees to the minute."""
    taken = (NOW - timedelta(minutes=3)).astimezone(SHANGHAI).replace(tzinfo=None)
    held = _held(evidence(received_at=WRONG, meter_wall=taken, is_live=True))
    assert held.reading.time_quality is TimeQuality.SUSPECT
    reading = settled(held, now=NOW, since_boot_s=170.0, boot_id="boot-1")
    assert (reading.measured_at, reading.time_quality) == (NOW - timedelta(minutes=3), TimeQuality.TRUSTED)


def test_a_held_reading_of_an_earlier_boot_goes_out_as_an_orphan() -> None:
    taken = (NOW - timedelta(days=1)).astimezone(SHANGHAI).replace(tzinfo=None)
    held = _held(evidence(received_at=WRONG, meter_wall=taken, clock_meter=taken, clock_at=WRONG))
    reading = settled(held, now=NOW, since_boot_s=5.0, boot_id="boot-2")
    assert reading.time_quality is TimeQuality.ORPHAN
    assert (reading.measured_at, reading.received_at) == (NOW - timedelta(days=1), NOW)
    assert reading.clock_offset_s is None


def test_everything_but_the_time_stays_as_it_was() -> None:
    held = _held(evidence(received_at=WRONG, is_stamped=False), stamped=False)
    reading = settled(held, now=NOW, since_boot_s=170.0, boot_id="boot-1")
    assert (reading.raw, reading.measurement, reading.user_slot, reading.meter_time) == (
        held.reading.raw,
        held.reading.measurement,
        held.reading.user_slot,
        held.reading.meter_time,
    )
