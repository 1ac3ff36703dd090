"""The oracle's combined rules, worked by hand: what the conditions say together, when it begins and ends, and its grounds.

Temperature, oxygen saturation and glucose stand for any signals: what is measured of one is no answer about another.
"""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import count
from typing import Any

import pytest
from unit.oracle.trend_cases import END_OF_MARCH, ENROLLED, SECOND, at, glucose, pressure

from server.oracle.alerts import alerts_of
from server.oracle.combined_rules import Branch, CombinedRule, Leaf
from server.oracle.rules import reach_days, rules_of, span_days
from server.oracle.shapes import OracleAlert, OraclePatient, OracleReading
from vitals.errors import MalformedError


def rolling(
    statistic: str, condition: str, *, of: str = "readings", over: str = "hours: 1", below_by: object = 0
) -> str:
    """Of one reading or more."""
    return (
        f"{{kind: rolling, statistic: {statistic}, of: {of}, over: {{{over}}}, min_readings: 1,"
        f" any_of: [{condition}], below_by: {below_by}}}"
    )


WARM = "{signal: temperature, at_least: 38, unit: °C}"
HOT = rolling("highest", WARM, below_by=1)
LOW_OXYGEN = rolling("lowest", "{signal: spo2, at_most: 92, unit: '%'}")
SWEET = rolling("highest", "{signal: glucose, above: 10, unit: mmol/L}")
SYSTOLIC = "{signal: systolic, at_least: 140, unit: mmHg}"
HIGH_DAYS = rolling("mean", SYSTOLIC, of="days", over="days: 1")
PRESSURES = rolling("mean", f"{SYSTOLIC}, {{signal: diastolic, at_least: 90, unit: mmHg}}")
MIXED = rolling("highest", f"{WARM}, {{signal: spo2, at_least: 99, unit: '%'}}")
BOTH = f"all_of: [{HOT}, {LOW_OXYGEN}]"
EITHER = f"any_of: [{HOT}, {LOW_OXYGEN}]"
_NUMBERS = count()


def text_of(parts: str, within: str = "hours: 24", resolve: str = "by: parts") -> str:
    return f"""
rules:
  - id: combined
    version: 2
    when: {{kind: combined, within: {{{within}}}, {parts}}}
    resolve: {{{resolve}}}
    priority: high
    tell: [doctor]
"""


def warm(when: datetime, celsius: object, **more: Any) -> OracleReading:
    return _reading(when, kind="temperature", temperature_celsius=Fraction(str(celsius)), **more)


def oxygen(when: datetime, percent: int, **more: Any) -> OracleReading:
    return _reading(when, kind="oxygen_saturation", spo2_percent=Fraction(percent), **more)


def _reading(when: datetime, **more: Any) -> OracleReading:
    facts: dict[str, Any] = {"name": f"z{next(_NUMBERS):09}", "measured_at": when, "received_at": when}
    return OracleReading(**facts | more)


def judged(
    parts: str, *readings: OracleReading, within: str = "hours: 24", now: datetime = END_OF_MARCH, **more: Any
) -> list[OracleAlert]:
    patient = OraclePatient(
        readings=readings, zones=((datetime(2020, 1, 1, tzinfo=UTC), "UTC"),), enrolled_on=ENROLLED, **more
    )
    return list(alerts_of(patient, rules_of(text_of(parts, within)), now=now))


def spans(*args: Any, **more: Any) -> list[tuple[datetime, datetime | None]]:
    return [(alert.opened_at, alert.resolved_at) for alert in judged(*args, **more)]


# -- what the conditions say together ----------------------------------------------------------------------------------


def test_all_of_begins_with_the_answer_that_makes_it_whole() -> None:
    hot, low = warm(at(2), 38.5), oxygen(at(2, "12:00"), 91)
    (alert,) = judged(BOTH, low, hot)
    assert (alert.rule_version, alert.priority, alert.tells, alert.state) == (2, "high", ("doctor",), "active")
    assert alert.started_at == alert.opened_at == alert.deliver_at == alert.evidence_at == at(2, "12:00")
    assert (alert.first_day, alert.last_day, alert.fresh_until) == (date(2026, 3, 2), date(2026, 3, 2), at(10, "03:00"))
    assert (alert.reading_ids, alert.said) == ((hot.name, low.name), ("yes", "yes"))
    assert spans(BOTH, hot) == spans(BOTH, low) == []


