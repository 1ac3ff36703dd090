"""What `benchmarks.operating_characteristics` shows: tables for a terminal, and the documentation's page, from the JSON line.

It adds nothing to a run's figures, and no page goes out without the words that it is a simulation.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.table import Table

Run = Mapping[str, Any]
CellOf = Mapping[tuple[str, str], Mapping[str, Any]]

ENGINE, NUMPY = "engine", "numpy"
ROWS: Final = {
    "A": ("A: the day's highest reading above, 3 days in a row", NUMPY),
    "B": ("**B: the day's mean above, 3 measured days in a row**", ENGINE),
    "C": ("C: the mean of 3 days together above", NUMPY),
    "D": ("D: the day's lowest reading above, 3 days in a row", NUMPY),
    "E": ("E: any single reading above", NUMPY),
    "one": ("B with 1 reading a day", ENGINE),
    "repeated": ("B with 1 reading a day, measured again if high", ENGINE),
    "home": ("B with at least 135/85", ENGINE),
    "strict": ("B strict: 3 calendar days in a row", ENGINE),
    "bridge 5": ("**B bridge: 3 measured days within 5**", ENGINE),
    "bridge 7": ("B bridge: 3 measured days within 7", ENGINE),
    "gated": ("B bridge, judged with the product's quality marks", ENGINE),
}
"""What each row is called, and who computed it."""

STEP_COLUMNS: Final = {
    "within 7": "found within 7 days",
    "within 14": "found within 14 days",
    "false": "flagged in the 60 days before",
}
SPREAD_ROWS: Final = {
    "differ 10": "sittings whose two readings differ by 10 mmHg or more, systolic or diastolic",
    "differ 5": "the same, by 5 mmHg or more",
    "cv mean": "CV of the first morning systolic over 7 days, mean (true mean 135)",
    "cv p90": "the same, 90th percentile",
}

PAGE: Final = """# Operating characteristics of the three-day rule

> **This is a simulation.** It rests on assumptions about how blood pressure varies, and no patient is in it. It serves to
> *rank rules* against each other. It is **not clinical performance**: how often the rule alerts real people, how soon and
> how often wrongly is not known from it, and no figure of this page may be told as if it were.

{made_by}

## How to read it

A *flag* is a day at whose close the rule holds. The figures are shares of people with at least one flag, not numbers of
messages: the product pushes once for an episode. A day with one sitting is told at 08:00 after it has closed.

- *engine*: the product's own kernels, fed with every reading as an instant of a real calendar (Europe/Berlin, with the end
  of summer time in it), by the rule `{rule}` version {rule_version} of the catalog or a variation of it. Every
  reading is accepted, since the model makes no artefacts; one row shows what the product's quality marks would change.
- *numpy*: rules that the product deliberately does not have, computed beside it. They are the reason for the choice.
  *Highest* and *lowest* are meant of each pressure by itself: D asks for every systolic of a day, or for every diastolic.
- In a cell: the share, its 95 % Monte-Carlo interval, and in brackets the *published* figure, by which the rule was chosen
  before there was an engine: the same model in plain numpy, 4,000 people of each kind, 120 days. A cell is *outside*, and
  marked **!**, if the two differ by more than three standard errors of both together and the rounding of the published one.

## Flagged in a month

People with at least one flag in 30 days, by true systolic mean. True diastolic mean 78, no day left out, four readings a day
but for the rows that say otherwise.

{month}

## A rise from 132 to 150

People who are flagged in the days from the rise on, and people who were flagged, wrongly, before it. An earlier flag does not
keep anybody from being found.

{step}

## What follows for the choice

{choice}

## The model

Everybody of one kind has the same true mean. A systolic reading is this mean, plus the day's deviation N(0, 5), plus the
sitting's N(0, 5), plus the reading's own N(0, 5); a diastolic one has N(0, 3), N(0, 3) and N(0, 4). The two deviations of a day
correlate by 0.6. Readings are whole mmHg. A day has a sitting in the morning and one in the evening, of two readings a minute
apart; *measured again if high* takes the second reading of the morning if the first is above 140/90. Adherence is the chance
that a day is measured at all, drawn for each day by itself. The rise is a step of the true mean after 60 days. A month is the
30 days from the first on which a flag is possible.

{spread}

**What it omits**: the white-coat effect and its decay, effects of treatment, days that resemble the days before them, days left
out because of how somebody feels, artefacts of measuring, and people who vary more than others. Published data have a heavier
tail: the top tenth of the CV begins at 11.0 % (Juhanoja 2017). Real people are likely to be flagged wrongly more often.

## Whose figures they are

