"""The strap's firmware by itself: a stream while it is worn, and nothing kept."""

import pytest
from unit.firmware_sims.told import WALL, a_meter, all_said, listen_to, tell

from firmware_sims.firmware import AttError, Firmware, HangUp
from firmware_sims.heart_rate_strap import MOST_INTERVALS, UNSAID
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.heart_rate import INTERVALS_PER_S, BodySensorLocation, HeartRateMeasurement, body_sensor_location

STREAM = uuids.HEART_RATE_MEASUREMENT


def worn(pulse_bpm: int = 75, **settings: object) -> Firmware:
    strap = a_meter("heart_rate", **settings)
    tell(strap, pulse_bpm=pulse_bpm, is_worn=True)
    listen_to(strap, STREAM)
    return strap


def seconds(strap: Firmware, count: int) -> list[HeartRateMeasurement]:
    said = []
    for _ in range(count):
        strap.on_tick(wall=WALL)
        said += all_said(strap)
    return [HeartRateMeasurement.from_bytes(bytes.fromhex(raw)) for _, raw in said]


def test_a_strap_that_is_not_worn_is_silent() -> None:
    strap = a_meter("heart_rate")
    assert not strap.is_advertising
    assert not strap.is_ticking


def test_at_sixty_a_second_is_a_beat() -> None:
    strap = worn(60)
    strap.on_tick(wall=WALL)
    assert all_said(strap) == [(STREAM, "163C0004")]


def test_every_beat_is_told_once() -> None:
    frames = seconds(worn(75), 60)
    assert {frame.bpm for frame in frames} == {75}
    beats = [interval for frame in frames for interval in frame.intervals]
    assert len(beats) == 75
    assert abs(sum(beats) - 60 * INTERVALS_PER_S) < INTERVALS_PER_S


def test_no_frame_is_longer_than_a_notification() -> None:
    (frame,) = seconds(worn(200, tick_ms=10_000), 1)
    assert len(frame.intervals) == MOST_INTERVALS
    assert len(bytes(frame)) <= 20


def test_without_contact_it_hears_no_beat() -> None:
    strap = worn()
    tell(strap, pulse_bpm=75, has_contact=False)
    assert seconds(strap, 1) == [HeartRateMeasurement(bpm=0, has_contact=False)]


def test_what_nobody_listens_to_is_lost() -> None:
    strap = worn()
    strap.on_disconnected()
    strap.on_tick(wall=WALL)
    listen_to(strap, STREAM)
    assert all_said(strap) == []
    assert len(seconds(strap, 1)) == 1


def test_taken_off_it_ends_the_link_if_it_is_of_that_sort() -> None:
    strap = worn(faults={"hangs_up": True})
    assert strap.next_action() is None
    tell(strap, is_worn=False)
    assert isinstance(strap.next_action(), HangUp)
    assert strap.next_action() is None
    assert not strap.is_advertising


def test_it_misbehaves_as_it_is_told() -> None:
    assert seconds(worn(faults={"fails": True}), 1) == [HeartRateMeasurement(bpm=0, has_contact=False)]
    twice = worn(faults={"sends_twice": True, "truncate_to": 1})
    twice.on_tick(wall=WALL)
    assert all_said(twice) == [(STREAM, "16"), (STREAM, "16")]


def test_raw_frames_wait_for_a_link_and_are_bounded() -> None:
    strap = a_meter("heart_rate")
    for n in range(UNSAID + 1):
        strap.keep(bytes((0, n)))
    assert strap.is_advertising
    listen_to(strap, STREAM)
    assert [raw for _, raw in all_said(strap)] == [f"00{n:02X}" for n in range(1, UNSAID + 1)]


def test_it_is_worn_on_the_chest_and_has_no_clock() -> None:
    strap = a_meter("heart_rate")
    assert body_sensor_location(strap.read(uuids.BODY_SENSOR_LOCATION, wall=WALL)) is BodySensorLocation.CHEST
    assert uuids.CURRENT_TIME not in {c.uuid for c in strap.characteristics}
    with pytest.raises(AttError):
        strap.read(uuids.CURRENT_TIME, wall=WALL)


def test_a_strap_without_a_pulse_is_not_put_on() -> None:
    with pytest.raises(MalformedError, match="pulse_bpm"):
        tell(a_meter("heart_rate"), is_worn=True)
