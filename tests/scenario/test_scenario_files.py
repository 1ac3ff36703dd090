"""The format of scenario files, and what the command says when an expectation or the file itself is wrong."""

import json
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from server.rules.commands import app
from server.rules.expectations import run_file
from server.rules.load import CATALOG
from server.rules.scenarios import load_scenarios
from server.rules.windows import FASTING, HI, LO, POSTPRANDIAL, window_of
from vitals.errors import MalformedError

HIGH = """
      - [d1 07:30, bp, 152, 94]
      - [d2 07:31, bp, 149, 92]
      - [d3 07:29, bp, 155, 96]
"""


def scenario(tmp_path: Path, test: str, name: str = "report.test.yaml") -> Path:
    """A file with one test of the three-day rule; `test` is what follows its name."""
    file = tmp_path / name
    file.write_text(f"rules: [bp-above-140-90-3-days]\ntests:\n  - name: a case\n{test}", encoding="utf-8")
    return file


def high(tmp_path: Path, rest: str) -> Path:
    return scenario(tmp_path, f"    readings:{HIGH}{rest}")


def problems(file: Path) -> tuple[str, ...]:
    (outcome,) = run_file(file)
    return outcome.problems


def test_a_case_passes_when_what_it_expects_is_there(tmp_path: Path) -> None:
    assert problems(high(tmp_path, "    expect: [{rule: bp-above-140-90-3-days, state: active}]\n")) == ()


def test_a_wrong_expectation_is_shown_beside_what_came(tmp_path: Path) -> None:
    file = high(tmp_path, "    expect: [{rule: bp-above-140-90-3-days, first_day: d2, state: resolved}]\n")
    expected, surplus = problems(file)
    assert expected == (
        "expected rule bp-above-140-90-3-days, state resolved, first_day 2026-03-02,"
        " got rule bp-above-140-90-3-days, state active, first_day 2026-03-01"
    )
    assert surplus.startswith("expected no other, got rule bp-above-140-90-3-days, state active, priority low")


def test_an_alert_that_nobody_expected_fails_the_case(tmp_path: Path) -> None:
    (problem,) = problems(high(tmp_path, "    expect: none\n"))
    assert problem.startswith("expected none, got rule bp-above-140-90-3-days, state active")


def test_an_alert_that_did_not_come_fails_the_case(tmp_path: Path) -> None:
    rest = "    expect: [{rule: bp-above-140-90-3-days}, {rule: bp-above-140-90-3-days}]\n"
    (problem,) = problems(high(tmp_path, rest))
    assert problem == "expected rule bp-above-140-90-3-days, got none"


def test_pending_and_retracted_are_compared_only_where_they_are_named(tmp_path: Path) -> None:
    pending = "    now: d3 12:00\n    expect: "
    assert problems(high(tmp_path, f"{pending}none\n")) == ()
    assert problems(high(tmp_path, f"{pending}[{{rule: bp-above-140-90-3-days, state: pending}}]\n")) == ()
    assert problems(high(tmp_path, f"{pending}[{{rule: bp-above-140-90-3-days, state: retracted}}]\n")) != ()


def test_left_out_now_is_nine_in_the_morning_after_the_last_reading(tmp_path: Path) -> None:
    (loaded,) = load_scenarios(high(tmp_path, "    expect: none\n"))
    assert loaded.now.isoformat() == "2026-03-04T01:00:00+00:00"
    assert loaded.patient.enrolled_on.isoformat() == "2026-01-30"


def test_a_wall_clock_is_the_patients(tmp_path: Path) -> None:
    readings = "[[d1 01:30, bp, 150, 90], [2026-11-01 02:30:00, bp, 1, 2]]"
    test = f"    zone: America/New_York\n    start: 2026-11-01\n    readings: {readings}\n    expect: none\n"
    (loaded,) = load_scenarios(scenario(tmp_path, test))
    assert [a.row.measured_at.isoformat() for a in loaded.arrivals] == [
        "2026-11-01T05:30:00+00:00",
        "2026-11-01T07:30:00+00:00",
    ]


