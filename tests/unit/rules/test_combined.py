"""Rules of several conditions: what each says by itself, what they come to together, when that begins and what ends it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from unit.rules.combined_cases import (
    BREATH,
    GAIN,
    HOT,
    LATER,
    PULSE,
    SECOND,
    at,
    breath,
    combined,
    cuff,
    hot,
    ids,
    rolling,
    weighed,
)
from unit.rules.glucose_cases import BERLIN, DAY, HOUR, MIDNIGHT, MINUTE, found

from server.rules.engine import judge
from server.rules.episodes import Finding
from server.rules.rule import RuleSet
from server.rules.windows import PatientHistory, Row, ZoneSpan, window_of

HIGH_DAY = rolling("mean", "days: 1", "{signal: systolic, at_least: 140, unit: mmHg}", of="days")
HIGH_SITTING = rolling("mean", "days: 1", "{signal: systolic, at_least: 140, unit: mmHg}", of="sittings")

BOTH = combined(HOT, BREATH)


def both(*rows: Row, **more: Any) -> tuple[Finding, ...]:
    return found(BOTH, rows, LATER, **more)


# -- what several conditions come to -----------------------------------------------------------------------------------

SAID = {"yes": ([hot(at(0), 38.5)], [breath(at(1), 90)]), "no": ([hot(at(0), 36)], [breath(at(1), 98)]), "": ([], [])}
TABLE = {
    ("yes", "yes"): (True, True),
    ("yes", "no"): (False, True),
    ("yes", ""): (False, True),
    ("no", "no"): (False, False),
    ("no", ""): (False, False),
    ("", ""): (False, False),
}
"""What all_of and any_of come to; which of the two says what does not matter."""


@pytest.mark.parametrize(("one", "other"), [*TABLE, *((b, a) for a, b in TABLE if a != b)])
def test_all_of_is_true_if_all_are_and_any_of_if_one_is(one: str, other: str) -> None:
    all_of, any_of = TABLE.get((one, other)) or TABLE[other, one]
    rows = SAID[one][0] + SAID[other][1]
    assert bool(found(BOTH, rows, LATER)) == all_of
    assert bool(found(combined(HOT, BREATH, word="any_of"), rows, LATER)) == any_of


@pytest.mark.parametrize(("hot_says", "is_true"), [("yes", False), ("no", True), ("", False)])
def test_not_turns_round_what_is_known_and_nothing_else(hot_says: str, is_true: bool) -> None:
    rows = SAID[hot_says][0] + SAID["yes"][1]
    assert bool(found(combined(f"{{not: {HOT}}}", BREATH), rows, LATER)) == is_true


def test_one_word_may_be_inside_the_other() -> None:
    either = combined(HOT, f"{{any_of: [{BREATH}, {PULSE}]}}")
    assert len(found(either, [hot(at(0), 39), breath(at(1), 98, 120)], LATER)) == 1
    assert len(found(either, [hot(at(0), 39), breath(at(1), 90, 70)], LATER)) == 1
    assert found(either, [hot(at(0), 39), breath(at(1), 98, 70)], LATER) == ()
    two = combined(HOT, f"{{all_of: [{BREATH}, {{not: {PULSE}}}]}}", word="any_of")
    assert len(found(two, [breath(at(1), 90, 70)], LATER)) == 1
    assert found(two, [breath(at(1), 90, 120)], LATER) == ()
    assert len(found(two, [breath(at(1), 90, 120), hot(at(2), 39)], LATER)) == 1


def test_nobody_who_has_measured_nothing_is_found() -> None:
    assert both() == ()


def test_a_condition_says_what_it_has_said_last() -> None:
    assert both(hot(at(0), 38.5), hot(at(1), 37), breath(at(2), 90)) == ()
    assert len(both(hot(at(0), 37), hot(at(1), 38.5), breath(at(2), 90))) == 1


def test_what_is_between_yes_and_no_is_no_answer() -> None:
    (finding,) = both(hot(at(0), 38.5), hot(at(1), 37.6), breath(at(2), 90))
    assert finding.opened_at == at(2)
    assert both(hot(at(0), 37.5), hot(at(1), 37.6), breath(at(2), 90)) == ()
    assert both(hot(at(1), 37.6), breath(at(2), 90)) == ()


def test_below_by_is_nothing_unless_it_is_said() -> None:
    plain = combined(HOT.replace(", below_by: 0.5", ""), BREATH)
    (finding,) = found(plain, [hot(at(0), 38), breath(at(1), 90), hot(at(2), 37.9)], LATER)
    assert finding.resolved_at == at(2)


def test_a_count_says_yes_with_few_in_view_and_no_with_enough_alone() -> None:
    last_two = HOT.replace("needed: 1, of_last: 1, within: {hours: 1}", "needed: 1, of_last: 3, within: {hours: 9}")
    rows = [hot(at(0), 38.5), breath(at(1), 90), hot(at(8), 37), hot(at(9), 37), hot(at(10), 37)]
    asked = combined(last_two, BREATH)
    assert [f.state for f in found(asked, rows[:4], LATER)] == ["active"]
    (finding,) = found(asked, rows, LATER)
    assert finding.resolved_at == at(10)


def test_a_count_with_too_few_in_view_and_not_enough_hits_says_nothing() -> None:
    rare = HOT.replace("needed: 1, of_last: 1", "needed: 1, of_last: 2")
    rows = [hot(at(0), 39), hot(at(5), 36), breath(at(6), 90), hot(at(10), 39)]
    assert found(combined(rare, BREATH, within="hours: 4"), rows, LATER) == ()


def test_one_weight_is_no_change_and_no_lack_of_it() -> None:
    asked = combined(f"{{not: {GAIN}}}", BREATH, within="days: 2")
    assert found(asked, [weighed(at(0), 70), breath(at(1), 90)], LATER) == ()
    (finding,) = found(asked, [weighed(at(0), 70), breath(at(1), 90), weighed(at(24), 71.5)], LATER)
    assert finding.opened_at == at(24)


def test_a_mean_difference_is_known_with_the_second_value() -> None:
    swings = rolling("arv", "hours: 9", "{signal: temperature, above: 1, unit: °C}")
    asked = combined(f"{{not: {swings}}}", BREATH)
    assert found(asked, [hot(at(0), 37), breath(at(1), 90)], LATER) == ()
    (finding,) = found(asked, [hot(at(0), 37), breath(at(1), 90), hot(at(2), 37.5)], LATER)
    assert finding.opened_at == at(2)
    assert found(asked, [hot(at(0), 37), hot(at(2), 39), breath(at(3), 90)], LATER) == ()


def test_both_pressures_of_one_condition_must_be_good_for_a_no() -> None:
    pressures = rolling(
        "highest",
        "hours: 1",
        "{signal: systolic, above: 140, unit: mmHg}",
        "{signal: diastolic, at_least: 80, unit: mmHg}",
    )
    assert found(combined(f"{{not: {pressures}}}", BREATH), [cuff(at(0), 120), breath(at(1), 90)], LATER) == ()
    lower = pressures.replace("at_least: 80", "above: 80")
    assert len(found(combined(f"{{not: {lower}}}", BREATH), [cuff(at(0), 120), breath(at(1), 90)], LATER)) == 1
    assert len(found(combined(lower, BREATH), [cuff(at(0), 141), breath(at(1), 90)], LATER)) == 1


# -- when it begins, and what ends it ----------------------------------------------------------------------------------


def test_it_begins_with_the_answer_that_was_missing_whichever_that_is() -> None:
    for rows in ([hot(at(0), 38), breath(at(1), 92)], [breath(at(0), 92), hot(at(1), 38)]):
        (finding,) = both(*rows)
        assert finding.state == "active"
        assert finding.started_at == finding.opened_at == finding.deliver_at == finding.newest_at == at(1)
        assert finding.first_day == finding.last_day == date(2026, 6, 1)
        assert finding.fresh_until == MIDNIGHT + 8 * DAY
        assert (finding.priority, finding.tell, finding.tell_late) == ("low", ("doctor",), ())


def test_answers_of_one_instant_are_together() -> None:
    (finding,) = both(hot(at(0), 38), breath(at(0), 92))
    assert finding.opened_at == at(0)
    assert both(hot(at(0), 39), breath(at(1), 98), hot(at(1), 36)) == ()


def test_an_answer_as_old_as_within_is_too_old_to_begin() -> None:
    assert both(hot(at(0), 39), breath(at(24), 90)) == ()
    assert len(both(hot(at(0), 39), breath(at(24) - SECOND, 90))) == 1


def test_days_are_so_many_times_24_hours_and_no_calendar_days() -> None:
    three = combined(HOT, BREATH, within="days: 3")
    assert found(three, [hot(at(0), 39), breath(at(72), 90)], LATER) == ()
    assert len(found(three, [hot(at(0), 39), breath(at(72) - SECOND, 90)], LATER)) == 1


def test_silence_ends_nothing_and_old_answers_count_as_long_as_it_lasts() -> None:
    (finding,) = both(hot(at(0), 39), breath(at(1), 90), breath(at(500), 90))
    assert (finding.state, finding.newest_at, finding.last_day) == ("active", at(1), date(2026, 6, 1))


def test_its_newest_instant_is_one_at_which_it_could_begin() -> None:
    (finding,) = both(hot(at(0), 39), breath(at(1), 90), breath(at(23), 90), breath(at(24), 90))
    assert finding.newest_at == at(23)
    (finding,) = both(hot(at(0), 39), breath(at(1), 90), hot(at(30), 39), breath(at(53), 90))
    assert (finding.newest_at, finding.last_day) == (at(53), date(2026, 6, 3))
    assert finding.fresh_until == MIDNIGHT + 10 * DAY


@pytest.mark.parametrize("ending", [hot(at(40), 37.5), breath(at(40), 94)])
def test_one_part_that_is_good_ends_it(ending: Row) -> None:
    (finding,) = both(hot(at(0), 39), breath(at(1), 90), ending)
    assert (finding.state, finding.resolved_at, finding.newest_at) == ("resolved", at(40), at(1))


def test_any_of_ends_when_no_part_is_known_to_hold_any_more() -> None:
    (finding,) = found(combined(HOT, BREATH, word="any_of"), [hot(at(0), 39), hot(at(3), 37)], LATER)
    assert (finding.opened_at, finding.resolved_at) == (at(0), at(3))


def test_any_of_goes_on_while_another_part_holds() -> None:
    rows = [hot(at(0), 39), breath(at(1), 90), hot(at(3), 37), breath(at(5), 96)]
    (finding,) = found(combined(HOT, BREATH, word="any_of"), rows, LATER)
    assert (finding.opened_at, finding.newest_at, finding.resolved_at) == (at(0), at(3), at(5))


def test_what_is_under_not_ends_it_by_coming_true() -> None:
    asked = combined(f"{{not: {HOT}}}", BREATH)
    (finding,) = found(asked, [hot(at(0), 36), breath(at(1), 90), hot(at(2), 37.8), hot(at(3), 38)], LATER)
    assert finding.resolved_at == at(3)


def test_what_begins_again_within_seven_days_is_the_same_and_later_another() -> None:
    week = 7 * 24
    first = [hot(at(0), 39), breath(at(1), 90), breath(at(2), 96)]
    again = [hot(at(2 + week), 39), breath(at(2 + week), 90)]
    (finding,) = both(*first, *again)
    assert (finding.started_at, finding.opened_at, finding.state) == (at(1), at(1), "active")
    assert (finding.deliver_at, finding.newest_at) == (at(2 + week), at(2 + week))
    assert (finding.first_day, finding.last_day) == (date(2026, 6, 1), date(2026, 6, 8))
    later = [hot(at(3 + week), 39), breath(at(3 + week), 90)]
    assert [each.state for each in both(*first, *later)] == ["resolved", "active"]


def test_after_it_ended_old_answers_begin_nothing() -> None:
    """The fever is of more than 24 hours before the second low oxygen, though it counted as long as the first lasted."""
    (finding,) = both(hot(at(0), 39), breath(at(1), 90), breath(at(30), 96), breath(at(31), 90))
    assert (finding.state, finding.resolved_at) == ("resolved", at(30))


def test_days_that_are_not_judged_answer_nothing() -> None:
    rows = [hot(at(0), 39), breath(at(23), 90)]  # 07:00 on 2 June
    assert len(both(*rows)) == 1
    assert both(*rows, judged_from=MIDNIGHT) == ()
    assert len(both(*rows, judged_from=MIDNIGHT - DAY)) == 1


# -- days and sittings -------------------------------------------------------------------------------------------------


def test_a_day_answers_at_its_close_and_people_are_told_at_eight() -> None:
    asked = combined(HIGH_DAY, HOT)
    (finding,) = found(asked, [cuff(at(0), 150), hot(at(1), 39)], LATER)
    assert finding.opened_at == finding.newest_at == MIDNIGHT + DAY
    assert finding.deliver_at == MIDNIGHT + DAY + 5 * HOUR
    assert finding.first_day == finding.last_day == date(2026, 6, 1)
    (finding,) = found(asked, [cuff(at(0), 150), hot(at(20), 39)], LATER)
    assert finding.opened_at == finding.deliver_at == at(20)  # at four in the morning: who measures is awake
    assert finding.first_day == date(2026, 6, 2)


def test_of_answers_of_one_instant_that_written_first_gives_the_day() -> None:
    rows = [cuff(at(0), 150), hot(MIDNIGHT + DAY, 39)]  # the day closes as the temperature is taken
    for parts, day, told in (
        ((HIGH_DAY, HOT), date(2026, 6, 1), MIDNIGHT + DAY + 5 * HOUR),
        ((HOT, HIGH_DAY), date(2026, 6, 2), MIDNIGHT + DAY),
        ((f"{{any_of: [{HIGH_DAY}, {BREATH}]}}", HOT), date(2026, 6, 1), MIDNIGHT + DAY + 5 * HOUR),
    ):
        (finding,) = found(combined(*parts), rows, LATER)
        assert (finding.opened_at, finding.first_day, finding.deliver_at) == (MIDNIGHT + DAY, day, told)


def test_the_last_day_is_never_before_the_first() -> None:
    """Who flies west lives a date twice: the temperature is of 2 June in Shanghai, the oxygen after it of 1 June in New York."""
    shanghai = ZoneSpan(valid_from=datetime(2020, 1, 1, tzinfo=UTC), zone="Asia/Shanghai")
    noon = datetime(2026, 6, 1, 18, tzinfo=UTC)  # 02:00 in Shanghai, still of 1 June
    moved = ZoneSpan(valid_from=noon + 3 * HOUR, zone="America/New_York")
    rows = [breath(noon, 90), hot(noon + 2 * HOUR, 39), breath(noon + 4 * HOUR, 90)]
    (finding,) = found(BOTH, rows, LATER, zones=(shanghai, moved))
    assert (finding.opened_at, finding.newest_at) == (noon + 2 * HOUR, noon + 4 * HOUR)
    assert finding.first_day == finding.last_day == date(2026, 6, 2)


def test_what_begins_again_with_the_close_of_a_day_is_told_again_at_eight() -> None:
    rows = [cuff(at(0), 150), hot(at(20), 39), hot(at(21), 36), cuff(at(27), 150), hot(at(30), 39)]
    (finding,) = found(combined(HIGH_DAY, HOT), rows, LATER)
    assert (finding.opened_at, finding.deliver_at, finding.newest_at) == (at(20), at(30), MIDNIGHT + 2 * DAY)
    (finding,) = found(combined(HIGH_DAY, HOT, within="hours: 20"), [*rows[:4], hot(at(40), 39)], LATER)
    assert (finding.opened_at, finding.newest_at) == (at(20), MIDNIGHT + 2 * DAY)
    assert finding.deliver_at == MIDNIGHT + 2 * DAY + 5 * HOUR
    assert finding.first_day == finding.last_day == date(2026, 6, 2)


def test_a_sitting_answers_when_it_is_over_and_is_waited_for() -> None:
    asked = combined(HIGH_SITTING, HOT)
    rows = [hot(at(0), 39), cuff(at(1), 150)]
    history = PatientHistory(patient_id=1, enrolled_on=date(2026, 1, 1), zones=BERLIN, window=window_of(rows))
    judged = judge(history, RuleSet((asked,)), now=at(1))
    assert (judged.findings, judged.next_due_at) == ((), at(1) + 10 * MINUTE)
    (finding,) = judge(history, RuleSet((asked,)), now=at(1) + 10 * MINUTE).findings
    assert finding.opened_at == at(1) + 10 * MINUTE
    assert judge(history, RuleSet((BOTH,)), now=at(1)).next_due_at == MIDNIGHT + DAY


# -- what a verdict names ----------------------------------------------------------------------------------------------


def test_the_numbers_name_every_condition_with_what_it_said() -> None:
    asked = combined(f"{{any_of: [{HOT}, {PULSE}, {GAIN}]}}", f"{{not: {BREATH}}}")
    rows = [hot(at(0), 38.5), breath(at(1), 97, 80)]
    (finding,) = found(asked, rows, LATER)
    numbers = finding.verdict.numbers
    assert set(numbers) == {"within", "parts", "at", "reading_ids"}
    assert (numbers["within"], numbers["at"]) == ({"hours": 24}, at(1).isoformat())
    said = [(each["kind"], each["not"], each["said"], each["value"], each["at"]) for each in numbers["parts"]]
    assert said == [
        ("count_of_last", False, "yes", None, at(0).isoformat()),
        ("count_of_last", False, "no", None, at(1).isoformat()),
        ("change", False, None, None, None),
        ("count_of_last", True, "no", None, at(1).isoformat()),
    ]
    assert [each["thresholds"] for each in numbers["parts"]][:3:2] == [
        [{"signal": "temperature", "comparison": "at_least", "value": 38.0, "unit": "°C"}],
        [{"signal": "weight", "comparison": "at_least", "value": 2.0, "unit": "kg"}],
    ]
    assert found(combined(HOT, BREATH, within="days: 2"), [hot(at(0), 39), breath(at(1), 90)], LATER)[
        0
    ].verdict.numbers["within"] == {"days": 2}


def test_the_value_that_was_compared_is_named() -> None:
    rows = [weighed(at(0), 70), weighed(at(24), 72.25), hot(at(25), 39)]
    (finding,) = found(combined(GAIN, HOT), rows, LATER)
    assert [each["value"] for each in finding.verdict.numbers["parts"]] == [2.25, None]


def test_the_readings_of_what_supports_it_are_named_in_order_of_time_and_each_once() -> None:
    rows = [weighed(at(0), 70), weighed(at(24), 73), hot(at(25), 36), breath(at(26), 90, 120)]
    asked = combined(
        f"{{not: {HOT}}}", f"{{any_of: [{BREATH}, {PULSE}]}}", GAIN, f"{{any_of: [{GAIN}, {HOT}]}}", within="days: 2"
    )
    (finding,) = found(asked, rows, LATER)
    assert finding.verdict.numbers["reading_ids"] == ids(*rows)
    calm = [*rows[:3], breath(at(26), 90, 70)]
    (finding,) = found(combined(BREATH, f"{{any_of: [{HOT}, {GAIN}, {PULSE}]}}", within="days: 2"), calm, LATER)
    assert finding.verdict.numbers["reading_ids"] == ids(rows[0], rows[1], calm[3])


def test_what_says_yes_inside_of_what_is_not_true_names_its_readings_too() -> None:
    two = combined(BREATH, f"{{all_of: [{HOT}, {GAIN}]}}", word="any_of")
    rows = [hot(at(0), 39), breath(at(1), 90)]
    assert found(two, rows, LATER)[0].verdict.numbers["reading_ids"] == ids(*rows)


def test_an_answer_too_old_for_the_newest_instant_is_not_named() -> None:
    rows = [hot(at(0), 39), breath(at(1), 90), hot(at(30), 39), breath(at(31), 91)]
    (finding,) = both(*rows)
    assert finding.verdict.numbers["reading_ids"] == ids(*rows[2:])


def test_the_newest_hundred_readings_are_named() -> None:
    often = rolling("mean", "hours: 24", "{signal: temperature, above: 38, unit: °C}")
    rows = [hot(at(0) + n * MINUTE, 39) for n in range(120)] + [breath(at(3), 90)]
    (finding,) = found(combined(often, BREATH), rows, LATER)
    assert finding.verdict.numbers["reading_ids"] == ids(*rows[-100:])


def test_the_sentence_joins_what_supports_it_and_says_what_is_not() -> None:
    asked = combined(f"{{any_of: [{BREATH}, {PULSE}]}}", f"{{not: {HOT}}}")
    (finding,) = found(asked, [hot(at(0), 36.4), breath(at(1), 90, 70)], LATER)
    assert finding.verdict.sentence == {
        "en": "Oxygen saturation at or below 92 % in the last reading: 90; and not: temperature at or above 38 °C in the last"
        " reading: 36.4",
        "zh": "最近 1 次读数的血氧饱和度不高于 92 %：90；且并非：最近 1 次读数的体温达到或超过 38 °C：36.4",
    }


def test_two_answers_of_one_condition_at_one_instant_are_that_of_the_later_in_the_row() -> None:
    """Cuff and oximeter tell a pulse at the very same time; rows of one instant are in the order of their ids."""
    rows: Sequence[Row] = [breath(at(0), 97, 120), cuff(at(0), 120, 80), hot(at(1), 39)]
    assert rows[0].reading_id < rows[1].reading_id
    assert found(combined(PULSE, HOT), rows, LATER) == ()
    assert len(found(combined(f"{{not: {PULSE}}}", HOT), rows, LATER)) == 1


def test_instants_are_aware() -> None:
    (finding,) = both(hot(at(0), 39), breath(at(1), 90))
    assert finding.opened_at.tzinfo is UTC
