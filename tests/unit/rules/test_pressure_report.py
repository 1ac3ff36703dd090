"""The report of home blood pressure against a plain computation with dates, lists and `statistics`: only the rows are shared."""

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from statistics import fmean, stdev
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from server.rules.features import features_of
from server.rules.pressure_report import Average, PressureReport, report
from server.rules.windows import PatientHistory, Row, ZoneSpan, window_of

SHANGHAI, BERLIN = "Asia/Shanghai", "Europe/Berlin"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ENROLLED = date(2026, 1, 10)


def row(
    number: int, at: datetime, systolic: float, diastolic: float, quality: str = "accepted", time: str = "corrected"
) -> Row:
    return Row(
        reading_id=UUID(int=number),
        kind="blood_pressure",
        measured_at=at,
        received_at=at + timedelta(seconds=4),
        systolic_mmhg=systolic,
        diastolic_mmhg=diastolic,
        pulse_bpm=70.0,
        glucose_mmol_l=None,
        glucose_mg_dl=None,
        weight_kg=None,
        spo2_percent=None,
        temperature_celsius=None,
        glucose_censored=None,
        meal=None,
        meter_status=None,
        quality=quality,
        time_quality=time,
    )


def made_of(
    rows: Sequence[Row],
    first: date,
    last: date,
    *,
    zone: str = SHANGHAI,
    is_block: bool = True,
    enrolled: date = ENROLLED,
) -> PressureReport:
    history = PatientHistory(
        patient_id=1, enrolled_on=enrolled, zones=(ZoneSpan(valid_from=LONG_AGO, zone=zone),), window=window_of(rows)
    )
    now = datetime.combine(last + timedelta(days=2), datetime.min.time(), tzinfo=UTC)
    features = features_of(history, now=now)
    return report(features, first_day=first.toordinal(), last_day=last.toordinal(), is_block=is_block)


def at(day: date, hour: int, minute: int = 0, zone: str = SHANGHAI) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def plainly(rows: Sequence[Row], days: Sequence[date], zone: str, part: str = "") -> list[tuple[float, float]]:
    """The accepted readings of certain time on these days: a day is the local date three hours ago, on the wall clock."""
    found = []
    for each in rows:
        wall = each.measured_at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        hour, day = wall.hour, (wall - timedelta(hours=3)).date()
        here = "morning" if 3 <= hour < 12 else "evening" if hour >= 17 or hour < 3 else "other"
        if day in days and each.quality == "accepted" and each.time_quality == "corrected" and part in ("", here):
            assert each.systolic_mmhg is not None and each.diastolic_mmhg is not None  # noqa: PT018 - as one
            found.append((each.systolic_mmhg, each.diastolic_mmhg))
    return found


def agrees(average: Average | None, values: Sequence[tuple[float, float]]) -> None:
    if not values:
        assert average is None
        return
    assert average is not None
    assert average.n == len(values)
    for mean, spread, column in (
        (average.systolic, average.systolic_sd, [pair[0] for pair in values]),
        (average.diastolic, average.diastolic_sd, [pair[1] for pair in values]),
    ):
        assert float(mean) == pytest.approx(fmean(column), abs=1e-9)
        assert spread == (None if len(column) < 2 else pytest.approx(stdev(column), abs=1e-9))


@pytest.mark.parametrize("zone", [SHANGHAI, BERLIN, "America/St_Johns"])
@pytest.mark.parametrize("days", [7, 14])
@pytest.mark.parametrize("seed", range(8))
def test_every_mean_is_that_of_a_plain_computation_whatever_the_clocks_do(seed: int, days: int, zone: str) -> None:
    """Two weeks around the night in which the clocks of Berlin go back, at any hour, with what no rule may use among it.

    Values lie close together and well apart in time, so that no reading is doubted by what lies around it.
    """
    drawn = random.Random(seed)
    first = date(2026, 10, 20)
    last = first + timedelta(days=days - 1)
    rows, instant = [], at(first, 0, zone=zone) - timedelta(days=1)
    while instant < at(last, 0, zone=zone) + timedelta(days=3):
        quality = drawn.choice(["accepted"] * 6 + ["rejected", "invalid"])
        time = drawn.choice(["corrected"] * 7 + ["suspect", "orphan"])
        rows.append(row(len(rows), instant, drawn.randint(125, 150), drawn.randint(78, 92), quality, time))
        instant += timedelta(minutes=drawn.randint(20, 500))

    made = made_of(rows, first, last, zone=zone, is_block=days == 7)

    period = [first + timedelta(days=number) for number in range(days)]
    measured = [day for day in period if plainly(rows, [day], zone)]
    counted = [day for day in measured if days > 7 or day > measured[0]]
    agrees(made.overall, plainly(rows, counted, zone))
    agrees(made.morning, plainly(rows, counted, zone, "morning"))
    agrees(made.evening, plainly(rows, counted, zone, "evening"))
    values = plainly(rows, counted, zone)
    past = sum(systolic >= 135 or diastolic >= 85 for systolic, diastolic in values)
    above = sum(systolic > 140 or diastolic > 90 for systolic, diastolic in values)
    assert made.percent(systolic=135, diastolic=85, is_met_at=True) == Fraction(100 * past, len(values))
    assert made.percent(systolic=140, diastolic=90, is_met_at=False) == Fraction(100 * above, len(values))
    assert made.days == len(counted)
    assert made.is_enough == (len(values) >= 12)


