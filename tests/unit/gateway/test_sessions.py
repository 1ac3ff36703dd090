"""Both ends joined in memory: the gateway's sessions against the simulated meters' firmware, no radio between."""

from contextlib import suppress
from datetime import timedelta
from itertools import count

import pytest
from unit.gateway.joined import Home
from unit.gateway.samples import SHANGHAI

from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.faults import Faults
from firmware_sims.glucometer import Glucometer
from firmware_sims.settings import Meter, WrongClock
from gateway.sessions.commands import (
    Command,
    Keep,
    Subscribe,
    Wait,
    Write,
)
from gateway.sessions.conversation import Findings, Known, converse
from gateway.sessions.meter_clock import ClockCare
from gateway.timing import place
from vitals.gatt.link import LinkError
from vitals.reading import BloodPressure, Glucose, TimeQuality


def _cuff(clock: object = "ok", **faults: object) -> BloodPressureMeter:
    meter = Meter(name="bp", kind="blood_pressure", index=1, clock=clock, faults=Faults(**faults))  # type: ignore[arg-type]
    return BloodPressureMeter(meter)


def _glucometer(clock: object = "ok", *, first_sequence: int = 1, **faults: object) -> Glucometer:
    meter = Meter(name="glu", kind="glucose", index=1, clock=clock, faults=Faults(**faults))  # type: ignore[arg-type]
    return Glucometer(meter, first_sequence=first_sequence)


def _inflate(home: Home, systolic: int = 152, *, ago: timedelta = timedelta(0)) -> bytes:
    assert isinstance(home.meter, BloodPressureMeter)
    return home.meter.measure(
        wall=home.wall - ago, systolic_mmhg=systolic, diastolic_mmhg=94, pulse_bpm=72, user_slot=1
    )


def _prick(home: Home, mg_dl: float = 126, *, meal: str | None = None, ago: timedelta = timedelta(0)) -> None:
    assert isinstance(home.meter, Glucometer)
    home.meter.measure(wall=home.wall - ago, glucose_mg_dl=mg_dl, meal=meal)


# -- blood pressure ----------------------------------------------------------------------------------------------------


def test_every_stored_record_of_a_cuff_is_kept_as_it_was_sent() -> None:
    home = Home(_cuff())
    sent = [_inflate(home, 150 + n, ago=timedelta(hours=5 - n)) for n in range(4)]
    home.session()
    assert [record.raw for record in home.kept] == sent
    first = home.kept[0].measurement
    assert isinstance(first, BloodPressure)
    assert (first.systolic_mmhg, first.diastolic_mmhg, first.pulse_bpm) == (150.0, 94.0, 72.0)
    assert home.kept[0].user_slot == 1


def test_the_clock_is_read_before_the_first_record_and_set_after_the_last() -> None:
    home = Home(_cuff(WrongClock(offset_s=-600)))
    _inflate(home)
    assert home.session().clock_care is ClockCare.SET
    order = home.names()
    assert order.index("Read 2a2b") < order.index("Subscribe 2a35") < order.index("Write 2a2b")
    kept_at = next(i for i, c in enumerate(home.commands) if isinstance(c, Keep))
    written_at = next(i for i, c in enumerate(home.commands) if isinstance(c, Write))
    assert kept_at < written_at


def test_a_record_of_a_wrong_clock_is_placed_right_and_the_clock_is_right_afterwards() -> None:
    home = Home(_cuff(WrongClock(offset_s=-600)))
    taken = home.now
    _inflate(home)
    home.now += timedelta(minutes=3)
    home.session()
    placed = place(home.kept[0].evidence, SHANGHAI)
    assert abs(placed.measured_at - taken) <= timedelta(seconds=1)
    assert placed.time_quality is TimeQuality.CORRECTED
    shown = home.shown_on_meter()
    assert shown is not None
    assert abs(shown - home.wall) < timedelta(seconds=2)


def test_a_clock_that_is_right_to_the_minute_is_left_alone() -> None:
    home = Home(_cuff(WrongClock(offset_s=40)))
    _inflate(home)
    assert home.session().clock_care is ClockCare.RIGHT
    assert not any(isinstance(c, Write) for c in home.commands)


def test_a_meter_that_ignores_its_new_time_is_found_out() -> None:
    home = Home(_cuff(WrongClock(offset_s=-600), ignores_clock_writes=True))
    _inflate(home)
    assert home.session().clock_care is ClockCare.IGNORED


def test_our_own_doubtful_time_is_never_written_into_a_meter() -> None:
    home = Home(_cuff(WrongClock(offset_s=-600)))
    _inflate(home)
    assert home.session(is_clock_believable=False).clock_care is ClockCare.LEFT_WRONG
    assert not any(isinstance(c, Write) for c in home.commands)


