"""The simulation's own parts: the model's spread, the calendar, engine and formula flag for flag, and what counts as outside."""

import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from benchmarks import operating_characteristics as benchmark
from benchmarks import operating_characteristics_cells as figures
from benchmarks import operating_characteristics_model as model
from benchmarks.operating_characteristics_model import Population, Step, Taking
from server.rules.engine import judge
from server.rules.rule import DaysInARowRule, RuleSet
from server.rules.windows import PatientHistory, Row, ZoneSpan, from_us, row_of, window_of
from vitals.reading import BloodPressure

VARIANTS = benchmark.variants()


def population(*, seed: int = 1, patients: int = 200, days: int = 80, adherence: float = 0.7) -> Population:
    """Of a true mean at the threshold, so that everything happens often."""
    return model.draw(
        np.random.default_rng(seed), patients=patients, days=days, systolic_mmhg=139.0, adherence=adherence
    )


def days_of(people: Population, name: str) -> np.ndarray:
    variant = VARIANTS[name]
    made = model.taken(people, variant.taking, VARIANTS["B"].rule)
    return model.engine_days(people, made, is_gated=variant.is_gated)


def flags_of(people: Population, name: str) -> np.ndarray:
    return model.engine_flags(days_of(people, name), VARIANTS[name].rule, people.measured.shape)


def one_person(*days: tuple[float, float] | None) -> Population:
    """Somebody who reads the same four times a day: (systolic, diastolic), or None for a day that is left out."""
    shape = (1, len(days), 2, 2)
    systolic, diastolic = np.zeros(shape), np.zeros(shape)
    for day, values in enumerate(days):
        systolic[:, day], diastolic[:, day] = values or (120, 70)
    measured = np.array([[values is not None for values in days]])
    return Population(systolic_mmhg=systolic, diastolic_mmhg=diastolic, measured=measured)


# -- the model ---------------------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_people() -> None:
    assert np.array_equal(population(seed=3).systolic_mmhg, population(seed=3).systolic_mmhg)
    assert not np.array_equal(population(seed=3).systolic_mmhg, population(seed=4).systolic_mmhg)


def test_readings_are_whole_and_vary_as_the_model_says() -> None:
    people = population(patients=400, adherence=1.0)
    for pressure, mean, parts in ((people.systolic_mmhg, 139, (5, 5, 5)), (people.diastolic_mmhg, 78, (3, 3, 4))):
        assert np.array_equal(pressure, np.rint(pressure))
        assert pressure.mean() == pytest.approx(mean, abs=0.1)
        assert pressure.std() == pytest.approx(np.linalg.norm(parts), rel=0.02)
        within_sitting = pressure[..., 0] - pressure[..., 1]
        assert within_sitting.std() == pytest.approx(parts[2] * np.sqrt(2), rel=0.02)


def test_systolic_and_diastolic_of_a_day_move_together_and_those_of_two_days_do_not() -> None:
    people = population(patients=800, adherence=1.0)
    systolic, diastolic = (each.mean(axis=(2, 3)) for each in (people.systolic_mmhg, people.diastolic_mmhg))
    day_means = np.corrcoef(systolic.ravel(), diastolic.ravel())[0, 1]
    wanted = 0.6 * 5 * 3 / np.sqrt((25 + 12.5 + 6.25) * (9 + 4.5 + 4))
    assert day_means == pytest.approx(wanted, abs=0.02)
    assert np.corrcoef(systolic[:, :-1].ravel(), systolic[:, 1:].ravel())[0, 1] == pytest.approx(0, abs=0.02)


def test_a_step_moves_the_systolic_mean_from_its_day_on() -> None:
    people = model.draw(
        np.random.default_rng(1), patients=500, days=10, systolic_mmhg=132, step=Step(day=6, systolic_mmhg=150)
    )
    by_day = people.systolic_mmhg.mean(axis=(0, 2, 3))
    assert by_day == pytest.approx([132.0] * 6 + [150.0] * 4, abs=1.5)


def test_adherence_is_the_share_of_measured_days() -> None:
    assert population(adherence=0.75).measured.mean() == pytest.approx(0.75, abs=0.02)
    assert population(adherence=1.0).measured.all()


