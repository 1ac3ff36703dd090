"""The command line of the campaign: `homevigil faults`. What it prints, a person watches; its exit code, a machine."""

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = """examples:
  homevigil faults                          the small size: every ring, a few bad builds, at most three minutes
  homevigil faults --ring P1 --trials 20    twenty trials of one ring
  homevigil faults --full --part 1/4 --record docs/reference/fault-results.jsonl
  homevigil faults --ring P1 --seed 7 --trial 12    one trial again, with the same faults
"""


def main(arguments: Sequence[str]) -> int:
    """0: all is well. 1: a promise was broken, a bad build passed, or something asked for could not run. 2: not understood."""
    asked = _parser().parse_args(arguments)
    from faults import campaign, report
    from faults.plan import Part, UnknownNameError, Wish, plan
    from faults.trial import Size
    from homevigil.embedded.postgres import temporary_folder
    from server.store import vault_keys

    try:
        index, of = map(int, asked.part.split("/"))
        wish = Wish(
            seed=asked.seed,
            size=Size.FULL if asked.full else Size.SMALL,
            rings=tuple(asked.ring),
            trials=asked.trials,
            trial=asked.trial,
            bad=asked.bad,
            bad_builds=asked.bad_builds,
            part=Part(index=index, of=of),
        )
        plans = plan(wish)
    except (UnknownNameError, ValueError) as e:
        report.error(str(e))
        return 2
    started = time.monotonic()
    teller = report.Teller(
        wish=wish, out=sys.stderr if asked.json else sys.stdout, record=asked.record, date=asked.date
    )
    folder = temporary_folder()
    os.environ[vault_keys.SETTING] = str(folder / "vault.key")  # a house's keys, for every world of this campaign
    vault_keys.write(vault_keys.key_file(), vault_keys.make())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops us: torn down and told, as by Ctrl-C
    reports, is_stopped = campaign.run(wish, plans, folder, teller)
    outcome = report.Outcome(wish=wish, reports=reports, seconds=time.monotonic() - started, is_stopped=is_stopped)
    if not any(each.failures for each in reports):
        shutil.rmtree(folder, ignore_errors=True)
    wrong = outcome.faults(must_run=bool(os.environ.get("CI")))
    print(f"\n{outcome.table()}", *(f"NOT WELL: {each}" for each in wrong), sep="\n", file=teller.out)
    if asked.json:
        print(json.dumps(outcome.as_json(must_run=bool(os.environ.get("CI"))), ensure_ascii=False))
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="homevigil faults",
        description="Kill, cut, fill and mislead the whole line, and prove that no reading is lost or doubled and no alert is"
        " missed; then break the product on purpose and prove that the campaign notices.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--ring", action="append", default=[], metavar="NAME", help="only this ring (D1, P1 …); may be said again")
    add("--full", action="store_true", help="the full size instead of the small one: hours; see --part")
    add("--trials", type=int, metavar="N", help="this many trials of each ring instead of its own number")
    add("--seed", type=int, default=1, metavar="S", help="what the faults are drawn from (1)")
    add("--part", default="1/1", metavar="I/N", help="only the I-th of N equal parts")
    add("--bad-builds", choices=("all", "some", "none"), help="which are tried (small: some, full: all)")
    add("--trial", type=int, metavar="K", help="only trial number K of the ring: a replay")
    add("--bad", metavar="NAME", help="switch this bad build on in the trials: what it looks like")
    add("--record", type=Path, metavar="FILE", help="append a JSON line for each ring to this file")
    add("--date", default="", metavar="YYYY-MM-DD", help="the date for the record (that of the commit)")
    add("--json", action="store_true", help="one JSON object on standard output; the rest goes to standard error")
    return parser
