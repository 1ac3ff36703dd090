"""Our figures of glucose against iglu (Broll et al. 2021), the program of a published reference, on iglu's own example data.

Two witnesses: iglu-python, run here in a venv of its own, and what R's iglu 4.3.0 said, recorded by iglu-python's authors in the
same archive. iglu is GPL-2: it is fetched and run beside the tests, nothing of it is imported or kept here.

Equal by definition: mean, SD, CV, GMI, shares, GRI, LBGI, HBGI, range. What differs, and by what (each difference is undone here,
and then the figures are equal, MAGE apart):

- LBGI and HBGI of ours are of risks rounded to a millionth; R's iglu has 22.77 for 10 · 1.509² = 22.77081.
- MODD: iglu first interpolates all readings onto a grid of 5 minutes; ours compares each reading with the line 24 hours before.
- Episodes: for iglu a reading stands for its whole interval, so that three in a row are 15 minutes; for ours they must span 15
  minutes. And for iglu a gap of the sensor ends an episode.
- MAGE: iglu finds the peaks where two moving averages cross, on its grid; ours has the turning points of the definition (Service
  1970). They are within an eighth of each other, and not equal.
"""

import csv
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.rules.glucose_report import GlucoseReport, report
from server.rules.glucose_swings import Flags, Floats, excursions, lage, modd
from server.rules.glucose_trace import Trace
from server.rules.kernels import Int64s
from server.rules.windows import to_us

HERE = Path(__file__).parent
PYTHON = HERE / ".venv" / "bin" / "python"
ENABLE = "to run this suite: python3 run.py test, with the network there (it fetches the pinned iglu-python)"
FIVE, DAYS = "example_data_5_subject.csv", "example_data_1_subject_with_days.csv"
MINUTE_US = 60_000_000
DAY_US = 1440 * MINUTE_US
SAFELY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""Debian 12's own Python (3.11.2) has no such filter yet; the archive is pinned by its hash."""
ROUNDED_22_77 = 22.77 / (10 * 1.509**2)

Named = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pinned source archive holds beside its tests: the data, and what R said of them."""
    found = list((HERE / ".venv" / "data").glob("iglu_python-*.tar.gz"))
    if not found or not (HERE / ".venv" / "homevigil-lock").exists():
        pytest.skip(f"no reference here; {ENABLE}")
    folder = tmp_path_factory.mktemp("iglu")
    with tarfile.open(found[0]) as packed:
        packed.extractall(folder, **SAFELY)
    (unpacked,) = folder.iterdir()
    return unpacked / "tests"


@pytest.fixture(scope="session", params=[FIVE, DAYS])
def file(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def said(archive: Path, file: str) -> Named:
    """By subject, what iglu-python says of the file."""
    command = [PYTHON, "-I", HERE / "iglu_figures.py", archive / "data" / file]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr
    read: Named = json.loads(done.stdout)
    return read


@pytest.fixture(scope="session")
def ours(archive: Path, file: str) -> dict[str, Trace]:
    """By subject, the readings of the file as the rules have them. Its clock is taken for UTC."""
    rows: dict[str, list[tuple[int, int]]] = {}
    with (archive / "data" / file).open(encoding="utf-8") as opened:
        for row in csv.DictReader(opened):
            at = datetime.fromisoformat(row["time"]).replace(tzinfo=UTC)
            rows.setdefault(row["id"], []).append((to_us(at), round(float(row["gl"]) * 1_000_000)))
    return {subject: trace_of(each) for subject, each in rows.items()}


def trace_of(rows: list[tuple[int, int]]) -> Trace:
    at_us, micro = (np.array(column, np.int64) for column in zip(*sorted(rows), strict=True))
    return Trace(
        rows=np.arange(len(at_us)),
        at_us=at_us,
        day=at_us // DAY_US,
        micro=micro,
        censored=np.zeros(len(at_us), np.int8),
    )


def reports(ours: dict[str, Trace]) -> Iterator[tuple[str, GlucoseReport]]:
    assert ours
    for subject, trace in ours.items():
        yield subject, report(trace, days=1 + int(trace.at_us[-1] - trace.at_us[0]) // DAY_US)


FIGURES: dict[str, Callable[[GlucoseReport], float | None]] = {
    "mean": lambda made: made.levels and made.levels.mean_mg_dl,
    "sd": lambda made: made.levels and made.levels.sd_mg_dl,
    "cv": lambda made: made.levels and made.levels.cv_percent,
    "gmi": lambda made: made.levels and made.levels.gmi_percent,
    "lbgi": lambda made: made.levels and made.levels.lbgi,
    "hbgi": lambda made: made.levels and made.levels.hbgi,
    "gri": lambda made: made.shares and made.shares.gri,
    "in_range_70_180": lambda made: made.shares and made.shares.tir_percent,
    "in_range_70_140": lambda made: made.shares and made.shares.titr_percent,
    "below_70": lambda made: made.shares and made.shares.tbr_70_percent,
    "below_54": lambda made: made.shares and made.shares.tbr_54_percent,
    "above_180": lambda made: made.shares and made.shares.tar_180_percent,
    "above_250": lambda made: made.shares and made.shares.tar_250_percent,
}
RISKS = ("lbgi", "hbgi")


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_equals_the_reference(said: Named, ours: dict[str, Trace], figure: str) -> None:
    for subject, made in reports(ours):
        tolerance = 6e-7 if figure in RISKS else 1e-9
        assert FIGURES[figure](made) == pytest.approx(said[subject][figure], abs=tolerance, rel=0), subject


RECORDED = {
    "mean_glu": "mean", "sd_glu": "sd", "cv_glu": "cv", "gmi": "gmi", "gri": "gri", "lbgi": "lbgi", "hbgi": "hbgi",
    "in_range_percent": "in_range_70_180", "below_percent": "below_70", "above_percent": "above_250",
}  # fmt: skip
"""R's functions, and our figure for each."""