@pytest.mark.parametrize(
    ("arrive", "order"),
    [("in_order", [152, 149, 155]), ("reversed", [155, 149, 152]), ("late:48", [152, 149, 155])],
)
def test_readings_arrive_as_the_case_says(tmp_path: Path, arrive: str, order: list[float]) -> None:
    (loaded,) = load_scenarios(high(tmp_path, f"    arrive: {arrive}\n    now: d9 09:00\n    expect: none\n"))
    assert [a.row.systolic_mmhg for a in sorted(loaded.arrivals, key=lambda a: a.at)] == order


def test_a_shuffle_is_the_same_every_time_and_another_for_another_seed(tmp_path: Path) -> None:
    def order(seed: int) -> list[object]:
        (loaded,) = load_scenarios(high(tmp_path, f"    arrive: shuffled:{seed}\n    expect: none\n"))
        return [a.row.systolic_mmhg for a in sorted(loaded.arrivals, key=lambda a: a.at)]

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(10)}) > 1


def test_readings_may_come_all_at_once_before_now(tmp_path: Path) -> None:
    (loaded,) = load_scenarios(high(tmp_path, "    arrive: at_once\n    now: d4 07:29\n    expect: none\n"))
    assert {arrival.at.isoformat() for arrival in loaded.arrivals} == {"2026-03-03T11:29:00+00:00"}
    assert all(arrival.row.received_at == arrival.row.measured_at for arrival in loaded.arrivals)


def test_late_readings_are_received_late_and_shuffled_ones_are_not(tmp_path: Path) -> None:
    (late,) = load_scenarios(high(tmp_path, "    arrive: late:2\n    expect: none\n"))
    assert all((a.row.received_at - a.row.measured_at).total_seconds() == 7200 for a in late.arrivals)
    (turned,) = load_scenarios(high(tmp_path, "    arrive: reversed\n    expect: none\n"))
    assert all(a.row.received_at == a.row.measured_at for a in turned.arrivals)


