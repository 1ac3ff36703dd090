"""The engines of `benchmarks.rules`: all of them answer as plain Python does, and plain Python as its rules are written."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from benchmarks import rules as command
from benchmarks.rules_bench import bandwidth, numpy_peer, ours, plain, race
from benchmarks.rules_bench.cohort import START, Cohort, cohort
from benchmarks.rules_bench.engine import FunctionEngine
from benchmarks.rules_bench.people import ZONES
from benchmarks.rules_bench.report import bytes_touched
from benchmarks.rules_bench.specs import (
    DAY_S,
    HOUR_S,
    RISK_OF_GLUCOSE,
    THREE_DAYS,
    TWENTY,
    Confirmed,
    CountOfLast,
    DaysInARow,
    LowGlucoseRisk,
    Raises,
    RangeShare,
    Rise,
    Rolling,
    RuleSpec,
    Silence,
)

INSTALLED = [name for name in ("numpy", "polars", "duckdb", "pandas") if find_spec(name)]
"""NumPy everywhere; the others where deploy/requirements/bench.txt is installed. The benchmark itself compares all of them."""

AT_S = int(datetime(2025, 6, 2, 7, tzinfo=UTC).timestamp())
JUNE_2 = datetime(2025, 6, 2).toordinal()  # noqa: DTZ001 - an ordinal has no zone


@pytest.fixture(scope="module")
def small() -> Cohort:
    return cohort(60, 90)


@pytest.fixture(scope="module")
def expected(small: Cohort) -> list[Raises]:
    return plain.judge(small, TWENTY)


def one_patient(
    hours: Sequence[float], *, systolic: Sequence[int] = (), diastolic: Sequence[int] = (), glucose: Sequence[int] = ()
) -> Cohort:
    """In Shanghai, from 15:00 on 2 June 2025; what is not given is harmless."""
    count = len(hours)
    at_s = np.array([AT_S + round(hour * HOUR_S) for hour in hours], np.int32)
    clinical = [datetime.fromtimestamp(second, ZoneInfo(ZONES[0])) - timedelta(hours=3) for second in at_s.tolist()]
    gaps = [after - before > 600 for before, after in pairwise(at_s.tolist())]
    return Cohort(
        first=np.array([0, count], np.int64),
        zone=np.zeros(1, np.int8),
        until_s=int(at_s[-1]) + HOUR_S,
        at_s=at_s,
        systolic=np.array(systolic or [120] * count, np.int16),
        diastolic=np.array(diastolic or [70] * count, np.int16),
        pulse=np.full(count, 70, np.int16),
        glucose=np.array(glucose or [60] * count, np.int16),
        day=np.array([each.toordinal() for each in clinical], np.int32),
        sitting=np.cumsum([False, *gaps]).astype(np.int64),
    )


def raised(patient: Cohort, rule: RuleSpec) -> Raises:
    """What plain Python says; NumPy must agree."""
    [answer] = plain.judge(patient, [rule])
    assert numpy_peer.judge(patient, [rule]) == [answer]
    return answer


# --- equality -----------------------------------------------------------------------------------------------------------


def test_every_rule_speaks(expected: list[Raises]) -> None:
    assert [rule.name for rule, (count, _) in zip(TWENTY, expected, strict=True) if count == 0] == []


@pytest.mark.parametrize("name", INSTALLED)
def test_an_engine_judges_all_rules_together_as_plain_python_does(
    name: str, small: Cohort, expected: list[Raises]
) -> None:
    for engine in race.opener(name)(small):
        assert engine.judge(TWENTY) == expected
        engine.close()


@pytest.mark.parametrize("name", INSTALLED)
def test_an_engine_judges_each_rule_alone_as_plain_python_does(
    name: str, small: Cohort, expected: list[Raises]
) -> None:
    for engine in race.opener(name)(small):
        assert [engine.judge([rule])[0] for rule in TWENTY] == expected
        engine.close()


def test_ours_judges_all_rules_together_and_each_alone_as_plain_python_does(
    small: Cohort, expected: list[Raises]
) -> None:
    for engine in ours.open_engines(small):
        assert engine.judge(TWENTY) == expected
        assert [engine.judge([rule])[0] for rule in TWENTY] == expected
        engine.close()


def test_ours_needs_neither_the_days_nor_the_sittings_that_the_peers_are_given(
    small: Cohort, expected: list[Raises]
) -> None:
    bare = replace(small, day=np.zeros_like(small.day), sitting=np.zeros_like(small.sitting))
    assert ours.open_engines(bare)[0].judge(TWENTY) == expected


@pytest.mark.parametrize("rows", [1, 700, 5000])
def test_numpys_blocks_may_have_any_size(
    rows: int, small: Cohort, expected: list[Raises], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy_peer, "BLOCK_ROWS", rows)
    assert numpy_peer.judge(small, TWENTY) == expected


def test_the_answers_of_parts_add_up(small: Cohort, expected: list[Raises]) -> None:
    parts = [plain.judge(small.part(begin, begin + 20), TWENTY) for begin in (0, 20, 40)]
    assert [
        (sum(counts), sum(sums)) for counts, sums in (zip(*each, strict=True) for each in zip(*parts, strict=True))
    ] == [*expected]


# --- what the rules mean ------------------------------------------------------------------------------------------------


def test_a_window_ends_with_its_reading_and_leaves_out_the_one_exactly_its_length_ago() -> None:
    rule = Rolling(name="r", statistic="mean", signal="systolic", hours=72, threshold=150, min_readings=2)
    assert raised(one_patient([0, 72], systolic=[160, 160]), rule) == (0, 0)
    assert raised(one_patient([0, 71.999], systolic=[160, 160]), rule) == (1, AT_S + round(71.999 * HOUR_S))


def test_a_mean_of_exactly_the_threshold_is_not_above_it() -> None:
    rule = Rolling(name="r", statistic="mean", signal="systolic", hours=24, threshold=150, min_readings=1)
    assert raised(one_patient([0, 1], systolic=[149, 151]), rule) == (0, 0)
    assert raised(one_patient([0, 1], systolic=[149, 152]), rule) == (1, AT_S + HOUR_S)


def test_a_point_that_is_not_evaluable_neither_raises_nor_ends_what_was_raised() -> None:
    rule = Rolling(name="r", statistic="mean", signal="systolic", hours=24, threshold=150, min_readings=2)
    hours = [0, 1, 100, 101]  # the third has too few readings in its window
    assert raised(one_patient(hours, systolic=[160, 160, 100, 240]), rule) == (1, AT_S + HOUR_S)


@pytest.mark.parametrize(("third", "raises"), [(133, 0), (134, 1)])
def test_the_spread_of_a_sample_divides_by_one_less(third: int, raises: int) -> None:
    """Of 100, 110 and 133 the sample SD is 16.86 and the CV 14.74 %; of 134 they are 17.24 and 15.03 %."""
    patient = one_patient([0, 1, 2], systolic=[100, 110, third])
    for statistic, threshold in (("sd", 17), ("cv", 15)):
        rule = Rolling(name="r", statistic=statistic, signal="systolic", hours=24, threshold=threshold, min_readings=3)
        assert raised(patient, rule)[0] == raises


def test_a_days_value_is_the_mean_of_its_sittings_means() -> None:
    """150 twice in one sitting and 132 in another are 141, not 144 and not more for having been measured twice."""
    patient = one_patient([0, 0.1, 5], systolic=[150, 150, 132])
    at = JUNE_2 * DAY_S
    assert raised(patient, DaysInARow(name="d", days=1, span_days=1, systolic_above=140)) == (1, at)
    assert raised(patient, DaysInARow(name="d", days=1, span_days=1, systolic_above=141)) == (0, 0)


def test_a_sitting_belongs_to_the_day_of_its_first_reading() -> None:
    """02:58 and 03:02 in Shanghai are of the day before, which has no second day after it."""
    patient = one_patient([11 + 58 / 60, 12 + 2 / 60], systolic=[160, 160])
    assert raised(patient, DaysInARow(name="d", days=1, span_days=1, systolic_above=150)) == (1, JUNE_2 * DAY_S)
    assert raised(patient, DaysInARow(name="d", days=2, span_days=2, systolic_above=150)) == (0, 0)


@pytest.mark.parametrize(("third_day", "raises"), [(4, 1), (5, 0)])
def test_both_end_days_count_in_a_span(third_day: int, raises: int) -> None:
    patient = one_patient([0, 24, 24 * third_day], systolic=[150] * 3)
    assert raised(patient, THREE_DAYS) == (raises, raises * (JUNE_2 + third_day) * DAY_S)


def test_either_or_both_pressures_must_be_high_on_each_day() -> None:
    patient = one_patient([0, 24], systolic=[150, 120], diastolic=[80, 95])
    either = DaysInARow(name="d", days=2, span_days=2, systolic_above=140, diastolic_above=90)
    assert raised(patient, either)[0] == 1
    assert raised(patient, replace(either, needs_both=True))[0] == 0


def test_a_count_of_the_last_few_waits_for_so_many() -> None:
    rule = CountOfLast(name="c", signal="systolic", above=160, hits=2, of=3)
    assert raised(one_patient([0, 1], systolic=[170, 170]), rule) == (0, 0)
    assert raised(one_patient([0, 1, 2], systolic=[170, 170, 100]), rule) == (1, AT_S + 2 * HOUR_S)


def test_a_rise_is_over_the_least_of_its_window() -> None:
    rule = Rise(name="r", signal="systolic", by=40, hours=24)
    assert raised(one_patient([0, 10, 24], systolic=[100, 120, 140]), rule) == (0, 0)
    assert raised(one_patient([0, 10, 23.9], systolic=[100, 120, 140]), rule)[0] == 1


def test_a_silence_is_longer_than_its_hours_and_may_last_to_the_end() -> None:
    rule = Silence(name="s", hours=72)
    assert raised(one_patient([0, 72]), rule) == (0, 0)
    assert raised(one_patient([0, 72.001]), rule) == (1, AT_S + 72 * HOUR_S)
    until_later = replace(one_patient([0]), until_s=AT_S + 73 * HOUR_S)
    assert raised(until_later, rule) == (1, AT_S + 72 * HOUR_S)
    assert raised(replace(until_later, until_s=AT_S + 72 * HOUR_S), rule) == (0, 0)


@pytest.mark.parametrize(("minutes", "raises"), [(10, 1), (10.1, 0)])
def test_a_critical_value_is_confirmed_by_the_reading_before_within_ten_minutes(minutes: float, raises: int) -> None:
    rule = Confirmed(name="c", systolic_at_least=180, diastolic_at_least=120, within_s=600)
    patient = one_patient([0, minutes / 60], systolic=[180, 150], diastolic=[70, 120])
    assert raised(patient, rule)[0] == raises


def test_a_range_has_both_its_ends() -> None:
    rule = RangeShare(name="s", signal="glucose", low=39, high=100, below_percent=70, hours=24, min_readings=2)
    assert raised(one_patient([0, 1], glucose=[39, 100]), rule) == (0, 0)
    assert raised(one_patient([0, 1], glucose=[38, 100]), rule)[0] == 1


def test_the_risk_of_a_low_glucose_is_kovatchevs() -> None:
    """f(70 mg/dL) is −0.8806, hence 7.755 there, and f is 0 at 112.517 mg/dL, 6.245 mmol/L."""
    assert RISK_OF_GLUCOSE[39] < 7755 < RISK_OF_GLUCOSE[38]
    assert RISK_OF_GLUCOSE[62] > 0
    assert set(RISK_OF_GLUCOSE[63:]) == {0}
    rule = LowGlucoseRisk(name="r", above=RISK_OF_GLUCOSE[45] - 1, hours=24, min_readings=2)
    assert raised(one_patient([0, 1], glucose=[45, 45]), rule)[0] == 1
    assert raised(one_patient([0, 1], glucose=[45, 46]), rule)[0] == 0


# --- the cohort ---------------------------------------------------------------------------------------------------------


def test_a_reading_is_of_the_clinical_day_of_its_own_zone(small: Cohort) -> None:
    zones = [ZoneInfo(ZONES[zone]) for zone in np.repeat(small.zone, np.diff(small.first)).tolist()]
    days = [
        (datetime.fromtimestamp(at_s, zone).replace(tzinfo=None) - timedelta(hours=3)).toordinal()
        for at_s, zone in zip(small.at_s.tolist(), zones, strict=True)
    ]
    assert small.day.tolist() == days


def test_the_clocks_change_within_ninety_days_in_every_zone_that_changes_them(small: Cohort) -> None:
    end = START + timedelta(days=90)
    changes = [START.astimezone(zone).utcoffset() != end.astimezone(zone).utcoffset() for zone in map(ZoneInfo, ZONES)]
    assert changes == [False, True, True, True]
    assert set(small.zone.tolist()) == {0, 1, 2, 3}


def test_sittings_have_one_or_two_readings_within_ten_minutes(small: Cohort) -> None:
    sizes = np.bincount(small.sitting)
    assert set(sizes.tolist()) == {1, 2}
    for begin, end in pairwise(small.first.tolist()):
        gap_s = np.diff(small.at_s[begin:end])
        assert (gap_s > 0).all()
        assert ((gap_s <= 600) == (np.diff(small.sitting[begin:end]) == 0)).all()


def test_people_measure_some_four_times_a_day_with_gaps() -> None:
    many = cohort(300, 120)
    assert len(many) / 300 / 120 == pytest.approx(4, rel=0.1)
    gap_days = np.diff(many.at_s)[np.diff(many.patient) == 0] / DAY_S
    assert ((gap_days > 1) & (gap_days < 4)).sum() > 300
    assert (gap_days > 7).any()


def test_the_same_arguments_draw_the_same_cohort() -> None:
    one, same, other = cohort(130, 20, seed=1), cohort(130, 20, seed=1), cohort(130, 20, seed=2)
    assert one.at_s.tolist() == same.at_s.tolist()
    assert one.glucose.tolist() == same.glucose.tolist()
    assert one.at_s.tolist() != other.at_s.tolist()


# --- the race -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command's arguments for a race of a second."""
    monkeypatch.setattr(bandwidth, "ARRAY_BYTES", 800_000)
    monkeypatch.setattr(race, "JUDGED_PLAINLY", (20, 60))
    return ["--patients", "20", "--days", "60", "--runs", "2", "--only", "numpy"]


