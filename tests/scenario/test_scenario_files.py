"""The format of scenario files, and what the command says when an expectation or the file itself is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.rules.commands import app
from server.rules.expectations import run_file
from server.rules.load import CATALOG
from server.rules.scenarios import load_scenarios
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
    assert [a.row[2].isoformat() for a in loaded.arrivals] == ["2026-11-01T05:30:00+00:00", "2026-11-01T07:30:00+00:00"]


@pytest.mark.parametrize(
    ("arrive", "order"),
    [("in_order", [152, 149, 155]), ("reversed", [155, 149, 152]), ("late:48", [152, 149, 155])],
)
def test_readings_arrive_as_the_case_says(tmp_path: Path, arrive: str, order: list[float]) -> None:
    (loaded,) = load_scenarios(high(tmp_path, f"    arrive: {arrive}\n    now: d9 09:00\n    expect: none\n"))
    assert [a.row[4] for a in sorted(loaded.arrivals, key=lambda a: a.at)] == order


def test_a_shuffle_is_the_same_every_time_and_another_for_another_seed(tmp_path: Path) -> None:
    def order(seed: int) -> list[object]:
        (loaded,) = load_scenarios(high(tmp_path, f"    arrive: shuffled:{seed}\n    expect: none\n"))
        return [a.row[4] for a in sorted(loaded.arrivals, key=lambda a: a.at)]

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(10)}) > 1


def test_late_readings_are_received_late_and_shuffled_ones_are_not(tmp_path: Path) -> None:
    (late,) = load_scenarios(high(tmp_path, "    arrive: late:2\n    expect: none\n"))
    assert all((a.row[3] - a.row[2]).total_seconds() == 7200 for a in late.arrivals)
    (turned,) = load_scenarios(high(tmp_path, "    arrive: reversed\n    expect: none\n"))
    assert all(a.row[3] == a.row[2] for a in turned.arrivals)


@pytest.mark.parametrize(
    ("test", "place"),
    [
        ("    readings: [[d1 7h, bp, 1, 2]]\n    expect: none\n", "test 'a case': readings.0: 'd1 7h' is not a time"),
        ("    readings: [[d1 25:00, bp, 1, 2]]\n    expect: none\n", "readings.0: 'd1 25:00' is not a time"),
        ("    readings: [[d1 07:30, weight, 80]]\n    expect: none\n", "readings.0: 'weight' is not a kind"),
        ("    readings: [[d1 07:30, bp, 80]]\n    expect: none\n", "readings.0: blood pressure is two numbers"),
        ("    readings: [[d1 07:30, bp]]\n    expect: none\n", "readings.0: a reading is"),
        ("    readings: [[d1 07:30, bp, 1, 2, goood]]\n    expect: none\n", "readings.0: 'goood' is not a mark"),
        ("    readings: [[d1 07:30, bp, 1, 2, {puls: 1}]]\n    expect: none\n", "readings.0: puls: Extra inputs"),
        (
            "    readings: [[d1 07:30, glucose, 5, g/L]]\n    expect: none\n",
            "readings.0: glucose is a number and its unit",
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
    assert "meter.test.yaml  check-the-meter  7 cases  7 ok" in output
    assert output.splitlines()[-1].endswith("passed, 0 failed")


def test_the_command_takes_a_rule_file_for_the_scenarios_beside_it() -> None:
    code, output = run_command("test", str(CATALOG / "meter.yaml"))
    assert (code, output.splitlines()[-1]) == (0, "7 cases: 7 passed, 0 failed")


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
    assert "bp-critical  v1  medium  tells patient, doctor" in output
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
