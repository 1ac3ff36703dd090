"""What a campaign says: lines while it runs, a table and a JSON object at the end, one recorded line for each ring."""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TextIO

from faults.campaign import Attempt, Failure, RingReport, is_bad_news
from faults.plan import Wish
from faults.trial import Tally

ROOT: Final = Path(__file__).resolve().parents[2]
EVERY_S: Final = 10.0
"""How often a running ring says where it is, where no terminal shows it all the time."""
SENTENCE: Final = 400
"""Characters of a failure that are shown while it runs; all of it lies in the trial's folder."""

SUMMED: Final = tuple(each.name for each in fields(Tally) if each.name != "failures")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A campaign that has ended, or was stopped."""

    wish: Wish
    reports: Sequence[RingReport]
    seconds: float
    is_stopped: bool = False

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        return tuple(attempt for report in self.reports for attempt in report.attempts)

    @property
    def total(self) -> Tally:
        return sum((report.tally for report in self.reports), Tally())

    def faults(self, *, must_run: bool) -> tuple[str, ...]:
        """What is not well, in sentences; none: all is. `must_run`: a ring that cannot run here counts."""
        return tuple(self._faults(must_run))

    def _faults(self, must_run: bool) -> Iterator[str]:
        if self.is_stopped:
            yield "stopped before its end"
        for report in self.reports:
            name = report.plan.ring.name
            if report.plan.why_not is not None and (must_run or self.wish.rings):
                yield f"{name} could not run: {report.plan.why_not}"
            if is_bad_news(report.tally):
                yield f"{name}: {len(report.failures)} of {report.tally.trials} trials failed"
        for attempt in self.attempts:
            if attempt.caught_by is None:
                yield f"bad build {attempt.build.name} passed {attempt.tried} trials of {attempt.build.ring}"

    def as_json(self, *, must_run: bool) -> dict[str, Any]:
        total = self.total
        names = (
            "trials",
            "readings",
            "kills",
            "faults",
            "lost",
            "doubled",
            "pushes",
            "missed_pushes",
            "doubled_pushes",
        )
        return {
            **{name: getattr(total, name) for name in names},
            "bad_builds": len(self.attempts),
            "bad_builds_caught": sum(attempt.caught_by is not None for attempt in self.attempts),
            "well": not self.faults(must_run=must_run),
            "repeats": total.repeats,
            "repeated_pushes": total.repeated_pushes,
            "states": total.states,
            "inputs": total.inputs,
            "seed": self.wish.seed,
            "size": self.wish.size.value,
            "part": str(self.wish.part),
            **commit(),
            "seconds": round(self.seconds, 1),
            "rings": {report.plan.ring.name: counts(report.tally) for report in self.reports},
            "not_run": {r.plan.ring.name: r.plan.why_not for r in self.reports if r.plan.why_not is not None},
            "failures": [
                {
                    "ring": report.plan.ring.name,
                    "trial": each.number,
                    "says": each.sentence,
                    "again": each.replay,
                    "files": str(each.folder),
                }
                for report in self.reports
                for each in report.failures
            ],
            "not_caught": [attempt.build.name for attempt in self.attempts if attempt.caught_by is None],
        }

    def table(self) -> str:
        head = ("ring", "trials", "readings", "kills", "faults", "repeats", "lost", "doubled", "pushes", "missed", "s")
        rows = [_row(report.plan.ring.name, report.tally, report.seconds) for report in self.reports]
        rows.append(_row("all", self.total, self.seconds))
        widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
        caught = sum(attempt.caught_by is not None for attempt in self.attempts)
        return "\n".join([*lines, f"bad builds caught: {caught} of {len(self.attempts)}"])


def counts(tally: Tally) -> dict[str, int]:
    """A tally's numbers, and how many failures."""
    return {name: getattr(tally, name) for name in SUMMED} | {"failures": len(tally.failures)}


def _row(name: str, tally: Tally, seconds: float) -> tuple[str, ...]:
    numbers = (tally.trials, tally.readings, tally.kills, tally.faults, tally.repeats, tally.lost, tally.doubled)
    pushes = (tally.pushes, tally.missed_pushes)
    return name, *(f"{number:,}" for number in (*numbers, *pushes)), f"{seconds:.0f}"