def block(first: date, days: int, pairs: Sequence[tuple[float, float]] = ((128, 78), (132, 82))) -> list[Row]:
    """Two readings a minute apart in the morning and in the evening of each day."""
    instants = [
        at(first + timedelta(days=day), hour, minute) for day in range(days) for hour in (7, 20) for minute in (0, 1)
    ]
    return [row(number, instant, *pairs[number % len(pairs)]) for number, instant in enumerate(instants)]


def test_the_first_day_of_a_block_is_left_out_and_twelve_readings_are_enough() -> None:
    first = date(2026, 3, 1)

    whole = made_of(block(first, 7), first, first + timedelta(days=6))
    four_days = made_of(block(first, 4), first, first + timedelta(days=6))
    one_fewer = made_of(block(first, 4)[:-1], first, first + timedelta(days=6))

    assert (whole.overall and whole.overall.n, whole.days, whole.left_out) == (24, 6, first.toordinal())
    assert (four_days.overall and four_days.overall.n, four_days.is_enough) == (12, True)
    assert (one_fewer.overall and one_fewer.overall.n, one_fewer.is_enough) == (11, False)


def test_the_first_measured_day_is_left_out_and_not_the_first_of_the_calendar() -> None:
    first = date(2026, 3, 1)

    made = made_of(block(first + timedelta(days=2), 5), first, first + timedelta(days=6))

    assert made.left_out == (first + timedelta(days=2)).toordinal()
    assert made.overall is not None
    assert made.overall.n == 16


def test_of_a_longer_period_only_the_day_of_enrolment_is_left_out() -> None:
    first = date(2026, 3, 1)
    last = first + timedelta(days=13)
    rows = block(first, 14)

    old = made_of(rows, first, last, is_block=False)
    new = made_of(rows, first, last, is_block=False, enrolled=first + timedelta(days=1))

    assert (old.left_out, old.overall and old.overall.n) == (None, 56)
    assert (new.is_practice, new.overall and new.overall.n) == (True, 48)  # what a cuff held from before counts no more


def test_half_past_midnight_belongs_to_the_evening_before() -> None:
    first = date(2026, 3, 1)
    rows = [
        *block(first, 2),
        row(90, at(first + timedelta(days=2), 0, 30), 131, 81),
        row(91, at(first + timedelta(days=2), 3), 131, 81),
    ]

    made = made_of(rows, first, first + timedelta(days=1))

    assert made.evening is not None
    assert made.evening.n == 3
    assert [each.day for each in made.readings][-1] == (first + timedelta(days=1)).toordinal()


def test_a_mean_at_the_line_is_at_it_and_not_above() -> None:
    first = date(2026, 3, 1)

    made = made_of(block(first, 7, ((134.9, 84), (135.1, 86))), first, first + timedelta(days=6))

    assert made.overall is not None
    assert (made.overall.systolic, made.overall.diastolic) == (135, 85)
    assert made.percent(systolic=135.1, diastolic=90, is_met_at=True) == 50
    assert made.percent(systolic=135.1, diastolic=90, is_met_at=False) == 0


def test_what_rules_doubt_is_in_no_mean() -> None:
    first = date(2026, 3, 1)
    odd = row(90, at(first + timedelta(days=3), 12), 225, 110)  # alone, and far from the last fourteen days

    made = made_of([*block(first, 7), odd], first, first + timedelta(days=6))

    assert made.overall is not None
    assert made.overall.n == 24
    (doubted,) = [each for each in made.readings if not each.is_usable]
    assert doubted.systolic_micro == 225_000_000


def test_of_nothing_there_is_no_mean_and_no_share() -> None:
    made = made_of([], date(2026, 3, 1), date(2026, 3, 7))

    assert (made.overall, made.morning, made.left_out, made.is_enough) == (None, None, None, False)
    assert made.percent(systolic=135, diastolic=85, is_met_at=True) is None