Every row of the engine, but the one with quality marks, was computed twice: by the product's kernels and by the rule's formula in
plain numpy. They were equal flag for flag: {flags:,} flags on {days:,} measured days. Whole histories, judged with the rule's own
resolving and re-arming, opened an episode on everybody's first flag ({first_openings:,} times), and none on a day without a
flag. A run stops where that is not so. It fails where a figure lies outside; with another seed one may do so by chance.
"""


def page(run: Run) -> str:
    """The page of the documentation, Markdown."""
    return PAGE.format(
        made_by=_made_by(run),
        rule=run["rule"],
        rule_version=run["rule_version"],
        month="\n".join(_month(run)),
        step="\n".join(_step(run)),
        choice="\n".join(_choice(run)),
        spread="\n".join(_spread(run)),
        **run["engine_equals_formula"],
    )


def tables(run: Run) -> Iterator[Table]:
    """The same tables for a terminal."""
    yield _table("Simulation: flagged in a month, by true systolic mean", run, "month")
    yield _table("Simulation: a rise from 132 to 150, by adherence", run, "step")
    spread = Table(title="Simulation: how readings differ, per cent")
    for heading in ("", "simulated", "published"):
        spread.add_column(heading)
    for (row, _), cell in _cells(run, "spread").items():
        spread.add_row(SPREAD_ROWS[row], _interval(cell), str(cell["published"]))
    yield spread


def _table(title: str, run: Run, name: str) -> Table:
    table, cells = Table(title=title, show_lines=True), _cells(run, name)
    columns = _columns(cells)
    for heading in ("", "by", *columns):
        table.add_column(heading, justify="left" if heading in ("", "by") else "right")
    for row in _rows(cells):
        words, by = ROWS[row]
        shown = (_share(cells[row, column], "\n") if (row, column) in cells else "" for column in columns)
        table.add_row(words.replace("*", ""), by, *(each.replace("*", "") for each in shown))
    return table


def _month(run: Run) -> Iterator[str]:
    cells = _cells(run, "month")
    columns = _columns(cells)
    yield f"| | by | {' | '.join(columns)} |"
    yield f"| --- | --- |{' ---: |' * len(columns)}"
    for row in _rows(cells):
        words, by = ROWS[row]
        yield f"| {words} | {by} | {' | '.join(_share(cells[row, column], '<br>') for column in columns)} |"


def _step(run: Run) -> Iterator[str]:
    cells = _cells(run, "step")
    yield f"| adherence | | by | {' | '.join(STEP_COLUMNS.values())} |"
    yield f"| ---: | --- | --- |{' ---: |' * len(STEP_COLUMNS)}"
    for adherence in dict.fromkeys(column.split()[0] for column in _columns(cells)):
        for row in _rows(cells):
            if (row, f"{adherence} false") in cells:
                words, by = ROWS[row]
                shown = (_share(cells[row, f"{adherence} {column}"], "<br>") for column in STEP_COLUMNS)
                yield f"| {adherence.replace('%', ' %')} | {words} | {by} | {' | '.join(shown)} |"


def _choice(run: Run) -> Iterator[str]:
    month = {row: _per_cent(cell) for (row, mean), cell in _cells(run, "month").items() if mean == "130"}
    step = {key: _per_cent(cell) for key, cell in _cells(run, "step").items()}
    found, before = "100% within 7", "100% false"
    yield (
        f"- Of people whose true mean is 130/78, a month flags {month['A']} if any high reading counts (A), {month['C']} by the\n"
        f"  mean of three days together (C), and {month['B']} by the day's mean (B)."
    )
    yield (
        f"- A finds {step['A', found]} of the rises within seven days, and has flagged {step['A', before]} in the sixty days\n"
        f"  before. B finds {step['bridge 5', found]}, and has flagged {step['bridge 5', before]}. D finds {step['D', found]}."
    )
    yield (
        f"- With one reading a day, a month of B flags {month['one']} of the people at 130/78;\n"
        f"  if a high reading is measured again, {month['repeated']}."
    )
    yield (
        f"- When a quarter of the days is left out, three calendar days in a row find {step['strict', '75% within 7']} within\n"
        f"  seven days, three measured days within five {step['bridge 5', '75% within 7']}. The shipped rule is the latter."
    )


def _spread(run: Run) -> Iterator[str]:
    yield "| | simulated, % | published, % |\n| --- | ---: | ---: |"
    for (row, _), cell in _cells(run, "spread").items():
        yield f"| {SPREAD_ROWS[row]} | {_interval(cell)} | {cell['published']} |"


def _made_by(run: Run) -> str:
    commit = f"commit `{run['commit']}`" if run["commit"] else "a commit that is not known"
    changed = " with changes not committed" if run["changed"] else ""
    return (
        "Made by `python -m benchmarks.operating_characteristics --markdown` from the line in `operating-characteristics.json`\n"
        f"beside it; a test compares the two. Run of {commit}{changed} of {run['date']}:\n"
        f"{run['patients']:,} people of each kind, {run['days']} days, seed {run['seed']};\n"
        f"{run['cpu_seconds']:.0f} s of one core, {run['peak_mb']:,} MB.\n"
        f"Of {run['compared']} figures with a published one, {run['outside']} lie outside."
    )


def _cells(run: Run, table: str) -> CellOf:
    return {(cell["row"], cell["column"]): cell for cell in run["cells"] if cell["table"] == table}


def _rows(cells: CellOf) -> Sequence[str]:
    return list(dict.fromkeys(row for row, _ in cells))


def _columns(cells: CellOf) -> Sequence[str]:
    return list(dict.fromkeys(column for _, column in cells))


def _share(cell: Mapping[str, Any], line_break: str) -> str:
    published = "" if cell["published"] is None else f"{line_break}({cell['published']:.3f})"
    mark = " **!**" if cell["is_outside"] else ""
    return f"{round(cell['value'], 3):.3f}{mark}{line_break}{cell['low']:.3f}–{cell['high']:.3f}{published}"


def _per_cent(cell: Mapping[str, Any]) -> str:
    return f"{100 * round(cell['value'], 3):.1f} %"


def _interval(cell: Mapping[str, Any]) -> str:
    mark = " **!**" if cell["is_outside"] else ""
    return f"{cell['value']:.2f}{mark} ({cell['low']:.2f}–{cell['high']:.2f})"
