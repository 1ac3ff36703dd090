"""Rules about what was not measured: which days count, which are unknown, what ends an alert, and when to look again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError
from unit.rules.glucose_cases import BERLIN, DAY, HOUR, MINUTE, RULE, rule, sensor

from server.rules import backtest
from server.rules.engine import judge, look_back_days, looks_at_absence, reach_days
from server.rules.episodes import Change, Finding, Judgement, reconcile
from server.rules.own_numbers import Number, check_parameters, numbers_of
from server.rules.rehearsal import episode_of
from server.rules.rule import RuleSet
from server.rules.windows import PatientHistory, PersonalThreshold, Row, UnheardSpan, ZoneSpan, row_of, window_of
from vitals.errors import MalformedError
from vitals.reading import BloodPressure, Weight

SILENT = rule("kind: silence, days: 7, unknown_after_hours: 6", resolve="by: measuring")
PLAN = rule(
    "kind: schedule, of: blood_pressure, measured_days: 4, of_days: 7, unknown_after_hours: 6", resolve="by: schedule"
)
FIRST = date(2026, 6, 1)
"""The day of enrolment, if nothing else is said, and number 0 of the days of these tests."""


def at(day: int, hour: float = 7.0) -> datetime:
    """So many days after 1 June 2026, at an hour in Berlin."""
    midnight = datetime(2026, 6, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    return (midnight + timedelta(days=day, hours=hour)).astimezone(UTC)


def close(day: int) -> datetime:
    return at(day + 1, 3)


def pressure(when: datetime, **marks: Any) -> Row:
    measured = BloodPressure(systolic_mmhg=122.0, diastolic_mmhg=78.0, pulse_bpm=64.0, unit_sent="mmHg")
    return _row(measured, when, **marks)


def weight(when: datetime) -> Row:
    return _row(Weight(weight_kg=81.4, unit_sent="kg"), when)


def _row(measured: BloodPressure | Weight, when: datetime, **marks: Any) -> Row:
    return row_of(
        measured,
        reading_id=UUID(int=round(when.timestamp() * 1_000_000)),
        measured_at=when,
        received_at=when,
        quality=marks.get("quality", "accepted"),
        time_quality=marks.get("time_quality", "trusted"),
    )


def on(*days: int) -> list[Row]:
    return [pressure(at(day)) for day in days]


def patient(
    rows: Sequence[Row],
    *,
    unheard: Sequence[tuple[datetime, datetime | None]] = (),
    own: Mapping[str, float] | None = None,
    enrolled_on: date = FIRST,
    zones: tuple[ZoneSpan, ...] = BERLIN,
    judged_from: datetime | None = None,
    last_counted_before: datetime | None = None,
) -> PatientHistory:
    return PatientHistory(
        patient_id=1,
        enrolled_on=enrolled_on,
        zones=zones,
        window=window_of(rows),
        thresholds={} if own is None else {RULE: PersonalThreshold(version=2, parameters=own)},
        judged_from=judged_from,
        last_counted_before=last_counted_before,
        unheard=tuple(UnheardSpan(began=began, ended=ended) for began, ended in unheard),
    )


def silent(rows: Sequence[Row], now: datetime, **more: Any) -> Judgement:
    return judge(patient(rows, **more), RuleSet((SILENT,)), now=now)


def missed(rows: Sequence[Row], now: datetime, **more: Any) -> Judgement:
    return judge(patient(rows, **more), RuleSet((PLAN,)), now=now)


def the_only(judgement: Judgement) -> Finding:
    (finding,) = judgement.findings
    return finding


# -- silence -----------------------------------------------------------------------------------------------------------


def test_seven_quiet_days_are_a_silence_at_the_close_of_the_seventh() -> None:
    assert silent(on(1), close(8) - MINUTE).findings == ()
    finding = the_only(silent(on(1), close(8)))
    assert finding.state == "active"
    assert finding.started_at == finding.opened_at == finding.newest_at == close(8)
    assert finding.deliver_at == at(9, 8)
    assert (finding.first_day, finding.last_day) == (date(2026, 6, 3), date(2026, 6, 9))
    assert finding.fresh_until == close(15)
    assert finding.verdict.numbers == {
        "days": 7,
        "needed_days": 7,
        "unknown_days": 0,
        "since": at(1).isoformat(),
        "reading_ids": [],
    }
    assert finding.verdict.sentence == {
        "en": "Nothing measured for 7 days (since 2 June)",
        "zh": "已 7 天没有测量（自 6 月 2 日以来）",
    }


def test_a_silence_is_looked_for_when_it_may_be_there_though_nothing_comes() -> None:
    assert silent(on(1), at(1, 8)).next_due_at == close(1)
    assert silent(on(1), close(1)).next_due_at == close(8)
    assert silent([], at(0, 12)).next_due_at == close(7)
    assert silent(on(1), close(8)).next_due_at == close(9)
    unheard = [(at(3, 4), at(4, 4))]
    assert silent(on(1), close(5), unheard=unheard).next_due_at == close(9)


def test_a_silence_that_goes_on_grows_and_is_nothing_new() -> None:
    week, month = the_only(silent(on(1), close(8))), the_only(silent(on(1), close(30)))
    assert month == replace(week, verdict=month.verdict)
    assert (month.verdict.numbers["days"], month.verdict.sentence["en"]) == (
        29,
        "Nothing measured for 29 days (since 2 June)",
    )


def test_who_never_measured_is_silent_since_enrolment_and_not_before_the_day_after() -> None:
    assert silent([], close(7) - MINUTE).findings == ()
    finding = the_only(silent([], close(7)))
    assert (finding.first_day, finding.opened_at) == (date(2026, 6, 2), close(7))
    assert finding.verdict.numbers["since"] is None
    assert finding.verdict.sentence == {
        "en": "Nothing measured for 7 days (since enrolment)",
        "zh": "已 7 天没有测量（自登记以来）",
    }
    ended = the_only(silent(on(20), at(21)))
    assert (ended.state, ended.opened_at, ended.resolved_at) == ("resolved", close(7), at(20))


def test_what_a_meter_kept_from_before_enrolment_makes_nobody_silent_then() -> None:
    assert silent(on(-40, -20, 1), at(2)).findings == ()
    finding = the_only(silent(on(-40, -20), close(7)))
    assert (finding.opened_at, finding.verdict.numbers["since"]) == (close(7), at(-20).isoformat())


def test_any_kind_of_reading_ends_a_silence() -> None:
    for row in (weight(at(12, 9)), sensor(at(12, 9), 110), pressure(at(12, 9))):
        finding = the_only(silent([*on(1), row], at(13)))
        assert (finding.state, finding.resolved_at) == ("resolved", at(12, 9))
        assert finding.verdict.numbers["days"] == 10


@pytest.mark.parametrize("marks", [{"quality": "invalid"}, {"quality": "rejected"}, {"time_quality": "orphan"}])
def test_what_no_rule_may_use_ends_no_silence(marks: dict[str, Any]) -> None:
    row = pressure(at(5), **marks)
    assert the_only(silent([*on(1), row], close(8))).opened_at == close(8)


def test_a_late_reading_takes_the_alert_back() -> None:
    opened = the_only(silent(on(1), close(8)))
    episode = episode_of(opened, UUID(int=7))
    after = silent(on(1, 6), close(8) + HOUR)
    assert after.findings == ()
    (change,) = reconcile([episode], after.findings, now=close(8) + HOUR)
    assert (change.change, change.reason) == (Change.RETRACT, "no_longer_true")


def test_a_late_reading_that_leaves_seven_quiet_days_before_it_ends_the_alert_then() -> None:
    finding = the_only(silent(on(1, 9), at(12)))
    assert (finding.state, finding.opened_at, finding.resolved_at) == ("resolved", close(8), at(9))


def test_a_silence_within_seven_days_of_the_last_is_the_same_alert() -> None:
    three = {"days": 3}
    finding = the_only(silent(on(1, 10), close(13), own=three))
    assert (finding.state, finding.opened_at, finding.newest_at) == ("active", close(4), close(13))
    assert (finding.first_day, finding.last_day) == (date(2026, 6, 3), date(2026, 6, 14))
    assert (finding.deliver_at, finding.fresh_until) == (at(14, 8), close(20))
    assert finding.verdict.numbers["since"] == at(10).isoformat()
    first, second = silent(on(1, 10, 13, 14, 15), close(18), own=three).findings
    assert (first.state, first.resolved_at, second.state) == ("resolved", at(10), "active")


def test_a_silence_that_a_clinician_closed_stays_closed_until_another_begins() -> None:
    opened = the_only(silent(on(1), close(4), own={"days": 3}))
    closed = replace(
        episode_of(opened, UUID(int=7)), state="resolved", closed_by_person=True, resolved_at=close(4) + 6 * HOUR
    )
    assert reconcile([closed], silent(on(1), close(20), own={"days": 3}).findings, now=close(20)) == ()
    again = silent(on(1, 10), close(13), own={"days": 3})
    (change,) = reconcile([closed], again.findings, now=close(13))
    assert (change.change, change.reason, change.tell) == (Change.REOPEN, "new_evidence", ("doctor",))


def test_what_is_found_much_later_is_a_note_and_no_news() -> None:
    (change,) = reconcile([], silent(on(1), close(40)).findings, now=close(40))
    assert (change.change, change.reason, change.tell) == (Change.OPEN, "found_late", ())


def test_the_days_of_a_patients_own_take_the_place_of_the_rules() -> None:
    assert silent(on(1), close(14), own={"days": 14}).findings == ()
    finding = the_only(silent(on(1), close(15), own={"days": 14}))
    assert (finding.threshold_version, finding.verdict.numbers["needed_days"]) == (2, 14)
    assert the_only(silent(on(1), close(2), own={"days": 1.0})).opened_at == close(2)


@pytest.mark.parametrize("own", [{"days": 0}, {"days": 91}, {"days": 7.5}, {"days": True}, {"measured_days": 3}])
def test_days_that_mean_nothing_are_refused(own: dict[str, float]) -> None:
    with pytest.raises(MalformedError):
        check_parameters(SILENT, own)
    with pytest.raises(MalformedError):
        silent(on(1), close(8), own=own)


# -- unknown days ------------------------------------------------------------------------------------------------------


def test_a_day_that_could_not_be_heard_neither_counts_nor_breaks() -> None:
    unheard = [(at(3, 12), at(5, 12))]
    assert silent(on(1), close(8), unheard=unheard).findings == ()
    finding = the_only(silent(on(1), close(11), unheard=unheard))
    assert finding.opened_at == close(11)
    assert finding.first_day == date(2026, 6, 3)
    assert (finding.verdict.numbers["days"], finding.verdict.numbers["unknown_days"]) == (7, 3)
    assert finding.verdict.sentence == {
        "en": "Nothing measured for 7 days (since 2 June); on 3 more days the home could not be heard",
        "zh": "已 7 天没有测量（自 6 月 2 日以来）；另有 3 天无法接收到家中数据",
    }
    one = the_only(silent(on(1), close(9), unheard=[(at(3, 12), at(3, 20))]))
    assert one.verdict.sentence["en"].endswith("; on 1 more day the home could not be heard")


def test_exactly_six_hours_are_known_and_a_moment_more_is_not() -> None:
    begin = at(3, 10)
    assert len(silent(on(1), close(8), unheard=[(begin, begin + 6 * HOUR)]).findings) == 1
    a_moment = timedelta(microseconds=1)
    assert silent(on(1), close(8), unheard=[(begin, begin + 6 * HOUR + a_moment)]).findings == ()


def test_what_overlaps_is_counted_once_and_what_does_not_adds_up() -> None:
    twice = [(at(3, 10), at(3, 15)), (at(3, 11), at(3, 16)), (at(3, 12), at(3, 13))]
    assert len(silent(on(1), close(8), unheard=twice).findings) == 1
    apart = [(at(3, 20), at(3, 23)), (at(3, 10), at(3, 13.5))]
    assert silent(on(1), close(8), unheard=apart).findings == ()
    assert len(silent(on(1), close(8), unheard=[(at(3, 12), at(3, 12)), (at(3, 20), at(3, 4))]).findings) == 1


def test_a_night_counts_for_the_clinical_day_in_which_it_lies() -> None:
    across = [(at(4, 3) - 5 * HOUR, at(4, 3) + 5 * HOUR)]
    assert len(silent(on(1), close(8), unheard=across).findings) == 1


def test_what_lasts_lasts_until_now() -> None:
    assert silent(on(1), close(30), unheard=[(at(6, 12), None)]).findings == ()
    finding = the_only(silent(on(1), close(30), unheard=[(at(9), None)]))
    assert (finding.state, finding.verdict.numbers["days"], finding.verdict.numbers["unknown_days"]) == (
        "active",
        7,
        22,
    )


def test_a_day_that_has_a_reading_is_never_unknown() -> None:
    unheard = [(at(1, 4), at(3, 2))]
    finding = the_only(silent(on(2), close(9), unheard=unheard))
    assert finding.verdict.numbers["unknown_days"] == 0
    kept = [(at(0, 4), None)]
    assert missed(on(1, 2, 3, 4), close(7), unheard=kept).findings == ()
    assert missed([*on(1, 2, 3), weight(at(4))], close(7), unheard=kept).findings == ()
    weighed = [*on(1, 2, 3), *(weight(at(day)) for day in (4, 5, 6, 7))]
    assert len(missed(weighed, close(7), unheard=kept).findings) == 1


@pytest.mark.parametrize(("month", "day", "hours"), [(3, 28, 23), (10, 24, 25)])
def test_a_day_of_the_change_of_clocks_is_as_long_as_it_is(month: int, day: int, hours: int) -> None:
    """The clinical day before the Sunday of the change holds the hour that is lost or lived twice."""
    zone = ZoneInfo("Europe/Berlin")
    begin, end = (datetime(2026, month, day + more, 3, tzinfo=zone).astimezone(UTC) for more in (0, 1))
    assert end - begin == hours * HOUR
    measured = pressure(begin - 2 * DAY)
    whole_day = rule("kind: silence, days: 2, unknown_after_hours: 22", resolve="by: measuring")

    def found(unheard: tuple[datetime, datetime]) -> tuple[Finding, ...]:
        history = patient([measured], unheard=[unheard], enrolled_on=date(2026, month, day - 3))
        return judge(history, RuleSet((whole_day,)), now=end).findings

    assert found((begin, end)) == ()
    (finding,) = found((begin, begin + 22 * HOUR))
    assert finding.opened_at == end


def test_a_day_that_a_move_leaves_out_is_known() -> None:
    """From Berlin to Tokyo the clock jumps by seven hours: a day is short, and none is counted twice."""
    zones = (*BERLIN, ZoneSpan(valid_from=at(4, 22), zone="Asia/Tokyo"))
    finding = the_only(silent(on(1), at(12), zones=zones, unheard=[(at(4, 22), at(5, 1))]))
    assert finding.verdict.numbers["unknown_days"] == 0
    assert finding.opened_at == datetime(2026, 6, 9, 18, tzinfo=UTC)


# -- the view ----------------------------------------------------------------------------------------------------------


def test_a_silence_is_the_same_whatever_the_view() -> None:
    now, unheard = close(40), [(at(5, 4), at(7, 4))]
    ended, lasting = silent(on(0, 1, 20, 21), now, unheard=unheard, judged_from=at(19)).findings
    assert ended.opened_at == close(10)
    cut = silent(on(20, 21), now, unheard=unheard, judged_from=at(19), last_counted_before=at(1))
    assert cut.findings == (ended, lasting)
    recent = silent([], now, unheard=unheard, judged_from=at(30), last_counted_before=at(21))
    assert recent.findings == (lasting,)
    assert recent.next_due_at == cut.next_due_at == close(41)


def test_a_silence_that_ended_before_the_view_is_not_told_again() -> None:
    assert len(silent(on(1, 12), at(13)).findings) == 1
    assert len(silent(on(1, 12), at(13), judged_from=at(11, 12)).findings) == 1
    assert silent(on(1, 12), at(13), judged_from=at(12, 12)).findings == ()


def test_only_rules_about_absence_need_more_than_readings_and_a_plan_reaches_back_its_days() -> None:
    other = rule("kind: failed_measurements, count: 3", resolve="at: day_close")
    assert not looks_at_absence(RuleSet((other,)))
    assert looks_at_absence(RuleSet((SILENT,)))
    assert looks_at_absence(RuleSet((PLAN,)))
    assert reach_days(RuleSet((PLAN,))) == reach_days(RuleSet((SILENT,))) + 7
    assert look_back_days(RuleSet((SILENT,))) == look_back_days(RuleSet((other,)))


# -- schedule ----------------------------------------------------------------------------------------------------------


def test_fewer_days_than_agreed_are_missed_at_the_close_of_the_last() -> None:
    assert missed(on(1, 2, 3), close(7) - MINUTE).findings == ()
    finding = the_only(missed(on(1, 2, 3), close(7)))
    assert (finding.state, finding.opened_at, finding.newest_at) == ("active", close(7), close(7))
    assert (finding.started_at, finding.deliver_at, finding.fresh_until) == (close(7), at(8, 8), close(14))
    assert finding.first_day == finding.last_day == date(2026, 6, 8)
    assert finding.verdict.numbers == {
        "of": "blood_pressure",
        "measured_days": 3,
        "needed_days": 4,
        "of_days": 7,
        "unknown_days": 0,
        "at": close(7).isoformat(),
        "reading_ids": [str(row.reading_id) for row in on(1, 2, 3)],
    }
    assert finding.verdict.sentence == {
        "en": "Blood pressure measured on 3 of the last 7 days (4 agreed)",
        "zh": "最近 7 天中有 3 天测量了血压（约定 4 天）",
    }


def test_as_many_days_as_agreed_are_enough() -> None:
    assert missed(on(1, 2, 3, 4), close(7)).findings == ()


def test_the_day_of_enrolment_and_those_before_are_no_part_of_a_plan() -> None:
    assert missed(on(-3, -2, -1, 0), close(6)).findings == ()
    assert the_only(missed(on(-3, -2, -1, 0), close(7))).opened_at == close(7)


def test_only_what_is_to_be_measured_counts_and_so_often_as_agreed() -> None:
    weights = [weight(at(day)) for day in range(1, 8)]
    assert the_only(missed(weights, close(7))).verdict.numbers["measured_days"] == 0
    twice = rule(
        "kind: schedule, of: blood_pressure, measured_days: 1, of_days: 2, readings_per_day: 2, unknown_after_hours: 6",
        resolve="by: schedule",
    )
    (finding,) = judge(patient(on(1, 2)), RuleSet((twice,)), now=close(2)).findings
    assert finding.verdict.sentence == {
        "en": "Blood pressure measured 2 times on 0 of the last 2 days (1 agreed)",
        "zh": "最近 2 天中有 0 天测量了血压至少 2 次（约定 1 天）",
    }
    assert judge(patient([*on(1, 2), pressure(at(2, 20))]), RuleSet((twice,)), now=close(2)).findings == ()


def test_an_alert_ends_with_the_close_of_the_day_at_which_the_plan_is_kept_again() -> None:
    rows = on(1, 2, 3, 8, 9, 10, 11)
    finding = the_only(missed(rows, close(13)))
    assert (finding.state, finding.resolved_at) == ("resolved", close(11))
    assert finding.verdict.numbers["at"] == close(10).isoformat()
    assert the_only(missed(rows, close(11) - MINUTE)).state == "active"


def test_what_cannot_be_said_changes_nothing() -> None:
    unknown = [(at(5, 4), at(8, 2))]
    assert missed(on(1, 2, 3), close(7), unheard=unknown).findings == ()
    before = on(1, 2, 3, 8, 9, 10)
    finding = the_only(missed(before, close(12), unheard=[(at(11, 4), at(12, 2))]))
    assert (finding.state, finding.resolved_at) == ("active", None)
    assert finding.verdict.numbers["at"] == close(10).isoformat()
    assert the_only(missed(before, close(12))).verdict.numbers["at"] == close(12).isoformat()
    said = the_only(missed(on(1), close(7), unheard=[(at(3, 4), at(4, 2))]))
    assert said.verdict.sentence == {
        "en": "Blood pressure measured on 1 of the last 7 days (4 agreed); on 1 day the home could not be heard",
        "zh": "最近 7 天中有 1 天测量了血压（约定 4 天）；其中 1 天无法接收到家中数据",
    }


def test_lapses_within_seven_days_are_one_alert() -> None:
    rows = on(1, 2, 3, 8, 9, 10, 11)
    finding = the_only(missed(rows, close(16)))
    assert (finding.state, finding.opened_at, finding.newest_at) == ("active", close(7), close(15))
    kept = on(1, 2, 3, *range(8, 25))
    first, second = missed(kept, close(40)).findings
    assert (first.state, first.resolved_at, second.state) == ("resolved", close(11), "active")
    assert second.opened_at == close(28)


def test_a_plan_is_looked_at_with_every_close() -> None:
    assert missed([], at(0, 12)).next_due_at == close(0)
    assert missed(on(1, 2, 3), close(7)).next_due_at == close(8)


def test_a_plan_is_judged_from_the_view_on() -> None:
    judgement = missed(on(1, 2, 3), close(12), judged_from=at(9))
    assert the_only(judgement).opened_at == close(10)


def test_a_clinicians_close_holds_while_the_same_lapse_lasts() -> None:
    opened = the_only(missed(on(1, 2, 3), close(7)))
    closed = replace(
        episode_of(opened, UUID(int=7)), state="resolved", closed_by_person=True, resolved_at=close(7) + 6 * HOUR
    )
    assert reconcile([closed], missed(on(1, 2, 3), close(12)).findings, now=close(12)) == ()


def test_the_days_of_a_plan_may_be_a_patients_own() -> None:
    assert missed(on(1, 2, 3), close(7), own={"measured_days": 3}).findings == ()
    assert len(missed(on(1, 2, 3, 4), close(7), own={"measured_days": 5}).findings) == 1
    for wrong in ({"measured_days": 8}, {"measured_days": 0}, {"days": 3}, {"measured_days": 2.5}):
        with pytest.raises(MalformedError):
            check_parameters(PLAN, wrong)


def test_the_numbers_that_may_be_a_patients_own() -> None:
    (days,) = numbers_of(SILENT, {"days": 14})
    assert days == Number(name="days", value=14, is_upper=True, step=1, bounds=(1.0, 90.0))
    (planned,) = numbers_of(PLAN, {})
    assert planned == Number(name="measured_days", value=4, is_upper=False, step=1, bounds=(1.0, 7.0))


def test_a_number_that_a_back_test_tries_stays_one_that_a_patient_may_have() -> None:
    assert [backtest._moved(numbers_of(PLAN, {})[0], steps) for steps in (1, 3, 4)] == [3, 1, 1]
    assert [backtest._moved(numbers_of(SILENT, {"days": 89})[0], steps) for steps in (1, 2)] == [90, 90]


@pytest.mark.parametrize(
    "wrong",
    [
        "kind: silence, days: 0, unknown_after_hours: 6",
        "kind: silence, days: 91, unknown_after_hours: 6",
        "kind: silence, days: 7, unknown_after_hours: 25",
        "kind: silence, days: 7",
        "kind: schedule, of: pulse, measured_days: 4, of_days: 7, unknown_after_hours: 6",
        "kind: schedule, of: weight, measured_days: 8, of_days: 7, unknown_after_hours: 6",
    ],
)
def test_a_rule_that_means_nothing_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        rule(wrong, resolve="by: measuring" if "silence" in wrong else "by: schedule")
