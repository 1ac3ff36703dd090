"""The collector on an in-memory air with the meters' own firmware, and a real outbox under it."""

from datetime import timedelta
from pathlib import Path

import pytest
from unit.gateway.homes import CUFF, GLUCOMETER, at_home
from unit.gateway.samples import GATEWAY, NOW, TestClock

from firmware_sims.air import AirLink
from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.glucometer import Glucometer
from gateway.readings import settled
from gateway.sessions.record_access import BEGUN
from vitals.reading import Glucose, TimeQuality


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


async def test_what_the_cuff_sent_is_what_is_kept(path: Path) -> None:
    async with at_home(path, CUFF) as home:
        raw = home.inflate()
        (reading,) = await home.until_kept(1)
    assert reading.raw == raw
    assert reading.meter_id == "F0:00:00:10:00:01"
    assert (reading.gateway_id, reading.zone, reading.characteristic) == (GATEWAY, "Asia/Shanghai", "2a35")
    assert reading.time_quality is TimeQuality.CORRECTED


async def test_two_kinds_of_meter_are_read_at_the_same_time(path: Path) -> None:
    async with at_home(path, CUFF, GLUCOMETER) as home:
        home.inflate()
        home.prick(meal="fasting")
        readings = await home.until_kept(2)
    meals = [r.measurement.meal for r in readings if isinstance(r.measurement, Glucose)]
    assert meals == ["fasting"]
    assert {r.characteristic for r in readings} == {"2a35", "2a18"}


async def test_a_second_measurement_a_minute_later_is_another_reading(path: Path) -> None:
    async with at_home(path, CUFF) as home:
        home.inflate(systolic=152)
        await home.until_kept(1)
        home.inflate(systolic=148)
        readings = await home.until_kept(2)
    assert len({r.reading_id for r in readings}) == 2


async def test_a_record_that_the_meter_sends_again_is_kept_once(path: Path) -> None:
    async with at_home(path, CUFF | {"faults": {"drops_after_indication": 2}}) as home:
        home.inflate()
        await home.until(lambda: sum(h.event == "confirmed" for h in home.happened) == 1)
        await home.until(lambda: home.collector.totals.sessions == 3)
        assert home.outbox.counts().kept == 1
        assert home.collector.totals.repeated == 2


async def test_a_truncated_frame_lies_in_quarantine_and_the_next_reading_comes(path: Path) -> None:
    async with at_home(path, CUFF) as home:
        firmware = home.meter("bp").firmware
        assert isinstance(firmware, BloodPressureMeter)
        firmware.keep(b"\x1e\x98")
        home.inflate()
        await home.until_kept(1)
        assert home.outbox.counts().quarantined == 1


async def test_the_newest_sequence_is_remembered_for_the_next_session(path: Path) -> None:
    async with at_home(path, GLUCOMETER) as home:
        home.prick()
        home.prick(mg_dl=130)
        await home.until(lambda: home.collector.totals.sessions == 1)
        memory = home.outbox.recall("F0:00:00:08:00:01")
        assert (memory.highest_sequence, memory.about["model"]) == (2, "HV-GL1")
        home.prick(mg_dl=140)
        await home.until_kept(3)
        assert home.collector.totals.repeated <= 1


async def test_a_meter_whose_link_drops_at_once_costs_the_others_nothing(path: Path) -> None:
    async with at_home(path, GLUCOMETER, CUFF | {"faults": {"disconnect_after_ms": 0}}) as home:
        home.inflate()
        await home.until(lambda: home.collector.totals.failed_sessions >= 2)
        home.prick()
        (reading,) = await home.until_kept(1)
        assert reading.characteristic == "2a18"


async def test_a_full_outbox_leaves_the_rest_and_the_gateway_goes_on(path: Path) -> None:
    async with at_home(path, GLUCOMETER, max_unconfirmed=1) as home:
        home.prick()
        home.prick(mg_dl=140)
        await home.until(lambda: home.collector.totals.failed_sessions >= 1)
        assert home.outbox.counts().kept == 1
        assert isinstance(home.meter("glu").firmware, Glucometer)
        assert home.outbox.recall("F0:00:00:08:00:01").highest_sequence == BEGUN  # asked for again, all of it


async def test_readings_of_an_unbelievable_clock_are_held_and_settled_exactly(path: Path) -> None:
    clock = TestClock(wall=NOW - timedelta(days=20_000))
    async with at_home(path, CUFF, clock=clock) as home:
        home.inflate()
        await home.until(lambda: home.outbox.counts().held == 1)
        assert home.outbox.unconfirmed(10) == []
        (held,) = home.outbox.held(10)
        clock.wall = NOW + timedelta(hours=1)
        boot_s = held.unbelieved.since_boot_s + 3600
        reading = settled(held, now=clock.wall, since_boot_s=boot_s, boot_id="boot-1")
    assert abs(reading.received_at - NOW) < timedelta(seconds=1)
    assert abs(reading.measured_at - NOW) < timedelta(seconds=2)
    assert reading.time_quality is TimeQuality.CORRECTED
    assert reading.reading_id == held.reading.reading_id


async def test_a_clock_that_is_set_in_the_middle_of_a_session_does_not_tear_apart_what_was_read_together(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TestClock(wall=NOW - timedelta(days=20_000))
    subscribe = AirLink.subscribe

    async def learn_the_time_and_subscribe(link: AirLink, characteristic: str) -> None:
        clock.wall = NOW  # the meter's clock has been read, its records have not
        await subscribe(link, characteristic)

    monkeypatch.setattr(AirLink, "subscribe", learn_the_time_and_subscribe)
    async with at_home(path, CUFF, clock=clock) as home:
        home.inflate()
        await home.until(lambda: home.outbox.counts().kept == 1)
        (held,) = home.outbox.held(10)
        reading = settled(held, now=NOW, since_boot_s=home.clock.boot_s, boot_id="boot-1")
    assert abs(reading.measured_at - NOW) < timedelta(minutes=1)
    assert reading.time_quality is TimeQuality.CORRECTED


async def test_our_unbelievable_time_is_not_written_into_the_meter(path: Path) -> None:
    clock = TestClock(wall=NOW - timedelta(days=20_000))
    async with at_home(path, CUFF, clock=clock) as home:
        home.inflate()
        await home.until(lambda: home.collector.totals.sessions >= 1)
        meter = home.meter("bp")
        assert meter.firmware.clock.shown(meter.wall) == meter.wall
