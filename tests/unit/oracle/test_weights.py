"""Whose a weight is, as the oracle sees it: what is far from two weeks before is doubted, what two days agree on is believed."""

from datetime import UTC, datetime
from fractions import Fraction

import pytest
from unit.oracle.trend_cases import at, opened

from server.oracle.chart import chart_of
from server.oracle.days import Days
from server.oracle.shapes import OraclePatient, OracleReading
from server.oracle.weights import others

UTC_DAYS = Days(((datetime(2020, 1, 1, tzinfo=UTC), "UTC"),), at(31))


def weighing(name: str, when: datetime, kg: object, **more: str) -> OracleReading:
    value = None if kg is None else Fraction(str(kg))
    return OracleReading(name=name, kind="weight", measured_at=when, received_at=when, weight_kg=value, **more)  # type: ignore[arg-type]


def doubted(*readings: OracleReading, days: Days = UTC_DAYS) -> str:
    """Their names in order."""
    return "".join(sorted(others(readings[::-1], days)))


def row(*weights: object, first: int = 1) -> list[OracleReading]:
    """One a day at 07:30, named a, b, c …"""
    return [weighing("abcdefghij"[place], at(first + place), kg) for place, kg in enumerate(weights)]


@pytest.mark.parametrize(
    ("weights", "names"),
    [
        ((80,), ""),
        ((80, 85), ""),
        ((80, "85.000001"), "b"),
        ((80, 75), ""),
        ((80, "74.999999"), "b"),
        ((80, 80, 60, 80), "c"),
        ((80, 82, 86, 80), ""),
        ((80, 82, "86.000001", 80), "c"),
        ((80, 60, 80), "bc"),
        ((80, 60, 60, 80), "d"),
        ((80, 60, 60, 80, 80), ""),
    ],
)
def test_far_is_more_than_five_kilograms_from_the_middle_of_those_before(
    weights: tuple[object, ...], names: str
) -> None:
    """The middle of two is their mean: in the last three c is 10 kg from it. Of the last, b agrees with c, and d with e."""
    assert doubted(*row(*weights)) == names


def test_two_days_that_agree_are_believed() -> None:
    assert doubted(*row(80, 80, 80, 70, 72)) == ""
    assert doubted(*row(80, 80, 80, 70, "72.000001")) == "de"
    assert doubted(*row(80, 80, 80, 70, 80, 70)) == "df", "what lies between them agrees with neither"


def test_two_of_one_day_are_one_visitor() -> None:
    first, second = weighing("b", at(2), 60), weighing("c", at(2, "07:31"), 60)
    assert doubted(*row(80), first, second) == "bc"
    assert doubted(*row(80), weighing("b", at(3, "02:59"), 60), weighing("c", at(3, "03:00"), 60)) == ""


@pytest.mark.parametrize(("clock", "names"), [("07:30", ""), ("07:30:01", "bc")])
def test_they_lie_at_most_seventy_two_hours_apart(clock: str, names: str) -> None:
    assert doubted(*row(80), weighing("b", at(2), 60), weighing("c", at(5, clock), 60)) == names


@pytest.mark.parametrize(("clock", "names"), [("07:30", "b"), ("07:30:01", "")])
def test_what_is_older_than_two_weeks_says_nothing(clock: str, names: str) -> None:
    assert doubted(weighing("a", at(1), 80), weighing("b", at(15, clock), 60)) == names


def test_of_one_instant_the_names_decide_which_comes_before() -> None:
    """b is compared with a; c with a and b, whose middle is 75."""
    when = at(2)
    assert doubted(weighing("a", when, 80), weighing("b", when, 70), weighing("c", when, 70)) == "b"
    assert doubted(weighing("c", when, 80), weighing("b", when, 70), weighing("a", when, 70)) == "c"


def test_what_cannot_be_or_has_no_time_is_not_looked_at_and_a_doubtful_time_is() -> None:
    assert (
        doubted(*row(80), weighing("b", at(2), 60), weighing("x", at(2, "12:00"), 401), weighing("c", at(3), 60)) == ""
    )
    orphan = weighing("o", at(2, "12:00"), 80, time_quality="orphan")
    assert doubted(*row(80), weighing("b", at(2), 60), orphan, weighing("c", at(3), 60)) == ""
    unsure = weighing("s", at(2, "12:00"), 80, time_quality="suspect")
    assert doubted(*row(80), weighing("b", at(2), 60), unsure, weighing("c", at(3), 60)) == "bcs"


def test_no_trend_sees_a_weight_that_is_doubted() -> None:
    high = "kind: rolling, statistic: highest, over: {days: 1}, min_readings: 1, any_of: [{signal: weight, above: 85, unit: kg}]"
    assert opened(high, row(80, 95, 80)) == []
    assert opened(high, row(80, 95, 95)) == [at(2)], "believed, it is seen from its own day on"


def test_the_chart_knows_whose_they_are_by_the_patients_own_days() -> None:
    patient = OraclePatient(
        readings=tuple(row(80, 60)), zones=((datetime(2020, 1, 1, tzinfo=UTC), "UTC"),), enrolled_on=at(1).date()
    )
    assert chart_of(patient, at(31)).others == {"b"}