@pytest.mark.parametrize(("clock", "found"), [("07:29:59", 1), ("07:30", 0)])
def test_an_answer_counts_for_less_than_so_long_when_it_begins(clock: str, found: int) -> None:
    assert len(judged(BOTH, warm(at(2), 38.5), oxygen(at(3, clock), 91))) == found


def test_days_are_an_age_whatever_the_clock_does() -> None:
    """Two days of clock time in Berlin, 47 hours of life."""
    start, end = (at(day, "06:00", zone="Europe/Berlin") for day in (28, 30))
    late = datetime(2026, 4, 30, tzinfo=UTC)
    assert len(judged(BOTH, warm(start, 38.5), oxygen(end, 91), within="days: 2", now=late)) == 1
    assert judged(BOTH, warm(start, 38.5), oxygen(start + timedelta(days=2), 91), within="days: 2", now=late) == []


@pytest.mark.parametrize(
    ("parts", "hot", "low", "sweet", "is_yes"),
    [
        (BOTH, True, True, None, True),
        (BOTH, True, False, None, False),
        (BOTH, True, None, None, False),
        (EITHER, True, False, None, True),
        (EITHER, None, True, None, True),
        (EITHER, False, False, None, False),
        (EITHER, False, None, None, False),
        (f"all_of: [{HOT}, {{not: {LOW_OXYGEN}}}]", True, False, None, True),
        (f"all_of: [{HOT}, {{not: {LOW_OXYGEN}}}]", True, True, None, False),
        (f"all_of: [{HOT}, {{not: {LOW_OXYGEN}}}]", True, None, None, False),
        (f"any_of: [{HOT}, {{not: {LOW_OXYGEN}}}]", False, False, None, True),
        (f"all_of: [{HOT}, {{any_of: [{LOW_OXYGEN}, {SWEET}]}}]", True, False, True, True),
        (f"all_of: [{HOT}, {{any_of: [{LOW_OXYGEN}, {SWEET}]}}]", True, False, None, False),
        (f"all_of: [{HOT}, {{any_of: [{LOW_OXYGEN}, {{not: {SWEET}}}]}}]", True, None, False, True),
        (f"any_of: [{HOT}, {{all_of: [{LOW_OXYGEN}, {SWEET}]}}]", None, True, True, True),
        (f"any_of: [{HOT}, {{all_of: [{LOW_OXYGEN}, {SWEET}]}}]", None, True, None, False),
        (f"any_of: [{{all_of: [{HOT}, {LOW_OXYGEN}]}}, {{all_of: [{LOW_OXYGEN}, {SWEET}]}}]", False, True, True, True),
    ],
)  # fmt: skip
def test_yes_no_and_unknown_are_joined(
    parts: str, hot: bool | None, low: bool | None, sweet: bool | None, is_yes: bool
) -> None:
    said = [
        None if hot is None else warm(at(2, "07:00"), 38.5 if hot else 36),
        None if low is None else oxygen(at(2, "07:01"), 91 if low else 97),
        None if sweet is None else glucose(at(2, "07:02"), 11 if sweet else 6),
    ]
    found = judged(parts, *(one for one in said if one is not None), now=at(2, "08:00"))
    assert [alert.state for alert in found] == (["active"] if is_yes else [])


def test_between_is_no_answer() -> None:
    """37.5 is no longer hot, and by half a degree not good either: what was said before stands."""
    first, between = warm(at(2), 38.5), warm(at(2, "09:00"), 37.5)
    (alert,) = judged(BOTH, first, between, oxygen(at(2, "10:00"), 91))
    assert alert.reading_ids[0] == first.name
    assert spans(BOTH, first, warm(at(2, "09:00"), 37), oxygen(at(2, "10:00"), 91)) == []
    assert spans(f"all_of: [{{not: {HOT}}}, {LOW_OXYGEN}]", between, oxygen(at(2, "10:00"), 91)) == []


