"""`python -m faults.results RECORD PAGE`: the page of results from the recorded runs; nothing on it is written by hand.

A run's parts and rings are recorded one by one (`homevigil faults --record`); parts of one run (same size, seed, number) add up.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

HERE: Final = Path(__file__).resolve().parent
BUGS: Final = HERE / "bugs.yaml"
RULE_OF_THREE: Final = 3.0
"""No failure in n independent trials: with 95 % confidence the true rate is below 3/n."""

HEAD: Final = """# Results of the fault campaign

Made by `python -m faults.results` from `fault-results.jsonl` in this folder, which `homevigil faults --record` writes
([how to run it](../how-to/run-the-fault-campaign.md)); a test compares the two. *Lost*: a reading that the gateway said it
keeps and that is not stored. *Doubled*: stored twice. *Repeats*: deliveries of what was already there, absorbed. *Bound*: 0
failures in n trials put the true rate, with 95 % confidence, below 3/n; it holds for faults like these, drawn like these.
"""

Run = dict[str, Any]


def page(records: Sequence[Run], bugs: Sequence[dict[str, Any]]) -> str:
    """The whole page: the newest run of each ring in each size, the bad builds, and the bugs found."""
    parts = [HEAD]
    for size in ("full", "small"):
        recorded = [record for record in records if record["size"] == size]
        runs = _newest(record for record in recorded if record["counts"]["trials"] or record["not_run"])
        if runs:
            parts += [f"## The {size} size\n", _about(runs), _table(runs), _notes(runs), _bad_builds(recorded)]
    if len(parts) == 1:
        parts.append("No run has been recorded yet.\n")
    parts.append(_bugs(bugs))
    return "\n".join(part for part in parts if part)


def _newest(records: Iterable[Run]) -> list[Run]:
    """The last recorded run of each ring, its parts added up, in the order of the rings.

    A part that was run again, on whatever commit, takes the place of its earlier run; another seed or another number of parts is
    another run.
    """
    runs: dict[str, dict[str, Run]] = {}
    for record in records:
        parts = runs.setdefault(record["ring"], {})
        if any(_which(part) != _which(record) for part in parts.values()):
            parts.clear()
        parts[record["part"]] = record
    return [_sum(runs[name]) for name in sorted(runs)]


def _which(record: Run) -> tuple[int, str]:
    return record["seed"], record["part"].partition("/")[2]


def _sum(parts: dict[str, Run]) -> Run:
    """Parts of one run of a ring, as one."""
    every = list(parts.values())
    counts = {name: sum(each["counts"][name] for each in every) for name in every[0]["counts"]}
    return {
        **every[-1],
        "stands_on": sorted({(each["date"], each["commit"], bool(each["changed"]), each["seed"]) for each in every}),
        "counts": counts,
        "seconds": sum(each["seconds"] for each in every),
    }


def _about(runs: Sequence[Run]) -> str:
    rings: dict[tuple[Any, ...], list[str]] = {}
    for run in runs:
        for each in run["stands_on"]:
            rings.setdefault(each, []).append(run["ring"])
    said = [
        f"commit `{commit}`{' with changes not committed' if changed else ''} of {date}, seed {seed} ({', '.join(names)})"
        for (date, commit, changed, seed), names in sorted(rings.items())
    ]
    machine = runs[-1]["machine"]
    where = (
        f"{machine['cores']} cores, {machine['system']}, Python {machine['python']}, mosquitto {machine['mosquitto']}"
    )
    return f"Run of {'; '.join(said)}. Machine: {where}.\n"


def _table(runs: Sequence[Run]) -> str:
    numbers = (
        "trials",
        "readings",
        "kills",
        "faults",
        "repeats",
        "lost",
        "doubled",
        "bound per trial",
        "per reading",
        "s",
    )
    head = f"| ring | what is done | {' | '.join(numbers)} |\n| --- | --- {'| ---: ' * len(numbers)}|\n"
    counts = {name: sum(run["counts"][name] for run in runs) for name in runs[0]["counts"]}
    total = {"ring": "all", "makes": "", "counts": counts, "seconds": sum(run["seconds"] for run in runs)}
    return head + "".join(_row(run) for run in [*runs, total])


def _row(run: Run) -> str:
    counts = run["counts"]
    shown = " | ".join(
        f"{counts[name]:,}" for name in ("trials", "readings", "kills", "faults", "repeats", "lost", "doubled")
    )
    wrong = counts["failures"]
    bounds = f"{_bound(counts['trials'], wrong)} | {_bound(counts['readings'], counts['lost'] + counts['doubled'])}"
    return f"| {run['ring']} | {run['makes']} | {shown} | {bounds} | {run['seconds']:,.0f} |\n"


def _bound(n: int, failures: int) -> str:
    if n == 0:
        return "–"
    return f"{RULE_OF_THREE / n:.1e}" if failures == 0 else f"{failures} failed"


def _notes(runs: Sequence[Run]) -> str:
    """What a ring counts besides readings, and what did not run."""
    lines = []
    for run in runs:
        counts = run["counts"]
        if counts["pushes"]:
            pushes = ("pushes", "missed_pushes", "doubled_pushes", "repeated_pushes")
            said = ", ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in pushes)
            lines.append(f"- {run['ring']}: {said}, bound per push {_bound(counts['pushes'], counts['missed_pushes'])}")
        for name in ("states", "inputs"):
            if counts[name]:
                lines.append(f"- {run['ring']}: {counts[name]:,} {name}")
        if run["not_run"]:
            lines.append(f"- {run['ring']} did not run: {run['not_run']}")
    return "\n".join(lines) + "\n" if lines else ""


def _bad_builds(records: Iterable[Run]) -> str:
    """What came of each bad build when it was last tried; that may be another commit than the trials'."""
    last = {bad["name"]: (record["ring"], record["commit"], bad) for record in records for bad in record["bad_builds"]}
    if not last:
        return ""
    caught = sum(bad["caught_by"] is not None for *_, bad in last.values())
    lines = [
        f"Bad builds: {caught} of {len(last)} caught.\n",
        "| bad build | what it breaks | ring | caught after | at |",
    ]
    lines.append("| --- | --- | --- | ---: | --- |")
    for ring, commit, bad in sorted(last.values(), key=lambda each: (each[0], each[2]["name"])):
        after = f"**not caught** in {bad['tried']}" if bad["caught_by"] is None else f"{bad['caught_by']}"
        lines.append(f"| {bad['name']} | {bad['breaks']} | {ring} | {after} | `{commit}` |")
    return "\n".join(lines) + "\n"


def _bugs(bugs: Sequence[dict[str, Any]]) -> str:
    if not bugs:
        return "## Bugs that it has found\n\nNone is on record.\n"
    lines = ["## Bugs that it has found\n", "| what | found by | since | fixed by |", "| --- | --- | --- | --- |"]
    for bug in bugs:
        fixed = f"`{bug['fixed']}`" if bug["fixed"] else "open"
        lines.append(f"| {bug['what']} | {bug['by']} | `{bug['since']}` | {fixed} |")
    return "\n".join(lines) + "\n"


def read_records(path: Path) -> list[Run]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def read_bugs(path: Path = BUGS) -> list[dict[str, Any]]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or []


if __name__ == "__main__":
    record, rendered = map(Path, sys.argv[1:3])
    rendered.write_text(page(read_records(record), read_bugs()), encoding="utf-8")