def test_a_cuff_that_hangs_up_after_its_last_record_has_done_nothing_wrong() -> None:
    home = Home(_cuff(hangs_up=True))
    _inflate(home)
    home.session()
    assert len(home.kept) == 1


def test_a_cuff_with_nothing_new_is_no_failure() -> None:
    home = Home(_cuff())
    home.session()
    assert home.kept == []


def test_a_record_sent_twice_is_kept_once() -> None:
    home = Home(_cuff(sends_twice=True))
    _inflate(home)
    home.session()
    assert len(home.kept) == 1


def test_a_record_that_is_sent_again_in_the_next_session_is_kept_once() -> None:
    home = Home(_cuff(drops_after_indication=1))
    _inflate(home)
    home.session()
    home.session()
    assert len(home.kept) == 1
    assert sum(isinstance(c, Keep) for c in home.commands) == 2


def test_a_frame_that_does_not_decode_is_set_aside_and_the_session_goes_on() -> None:
    home = Home(_cuff())
    assert isinstance(home.meter, BloodPressureMeter)
    home.meter.keep(b"\x1e\x98\x00")
    good = _inflate(home)
    home.session()
    (aside,) = home.set_aside
    assert (aside.raw, aside.reason, aside.characteristic) == (b"\x1e\x98\x00", "frame_length", "2a35")
    assert [record.raw for record in home.kept] == [good]


def test_a_failed_measurement_is_kept_without_a_number() -> None:
    home = Home(_cuff(fails=True))
    _inflate(home)
    home.session()
    measurement = home.kept[0].measurement
    assert isinstance(measurement, BloodPressure)
    assert measurement.systolic_mmhg is None


def test_a_meter_without_a_clock_gives_records_with_the_time_of_receipt() -> None:
    home = Home(_cuff("absent"))
    _inflate(home)
    findings = home.session()
    assert findings.clock is None
    assert findings.clock_care is ClockCare.UNREADABLE
    assert place(home.kept[0].evidence, SHANGHAI).time_quality is TimeQuality.RECEIVED


def test_a_meter_that_does_not_know_the_year_is_suspect() -> None:
    home = Home(_cuff("unset"))
    _inflate(home)
    home.session()
    assert place(home.kept[0].evidence, SHANGHAI).time_quality is TimeQuality.SUSPECT


def test_what_the_meter_says_of_itself_is_found() -> None:
    findings = Home(_cuff()).session()
    assert findings.about["model"] == "HV-BP1"
    assert findings.battery_percent == 87


def test_a_link_that_breaks_before_the_records_fails_the_session() -> None:
    home = Home(_cuff(), loses_link_before=lambda c: isinstance(c, Subscribe))
    _inflate(home)
    with pytest.raises(LinkError):
        home.session()


def test_a_link_that_breaks_while_the_clock_is_set_costs_no_record() -> None:
    home = Home(_cuff(WrongClock(offset_s=-600)), loses_link_before=lambda c: isinstance(c, Write))
    _inflate(home)
    assert home.session().clock_care is ClockCare.LEFT_WRONG
    assert len(home.kept) == 1


def test_a_meter_that_measures_nothing_we_know_is_left_alone() -> None:
    known = Known(characteristics=frozenset({"2a6e"}), zone=SHANGHAI)
    with pytest.raises(LinkError, match="neither"):
        next(converse(known, Findings()))


# -- glucose -----------------------------------------------------------------------------------------------------------


def _sequences(home: Home) -> list[int | None]:
    return [record.sequence for record in home.kept]


def _requests(home: Home) -> list[str]:
    """The reports that it was asked for."""
    found = [c.value.hex() for c in home.commands if isinstance(c, Write) and c.characteristic == "2a52"]
    return [each for each in found if not each.startswith("04")]


def test_the_first_session_asks_for_everything() -> None:
    home = Home(_glucometer())
    for n in range(5):
        _prick(home, 100 + n)
    assert home.session().highest_sequence == 5
    assert _sequences(home) == [1, 2, 3, 4, 5]
    assert _requests(home) == ["0101"]


def test_later_sessions_ask_from_the_last_record_on() -> None:
    home = Home(_glucometer())
    for n in range(3):
        _prick(home, 100 + n)
    highest = home.session().highest_sequence
    _prick(home, 140)
    assert home.session(highest=highest).highest_sequence == 4
    assert _requests(home) == ["0101", "0103010300"]
    assert _sequences(home) == [1, 2, 3, 4]


def test_everything_is_subscribed_before_anything_is_asked() -> None:
    home = Home(_glucometer())
    _prick(home)
    home.session()
    order = home.names()
    asked = order.index("Write 2a52")
    assert all(order.index(f"Subscribe {c}") < asked for c in ("2a18", "2a34", "2a52"))


