"""What one session says of a meter's clock for the next: clocks that reset, that are set in between, and that will not be set."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.gateway.homes import CUFF, at_home
from unit.gateway.joined import Home
from unit.gateway.samples import GATEWAY, METER, NOW, SHANGHAI, TestClock, evidence, reading

from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.faults import Faults
from firmware_sims.glucometer import Glucometer
from firmware_sims.settings import Meter, WrongClock
from gateway.keeping import OURS, Keeper, Tally
from gateway.outbox import Outbox
from gateway.outbox_rows import MeterMemory, Unbelieved
from gateway.sessions.clock_memory import ClockMemory
from gateway.sessions.commands import Keep, Write
from gateway.sessions.meter_clock import ClockCare
from gateway.timing import place
from vitals.reading import TimeQuality

HERE = datetime(2026, 11, 21, 16, 0)  # noqa: DTZ001  # NOW on a wall in Shanghai
RESET = datetime(2021, 1, 1)  # noqa: DTZ001
LEFT = ClockMemory(wall=HERE, at=NOW)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def _cuff(clock: object = "ok", **faults: object) -> BloodPressureMeter:
    return BloodPressureMeter(Meter(name="bp", kind="blood_pressure", index=1, clock=clock, faults=Faults(**faults)))  # type: ignore[arg-type]


def _inflate(home: Home, systolic: int = 150) -> None:
    assert isinstance(home.meter, BloodPressureMeter)
    home.meter.measure(wall=home.wall, systolic_mmhg=systolic, diastolic_mmhg=94, pulse_bpm=72)


def _placed(home: Home) -> list[tuple[datetime, TimeQuality]]:
    placed = [place(record.evidence, SHANGHAI) for record in home.kept]
    return [(each.measured_at, each.time_quality) for each in placed]


# -- the memory --------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_never_read_has_not_jumped() -> None:
    assert not ClockMemory().has_jumped(RESET, NOW)


@pytest.mark.parametrize("off_s", [0, 119, -119])
def test_a_clock_that_runs_on_has_not_jumped(off_s: int) -> None:
    assert not LEFT.has_jumped(HERE + DAY + timedelta(seconds=off_s), NOW + DAY)


@pytest.mark.parametrize("wall", [RESET, HERE, HERE + DAY + timedelta(minutes=5), HERE - timedelta(hours=1)])
def test_a_clock_that_shows_another_time_than_it_would_has_jumped(wall: datetime) -> None:
    assert LEFT.has_jumped(wall, NOW + DAY)


def test_after_a_year_a_clock_may_have_drifted_by_more() -> None:
    year = timedelta(days=365)
    assert not LEFT.has_jumped(HERE + year + timedelta(minutes=100), NOW + year)
    assert LEFT.has_jumped(HERE + year + timedelta(minutes=120), NOW + year)


def test_a_meter_that_will_not_be_set_is_left_in_peace_for_a_week() -> None:
    unwilling = ClockMemory(care="refused", unwilling_at=NOW)
    assert unwilling.is_left_in_peace(NOW + 6 * DAY)
    assert not unwilling.is_left_in_peace(NOW + 7 * DAY)
    assert not unwilling.is_left_in_peace(NOW - DAY), "our clock was set back: nothing follows"
    assert not ClockMemory().is_left_in_peace(NOW)


@given(
    wall=st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 1, 1)),  # noqa: DTZ001
    at=st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_any_clock_has_jumped_or_not(wall: datetime, at: datetime) -> None:
    assert LEFT.has_jumped(wall, at) in (True, False)


# -- clocks that reset -------------------------------------------------------------------------------------------------


def test_of_three_records_of_a_clock_that_begins_anew_each_time_none_is_of_just_now() -> None:
    """Out of reach for three days, all three are stamped 2021-01-01 00:00, and so is the clock when they are read."""
    home = Home(_cuff(WrongClock(resets_to=RESET)))
    for systolic in (150, 151, 152):
        home.meter.clock.switch_off()
        _inflate(home, systolic)
        home.now += DAY
    home.meter.clock.switch_off()
    home.session(clock=ClockMemory(wall=HERE - 9 * DAY, at=NOW - 9 * DAY))
    assert [quality for _, quality in _placed(home)] in (
        [TimeQuality.SUSPECT] * 3,
        [TimeQuality.ORPHAN] * 3,
    )
    assert home.provisional == set(), "each has had its last word"


def test_one_record_alone_of_such_a_clock_is_of_just_now() -> None:
    home = Home(_cuff(WrongClock(resets_to=RESET)))
    _inflate(home)
    taken = home.now
    home.now += timedelta(seconds=20)
    home.session(clock=LEFT)
    ((at, quality),) = _placed(home)
    assert quality is TimeQuality.CORRECTED
    assert abs(at - taken) < timedelta(seconds=2)
    assert home.provisional == set()


def test_the_first_record_after_a_jump_is_durable_before_anything_else_is_waited_for() -> None:
    home = Home(_cuff(WrongClock(resets_to=RESET)))
    _inflate(home)
    home.session(clock=LEFT)
    keeps = [each for each in home.commands if isinstance(each, Keep)]
    assert [each.standing for each in keeps] == ["provisional", "final"]
    assert not keeps[0].record.evidence.is_live
    assert keeps[1].record.evidence.is_live


def test_the_clock_that_we_set_ourselves_has_not_jumped() -> None:
    home = Home(_cuff(WrongClock(offset_s=-7200)))
    _inflate(home)
    findings = home.session()
    assert findings.clock_care is ClockCare.SET
    home.now += DAY
    for systolic in (151, 152):
        _inflate(home, systolic)
        home.now += MINUTE
    home.session(clock=findings.clock_memory)
    assert [quality for _, quality in _placed(home)] == [TimeQuality.CORRECTED] * 3


def test_a_clock_that_somebody_set_between_two_sessions_leaves_no_stored_record_certain() -> None:
    home = Home(_cuff())
    _inflate(home)
    findings = home.session()
    for systolic in (151, 152):
        home.now += MINUTE
        _inflate(home, systolic)
    home.meter.clock.offset += timedelta(hours=1)
    home.session(clock=findings.clock_memory)
    assert [quality for _, quality in _placed(home)] == [TimeQuality.CORRECTED, *[TimeQuality.SUSPECT] * 2]


def test_a_glucometer_whose_clock_has_jumped_has_no_certain_record() -> None:
    home = Home(Glucometer(Meter(name="glu", kind="glucose", index=1, clock=WrongClock(offset_s=3600))))
    assert isinstance(home.meter, Glucometer)
    home.meter.measure(wall=home.wall, glucose_mg_dl=126)
    home.session(clock=LEFT)
    assert [quality for _, quality in _placed(home)] == [TimeQuality.SUSPECT]


def test_a_record_whose_meter_reports_a_time_fault_is_not_certain() -> None:
    home = Home(Glucometer(Meter(name="glu", kind="glucose", index=1)))
    assert isinstance(home.meter, Glucometer)
    home.meter.measure(wall=home.wall, glucose_mg_dl=126, status=0x0800)
    home.meter.measure(wall=home.wall, glucose_mg_dl=127, status=0)
    home.session()
    assert [quality for _, quality in _placed(home)] == [TimeQuality.SUSPECT, TimeQuality.CORRECTED]


def test_stamps_that_do_not_ascend_show_a_reset_that_nobody_remembers() -> None:
    home = Home(_cuff(WrongClock(resets_to=RESET)))
    for systolic in (150, 151, 152):
        home.meter.clock.switch_off()
        _inflate(home, systolic)
        home.now += DAY
    home.session()
    assert [quality for _, quality in _placed(home)][1:] == [TimeQuality.SUSPECT] * 2


def test_a_meter_whose_clock_is_right_may_send_the_newest_first() -> None:
    home = Home(_cuff())
    assert isinstance(home.meter, BloodPressureMeter)
    for days in (1, 2, 3):
        home.meter.measure(wall=home.wall - days * DAY, systolic_mmhg=150 + days, diastolic_mmhg=94)
    home.session()
    assert [quality for _, quality in _placed(home)] == [TimeQuality.CORRECTED] * 3


def test_a_record_sent_twice_is_no_clock_that_was_set_back() -> None:
    home = Home(_cuff(sends_twice=True))
    _inflate(home)
    home.now += MINUTE
    _inflate(home, 151)
    home.session()
    assert [quality for _, quality in _placed(home)] == [TimeQuality.CORRECTED] * 2


def test_without_a_clock_of_ours_nothing_is_said_of_the_meters() -> None:
    home = Home(_cuff(WrongClock(offset_s=3600)))
    _inflate(home)
    findings = home.session(clock=LEFT, is_clock_believable=False)
    assert findings.clock_memory is None
    assert not home.kept[0].evidence.has_jumped


def _settled(home: Home, by: timedelta) -> list[TimeQuality]:
    """The qualities when somebody has told our clock that it was off `by`."""
    return [place(record.evidence.shifted(by), SHANGHAI).time_quality for record in home.kept]


WRONG = timedelta(days=40)
"""How far our own clock is off before somebody tells it the time."""


def test_records_of_a_clock_that_begins_anew_are_not_certain_once_ours_is_believed() -> None:
    home = Home(_cuff(WrongClock(resets_to=RESET)))
    for systolic in (150, 151, 152):
        home.meter.clock.switch_off()
        _inflate(home, systolic)
        home.now += DAY
    home.meter.clock.switch_off()
    home.session(clock=ClockMemory(wall=HERE - 9 * DAY, at=NOW - 9 * DAY + WRONG), is_clock_believable=False)
    assert TimeQuality.CORRECTED not in _settled(home, WRONG)
    assert home.provisional == set(), "each has had its last word"


@pytest.mark.parametrize("count", [1, 3])
def test_records_of_a_clock_that_has_run_on_are_certain_once_ours_is_believed(count: int) -> None:
    home = Home(_cuff(WrongClock(offset_s=3600)))
    for systolic in range(150, 150 + count):
        _inflate(home, systolic)
        home.now += MINUTE
    left = ClockMemory(wall=HERE + timedelta(hours=1) - 9 * DAY, at=NOW - 9 * DAY + WRONG)
    home.session(clock=left, is_clock_believable=False)
    assert _settled(home, WRONG) == [TimeQuality.CORRECTED] * count


def test_one_record_alone_of_a_clock_that_has_jumped_is_of_just_now_once_ours_is_believed() -> None:
    home = Home(_cuff(WrongClock(resets_to=RESET)))
    home.meter.clock.switch_off()
    _inflate(home)
    home.session(clock=ClockMemory(wall=HERE - 9 * DAY, at=NOW - 9 * DAY + WRONG), is_clock_believable=False)
    assert _settled(home, WRONG) == [TimeQuality.CORRECTED]


def test_a_meter_that_knows_zones_is_told_the_place_before_the_time() -> None:
    """It moves its clock by what it hears of the place; the time that is written after that is the one that stays."""
    meter = Meter(name="bp", kind="blood_pressure", index=1, has_local_time=True, clock=WrongClock(offset_s=-7200))
    home = Home(BloodPressureMeter(meter))
    assert home.session().clock_care is ClockCare.SET
    written = [(each.characteristic, each.value) for each in home.commands if isinstance(each, Write)]
    assert [characteristic for characteristic, _ in written] == ["2a0f", "2a2b"]
    assert written[0][1] == bytes.fromhex("2000"), "eight hours, no daylight saving"
    shown = home.shown_on_meter()
    assert shown is not None
    assert abs(home.wall - shown) < timedelta(seconds=1)


def test_a_meter_that_is_right_is_not_told_where_it_is() -> None:
    home = Home(BloodPressureMeter(Meter(name="bp", kind="blood_pressure", index=1, has_local_time=True)))
    assert home.session().clock_care is ClockCare.RIGHT
    assert _writes(home) == 0


# -- clocks that will not be set ---------------------------------------------------------------------------------------


def _writes(home: Home) -> int:
    return sum(isinstance(each, Write) for each in home.commands)


def test_a_meter_that_ignores_the_time_is_not_written_to_at_every_visit() -> None:
    home = Home(_cuff(WrongClock(offset_s=-7200), ignores_clock_writes=True))
    first = home.session()
    assert (first.clock_care, _writes(home)) == (ClockCare.IGNORED, 1)
    home.now += DAY
    second = home.session(clock=first.clock_memory)
    assert (second.clock_care, _writes(home)) == (ClockCare.IGNORED, 1)
    home.now += 6 * DAY
    third = home.session(clock=second.clock_memory)
    assert (third.clock_care, _writes(home)) == (ClockCare.IGNORED, 2)


def test_a_meter_that_ignored_the_time_is_asked_again_after_a_reset() -> None:
    home = Home(_cuff(WrongClock(offset_s=-7200), ignores_clock_writes=True))
    first = home.session()
    home.meter.clock.offset -= timedelta(hours=3)
    home.session(clock=first.clock_memory)
    assert _writes(home) == 2


def test_a_meter_that_would_not_be_set_and_is_right_by_now_is_right() -> None:
    home = Home(_cuff())
    unwilling = ClockMemory(wall=HERE, at=NOW, care="ignored", unwilling_at=NOW)
    findings = home.session(clock=unwilling)
    assert findings.clock_care is ClockCare.RIGHT
    assert findings.clock_memory is not None
    assert findings.clock_memory.unwilling_at is None


def test_a_window_used_before_the_records_came_is_remembered_even_if_they_never_come() -> None:
    meter = Meter(name="omron", kind="blood_pressure", index=1, model="Omron BP5150", clock=WrongClock(offset_s=-7200))
    home = Home(BloodPressureMeter(meter))
    _inflate(home)
    home.loses_link_before = lambda command: isinstance(command, Keep)
    home.session()
    pending = home.findings.clock_memory
    assert pending is not None
    again = ClockMemory(wall=pending.wall, at=pending.at, is_pending=True)
    assert again.has_jumped(home.wall, home.now), "what is still in the meter may be of either time line"


def test_what_a_session_cut_short_in_the_window_has_left_is_not_of_just_now_even_alone() -> None:
    home = Home(_cuff())
    _inflate(home)
    home.session(clock=ClockMemory(wall=HERE, at=NOW, is_pending=True))
    assert [quality for _, quality in _placed(home)] == [TimeQuality.SUSPECT]
    assert home.findings.clock_memory is not None
    assert not home.findings.clock_memory.is_pending, "all of it has come"


# -- what becomes of it in the outbox ----------------------------------------------------------------------------------


def _provisional(until_s: float = 30.0) -> Unbelieved:
    return Unbelieved(boot_id="b", since_boot_s=0.0, evidence=evidence(), until_s=until_s)


def test_a_provisional_reading_is_durable_and_waits_for_its_last_word(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with Outbox(path, now=NOW) as outbox:
        outbox.keep(reading(1), unbelieved=_provisional())
    with Outbox(path, now=NOW) as outbox:
        assert [each.seq for each in outbox.held(10)] == [1]
        assert outbox.unconfirmed(10) == []
        assert outbox.finish(reading(1))
        assert [row.seq for row in outbox.unconfirmed(10)] == [1]
        assert not outbox.finish(reading(1)), "it has had its last word"


def test_a_reading_that_waits_for_a_clock_is_not_finished_by_a_repeat(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.sqlite", now=NOW) as outbox:
        outbox.keep(reading(1), unbelieved=Unbelieved(boot_id="b", since_boot_s=0.0, evidence=evidence()))
        assert not outbox.finish(reading(1))
        assert len(outbox.held(10)) == 1
        assert not outbox.finish(reading(2)), "never kept"


def test_a_session_that_never_says_its_last_word_is_not_waited_for() -> None:
    assert _provisional().is_awaited(since_boot_s=29.0, boot_id="b")
    assert not _provisional().is_awaited(since_boot_s=30.0, boot_id="b")
    assert not _provisional().is_awaited(since_boot_s=1.0, boot_id="another")


def test_what_is_remembered_of_a_clock_outlives_a_restart_and_another_builds_words(tmp_path: Path) -> None:
    path, memory = tmp_path / "outbox.sqlite", MeterMemory(meter_id="m", clock=LEFT)
    with Outbox(path, now=NOW) as outbox:
        outbox.remember(memory, now=NOW)
    with Outbox(path, now=NOW) as outbox:
        assert outbox.recall("m").clock == LEFT
        outbox.set_setting("clock of m", '{"wall": 5}')
        assert outbox.recall("m").clock == ClockMemory()


async def test_a_cuff_that_resets_at_each_power_off_is_certain_while_it_is_read_at_once(tmp_path: Path) -> None:
    cuff = CUFF | {"clock": {"resets_to": "2021-01-01T00:00:00"}}
    async with at_home(tmp_path / "outbox.sqlite", cuff) as home:
        for nth, systolic in enumerate((150, 160), 1):
            home.inflate(systolic=systolic)
            await home.until(lambda nth=nth: home.collector.totals.sessions == nth)  # type: ignore[misc]
        qualities = [each.time_quality for each in await home.until_kept(2)]
    assert qualities == [TimeQuality.CORRECTED] * 2


async def test_two_equal_inflations_of_a_clock_that_begins_anew_each_time_are_two_readings(tmp_path: Path) -> None:
    """The same values with the same time stamp, on two days: nothing but the reset in between tells them apart."""
    cuff = CUFF | {"clock": {"resets_to": "2021-01-01T00:00:00"}}
    async with at_home(tmp_path / "outbox.sqlite", cuff) as home:
        for nth in (1, 2, 3):
            home.inflate(systolic=150)
            await home.until(lambda nth=nth: home.collector.totals.sessions == nth)  # type: ignore[misc]
            home.let_pass(DAY)
        readings = await home.until_kept(3)
    assert {(each.raw, each.meter_time) for each in readings} == {(readings[0].raw, readings[0].meter_time)}
    days = [each.measured_at.day for each in readings]
    assert days == [days[0], days[0] + 1, days[0] + 2]
    assert {each.time_quality for each in readings} == {TimeQuality.CORRECTED}


@pytest.mark.parametrize(("later", "is_new"), [(MINUTE, False), (14 * MINUTE, False), (DAY, True)])
async def test_a_record_that_is_sent_again_because_its_link_broke_is_one_reading_all_the_same(
    tmp_path: Path, later: timedelta, is_new: bool
) -> None:
    home = Home(_cuff(WrongClock(resets_to=RESET)))
    home.meter.clock.switch_off()
    _inflate(home)
    home.session(clock=ClockMemory(wall=HERE - 9 * DAY, at=NOW - 9 * DAY))
    (record,) = home.kept
    assert record.is_just_taken
    clock = TestClock(wall=record.evidence.received_at)
    with Outbox(tmp_path / "outbox.sqlite", now=NOW) as outbox:
        keeper = Keeper(
            outbox=outbox, gateway_id=GATEWAY, zone=lambda: SHANGHAI, clock=clock.clock, on_kept=lambda: None
        )
        assert await keeper.keep(METER, record, keeper.timeline(), Tally(), decoder=OURS)
        clock.tick(later.total_seconds())
        again = replace(record, evidence=record.evidence.shifted(later))
        assert await keeper.keep(METER, again, keeper.timeline(), Tally(), decoder=OURS) is is_new


def test_a_record_of_a_clock_that_has_run_on_keeps_its_name() -> None:
    home = Home(_cuff(WrongClock(offset_s=3600)))
    _inflate(home)
    home.session(clock=ClockMemory(wall=HERE + timedelta(hours=1) - 9 * DAY, at=NOW - 9 * DAY))
    assert not home.kept[0].is_just_taken