def test_a_count_says_yes_of_few_and_no_only_of_enough() -> None:
    above = "any_of: [{signal: glucose, above: 10, unit: mmol/L}]"
    twice = f"{{kind: count_of_last, needed: 2, of_last: 4, within: {{days: 9}}, {above}}}"
    parts = f"any_of: [{{not: {twice}}}, {HOT}]"
    assert spans(parts, *(glucose(at(day), 5) for day in (2, 3, 4))) == []
    assert spans(parts, *(glucose(at(day), 5) for day in (2, 3, 4, 5))) == [(at(5), None)]
    assert spans(f"any_of: [{twice}, {HOT}]", glucose(at(2), 11), glucose(at(3), 11)) == [(at(3), None)]


def test_a_change_is_a_condition_too() -> None:
    heavier = "{kind: change, within: {days: 3}, signal: weight, rises_by: 2, unit: kg}"
    weights = [_reading(at(day), kind="weight", weight_kg=Fraction(kg)) for day, kg in ((2, 80), (3, 82))]
    (alert,) = judged(f"all_of: [{heavier}, {LOW_OXYGEN}]", *weights, oxygen(at(3, "08:00"), 90))
    assert alert.reading_ids[:2] == tuple(one.name for one in weights), "what it rose from, too"


def test_of_one_instant_the_later_in_the_row_is_what_a_condition_says() -> None:
    first, second = (warm(at(2), celsius, name=name) for celsius, name in ((38.5, "b"), (36, "a")))
    assert len(judged(BOTH, first, second, oxygen(at(2), 91))) == 1
    cool = HOT.replace("highest", "mean")
    first, second = (warm(at(2), celsius, name=name) for celsius, name in ((38.5, "a"), (30, "b")))
    assert judged(f"all_of: [{cool}, {LOW_OXYGEN}]", first, second, oxygen(at(2), 91)) == []


# -- while it lasts ----------------------------------------------------------------------------------------------------


def test_it_ends_with_an_answer_and_never_by_silence() -> None:
    begun = [warm(at(2), 38.5), oxygen(at(2, "12:00"), 91)]
    assert spans(BOTH, *begun, oxygen(at(9), 91)) == [(at(2, "12:00"), None)], "that it was hot is old, and stands"
    assert spans(BOTH, *begun, oxygen(at(9), 97)) == [(at(2, "12:00"), at(9))]
    assert spans(BOTH, *begun, warm(at(9), 37.5)) == [(at(2, "12:00"), None)]
    assert spans(BOTH, *begun, warm(at(9), 37)) == [(at(2, "12:00"), at(9))]


def test_answers_from_before_it_began_count_while_it_lasts() -> None:
    """Low oxygen first, and hot since the 3rd: at the end of the heat, that of the 2nd still holds it."""
    readings = [oxygen(at(2, "12:00"), 91), warm(at(3), 38.5), warm(at(5), 36)]
    assert spans(EITHER, *readings) == [(at(2, "12:00"), None)]
    readings = [oxygen(at(1), 91, time_quality="suspect"), *readings[1:]]
    assert spans(EITHER, *readings) == [(at(3), at(5))], "what was never answered does not hold it"


def test_what_is_too_old_when_it_begins_never_counts() -> None:
    """Good oxygen 24 hours before the heat is not known of; 24 hours less a second it is, and is no yes."""
    ends = [warm(at(3), 38.5), warm(at(4), 36)]
    low = oxygen(at(2) + SECOND, 91)
    (alert,) = judged(EITHER, low, *ends)
    assert (alert.opened_at, alert.resolved_at) == (low.measured_at, None)
    sweet = f"any_of: [{{all_of: [{HOT}, {{not: {LOW_OXYGEN}}}]}}, {SWEET}]"
    assert spans(sweet, oxygen(at(2), 97), warm(at(3), 38.5)) == []
    assert spans(sweet, oxygen(at(2) + SECOND, 97), warm(at(3), 38.5)) == [(at(3), None)]


def test_its_newest_instant_is_the_last_at_which_it_would_have_begun() -> None:
    begun = [warm(at(2), 38.5), oxygen(at(2, "12:00"), 91)]
    (alert,) = judged(BOTH, *begun, oxygen(at(3, "07:29"), 90), oxygen(at(3, "07:31"), 90))
    assert (alert.evidence_at, alert.last_day, alert.state) == (at(3, "07:29"), date(2026, 3, 3), "active")
    assert alert.fresh_until == at(11, "03:00")


