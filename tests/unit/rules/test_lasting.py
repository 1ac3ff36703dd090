"""Rules about a worn sensor that is beyond a limit for a while: what begins an episode, what ends it, what a gap does not do."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from unit.rules.glucose_cases import HOUR, MIDNIGHT, MINUTE, found, rule, sensor, worn

from server.rules.episodes import Finding

BELOW_54 = "kind: lasting, signal: sensor_glucose, below: 54, unit: mg/dL, minutes: 15, gap_minutes: 45"
LOW = rule(BELOW_54, resolve="by: time")
LATER = MIDNIGHT + 12 * HOUR
SECOND = timedelta(seconds=1)


def at(minutes: float) -> datetime:
    return MIDNIGHT + minutes * MINUTE


def low_of(values: list[Any], every: timedelta = 5 * MINUTE, **more: Any) -> tuple[Finding, ...]:
    return found(LOW, worn(MIDNIGHT, values, every), LATER, **more)


def test_a_quarter_of_an_hour_below_begins_an_episode() -> None:
    (finding,) = low_of([80, 50, 48, 51, 53])
    assert finding.state == "active"
    assert finding.started_at == at(5)
    assert finding.opened_at == finding.deliver_at == finding.newest_at == at(20)
    assert finding.first_day == finding.last_day == date(2026, 6, 1)
    assert finding.fresh_until == at(20) + 24 * HOUR
    assert (finding.tell, finding.tell_late) == (("doctor",), ())
    assert finding.verdict.sentence == {
        "en": "Sensor glucose below 54 mg/dL for 15 minutes, lowest 48",
        "zh": "动态血糖低于 54 mg/dL 持续 15 分钟，最低 48",
    }
    assert len(finding.verdict.numbers["reading_ids"]) == 4


def test_less_than_a_quarter_of_an_hour_is_none() -> None:
    assert low_of([80, 50, 48, 51, 54]) == ()
    rows = [sensor(at(0), 50), sensor(at(15) - SECOND, 50)]
    assert found(LOW, rows, LATER) == ()


def test_an_episode_ends_with_a_quarter_of_an_hour_that_is_not_below() -> None:
    (finding,) = low_of([50, 50, 50, 50, 60, 60, 60, 60])
    assert (finding.state, finding.resolved_at, finding.newest_at) == ("resolved", at(35), at(15))


def test_a_short_rise_ends_nothing() -> None:
    (finding,) = low_of([50, 50, 50, 50, 60, 60, 60, 50, 60, 60])
    assert (finding.state, finding.newest_at) == ("active", at(35))
    assert finding.verdict.numbers["readings"] == 5


def test_each_episode_is_one_of_its_own() -> None:
    first, second = low_of([50] * 4 + [60] * 4 + [50] * 4)
    assert (first.state, second.state) == ("resolved", "active")
    assert second.started_at == at(40)


def test_a_gap_breaks_a_run_that_has_not_lasted() -> None:
    rows = [sensor(at(minute), 50) for minute in (0, 10, 56, 66)]
    assert found(LOW, rows, LATER) == ()
    assert len(found(LOW, [*rows[:2], sensor(at(55), 50)], LATER)) == 1


def test_a_gap_ends_nothing() -> None:
    before, hours = worn(MIDNIGHT, [50] * 4), 5
    after = worn(at(60 * hours), [50, 60, 60])
    (finding,) = found(LOW, before + after, LATER)
    assert (finding.state, finding.newest_at) == ("active", at(60 * hours))
    (ended,) = found(LOW, before + worn(at(60 * hours), [60] * 4), LATER)
    assert (ended.state, ended.resolved_at) == ("resolved", at(60 * hours + 15))


def test_lo_is_below_every_limit_and_hi_below_none() -> None:
    (finding,) = low_of(["LO", 50, "LO", "LO", "HI", "HI", "HI", "HI"])
    assert (finding.state, finding.verdict.numbers["farthest"]) == ("resolved", "LO")
    assert finding.verdict.sentence["en"].endswith("lowest LO")
    high = rule(BELOW_54.replace("below: 54", "above: 250"), resolve="by: time")
    (above,) = found(high, worn(MIDNIGHT, ["HI", 251, 260, 255, "LO", "LO", "LO", "LO"]), LATER)
    assert (above.state, above.verdict.numbers["farthest"]) == ("resolved", "HI")


def test_readings_that_do_not_count_are_not_there() -> None:
    rows = worn(MIDNIGHT, [50, 50, 50, 50])
    doubtful = [sensor(at(7), 90, 1, quality="rejected"), sensor(at(12), 90, 2, time_quality="suspect")]
    assert found(LOW, rows + doubtful, LATER) == found(LOW, rows, LATER)


def test_a_day_that_is_not_judged_begins_and_ends_nothing_but_its_readings_are_seen() -> None:
    """The clinical day of 1 June is over at 1440 minutes; a run from before reaches into the next."""
    rows = worn(at(1440 - 60), [50] * 24)
    (finding,) = found(LOW, rows, LATER + 24 * HOUR, judged_from=MIDNIGHT)
    assert (finding.started_at, finding.opened_at) == (at(1440 - 60), at(1440))
    assert finding.first_day == date(2026, 6, 1)
    assert finding.last_day == date(2026, 6, 2)
    assert found(LOW, rows[:12], LATER + 24 * HOUR, judged_from=MIDNIGHT) == ()


def test_a_patients_own_limit_takes_the_place_of_the_rules() -> None:
    assert low_of([60] * 4) == ()
    (finding,) = low_of([60] * 4, own={"value": 63})
    assert finding.verdict.numbers["thresholds"] == [
        {"signal": "sensor_glucose", "comparison": "below", "value": 63.0, "unit": "mg/dL"}
    ]


def test_the_limit_is_compared_in_the_unit_in_which_it_is_written() -> None:
    """70 mg/dL are 3.885 mmol/L: below 3.9, and not below 70."""
    in_mmol = rule(BELOW_54.replace("below: 54, unit: mg/dL", "below: 3.9, unit: mmol/L"), resolve="by: time")
    in_mg = rule(BELOW_54.replace("below: 54", "below: 70"), resolve="by: time")
    rows = worn(MIDNIGHT, [70] * 4)
    assert len(found(in_mmol, rows, LATER)) == 1
    assert found(in_mg, rows, LATER) == ()


@pytest.mark.parametrize("wrong", ["minutes: 0", "gap_minutes: 0", "signal: glucose", "unit: mmHg", "above: 300"])
def test_a_rule_that_cannot_be_meant_is_refused(wrong: str) -> None:
    word, value = wrong.split(": ")
    with pytest.raises(ValidationError):
        rule(f"{BELOW_54}, {word}: {value}" if word not in BELOW_54 else _with(word, value), resolve="by: time")


def _with(word: str, value: str) -> str:
    parts = [part for part in BELOW_54.split(", ") if not part.startswith(f"{word}:")]
    return ", ".join([*parts, f"{word}: {value}"])