@pytest.mark.parametrize(
    ("test", "place"),
    [
        ("    readings: [[d1 7h, bp, 1, 2]]\n    expect: none\n", "test 'a case': readings.0: 'd1 7h' is not a time"),
        ("    readings: [[d1 25:00, bp, 1, 2]]\n    expect: none\n", "readings.0: 'd1 25:00' is not a time"),
        (
            "    readings: [[d1 07:30, wait, 80]]\n    expect: none\n",
            "readings.0: 'wait' is not a kind; there are bp, glucose, cgm",
        ),
        ("    readings: [[d1 07:30, bp, 80]]\n    expect: none\n", "readings.0: blood pressure is two numbers"),
        ("    readings: [[d1 07:30, bp]]\n    expect: none\n", "readings.0: a reading is"),
        ("    readings: [[d1 07:30, bp, 1, 2, goood]]\n    expect: none\n", "readings.0: 'goood' is not a mark"),
        ("    readings: [[d1 07:30, bp, 1, 2, {puls: 1}]]\n    expect: none\n", "readings.0: puls: Extra inputs"),
        (
            "    readings: [[d1 07:30, glucose, 5, g/L]]\n    expect: none\n",
            "readings.0: glucose is a number and its unit",
        ),
        ("    readings: [[d1 07:30, glucose, hi]]\n    expect: none\n", "one of the words HI, LO and failed"),
        ("    readings: [[d1 07:30, cgm, 6.2]]\n    expect: none\n", "readings.0: glucose is a number and its unit"),
        (
            "    readings: [[d1 07:30, [bp], 1, 2]]\n    expect: none\n",
            "readings.0: ['bp'] is not a kind; there are bp",
        ),
        ("    readings: [[d1 07:30, weight, heavy]]\n    expect: none\n", "readings.0: weight is a number in kg"),
        ("    readings: [[d1 07:30, weight, .nan]]\n    expect: none\n", "readings.0: weight is a number in kg"),
        ("    readings: [[d1 07:30, weight, true]]\n    expect: none\n", "readings.0: weight is a number in kg"),
        ("    readings: [[d1 07:30, weight, 81, lb]]\n    expect: none\n", "readings.0: 'lb' is not a mark"),
        ("    readings: [[d1 07:30, weight, 81, irregular]]\n    expect: none\n", "readings.0: weight has no status"),
        (
            "    rules: [other]\n    readings: []\n    expect: none\n",
            "rules: other is not among the rules of this file",
        ),
        ("    rules: []\n    readings: []\n    expect: none\n", "tests.0.rules"),
        ("    readings: [[d1 07:30, weight, 81, 72]]\n    expect: none\n", "readings.0: weight has no pulse"),
        ("    readings: [[d1 07:30, spo2, '93']]\n    expect: none\n", "readings.0: spo2 is a number in percent"),
        ("    readings: [[d1 07:30, spo2, 93, {meal: fasting}]]\n    expect: none\n", "readings.0: spo2 has no meal"),
        (
            "    readings: [[d1 07:30, temperature, HI]]\n    expect: none\n",
            "readings.0: temperature is a number in °C",
        ),
        (
            "    readings: [[d1 07:30, glucose, 5, mmol/L, {meal: brunch}]]\n    expect: none\n",
            "readings.0: meal: Input should be",
        ),
        (
            "    zone: Mars/Olympus\n    readings: []\n    expect: none\n",
            "zone: 'Mars/Olympus' is not an IANA time zone",
        ),
        ("    moves: [[d2, Europe/Berlin]]\n    readings: []\n    expect: none\n", "moves.0: the instant of a move"),
        (
            "    thresholds: {other: {systolic: 1}}\n    readings: []\n    expect: none\n",
            "thresholds: other is not among",
        ),
        ("    readings: []\n    expect: [{rule: x, stat: active}]\n", "tests.0.expect.0.stat: Extra inputs"),
        ("    readings: []\n    expect: [{rule: x, state: open}]\n", "tests.0.expect.0.state: Input should be"),
        ("    readings: []\n", "tests.0.expect: Field required"),
        ("    readings: []\n    arrive: sideways\n    expect: none\n", "tests.0.arrive"),
        (
            "    readings: [[d1 07:30, bp, 1, 2]]\n    now: d1 07:00\n    arrive: reversed\n    expect: none\n",
            "now: arrive: reversed needs a now after the last reading",
        ),
    ],
)
def test_an_error_in_a_file_names_file_test_and_field(tmp_path: Path, test: str, place: str) -> None:
    file = scenario(tmp_path, test)
    with pytest.raises(MalformedError) as error:
        load_scenarios(file)
    assert str(file) in error.value.message
    assert place in error.value.message


EVERY_KIND = """
      - [d1 07:30, weight, 81.4]
      - [d1 07:31, spo2, 93, {pulse: 88}]
      - [d1 07:32, temperature, 38.4]
      - [d1 07:33, cgm, 6.2, mmol/L]
      - [d1 07:34, cgm, 126, mg/dL, orphan]
      - [d1 07:35, glucose, HI]
      - [d1 07:36, glucose, LO, {meal: fasting}]
      - [d1 07:37, glucose, 126, mg/dL, {meal: postprandial, received: d1 09:00}]
      - [d1 07:38, cgm, failed]
      - [d1 07:39, weight, 441]
      - [d1 07:40, spo2, 97, {pulse: 300}]
      - [d1 07:41, temperature, 36.6, suspect]
"""