@pytest.mark.parametrize(("again", "alerts"), [(at(10), 1), (at(10) + SECOND, 2)])
def test_what_begins_again_within_seven_days_is_the_same(again: datetime, alerts: int) -> None:
    ended = [warm(at(2), 38.5), warm(at(3), 36)]
    found = judged(EITHER, *ended, warm(again, 38.5))
    assert len(found) == alerts
    assert found[-1].state == "active"
    assert (found[0].first_day, found[-1].last_day, found[-1].deliver_at) == (
        date(2026, 3, 2),
        date(2026, 3, 10),
        again,
    )


def test_an_end_is_an_end_even_if_it_holds_again_with_the_next_answer() -> None:
    found = judged(EITHER, warm(at(2), 38.5), warm(at(3), 36), oxygen(at(3, "07:31"), 91))
    assert [(alert.state, alert.opened_at, alert.deliver_at) for alert in found] == [("active", at(2), at(3, "07:31"))]


# -- what is said of it ------------------------------------------------------------------------------------------------


def test_of_a_closed_day_people_are_told_in_the_morning() -> None:
    (alert,) = judged(f"all_of: [{HIGH_DAYS}, {HOT}]", warm(at(2, "20:00"), 38.5), pressure(at(2), 150))
    assert (alert.opened_at, alert.deliver_at) == (at(3, "03:00"), at(3, "08:00"))
    assert (alert.first_day, alert.last_day) == (date(2026, 3, 2), date(2026, 3, 2))
    (alert,) = judged(f"all_of: [{HIGH_DAYS}, {HOT}]", warm(at(3), 38.5), pressure(at(2), 150))
    assert (alert.opened_at, alert.deliver_at, alert.first_day) == (at(3), at(3), date(2026, 3, 3))


def test_of_two_answers_at_one_instant_the_condition_written_first_says_whose_day_it_is() -> None:
    readings = [warm(at(3, "03:00"), 38.5), pressure(at(2), 150)]
    (alert,) = judged(f"all_of: [{HIGH_DAYS}, {HOT}]", *readings)
    assert (alert.first_day, alert.deliver_at) == (date(2026, 3, 2), at(3, "08:00"))
    (alert,) = judged(f"all_of: [{HOT}, {HIGH_DAYS}]", *readings)
    assert (alert.first_day, alert.deliver_at) == (date(2026, 3, 3), at(3, "03:00"))


def test_its_last_day_is_never_before_its_first() -> None:
    """The 11th in Auckland, and after it the 10th in Los Angeles."""
    zones = ((at(1), "Pacific/Auckland"), (at(11), "America/Los_Angeles"))
    readings = [warm(at(10, "16:00"), 38.5), oxygen(at(11, "08:00"), 91)]
    patient = OraclePatient(readings=tuple(readings), zones=zones, enrolled_on=ENROLLED)
    (alert,) = alerts_of(patient, rules_of(text_of(EITHER)), now=END_OF_MARCH)
    assert (alert.first_day, alert.last_day) == (date(2026, 3, 11), date(2026, 3, 11))
    assert alert.evidence_at == at(11, "08:00")


def test_the_grounds_are_what_speaks_for_it() -> None:
    hot, low, good = warm(at(2, "07:00"), 38.5), oxygen(at(2, "07:01"), 91), oxygen(at(2, "09:00"), 97)
    sweet, plain = glucose(at(2, "09:01"), 11, name="s"), glucose(at(2, "09:02"), 5, name="p")
    (alert,) = judged(EITHER, hot, good)
    assert (alert.reading_ids, alert.said) == ((hot.name,), ("yes", "no"))
    (alert,) = judged(f"all_of: [{HOT}, {{not: {LOW_OXYGEN}}}]", hot, low, good)
    assert (alert.reading_ids, alert.said) == ((hot.name, good.name), ("yes", "no"))
    (alert,) = judged(f"any_of: [{HOT}, {{all_of: [{LOW_OXYGEN}, {SWEET}]}}]", hot, good, sweet)
    assert alert.reading_ids == (hot.name, "s"), "a yes is named also where it decides nothing"
    assert alert.said == ("yes", "no", "yes")
    (alert,) = judged(f"any_of: [{HOT}, {SWEET}]", hot, plain)
    assert alert.said == ("yes", "no")
    (alert,) = judged(f"any_of: [{HOT}, {SWEET}]", hot)
    assert alert.said == ("yes", None)


