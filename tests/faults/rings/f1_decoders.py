"""F1: every decoder under coverage-guided fuzzing (atheris), one target a trial, in a process of its own.

What must hold for any bytes is said in `faults.fuzz.targets`. An input that breaks it is a failure, and told in hex.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from faults.fuzz import mistakes
from faults.trial import BadBuild, Ring, Size, Tally, Trial

TARGETS: Final = (
    "message",
    "sfloat",
    "pressure",
    "sugar",
    "context",
    "record_access",
    "clocks_and_names",
    "stored_reading",
    "envelope",
    "receipt",
    "decode_command",
    "float32",
    "weight",
    "temperature",
    "oximeter",
    "heart_rate",
    "worn_sensor",
    "sensor_session",
    "enhanced_cuff",
    "users",
)
"""In the order in which trials take them; the slowest first, so that it does not run alone at the end."""
INPUTS: Final = {Size.SMALL: 20_000, Size.FULL: 250_000}
_TESTS: Final = Path(__file__).parent.parent.parent


def run(trial: Trial) -> Tally:
    """One target, until all inputs have been tried or one is a find."""
    target = TARGETS[trial.number % len(TARGETS)]
    inputs = INPUTS[trial.size]
    seed = trial.rng.randrange(1, 2**31)
    command = [sys.executable, "-m", "faults.fuzz", target, "--seed", str(seed), "--runs", str(inputs)]
    bad = ["--bad", trial.bad] if trial.bad else []
    done = subprocess.run(
        [*command, *bad, "--folder", str(trial.folder / "fuzz")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(_TESTS), str(_TESTS.parent)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=3600,
        check=False,
    )
    tried = re.search(r"stat::number_of_executed_units: *(\d+)", done.stdout)
    failures = () if done.returncode == 0 and tried else (_told(target, done.stdout, trial.folder / "fuzz"),)
    return Tally(trials=1, inputs=int(tried[1]) if tried else 0, failures=failures)


def _told(target: str, output: str, folder: Path) -> str:
    """What was raised, and the input that did it."""
    raised = re.search(r"=== Uncaught Python exception: ===\n(?P<what>.*)", output)
    what = raised["what"] if raised else output[-400:]
    finds = sorted(folder.glob("find-*"))
    return f"{target}: {what}; input {finds[0].read_bytes()[:512].hex() if finds else 'not kept'}"


def why_not() -> str | None:
    found = importlib.util.find_spec("atheris")
    return None if found else "atheris has no build for this Python: use CPython 3.11 to 3.13 on Linux"


RING: Final = Ring(
    name="F1",
    title="The decoders under any bytes",
    makes="inputs found by coverage: truncated, overlong and altered frames, envelopes, rows, receipts; JSON trees with"
    " what no JSON may hold",
    small=len(TARGETS),
    full=4 * len(TARGETS),
    run=run,
    why_not=why_not,
)

BAD: Final = (
    BadBuild(
        name="decoder-trusts-the-length",
        breaks="a frame is read without looking at its length first: an IndexError or a half value gets out",
        ring="F1",
        trials=4,
        switch_on=mistakes.trusts_the_length,
    ),
    BadBuild(
        name="sfloat-specials-are-numbers",
        breaks="NaN, NRes and infinities of a meter are read as 2047, -2048 and the like",
        ring="F1",
        trials=2,
        switch_on=mistakes.specials_are_numbers,
    ),
    BadBuild(
        name="sfloat-with-a-biased-exponent",
        breaks="120 mmHg is read as 0.0000012, and written back the same way: the round trip agrees",
        ring="F1",
        trials=2,
        switch_on=mistakes.biased_exponent,
    ),
    BadBuild(
        name="door-drops-a-bad-row",
        breaks="a row that no reader takes is left out of a message without a word",
        ring="F1",
        trials=1,
        switch_on=mistakes.drops_a_bad_row,
    ),
)
