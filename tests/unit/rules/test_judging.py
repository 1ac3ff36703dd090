"""Judging: the sentence, the numbers, the timer, and edges that a scenario file cannot say."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from server.rules import kernels
from server.rules.engine import judge, look_back_days, speaking_of
from server.rules.episodes import Finding
from server.rules.load import load_catalog
from server.rules.pressure_marks import mark
from server.rules.ready import warm_up
from server.rules.rule import RuleSet
from server.rules.windows import PatientHistory, PersonalThreshold, Row, ZoneSpan, from_us, row_of, to_us, window_of
from vitals.reading import BloodPressure

CATALOG = load_catalog()
START = datetime(2026, 3, 1, 7, 30, tzinfo=UTC)


def reading(day: int, systolic: float | None, diastolic: float | None, *, minute: int = 0, **more: str) -> Row:
    at = START + timedelta(days=day - 1, minutes=minute)
    number = UUID(int=day * 10_000 + minute)
    quality, time = more.get("quality", "accepted"), more.get("time", "trusted")
    measured = BloodPressure(systolic_mmhg=systolic, diastolic_mmhg=diastolic, pulse_bpm=70.0, unit_sent="mmHg")
    return row_of(measured, reading_id=number, measured_at=at, received_at=at, quality=quality, time_quality=time)


def patient(*rows: Row, **changes: Any) -> PatientHistory:
    facts: dict[str, Any] = {
        "patient_id": 1,
        "enrolled_on": date(2026, 1, 1),
        "zones": (ZoneSpan(valid_from=datetime(2026, 1, 1, tzinfo=UTC), zone="UTC"),),
        "window": window_of(rows),
    }
    return PatientHistory(**facts | changes)


def found(history: PatientHistory, now: datetime, rules: RuleSet = CATALOG) -> list[Finding]:
    return list(judge(history, rules, now=now).findings)


HIGH = (reading(1, 152, 94), reading(2, 149, 92), reading(3, 155, 96), reading(3, 150.5, 92, minute=600))


def test_a_finding_says_why_in_two_languages() -> None:
    (finding,) = found(patient(*HIGH), START + timedelta(days=3))
    assert finding.verdict.sentence == {
        "en": "Blood pressure above 140/90 on 3 measured days in a row: 152/94, 149/92, 152.8/94"
        " (2 of them with a single reading)",
        "zh": "连续 3 个测量日血压高于 140/90：152/94、149/92、152.8/94（其中 2 天仅测量一次）",
    }


def test_a_finding_carries_the_numbers_it_was_judged_by() -> None:
    (finding,) = found(patient(*HIGH, reading(4, 144, 80)), START + timedelta(days=5))
    numbers = json.loads(json.dumps(finding.verdict.numbers))
    assert numbers["days"][2] == {
        "date": "2026-03-03",
        "systolic": 152.75,
        "diastolic": 94.0,
        "readings": 2,
        "sittings": 2,
        "grade": "adequate",
    }
    assert [day["date"] for day in numbers["later_days"]] == ["2026-03-04"]
    assert numbers["thresholds"][0] == {"signal": "systolic", "comparison": "above", "value": 140.0, "unit": "mmHg"}
    assert numbers["reading_ids"] == [str(row[0]) for row in HIGH]
    assert finding.last_day == date(2026, 3, 4)


def test_two_full_sittings_are_a_full_day() -> None:
    rows = [reading(3, 150, 90, minute=minute) for minute in (0, 2, 600, 602)]
    (finding,) = found(patient(*HIGH[:2], *rows), START + timedelta(days=3))
    assert finding.verdict.numbers["days"][2]["grade"] == "full"


def test_a_personal_threshold_marks_the_finding_with_its_version() -> None:
    own = {"bp-above-140-90-3-days": PersonalThreshold(version=4, parameters={"systolic": 150, "diastolic": 91})}
    judged = judge(patient(*HIGH, thresholds=own), CATALOG, now=START + timedelta(days=3))
    assert [finding.threshold_version for finding in judged.findings] == [4]
    assert judged.threshold_versions["bp-above-140-90-3-days"] == 4
    assert judged.threshold_versions["bp-critical"] == 0
    assert "above 150/91" in judged.findings[0].verdict.sentence["en"]


@pytest.mark.parametrize(
    ("watch", "chosen", "is_watched"),
    [("everyone", None, True), ("everyone", False, False), ("chosen", None, False), ("chosen", True, True)],
)
def test_a_rule_speaks_of_those_for_whom_it_is_or_was_chosen(watch: str, chosen: bool | None, is_watched: bool) -> None:
    rule = CATALOG.by_id("bp-above-140-90-3-days").model_copy(update={"watch": watch})
    own = PersonalThreshold(version=4, parameters={}, is_watched=chosen)
    judged = judge(patient(*HIGH, thresholds={rule.id: own}), RuleSet((rule,)), now=START + timedelta(days=3))
    assert bool(judged.findings) is is_watched
    assert judged.threshold_versions == {rule.id: 4}


def test_the_next_look_is_at_the_close_of_the_day() -> None:
    judged = judge(patient(*HIGH), CATALOG, now=START + timedelta(days=2, hours=12))
    assert judged.next_due_at == datetime(2026, 3, 4, 3, tzinfo=UTC)
    assert judge(patient(*HIGH), CATALOG, now=START + timedelta(days=3)).next_due_at is None


def test_the_next_look_may_be_the_end_of_a_critical_alert() -> None:
    rows = (reading(1, 186, 100), reading(1, 150, 90, minute=2))
    judged = judge(patient(*rows), CATALOG, now=START + timedelta(hours=22))
    assert judged.next_due_at == START + timedelta(hours=24, minutes=2)


def test_a_failed_measurement_alone_makes_the_judge_look_at_the_close() -> None:
    judged = judge(patient(reading(1, None, None, quality="invalid")), CATALOG, now=START)
    assert judged.next_due_at == datetime(2026, 3, 2, 3, tzinfo=UTC)


def test_a_patient_without_readings_has_nothing_and_waits_for_nothing() -> None:
    judged = judge(patient(), CATALOG, now=START)
    assert (judged.findings, judged.next_due_at) == ((), None)


def test_a_window_is_the_same_in_any_order_and_with_repeats() -> None:
    one, other = window_of(HIGH), window_of([*reversed(HIGH), *HIGH])
    assert one.reading_ids == other.reading_ids
    assert np.array_equal(one.systolic_mmhg, other.systolic_mmhg)
    assert len(other) == 4


def test_instants_keep_their_microseconds() -> None:
    at = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert from_us(to_us(at)) == at
    assert to_us(at) == -1


def test_readings_before_the_judged_days_serve_the_marks_alone() -> None:
    rows = (*HIGH, *(reading(day, None, None, minute=100 + day, quality="invalid") for day in (1, 1, 1)))
    critical = reading(2, 190, 100, minute=300)
    whole = patient(*rows, critical)
    assert len(found(whole, START + timedelta(days=3))) == 2
    cut = patient(*rows, critical, judged_from=START + timedelta(days=1))
    assert found(cut, START + timedelta(days=3)) == []


def test_the_look_back_is_the_longest_span_and_a_day_on_either_side() -> None:
    assert look_back_days(CATALOG) == 23, "in maintenance three days may span three weeks"
    assert look_back_days(CATALOG.only(("check-the-meter",))) == 3


def test_of_a_patient_no_more_is_seen_than_the_rules_need_that_speak_of_them() -> None:
    maintenance = "bp-above-140-90-3-days-maintenance"
    chosen = PersonalThreshold(version=1, parameters={}, is_watched=True)
    assert look_back_days(speaking_of({}, CATALOG)) == 7
    assert look_back_days(speaking_of({maintenance: chosen}, CATALOG)) == 23
    left_out = PersonalThreshold(version=1, parameters={}, is_watched=False)
    assert "bp-critical" not in speaking_of({"bp-critical": left_out}, CATALOG)


def test_a_naive_now_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="aware"):
        judge(patient(), CATALOG, now=START.replace(tzinfo=None))


def test_a_mean_of_thirds_that_ties_is_at_least_and_not_above() -> None:
    """421/3 and 419/3 as floats have a mean of 140.00000000000003 or less than 140, depending on the order."""
    micro = kernels.MICRO
    systolic = np.array([170, 140, 140, 141, 170, 140, 140, 139], np.int64) * micro
    sitting = np.array([0] * 4 + [1] * 4, np.int64)
    table = kernels.sittings(
        np.array([0, 8], np.int64), systolic, systolic, np.full(8, 3, np.int8), sitting, np.zeros(8, np.int64)
    )
    (day,) = kernels.measured_days(table)
    signal = np.zeros(1, np.int8)
    threshold = np.array([140 * micro], np.int64)
    assert not kernels.is_met(day, signal, np.array([kernels.ABOVE], np.int8), threshold)
    assert kernels.is_met(day, signal, np.array([kernels.AT_LEAST], np.int8), threshold)
    assert not kernels.is_met(day, signal, np.array([kernels.BELOW], np.int8), threshold)
    assert kernels.is_met(day, signal, np.array([kernels.AT_MOST], np.int8), threshold)


def test_patients_judged_in_one_call_are_judged_as_if_alone() -> None:
    """The kernels take many patients; nothing of one leaks into the next."""
    us = np.array([to_us(row.measured_at) for row in HIGH], np.int64)
    systolic = kernels.micro(np.array([row.systolic_mmhg for row in HIGH], np.float64))
    diastolic = kernels.micro(np.array([row.diastolic_mmhg for row in HIGH], np.float64))
    certain, absolute = np.ones(4, np.int8), np.full(4, 3, np.int8)
    day = np.array([1, 2, 3, 3], np.int64)

    def runs(first: list[int], times: int) -> kernels.Int64s:
        columns = [np.tile(column, times) for column in (us, systolic, diastolic, absolute, certain, day)]
        offsets = np.array(first, np.int64)
        quality = mark(offsets, *columns[:5])
        sitting = kernels.sit(offsets, columns[0], columns[4])
        table = kernels.sittings(offsets, columns[1], columns[2], quality, sitting, columns[5])
        patients = len(first) - 1
        return kernels.runs(
            kernels.measured_days(table),
            np.zeros(patients, np.int64),
            np.full(patients, 4, np.int64),
            np.array([0, 1], np.int8),
            np.zeros(2, np.int8),
            np.full((patients, 2), 140, np.int64) * kernels.MICRO,
            3,
            5,
            1,
            5 * kernels.MICRO,
            3,
            7,
        )

    alone = runs([0, 4], 1)
    assert alone[:, [kernels.STATE, kernels.FIRST, kernels.LAST]].tolist() == [[kernels.ACTIVE, 0, 2]]
    together = runs([0, 4, 4, 8, 12], 3)
    assert together[:, kernels.PATIENT].tolist() == [0, 2, 3]
    assert together[:, kernels.FIRST].tolist() == [0, 3, 6]


def test_warming_up_twice_is_harmless() -> None:
    warm_up()
    warm_up()


def test_a_rule_that_is_chosen_for_nobody_looks_again_at_nothing() -> None:
    rules = load_catalog().only(("bp-low-90",))
    (row,) = (reading(1, 120, 80),)
    assert judge(patient(row), rules, now=START).next_due_at == datetime(2026, 3, 2, 3, tzinfo=UTC)
    chosen = {"bp-low-90": PersonalThreshold(version=1, parameters={}, is_watched=True)}
    assert judge(patient(row, thresholds=chosen), rules, now=START).next_due_at == START + timedelta(minutes=10)