def test_every_kind_of_measurement_can_be_written(tmp_path: Path) -> None:
    (loaded,) = load_scenarios(scenario(tmp_path, f"    readings:{EVERY_KIND}    expect: none\n"))
    rows = [arrival.row for arrival in loaded.arrivals]
    values = ("pulse_bpm", "glucose_mmol_l", "glucose_mg_dl", "weight_kg", "spo2_percent", "temperature_celsius")
    words = ("glucose_censored", "meal")
    said = [{name: value for name in (*values, *words) if (value := getattr(row, name)) is not None} for row in rows]
    seven = float(Decimal(126) / Decimal("18.0182"))  # as a glucometer's own value is converted
    assert [(row.kind, row.quality, *told.values()) for row, told in zip(rows, said, strict=True)] == [
        ("weight", "accepted", 81.4),
        ("oxygen_saturation", "accepted", 88.0, 93.0),
        ("temperature", "accepted", 38.4),
        ("sensor_glucose", "accepted", 6.2, 111.71284),
        ("sensor_glucose", "accepted", seven, 126.0),
        ("glucose", "accepted", "HI"),
        ("glucose", "accepted", "LO", "fasting"),
        ("glucose", "accepted", seven, 126.0, "postprandial"),
        ("sensor_glucose", "invalid"),
        ("weight", "invalid", 441.0),
        ("oxygen_saturation", "rejected", 300.0, 97.0),
        ("temperature", "suspect", 36.6),
    ]
    assert (rows[4].time_quality, rows[7].received_at - rows[7].measured_at) == ("orphan", timedelta(minutes=83))
    window = window_of(rows)
    assert window.censored.tolist() == [0, 0, 0, 0, 0, HI, LO, 0, 0, 0, 0, 0]
    assert window.meal.tolist() == [0, 0, 0, 0, 0, 0, FASTING, POSTPRANDIAL, 0, 0, 0, 0]


def test_a_cuff_may_say_of_the_pulse_that_it_is_regular_or_not_or_nothing(tmp_path: Path) -> None:
    lines = "".join(
        f"\n      - [d1 07:3{n}, bp, 120, 80{mark}]" for n, mark in enumerate(("", ", regular", ", irregular"))
    )
    (loaded,) = load_scenarios(scenario(tmp_path, f"    readings:{lines}\n    expect: none\n"))
    rows = [arrival.row for arrival in loaded.arrivals]
    assert [row.quality for row in rows] == ["accepted"] * 3
    assert np.array_equal(window_of(rows).irregular_pulse, [np.nan, 0, 1], equal_nan=True)


def test_a_test_may_name_those_rules_of_its_file_that_speak_in_it(tmp_path: Path) -> None:
    file = tmp_path / "two.test.yaml"
    readings = "    readings: [[d1 07:30, bp, 190, 100]]\n"
    file.write_text(
        "rules: [bp-critical, bp-above-140-90-3-days]\ntests:\n"
        f"  - name: both\n{readings}    expect: [{{rule: bp-critical}}]\n"
        f"  - name: the other alone\n    rules: [bp-above-140-90-3-days]\n{readings}    expect: none\n",
        encoding="utf-8",
    )
    assert [(outcome.rules, outcome.problems) for outcome in run_file(file)] == [
        (("bp-critical", "bp-above-140-90-3-days"), ()),
        (("bp-above-140-90-3-days",), ()),
    ]


def test_the_sentence_is_compared_in_both_languages(tmp_path: Path) -> None:
    rest = "    expect: [{rule: bp-above-140-90-3-days, sentence_zh: 血压高}]\n"
    problem = problems(high(tmp_path, rest))[0]
    assert "sentence_zh 连续 3 个测量日血压高于 140/90：152/94、149/92、155/96" in problem


def test_two_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = "    readings: []\n    expect: none\n"
    with pytest.raises(MalformedError, match="same name"):
        load_scenarios(scenario(tmp_path, f"{twice}  - name: a case\n{twice}"))


def test_an_expected_day_that_is_no_day_is_an_error(tmp_path: Path) -> None:
    file = high(tmp_path, "    expect: [{rule: bp-above-140-90-3-days, first_day: monday}]\n")
    with pytest.raises(MalformedError, match="'monday' is not a day"):
        run_file(file)


def test_rules_beside_the_scenarios_come_before_the_catalog(tmp_path: Path) -> None:
    rule = (CATALOG / "blood_pressure.yaml").read_text(encoding="utf-8").replace("above: 140", "above: 160")
    (tmp_path / "report.yaml").write_text(rule, encoding="utf-8")
    rest = "    expect: [{rule: bp-above-140-90-3-days, sentence: nonsense}]\n"
    problem = problems(high(tmp_path, rest))[0]
    assert "above 160/90" in problem


# The command