def test_only_a_high_reading_is_measured_again() -> None:
    people = one_person((141, 80), (140, 90), (120, 91), None)
    made = model.taken(people, Taking.REPEATED, VARIANTS["B"].rule)
    assert made[0, :, 0].tolist() == [[True, True], [True, False], [True, True], [False, False]]
    assert not made[0, :, 1].any()


def test_every_sitting_falls_on_its_own_clinical_day_across_the_end_of_summer_time() -> None:
    people = population(patients=220, adherence=1.0)
    at_us = model.instants_us(220, 80)
    local = [from_us(int(us)).astimezone(ZoneInfo(model.ZONE)) for us in at_us[:, 54, 1, 1]]
    assert {at.utcoffset() for at in local} == {timedelta(hours=1)}
    assert max(at.time() for at in local if at.hour < 3) == time(0, 50)
    table = days_of(people, "B")
    assert np.array_equal(table[:, 0], np.repeat(np.arange(220), 80))
    assert np.array_equal(table[:, 1] - model.FIRST_DAY.toordinal(), np.tile(np.arange(80), 220))
    assert np.all(table[:, 2:4] == (4, 2))


# -- engine and formula ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(VARIANTS) - {"gated"}))
@pytest.mark.parametrize("adherence", [1.0, 0.7, 0.4])
def test_the_engine_flags_what_the_formula_flags(name: str, adherence: float) -> None:
    people = population(adherence=adherence)
    flags = flags_of(people, name)
    assert np.array_equal(flags, model.formula_flags(people, VARIANTS[name].taking, VARIANTS[name].rule))
    assert 0 < flags.sum() < flags.size / 2 or name == "home"


def test_the_forms_of_the_rule_are_not_the_same_rule() -> None:
    people = population()
    counts = {name: int(flags_of(people, name).sum()) for name in VARIANTS}
    assert counts["strict"] < counts["bridge 5"] < counts["bridge 7"] < counts["home"]
    assert counts["repeated"] < counts["one"]
    assert counts["B"] == counts["bridge 5"]


def test_a_mean_at_the_threshold_is_at_least_it_and_not_above_it() -> None:
    home = one_person(*[(135, 70)] * 3)
    assert flags_of(home, "home").tolist() == [[False, False, True]]
    for values in ((140, 70), (120, 90)):
        assert not flags_of(one_person(*[values] * 3), "B").any()
    for values in ((141, 70), (120, 91)):
        assert flags_of(one_person(*[values] * 3), "B").tolist() == [[False, False, True]]


def test_days_that_are_left_out_are_bridged_as_far_as_the_span_goes() -> None:
    high, low = (150.0, 80.0), (120.0, 70.0)
    for days, flagged in {
        (high, high, high): {"strict", "bridge 5", "bridge 7"},
        (high, None, high, None, high): {"bridge 5", "bridge 7"},
        (high, None, None, high, None, None, high): {"bridge 7"},
        (high, None, None, None, high, None, None, high): set(),
        (high, high, low, high): set(),
    }.items():
        people = one_person(*days)
        for name in ("strict", "bridge 5", "bridge 7"):
            flags = flags_of(people, name)
            assert flags[0, -1] == (name in flagged), (days, name)
            assert not flags[0, :-1].any()
            assert np.array_equal(flags, model.formula_flags(people, Taking.FOUR, VARIANTS[name].rule))


def test_people_do_not_lend_each_other_days() -> None:
    two = Population(
        systolic_mmhg=np.full((2, 2, 2, 2), 150.0),
        diastolic_mmhg=np.full((2, 2, 2, 2), 80.0),
        measured=np.ones((2, 2), np.bool_),
    )
    assert not flags_of(two, "B").any()


def test_an_episode_opens_where_the_whole_judge_opens_it() -> None:
    people = population(patients=8, adherence=0.8)
    rule = VARIANTS["gated"].rule
    opened = model.engine_openings(days_of(people, "gated"), rule, people.measured.shape)
    assert opened.any(axis=1).sum() >= 4
    for patient in range(8):
        assert judged_openings(people, patient) == np.flatnonzero(opened[patient]).tolist()


