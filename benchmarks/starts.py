"""From nothing to the first answer: a cold start (nothing compiled), a warm one, an edited rule, and the memory of a patient.

Each start is a process of its own, timed from outside until it says that it has judged 100 patient-years by twenty rules. A cold
one has an empty cache of machine code, as on the day of the installation. Within the warm process a threshold is edited and
everything is judged again: nothing may be compiled for it. Memory is what a process holds more at the height of a sweep than
before it had a cohort.

    python -m benchmarks.starts [--patients 2000] [--runs 5]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

COLD_CPU_S_MAX: Final = 12.0
WARM_S_MAX: Final = 1.5
EDIT_S_MAX: Final = 1.0
"""Beyond what judging itself takes."""
YEAR_DAYS: Final = 365
FIRST_PATIENTS: Final = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the JSON line; 1 when an edited rule has to wait for anything but its judging."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, default=2000, help="for the figure of memory")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--child", choices=("first", "memory"), help=argparse.SUPPRESS)
    wish = parser.parse_args(arguments)
    if wish.child == "first":
        return _first_answer()
    if wish.child == "memory":
        return _memory(wish.patients)
    with tempfile.TemporaryDirectory() as cache:
        cold = _start(cache)
        warm = [_start(cache) for _ in range(wish.runs)]
        [memory] = _heard(_child(cache, "memory", "--patients", str(wish.patients)))
    return _tell(cold, warm, memory, wish.patients)


def _start(cache: str) -> dict[str, float]:
    """Seconds until a new process has its first answer, and what it says itself."""
    began_s = time.perf_counter()
    with _child(cache, "first") as child:
        assert child.stdout is not None
        first = json.loads(child.stdout.readline())
        took_s = time.perf_counter() - began_s
        rest = json.loads(child.stdout.read())
    assert child.returncode == 0
    return {"wall_s": took_s, **first, **rest}


def _child(cache: str, what: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.starts", "--child", what, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "NUMBA_CACHE_DIR": cache})


def _heard(child: subprocess.Popen[str]) -> list[dict[str, float]]:
    said, _ = child.communicate()
    assert child.returncode == 0
    return [json.loads(line) for line in said.splitlines()]


# --- in a process of its own --------------------------------------------------------------------------------------------


def _first_answer() -> int:
    """Say when the first answer is there, then how long judging takes and how long it takes after an edit."""
    from dataclasses import replace

    from benchmarks.rules_bench.cohort import cohort
    from benchmarks.rules_bench.ours import open_engines
    from benchmarks.rules_bench.specs import THREE_DAYS, TWENTY

    engine = open_engines(cohort(FIRST_PATIENTS, YEAR_DAYS))[0]
    engine.judge(TWENTY)
    _say({"cpu_s": time.process_time()})
    began_s = time.perf_counter()
    engine.judge(TWENTY)
    run_s = time.perf_counter() - began_s
    edited = [replace(THREE_DAYS, systolic_above=135, diastolic_above=85, days=4, span_days=6), *TWENTY[1:]]
    began_s = time.perf_counter()
    engine.judge(edited)
    _say({"run_s": run_s, "edit_s": time.perf_counter() - began_s})
    return 0


def _memory(patients: int) -> int:
    """Say how many bytes a patient-year takes at the height of a sweep."""
    from benchmarks.rules_bench.cohort import cohort
    from benchmarks.rules_bench.ours import OursEngine, load, open_engines
    from benchmarks.rules_bench.specs import TWENTY

    open_engines(cohort(1, YEAR_DAYS))[0].judge(TWENTY)
    before = _bytes("VmRSS")
    columns = load(cohort(patients, YEAR_DAYS))
    held = _bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far was the drawing's
    OursEngine(columns, os.cpu_count() or 1).judge(TWENTY)
    highest = _bytes("VmHWM")
    _say({"process": before, "columns": (held - before) / patients, "sweep": (highest - before) / patients})
    return 0


def _bytes(name: str) -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) * 1024


def _say(what: Mapping[str, float]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


# --- the report ---------------------------------------------------------------------------------------------------------


def _tell(
    cold: Mapping[str, float], warm: Sequence[Mapping[str, float]], memory: Mapping[str, float], patients: int
) -> int:
    median = {name: statistics.median(each[name] for each in warm) for name in warm[0]}
    edit_s = median["edit_s"] - median["run_s"]
    rows: list[tuple[str, str, str]] = [
        (
            "cold start to the first answer",
            f"{cold['wall_s']:.1f} s, {cold['cpu_s']:.1f} CPU-s",
            f"{COLD_CPU_S_MAX:.0f} CPU-s",
        ),
        ("warm start to the first answer", f"{median['wall_s']:.2f} s, {median['cpu_s']:.2f} CPU-s", f"{WARM_S_MAX} s"),
        ("an edited rule, beyond its judging", f"{edit_s * 1e3:.1f} ms", f"{EDIT_S_MAX:.0f} s"),
        ("a process before it has a cohort", f"{memory['process'] / 1e6:.0f} MB", ""),
        ("a patient-year in columns", f"{memory['columns'] / 1e3:.1f} kB", ""),
        (f"the same while {patients:,} are swept", f"{memory['sweep'] / 1e3:.1f} kB", ""),
    ]
    table = Table(title="Starts, edits and memory")
    for heading in ("", "measured", "goal"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)
    line: dict[str, Any] = {
        "benchmark": "starts",
        "cold": cold,
        "warm": median,
        "edit_s": edit_s,
        "memory_bytes": memory,
        "patients": patients,
        "load_at_the_end": os.getloadavg()[0],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numba": version("numba"),
        "is_well": edit_s < EDIT_S_MAX,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    return 0 if line["is_well"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
