"""The operating characteristics of the three-day rule, simulated: how often it flags whom, and how soon it finds a rise.

The product's own kernels judge seeded populations of simulated people (`operating_characteristics_model`) in 120 days of a
real calendar, and must agree with the same rule in plain numpy flag for flag. The shares are put beside those by which the
rule was chosen; the rules A, C, D and E, which the product deliberately does not have, are the reason for the choice. This
is a simulation that ranks rules: it is not clinical performance, and no figure of it may be told as such.

    python -m benchmarks.operating_characteristics [--patients 4000] [--days 120] [--seed 20261122] [--json] [--markdown FILE]
"""

import argparse
import json
import math
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks import operating_characteristics_model as model
from benchmarks import operating_characteristics_page as page
from benchmarks.operating_characteristics_cells import (
    ADHERENCES,
    MEANS,
    MONTH,
    PUBLISHED_DAYS,
    PUBLISHED_PATIENTS,
    ROUNDED_BY,
    STEP,
    STEP_ROUNDED_BY,
    WITHIN_DAYS,
    Cell,
    per_cent_cell,
    share_cell,
)
from benchmarks.operating_characteristics_model import Bools, Population, Step, Taking
from server.rules import kernels
from server.rules.load import load_catalog
from server.rules.rule import DaysInARowRule

ROOT: Final = Path(__file__).parents[1]
STANDS_ON: Final = ("benchmarks/operating_characteristics*.py", "server/rules", "vitals")
SEED: Final = 20261122
RULE: Final = "bp-above-140-90-3-days"
HOME: Final = (
    {"signal": "systolic", "statistic": "day_mean", "at_least": 135.0, "unit": "mmHg"},
    {"signal": "diastolic", "statistic": "day_mean", "at_least": 85.0, "unit": "mmHg"},
)
"""The home equivalent of 140/90 (AHA/ACC 2025, table 7)."""

MONTH_DAYS: Final = slice(2, 32)
"""The 30 days that begin with the first on which a flag is possible (days 3 to 32, counted from 1)."""
STEP_MMHG: Final = (132.0, 150.0)
STEP_DAY: Final = 60
"""Counted from 0: sixty days lie before it, and it is the first of the days within which the rise may be found."""
CV_MEAN: Final = 135
CV_DAYS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Rule B in one of its forms, and what people measure for it. `is_gated`: the product's quality marks decide, too."""

    rule: DaysInARowRule
    taking: Taking = Taking.FOUR
    is_gated: bool = False