def judged_openings(people: Population, patient: int) -> list[int]:
    """Days on which `server.rules.engine.judge` opens an episode for one of `people`."""
    at_us = model.instants_us(*people.measured.shape)
    rows: list[Row] = []
    for place, where in enumerate(np.ndindex(people.systolic_mmhg.shape)):
        if where[0] == patient and people.measured[where[:2]]:
            at, values = from_us(int(at_us[where])), (people.systolic_mmhg[where], people.diastolic_mmhg[where])
            systolic, diastolic = map(float, values)
            measured = BloodPressure(systolic_mmhg=systolic, diastolic_mmhg=diastolic, unit_sent="mmHg")
            when, marks = {"measured_at": at, "received_at": at}, {"quality": "accepted", "time_quality": "corrected"}
            rows.append(row_of(measured, reading_id=UUID(int=place), **when, **marks))
    history = PatientHistory(
        patient_id=patient,
        enrolled_on=model.FIRST_DAY - timedelta(days=1),
        zones=(ZoneSpan(valid_from=datetime(2020, 1, 1, tzinfo=UTC), zone=model.ZONE),),
        window=window_of(rows),
    )
    over = model.FIRST_DAY + timedelta(days=people.measured.shape[1] + 1)
    now = datetime(over.year, over.month, over.day, tzinfo=UTC)
    findings = judge(history, RuleSet((VARIANTS["gated"].rule,)), now=now).findings
    just_before = (finding.opened_at - timedelta(microseconds=1) for finding in findings)
    return [
        ((at.astimezone(ZoneInfo(model.ZONE)).replace(tzinfo=None) - timedelta(hours=3)).date() - model.FIRST_DAY).days
        for at in just_before
    ]


def test_a_reading_far_from_the_others_is_left_out_by_the_quality_marks_alone() -> None:
    people = one_person(*[(120, 70)] * 4)
    people.systolic_mmhg[0, 3, 0, 0] = 250
    assert days_of(people, "B")[-1, 2] == 4
    assert days_of(people, "gated")[-1, 2] == 3


def test_the_rules_that_the_product_does_not_have_are_as_they_are_called() -> None:
    people = one_person(*[(120, 70)] * 6)
    people.systolic_mmhg[0, 1:4, 0, 0] = 145  # one high reading on each of three days
    people.systolic_mmhg[0, 5] = 200  # one day so high that it carries three
    flags = model.other_flags(people, VARIANTS["B"].rule)
    assert {name: np.flatnonzero(each[0]).tolist() for name, each in flags.items()} == {
        "A": [3],
        "C": [5],
        "D": [],
        "E": [1, 2, 3, 5],
    }
    every = one_person(*[(141, 70)] * 3)
    assert np.flatnonzero(model.other_flags(every, VARIANTS["B"].rule)["D"][0]).tolist() == [2]
    every.measured[0, 1] = False
    assert not any(model.other_flags(every, VARIANTS["B"].rule)[name].any() for name in "ACD")


def with_a_flag_on(day: int) -> Population:
    """Somebody whose only flag, by every form of B, is on `day` (counted from 0) of 80."""
    return one_person(*[(150.0, 80.0) if day - 2 <= each <= day else (120.0, 70.0) for each in range(80)])


@pytest.mark.parametrize(("day", "is_counted"), [(2, True), (31, True), (32, False)])
def test_a_month_is_the_thirty_days_from_the_first_possible_flag(day: int, is_counted: bool) -> None:
    cells = benchmark.month_cells(with_a_flag_on(day), 130, benchmark.Agreement())
    assert {cell.row: cell.value for cell in cells}["B"] == is_counted


