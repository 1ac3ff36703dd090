"""`python -m faults.child BAD_OR_DASH MODULE ARG…`: MODULE as `python -m` would run it, after a bad build is switched on.

So the processes of a trial are the product's own, and the product knows nothing of bad builds. `-` is the good build.
"""

import runpy
import sys
from collections.abc import Sequence

GOOD = "-"


def main(arguments: Sequence[str]) -> None:
    bad, module, *rest = arguments
    if bad != GOOD:
        from faults.rings import bad_build

        bad_build(bad).switch_on()
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