def test_a_reading_that_two_conditions_stand_on_is_named_once_and_of_many_the_newest_hundred() -> None:
    warmer = HOT.replace("at_least: 38", "at_least: 37")
    (alert,) = judged(f"all_of: [{HOT}, {warmer}]", warm(at(2), 38.5, name="a"))
    assert alert.reading_ids == ("a",)
    many = [warm(at(2) + timedelta(seconds=place), 39, name=f"{place:03}") for place in range(101)]
    (alert,) = judged(f"all_of: [{HOT}, {warmer}]", *many)
    assert alert.reading_ids == tuple(f"{place:03}" for place in range(1, 101))


def test_days_that_are_not_judged_answer_nothing() -> None:
    readings = [warm(at(2), 38.5), oxygen(at(3, "02:59"), 91), oxygen(at(3, "03:00"), 90)]
    assert judged(BOTH, *readings, judged_from=at(2)) == []
    assert spans(BOTH, *readings, judged_from=at(1)) == [(at(3, "02:59"), None)]


# -- the text ----------------------------------------------------------------------------------------------------------


def test_the_text_is_read() -> None:
    text = text_of(f"all_of: [{HOT}, {{any_of: [{SWEET}, {{not: {HIGH_DAYS}}}]}}]", "hours: 25")
    (rule,) = rules_of(text)
    assert isinstance(rule, CombinedRule)
    assert (rule.within, rule.lasting_days) == (timedelta(hours=25), 2)
    first, second = rule.whole.parts
    assert isinstance(first, Leaf)
    assert isinstance(second, Branch)
    assert (rule.whole.word, second.word) == ("all_of", "any_of")
    assert [leaf.is_not for leaf in rule.whole.leaves()] == [False, False, True]
    assert [leaf.trend.below_by for leaf in rule.whole.leaves()] == [1, 0, 0]
    assert (span_days((rule,)), reach_days((rule,))) == (2, 2)


@pytest.mark.parametrize(
    "parts",
    [
        BOTH,
        f"all_of: [{PRESSURES}, {HOT}]",
        f"any_of: [{{all_of: [{HOT}, {LOW_OXYGEN}]}}, {{all_of: [{HOT}, {{not: {SWEET}}}]}}]",
        f"all_of: [{', '.join([HOT] * 8)}]",
    ],
)
def test_what_is_understood(parts: str) -> None:
    assert rules_of(text_of(parts, "days: 31"))


@pytest.mark.parametrize(
    ("parts", "within", "resolve"),
    [
        (BOTH, "days: 32", "by: parts"),
        (BOTH, "hours: 745", "by: parts"),
        (BOTH, "hours: 0", "by: parts"),
        (BOTH, "days: 1, hours: 1", "by: parts"),
        (BOTH, "minutes: 5", "by: parts"),
        (BOTH, "days: 1", "below_by: 0"),
        (f"{BOTH}, {EITHER}", "days: 1", "by: parts"),
        (f"{BOTH}, missing: bridge", "days: 1", "by: parts"),
        (f"all_of: [{HOT}]", "days: 1", "by: parts"),
        (f"all_of: [{', '.join([HOT] * 9)}]", "days: 1", "by: parts"),
        (f"all_of: [{HOT}, {{all_of: [{HOT}, {SWEET}]}}]", "days: 1", "by: parts"),
        (f"all_of: [{HOT}, {{any_of: [{HOT}]}}]", "days: 1", "by: parts"),
        (f"all_of: [{HOT}, {{any_of: [{HOT}, {{all_of: [{HOT}, {SWEET}]}}]}}]", "days: 1", "by: parts"),
        (f"all_of: [{HOT}, {{not: {{any_of: [{HOT}, {SWEET}]}}}}]", "days: 1", "by: parts"),
        (f"all_of: [{HOT}, {HOT.replace('kind: rolling', 'kind: lasting')}]", "days: 1", "by: parts"),
        (f"all_of: [{HOT}, {HOT.replace('below_by', 'above_by')}]", "days: 1", "by: parts"),
        (f"all_of: [{HOT}, {MIXED}]", "days: 1", "by: parts"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(parts: str, within: str, resolve: str) -> None:
    with pytest.raises(MalformedError):
        rules_of(text_of(parts, within, resolve))