@pytest.mark.parametrize(
    ("day", "counted_as"),
    [(2, {"false"}), (59, {"false"}), (60, {"within 7", "within 14"}), (66, {"within 7", "within 14"}),
     (67, {"within 14"}), (73, {"within 14"}), (74, set())],
)  # fmt: skip
def test_a_flag_is_found_within_days_that_begin_with_the_step_and_false_before_it(
    day: int, counted_as: set[str]
) -> None:
    cells = list(benchmark.step_cells(with_a_flag_on(day), 0.75, benchmark.Agreement()))
    for row in ("strict", "bridge 5", "bridge 7", "repeated"):
        assert {cell.column for cell in cells if cell.row == row and cell.value} == {
            f"75% {each}" for each in counted_as
        }


# -- cells -------------------------------------------------------------------------------------------------------------


def test_the_interval_is_wilsons() -> None:
    assert figures.wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)  # Newcombe 1998, table I, method 3
    assert figures.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)  # the same, 0 of 20
    assert figures.wilson(20, 20) == pytest.approx((0.8389, 1.0), abs=5e-5)


@pytest.mark.parametrize(
    ("count", "published", "is_outside"),
    [
        (2000, 0.5, False),
        (2130, 0.5, False),  # 2.9 standard errors of both
        (2140, 0.5, True),  # 3.1
        (0, 0.0, False),
        (6, 0.0, False),
        (40, 0.0, True),
        (4000, 1.0, False),
        (3970, 1.0, True),
    ],
)
def test_a_share_is_outside_when_the_errors_of_both_figures_do_not_explain_it(
    count: int, published: float, is_outside: bool
) -> None:
    flagged = np.arange(4000) < count
    assert figures.share_cell("month", "B", "130", flagged, published).is_outside is is_outside


def test_few_people_make_few_cells_outside() -> None:
    assert not figures.is_outside_share(1, 300, 0.0, rounded_by=0.0005)


def test_a_figure_of_two_decimals_is_taken_as_one() -> None:
    flagged = np.arange(4000) < 0.684 * 4000
    assert figures.share_cell("step", "D", "", flagged, 0.65).is_outside
    assert not figures.share_cell("step", "D", "", flagged, 0.65, rounded_by=0.005).is_outside


def test_a_share_without_a_published_one_is_never_outside() -> None:
    assert not figures.share_cell("month", "one", "138", np.ones(10, np.bool_), None).is_outside


# -- the command -------------------------------------------------------------------------------------------------------


def test_a_run_prints_tables_and_one_line_and_writes_page_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = benchmark.main(["--patients", "40", "--days", "74", "--markdown", str(tmp_path / "page.md")])
    said = capsys.readouterr()
    *tables, line = said.out.splitlines()
    run = json.loads(line)
    assert status == (0 if run["is_well"] else 1)
    assert run["outside"] == sum(cell["is_outside"] for cell in run["cells"])
    assert len([cell for cell in run["cells"] if cell["published"] is not None]) == run["compared"] == 93
    assert all(cell["low"] <= cell["value"] <= cell["high"] for cell in run["cells"])
    assert run["engine_equals_formula"]["flags"] > 0
    assert "Simulation" in "\n".join(tables)
    assert json.loads((tmp_path / "page.json").read_text()) == run
    assert "**This is a simulation.**" in (tmp_path / "page.md").read_text()
    assert "judging" in said.err


def test_a_run_whose_figures_are_not_the_published_ones_is_not_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(figures.MONTH, "B", (0.9,) * 7)
    assert benchmark.main(["--patients", "40", "--days", "74", "--json"]) == 1
    run = json.loads(capsys.readouterr().out)
    wrong = {(cell["row"], cell["column"]) for cell in run["cells"] if cell["is_outside"]}
    assert {("B", "125"), ("B", "130"), ("B", "135")} <= wrong


def test_an_engine_that_disagrees_with_the_formula_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def later(days: np.ndarray, rule: DaysInARowRule, shape: tuple[int, int]) -> np.ndarray:
        return np.roll(honest(days, rule, shape), 1, axis=1)

    honest = model.engine_flags
    monkeypatch.setattr(model, "engine_flags", later)
    with pytest.raises(AssertionError, match="two answers"):
        benchmark.simulate(20, 74, 1)


def test_days_that_cannot_hold_the_step_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--days", "73"])
    assert "at least 74 days" in capsys.readouterr().err