@dataclass(slots=True)
class Agreement:
    """What the engine and the formula were both asked, and agreed on."""

    days: int = 0
    flags: int = 0
    first_openings: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables and the JSON line; 1 when a cell lies outside what the errors of both figures explain."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, default=PUBLISHED_PATIENTS)
    parser.add_argument("--days", type=int, default=PUBLISHED_DAYS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page, and its JSON line beside it")
    wish = parser.parse_args(arguments)
    if wish.patients < 2:
        parser.error("give at least two patients")
    if wish.days < STEP_DAY + max(WITHIN_DAYS):
        parser.error(f"give at least {STEP_DAY + max(WITHIN_DAYS)} days: the mean rises on day {STEP_DAY}")
    began_s = time.monotonic()
    cells, agreement = simulate(wish.patients, wish.days, wish.seed)
    run = {
        "benchmark": "operating_characteristics",
        "is_simulation": True,
        **{name: getattr(wish, name) for name in ("patients", "days", "seed")},
        **_commit(),
        "rule": RULE,
        "rule_version": load_catalog().by_id(RULE).version,
        "cells": [asdict(cell) for cell in cells],
        "compared": sum(cell.published is not None for cell in cells),
        "outside": sum(cell.is_outside for cell in cells),
        "engine_equals_formula": asdict(agreement),
        "seconds": round(time.monotonic() - began_s, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "is_well": not any(cell.is_outside for cell in cells),
    }
    return _tell(run, is_json=wish.json, markdown=wish.markdown)


def simulate(patients: int, days: int, seed: int) -> tuple[list[Cell], Agreement]:
    """Every cell, and what the engine and the formula agreed on. An assertion fails where they do not."""
    rng, agreement = np.random.default_rng(seed), Agreement()
    cells: list[Cell] = []
    scenarios: list[tuple[float, float, bool]] = [(float(mean), 1.0, False) for mean in MEANS]
    scenarios += [(STEP_MMHG[0], adherence, True) for adherence in ADHERENCES]
    for mean, adherence, is_step in track(scenarios, "judging", console=Console(stderr=True)):
        population = model.draw(
            rng,
            patients=patients,
            days=days,
            systolic_mmhg=mean,
            adherence=adherence,
            step=Step(day=STEP_DAY, systolic_mmhg=STEP_MMHG[1]) if is_step else None,
        )
        if is_step:
            cells += step_cells(population, adherence, agreement)
        else:
            cells += month_cells(population, int(mean), agreement)
            if mean == CV_MEAN:
                cells += _spread_cells(population)
    return cells, agreement


def variants() -> Mapping[str, Variant]:
    """The rows that the engine judges, by name."""
    shipped = load_catalog().by_id(RULE)
    assert isinstance(shipped, DaysInARowRule)
    return {
        "B": Variant(rule=shipped),
        "one": Variant(rule=shipped, taking=Taking.ONE),
        "repeated": Variant(rule=shipped, taking=Taking.REPEATED),
        "home": Variant(rule=model.varied(shipped, any_of=HOME)),
        "strict": Variant(rule=model.varied(shipped, missing_day="break", max_span_days=None)),
        "bridge 5": Variant(rule=model.varied(shipped, missing_day="bridge", max_span_days=5)),
        "bridge 7": Variant(rule=model.varied(shipped, missing_day="bridge", max_span_days=7)),
        "gated": Variant(rule=shipped, is_gated=True),
    }


def month_cells(population: Population, mean: int, agreement: Agreement) -> Iterator[Cell]:
    """Who has a flag in a month, by every rule. A flag knows nothing of later days: they are not judged."""
    population = population.until(MONTH_DAYS.stop)
    flags = dict(_engine_flags(population, ("B", "one", "repeated", "home"), agreement))
    flags |= model.other_flags(population, variants()["B"].rule)
    for row, published in MONTH.items():
        yield share_cell("month", row, str(mean), _ever(flags[row], MONTH_DAYS), published[MEANS.index(mean)])


def step_cells(population: Population, adherence: float, agreement: Agreement) -> Iterator[Cell]:
    """Who is found after the step, and who was flagged before it, by the forms of B and by two of the other rules."""
    population = population.until(STEP_DAY + max(WITHIN_DAYS))
    flags = dict(_engine_flags(population, ("strict", "bridge 5", "bridge 7", "repeated"), agreement))
    if adherence == 1.0:
        others = model.other_flags(population, variants()["B"].rule)
        flags |= {"A": others["A"], "D": others["D"]} | dict(_engine_flags(population, ("gated",), agreement))
    for row, by_day in flags.items():
        by_adherence = dict(zip_longest(ADHERENCES, STEP.get(row, ()), fillvalue=(None, None, None)))
        figures = [(f"within {days}", slice(STEP_DAY, STEP_DAY + days)) for days in WITHIN_DAYS]
        figures.append(("false", slice(0, STEP_DAY)))
        for (name, window), published in zip(figures, by_adherence[adherence], strict=True):
            yield share_cell(
                "step",
                row,
                f"{adherence:.0%} {name}",
                _ever(by_day, window),
                published,
                rounded_by=STEP_ROUNDED_BY.get(row, ROUNDED_BY),
            )


def _engine_flags(population: Population, names: Iterable[str], agreement: Agreement) -> Iterator[tuple[str, Bools]]:
    """The engine's flags, once they have been seen to equal the formula's."""
    every, shape = variants(), population.measured.shape
    tables: dict[tuple[Taking, bool], kernels.Int64s] = {}
    for name in names:
        rule, taking, is_gated = every[name].rule, every[name].taking, every[name].is_gated
        if (taking, is_gated) not in tables:
            made = model.taken(population, taking, every["B"].rule)
            tables[taking, is_gated] = model.engine_days(population, made, is_gated=is_gated)
        flags = model.engine_flags(tables[taking, is_gated], rule, shape)
        if not is_gated:  # the formula knows no gate
            assert np.array_equal(flags, model.formula_flags(population, taking, rule)), f"{name}: two answers"
            agreement.days += int(population.measured.sum())
            agreement.flags += int(flags.sum())
        openings = model.engine_openings(tables[taking, is_gated], rule, shape)
        assert not (openings & ~flags).any(), f"{name}: an episode opened on a day without a flag"
        assert np.array_equal(_firsts(openings), _firsts(flags)), f"{name}: a first flag opened no episode"
        agreement.first_openings += int(openings.any(axis=1).sum())
        yield name, flags


def _ever(flags: Bools, window: slice) -> Bools:
    """Who has a flag on any day of `window`, bool[patients]."""
    anybody: Bools = np.any(flags[:, window], axis=1)
    return anybody


def _firsts(flags: Bools) -> Bools:
    """Of each patient's flags the first alone."""
    firsts: Bools = flags & (np.cumsum(flags, axis=1) == 1)
    return firsts


def _spread_cells(population: Population) -> Iterator[Cell]:
    """How much a person's readings differ: within a sitting, and from morning to morning of seven."""
    pairs = [pressure[..., 0] - pressure[..., 1] for pressure in (population.systolic_mmhg, population.diastolic_mmhg)]
    difference = np.maximum(np.abs(pairs[0]), np.abs(pairs[1]))
    for mmhg in (10, 5):
        share = float((difference >= mmhg).mean())
        error = 100 * math.sqrt(share * (1 - share) / difference.size)
        yield per_cent_cell(f"differ {mmhg}", 100 * share, error, difference.size)
    weeks = population.measured.shape[1] // CV_DAYS
    mornings = population.systolic_mmhg[:, : weeks * CV_DAYS, 0, 0].reshape(-1, CV_DAYS)
    cv = np.sort(100 * mornings.std(axis=1, ddof=1) / mornings.mean(axis=1))
    yield per_cent_cell("cv mean", float(cv.mean()), float(cv.std()) / math.sqrt(len(cv)), len(cv))
    # The error of a quantile, from the values at the ranks one binomial standard deviation to either side.
    ranks = (0.9 * len(cv) + np.array([-1, 0, 1]) * math.sqrt(0.09 * len(cv))).astype(int)
    low, p90, high = cv[np.minimum(ranks, len(cv) - 1)]
    yield per_cent_cell("cv p90", float(p90), float(high - low) / 2, len(cv))


def _tell(run: dict[str, Any], *, is_json: bool, markdown: Path | None) -> int:
    line = json.dumps(run)
    if not is_json:
        console = Console(width=170)
        for table in page.tables(run):
            console.print(table)
    if markdown is not None:
        markdown.write_text(page.page(run), encoding="utf-8")
        markdown.with_suffix(".json").write_text(line + "\n", encoding="utf-8")
    sys.stdout.write(line + "\n")
    return 0 if run["is_well"] else 1


def _commit() -> dict[str, Any]:
    """The commit that runs, its date, and whether what the figures stand on differs from it."""
    return {
        "commit": _git("rev-parse", "--short=12", "HEAD") or None,
        "date": _git("show", "-s", "--format=%cs", "HEAD") or None,
        "changed": bool(_git("status", "--porcelain", "-uno", "--", *STANDS_ON)),
    }


def _git(*arguments: str) -> str:
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main())
