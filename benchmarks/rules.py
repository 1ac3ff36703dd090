"""Twenty rules over a cohort by every engine that a user would pick: who is how fast, once all answers are equal.

The rules are in `rules_bench.specs`, the people in `rules_bench.people`. Each engine has the cohort in its own format before the
clock starts, and the peers are given each reading's clinical day and sitting besides; ours (`server.rules.sweep`) finds them
itself. Two rules are raced alone, then all twenty.

    python -m benchmarks.rules [--patients 2000] [--days 365] [--runs 5] [--only numpy,polars] [--rules three-days,twenty]

The peers are installed from deploy/requirements/bench.txt. With 100,000 patients only NumPy and polars run beside ours.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Collection, Sequence

from benchmarks.rules_bench import bandwidth
from benchmarks.rules_bench.cohort import cohort
from benchmarks.rules_bench.ours import open_engines
from benchmarks.rules_bench.race import PEERS, Opener, UnequalError, run
from benchmarks.rules_bench.report import report
from benchmarks.rules_bench.specs import RULE_SETS


def main(arguments: Sequence[str] | None = None, ours: Opener = open_engines) -> int:
    """Print the tables and the JSON line; 1 when two engines differ or a rule has nothing to say to thousands of patients."""
    wish = _wish(arguments)
    threads = os.cpu_count() or 1
    memory = [bandwidth.measure(each) for each in sorted({1, threads})]
    gc.collect()
    began_s = time.perf_counter()
    whole = cohort(wish.patients, wish.days, wish.seed)
    _tell(f"{len(whole):,} readings of {wish.patients:,} patients drawn in {time.perf_counter() - began_s:.1f} s")
    rule_sets = {name: RULE_SETS[name] for name in wish.rules}
    try:
        outcome = run(whole, rule_sets, only=wish.only, runs=wish.runs, ours=ours, tell=_tell)
    except UnequalError as unequal:
        _tell(f"not equal: {unequal}")
        return 1
    return report(outcome, memory, rule_sets, patients=wish.patients, days=wish.days, readings=len(whole))


def _wish(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--only", type=_names(PEERS), default=list(PEERS), help=f"of {','.join(PEERS)}; NumPy always runs"
    )
    parser.add_argument("--rules", type=_names(RULE_SETS), default=list(RULE_SETS), help=f"of {','.join(RULE_SETS)}")
    wish = parser.parse_args(arguments)
    for name in ("patients", "days", "runs"):
        if getattr(wish, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return wish


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
        return names

    return parse


def _tell(text: str) -> None:
    """How far it is, beside the tables."""
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