def test_a_measurement_waits_for_its_context() -> None:
    home = Home(_glucometer())
    _prick(home, 126, meal="fasting")
    _prick(home, 90)
    home.session()
    with_meal, without = home.kept
    assert isinstance(with_meal.measurement, Glucose)
    assert with_meal.measurement.meal == "fasting"
    assert with_meal.context_raw is not None
    assert without.context_raw is None


def test_no_records_is_a_success() -> None:
    home = Home(_glucometer())
    assert home.session().highest_sequence is None
    assert home.kept == []


def test_a_meter_whose_numbers_began_anew_is_asked_for_everything() -> None:
    """A battery change: numbers restart at 1, and 'since 7' would hide all that is new."""
    home = Home(_glucometer(first_sequence=7))
    _prick(home, 100)
    highest = home.session().highest_sequence
    home.meter = _glucometer()
    _prick(home, 200)
    _prick(home, 201)
    assert home.session(highest=highest).highest_sequence == 2
    assert _requests(home) == ["0101", "0103010700", "0101"]
    assert _sequences(home) == [7, 1, 2]


def _new_battery(*, read: int, waiting: int) -> tuple[Home, int | None]:
    """A home whose glucometer began its numbers anew after `read` samples were read, and has `waiting` since; with the highest
    number known."""
    home = Home(_glucometer())
    for n in range(read):
        _prick(home, 100 + n)
    highest = home.session().highest_sequence
    home.meter = _glucometer()
    for n in range(waiting):
        _prick(home, 200 + n)
    return home, highest


@pytest.mark.parametrize("breaks_after", range(1, 12))
def test_a_session_that_breaks_after_the_numbers_began_anew_hides_none_of_them(breaks_after: int) -> None:
    home, highest = _new_battery(read=3, waiting=6)
    reports = count(1)
    home.loses_link_before = lambda command: isinstance(command, Wait) and next(reports) == breaks_after
    with suppress(LinkError):
        highest = home.session(highest=highest).highest_sequence
    home.loses_link_before = lambda _: False
    assert home.session(highest=highest).highest_sequence == 6
    assert len(home.kept) == 9


def test_a_meter_whose_numbers_began_anew_and_have_passed_the_old_ones_is_noticed() -> None:
    home, highest = _new_battery(read=2, waiting=4)
    home.session(highest=highest)
    assert _requests(home)[-1] == "0101"
    assert len(home.kept) == 6


def test_the_meters_records_are_never_deleted() -> None:
    home = Home(_glucometer())
    for n in range(3):
        _prick(home, 100 + n)
    home.session()
    home.session(highest=3)
    assert all(not request.startswith("02") for request in _requests(home))
    assert isinstance(home.meter, Glucometer)
    assert len(home.meter.records) == 3


def test_a_frame_that_does_not_decode_is_asked_for_once_more_and_set_aside() -> None:
    home = Home(_glucometer())
    assert isinstance(home.meter, Glucometer)
    _prick(home, 100)
    home.meter.keep(b"\x0b\x02")
    home.session()
    assert _requests(home) == ["0101", "0101"]
    assert {aside.raw for aside in home.set_aside} == {b"\x0b\x02"}
    assert _sequences(home) == [1]


def test_a_report_that_breaks_off_leaves_what_it_had_and_fails() -> None:
    home = Home(_glucometer())
    for n in range(3):
        _prick(home, 100 + n)
    waits = 0

    def third_wait(command: Command) -> bool:
        nonlocal waits
        waits += isinstance(command, Wait)
        return waits == 3

    home.loses_link_before = third_wait
    with pytest.raises(LinkError, match="went away"):
        home.session()
    assert _sequences(home) == [1, 2]
    home.loses_link_before = lambda _: False
    home.session()
    assert _sequences(home) == [1, 2, 3]


def test_a_context_lost_with_the_link_is_asked_for_again_with_its_measurement() -> None:
    """Kept without its meal the measurement would be another one: it stays in the meter until both can be had."""
    home = Home(_glucometer())
    _prick(home, 126, meal="fasting")
    waits = 0

    def second_wait(command: Command) -> bool:
        nonlocal waits
        waits += isinstance(command, Wait)
        return waits == 2

    home.loses_link_before = second_wait
    with pytest.raises(LinkError):
        home.session()
    assert home.kept == []
    home.loses_link_before = lambda _: False
    home.session()
    (record,) = home.kept
    assert isinstance(record.measurement, Glucose)
    assert record.measurement.meal == "fasting"


def test_the_time_of_a_glucose_record_is_what_the_display_showed() -> None:
    home = Home(_glucometer(WrongClock(offset_s=-7200)))
    taken = home.now
    _prick(home)
    home.now += timedelta(minutes=5)
    home.session()
    placed = place(home.kept[0].evidence, SHANGHAI)
    assert abs(placed.measured_at - taken) <= timedelta(minutes=1)