# -- while it runs -----------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Teller:
    """Says how it goes, on `out`; and writes a line to `record` for each ring that is done."""

    wish: Wish
    out: TextIO
    record: Path | None = None
    date: str = ""
    _said_at: float = field(default=0.0, init=False)

    def ring_began(self, report: RingReport) -> None:
        ring = report.plan.ring
        self._line(f"{ring.name}  {ring.title}: {len(report.plan.numbers):,} trials")
        self._said_at = time.monotonic()

    def trial_ended(self, report: RingReport, failure: Failure | None) -> None:
        if failure is not None:
            self._line(f"    FAILED trial {failure.number}: {_short(failure.sentence)}")
            self._line(f"    again: {failure.replay}\n    files: {failure.folder}")
        if self.out.isatty():
            self.out.write(f"\r    {self._progress(report)} ")
            self.out.flush()
        elif time.monotonic() - self._said_at >= EVERY_S:
            self._said_at = time.monotonic()
            self._line(f"    {self._progress(report)}")

    def ring_ended(self, report: RingReport) -> None:
        self._line(f"    {self._progress(report)}")

    def bad_build_ended(self, attempt: Attempt) -> None:
        name, trials = attempt.build.name, _number(attempt.tried, "trial")
        if attempt.caught_by is None:
            self._line(f"    NOT CAUGHT: bad build {name} passed {trials} ({attempt.build.breaks})")
        else:
            said = _short(attempt.sentence.splitlines()[0], 110)
            self._line(f"    caught {name} after {trials}, {attempt.seconds:.0f} s: {said}")

    def ring_recorded(self, report: RingReport) -> None:
        if report.plan.why_not is not None:
            self._line(f"{report.plan.ring.name}  not run: {report.plan.why_not}")
        if self.record is not None:
            with self.record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(recorded(report, self.wish, self.date), ensure_ascii=False) + "\n")

    def _progress(self, report: RingReport) -> str:
        tally = report.tally
        said = {"reading": tally.readings, "push": tally.pushes, "kill": tally.kills, "fault": tally.faults}
        said |= {"state": tally.states, "input": tally.inputs, "repeat": tally.repeats}
        words = [_number(count, word) for word, count in said.items() if count]
        wrong = [f"{tally.lost} lost", f"{tally.doubled} doubled", _number(len(report.failures), "failure")]
        done = f"{tally.trials:,}/{len(report.plan.numbers):,}"
        return ", ".join([done, *words, *wrong, f"{report.seconds:.0f} s"])

    def _line(self, text: str) -> None:
        self.out.write(("\r\033[K" if self.out.isatty() else "") + text + "\n")
        self.out.flush()


def _number(count: int, word: str) -> str:
    plural = "es" if word == "push" else "s"
    return f"{count:,} {word}{'' if count == 1 else plural}"


def _short(text: str, length: int = SENTENCE) -> str:
    return text if len(text) <= length else text[:length] + " …"


# -- what is kept of it ------------------------------------------------------------------------------------------------


def recorded(report: RingReport, wish: Wish, date: str) -> dict[str, Any]:
    """One ring of one run (or of one part of it), as `fault-results.jsonl` keeps it."""
    ring = report.plan.ring
    return {
        **commit(),
        "date": date or commit_date(),
        "seed": wish.seed,
        "size": wish.size.value,
        "part": str(wish.part),
        "ring": ring.name,
        "title": ring.title,
        "makes": ring.makes,
        "counts": counts(report.tally),
        "seconds": round(report.seconds, 1),
        "bad_builds": [
            {"name": each.build.name, "breaks": each.build.breaks, "tried": each.tried, "caught_by": each.caught_by}
            for each in report.attempts
        ],
        "not_run": report.plan.why_not,
        "machine": machine(),
    }


def machine() -> dict[str, str | int]:
    """What the run stood on, without a place or a name."""
    return {
        "cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "mosquitto": _first_line("mosquitto", "-h"),
    }


def commit() -> dict[str, Any]:
    """The commit that runs, and whether tracked files differ from it."""
    return {
        "commit": _git("rev-parse", "--short=12", "HEAD") or None,
        "changed": bool(_git("status", "--porcelain", "-uno")),
    }


def commit_date() -> str:
    return _git("show", "-s", "--format=%cs", "HEAD")


def _git(*arguments: str) -> str:
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _first_line(program: str, argument: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        return "absent"
    said = subprocess.run([found, argument], capture_output=True, text=True, check=False).stdout
    return said.splitlines()[0].removeprefix("mosquitto version ") if said else "unknown"


def error(text: str) -> None:
    print(f"homevigil faults: {text}", file=sys.stderr)
