"""`python -m deploy.release`, which is `python3 run.py release`."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from deploy.release import build


def main(arguments: list[str]) -> int:
    """0, or 1 if a wheel could not be had."""
    parser = argparse.ArgumentParser(prog="run.py release", description="Build the gateway's release files.")
    parser.add_argument(
        "--machine", choices=build.MACHINES, action="append", help="only for this type of machine (all)"
    )
    parser.add_argument("--out", type=Path, default=Path("dist"), help="where the files go (dist)")
    parser.add_argument(
        "--sign-with", type=Path, metavar="KEY", help="an Ed25519 key (PEM) that signs the list of files"
    )
    asked = parser.parse_args(arguments)
    for machine in asked.machine or build.MACHINES:
        started = time.monotonic()
        try:
            made = build.release(machine, asked.out, sign_with=asked.sign_with)
        except (subprocess.CalledProcessError, build.CannotBuildError) as e:
            print(f"{e}\n{getattr(e, 'stderr', '') or ''}", file=sys.stderr)
            return 1
        for file in made:
            print(f"{file}  {file.stat().st_size / 2**20:.1f} MiB")
        print(f"  {time.monotonic() - started:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