def run_command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_the_command_plays_a_folder_and_says_so() -> None:
    code, output = run_command("test", str(CATALOG))
    assert code == 0
    assert "meter.test.yaml  check-the-meter  9 cases  9 ok" in output
    assert output.splitlines()[-1].endswith("passed, 0 failed")


def test_the_command_takes_a_rule_file_for_the_scenarios_beside_it() -> None:
    code, output = run_command("test", str(CATALOG / "meter.yaml"))
    assert (code, output.splitlines()[-1]) == (0, "9 cases: 9 passed, 0 failed")


def test_a_scenario_file_may_have_any_name(tmp_path: Path) -> None:
    file = scenario(
        tmp_path, f"    readings:{HIGH}    expect: [{{rule: bp-above-140-90-3-days}}]\n", name="bug-17.yaml"
    )
    assert run_command("test", str(file))[0] == 0


def test_the_command_fails_with_the_reason(tmp_path: Path) -> None:
    code, output = run_command("test", str(high(tmp_path, "    expect: none\n")))
    assert code == 1
    assert 'report.test.yaml › "a case"' in output
    assert "    expected none, got rule bp-above-140-90-3-days" in output
    assert "1 cases: 0 passed, 1 failed" in output


def test_the_command_answers_in_json(tmp_path: Path) -> None:
    file = high(tmp_path, "    expect: none\n")
    code, output = run_command("test", "--json", str(file))
    answer = json.loads(output)
    assert code == 1
    assert (answer["cases"], answer["passed"], answer["failed"]) == (1, 0, 1)
    assert answer["results"][0]["test"] == "a case"
    assert answer["results"][0]["problems"]


def test_a_malformed_file_fails_the_command_and_names_the_place(tmp_path: Path) -> None:
    code, output = run_command("test", str(scenario(tmp_path, "    readings: 5\n    expect: none\n")))
    assert code == 1
    assert "tests.0.readings" in output


def test_a_folder_without_scenarios_has_not_passed(tmp_path: Path) -> None:
    code, output = run_command("test", str(tmp_path))
    assert code == 1
    assert "no scenario found" in output


def test_the_command_prints_the_schema_and_lists_the_rules() -> None:
    code, output = run_command("schema")
    assert code == 0
    assert json.loads(output)["title"] == "RuleFile"
    code, output = run_command("list")
    assert code == 0
    assert "bp-critical  v2  medium  tells patient, doctor" in output
    code, output = run_command("list", "--json")
    assert json.loads(output)[0]["id"] == "bp-above-140-90-3-days"


def test_listing_a_malformed_file_fails(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("rules: 5")
    code, output = run_command("list", "--json", str(file))
    assert code == 1
    assert "rules.yaml" in output


def test_help_does_not_load_numba() -> None:
    code = (
        "import sys; from server.rules.commands import app; sys.exit('numba' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_line_may_stand_for_a_sensor_that_measures_again_and_again(tmp_path: Path) -> None:
    line = "    readings: [[d1 23:50, cgm, 112, mg/dL, {every_minutes: 5, until: 'd2 00:03'}]]\n    expect: none\n"
    (one,) = load_scenarios(scenario(tmp_path, line))
    assert [arrival.row.measured_at.strftime("%H:%M") for arrival in one.arrivals] == ["15:50", "15:55", "16:00"]
    assert len({arrival.row.reading_id for arrival in one.arrivals}) == 3


@pytest.mark.parametrize(
    ("marks", "says"),
    [
        ("every_minutes: 5", "belong together"),
        ("every_minutes: 5, until: d1 07:00", "until is before the reading"),
        ("every_minutes: 1, until: d9 07:00", "more than 5000 readings"),
        ("every_minutes: 5, until: d1 09:00, arrives: d2 09:00", "leave out arrives"),
    ],
)
def test_a_line_that_cannot_be_repeated_is_refused(tmp_path: Path, marks: str, says: str) -> None:
    line = f"    readings: [[d1 07:30, cgm, 112, mg/dL, {{{marks}}}]]\n    expect: none\n"
    with pytest.raises(MalformedError, match=says):
        load_scenarios(scenario(tmp_path, line))
