"""The word `faults`: the fault campaign, which lives with the tests in the source tree, because it breaks things on purpose.

Only the way there is here; an installed wheel has no campaign.
"""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str]) -> int:
    """Hand over to `tests/faults`; the exit code of the campaign, or 2 where there is no source tree."""
    tests = Path(__file__).resolve().parents[1] / "tests"
    if not (tests / "faults" / "command.py").exists():
        print(
            "homevigil faults: the campaign lives in the source tree; run `python -m homevigil faults` in a checkout",
            file=sys.stderr,
        )
        return 2
    if str(tests) not in sys.path:
        sys.path.insert(0, str(tests))
    try:
        return int(importlib.import_module("faults.command").main(arguments))
    except SystemExit as end:  # argparse's way to say that it has said it
        return end.code if isinstance(end.code, int) else 2