def test_the_race_prints_what_everybody_answers_and_how_long_it_took(
    short: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([*short, "--rules", "three-days,twenty"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    whole = cohort(20, 60)
    assert said["readings"] == len(whole)
    assert [(each["count"], each["sum_s"]) for each in said["raises"].values()] == plain.judge(whole, TWENTY)
    engines = ["ours"] * len({1, os.cpu_count() or 1}) + ["NumPy"]
    assert [(each["engine"], each["rules"], len(each["wall"])) for each in said["seconds"]] == [
        (engine, rule_set, 2) for rule_set in ("three-days", "twenty") for engine in engines
    ]
    assert [each["threads"] for each in said["seconds"][: len(engines)]] == [*sorted({1, os.cpu_count() or 1}), 1]
    assert said["memory_gb_s"][0]["read"] > 0


def test_an_engine_that_answers_otherwise_ends_the_race(short: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def wrong(whole: Cohort, rules: Sequence[RuleSpec], threads: int) -> list[Raises]:
        return [(count + 1, total * threads) for count, total in plain.judge(whole, rules)]

    def ours(whole: Cohort) -> list[FunctionEngine]:
        return [FunctionEngine(name="ours", threads=1, function=wrong, cohort=whole)]

    assert command.main(short, ours=ours) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "not equal: three-days: ours says" in told.err


def test_only_what_can_stand_it_runs_at_a_great_size(short: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "READINGS_MAX", 100)
    whole = cohort(5, 60)
    outcome = race.run(whole, {"three-days": [THREE_DAYS]}, only=["duckdb"], runs=1, ours=None, tell=lambda _: None)
    assert [(absence.engine, absence.reason) for absence in outcome.absences] == [("duckdb", "not run at this size")]
    assert {timing.engine for timing in outcome.timings} == {"NumPy"}


def test_an_unknown_name_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--only", "numpy,excel"])
    assert "unknown: excel; choose from numpy, polars" in capsys.readouterr().err


def test_the_bytes_of_a_reading_are_those_its_rules_look_at() -> None:
    assert bytes_touched([THREE_DAYS]) == 8
    assert bytes_touched([Silence(name="s", hours=1)]) == 4
    assert bytes_touched(TWENTY) == 12