@pytest.mark.parametrize("method", RECORDED)
def test_a_figure_equals_what_r_said(archive: Path, file: str, ours: dict[str, Trace], method: str) -> None:
    figure = RECORDED[method]
    said = recorded(archive, file, method)
    for subject, made in reports(ours):
        mine = FIGURES[figure](made)
        assert mine is not None
        if figure in RISKS:
            mine *= ROUNDED_22_77
        assert mine == pytest.approx(said[subject], abs=6e-7 if figure in RISKS else 1e-9, rel=0), subject


def recorded(archive: Path, file: str, method: str) -> dict[str, float]:
    """By subject, what R said when it was asked as usual."""
    runs = json.loads((archive / "expected_results.json").read_text(encoding="utf-8"))["test_runs"]
    (results,) = (
        run["results"]
        for run in runs
        if run["method"] == method and run["input_file_name"].endswith(f"/{file}") and not run["kwargs"]
    )
    named = {
        "gmi": "GMI",
        "in_range_percent": "in_range_70_180",
        "below_percent": "below_70",
        "above_percent": "above_250",
    }
    column = named.get(method) or next(name for name in results if name != "id")
    return {results["id"][place]: value for place, value in results[column].items()}


def test_the_range_of_all_readings_is_the_spread_of_one_long_day(said: Named, ours: dict[str, Trace]) -> None:
    for subject, trace in ours.items():
        assert lage(np.zeros(len(trace), np.int64), trace.micro / 1e6, fewest=1) == {0: said[subject]["range"]}


def grid(of_one: dict[str, Any]) -> tuple[Int64s, Floats, int]:
    """The readings as iglu interpolates them: instants, values, and how many minutes lie between two."""
    values = np.array([np.nan if each is None else each for each in of_one["grid"]])
    minutes = int(of_one["grid_minutes"])
    there = np.flatnonzero(~np.isnan(values))
    return (there * minutes * MINUTE_US).astype(np.int64), values[there], minutes


def test_on_the_references_grid_the_daily_difference_is_the_references(said: Named) -> None:
    for of_one in said.values():
        at_us, values, minutes = grid(of_one)
        mine = modd(at_us, values, gap_minutes=minutes)
        expected = of_one["modd"]
        assert mine == (None if np.isnan(expected) else pytest.approx(expected, abs=1e-9, rel=0))


def test_without_a_grid_the_daily_difference_is_near_it(said: Named, ours: dict[str, Trace]) -> None:
    for subject, made in reports(ours):
        if made.modd_mg_dl is not None:
            assert made.modd_mg_dl == pytest.approx(said[subject]["modd"], rel=0.02), subject


LIMITS: dict[str, Callable[[Floats], Flags]] = {
    "hypo lv1": lambda values: np.asarray(values < 70),
    "hypo lv2": lambda values: np.asarray(values < 54),
    "hyper lv1": lambda values: np.asarray(values > 180),
    "hyper lv2": lambda values: np.asarray(values > 250),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_episodes_are_the_references_where_readings_last_and_gaps_end_them(said: Named, limit: str) -> None:
    """Three readings of 5 minutes span 10; between two gaps everything begins anew."""
    for subject, of_one in said.items():
        at_us, values, minutes = grid(of_one)
        beyond = LIMITS[limit](values)
        cuts = np.flatnonzero(np.diff(at_us) > minutes * MINUTE_US) + 1
        pieces = zip(np.split(at_us, cuts), np.split(beyond, cuts), strict=True)
        found = [excursions(at, flags, minutes=15 - minutes, gap_minutes=minutes) for at, flags in pieces]
        assert sum(map(len, found)) == of_one["episodes"][limit], subject


@pytest.mark.parametrize(
    "file", [FIVE], indirect=True
)  # a single day has one swing or two, which two ways may both miss
def test_the_amplitude_of_swings_is_near_the_references(said: Named, ours: dict[str, Trace]) -> None:
    for subject, made in reports(ours):
        assert made.levels is not None
        assert made.levels.mage_mg_dl == pytest.approx(said[subject]["mage"], rel=0.12), subject
