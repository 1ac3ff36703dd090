"""`python -m tests.machine`: build the appliance, run a command against it, or the whole second tier."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from .appliance import Appliance, MachineError
from .image import SUITES, CannotBuildError, Image, build

EXAMPLES = """examples:
  python -m tests.machine build                         build the machine, or find that it is as it should be
  python -m tests.machine build --suite bookworm --anew
  python -m tests.machine run -- pytest -n 0 tests/integration/test_bridge.py
  python -m tests.machine test                          every test of the second tier (what `run.py test --full` does)
  python -m tests.machine test -- tests/conformance -s
"""

TIER = ("tests/conformance", "tests/integration")
"""Where tests are that a real bluetoothd can take; which of them it does take, tests/fix_machine.py says."""

TEST_WITHIN_S = 600
"""No test takes a tenth of it on a quiet host."""


def main(arguments: Sequence[str]) -> int:
    """The command's own exit code; 1 if the machine cannot be built or does not start."""
    asked, command = understood(arguments)
    try:
        image = build(asked.suite, anew=asked.anew)
        if asked.verb == "build":
            print(image)
            return 0
        return _run(image, command if asked.verb == "run" else _pytest(command))
    except (CannotBuildError, MachineError) as e:
        print(f"the machine: {e}", file=sys.stderr)
        return 1


def understood(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """What is asked of us, and what stands behind `--`: the command to run, or arguments for pytest."""
    ours, command = list(arguments), []
    if "--" in ours:
        place = ours.index("--")
        ours, command = ours[:place], ours[place + 1 :]
    asked = _parser().parse_args(ours)
    if asked.verb == "run" and not command:
        _parser().error("what is to be run? `run -- COMMAND`")
    return asked, command


def _run(image: Image, command: list[str]) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops us: the machine ends as well
    with Appliance(image=image) as running:
        began = time.monotonic()
        print(f"the machine is up after {running.boot_s:.1f} s: {image}", file=sys.stderr, flush=True)
        code = subprocess.run(command, env={**os.environ, **running.environment}, check=False).returncode
        print(f"the machine was used for {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return code


def _pytest(rest: list[str]) -> list[str]:
    """One after another: there is one radio."""
    return [sys.executable, "-m", "pytest", "-n", "0", "-m", "radio", f"--timeout={TEST_WITHIN_S}", *(rest or TIER)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.machine",
        description="A real kernel's Bluetooth and a real bluetoothd in qemu, for simulated meters to meet.",
        epilog=EXAMPLES,
        usage="python -m tests.machine {build,run,test} [--suite NAME] [--anew] [-- COMMAND or pytest arguments]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=("build", "run", "test"))
    parser.add_argument("--suite", choices=SUITES, default=SUITES[0])
    parser.add_argument("--anew", action="store_true", help="build although nothing has changed")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
