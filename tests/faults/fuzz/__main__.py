"""`python -m faults.fuzz TARGET --seed S --runs N --folder DIR [--bad NAME]`: libFuzzer on one target, in this process.

Exit code 0 after N inputs without a find. A find is printed with its traceback, and its input is left in the folder.
"""

import argparse
import sys
from pathlib import Path

import atheris

from faults.fuzz import trees

SLOW_S = 10
"""One input for longer than this is a hang."""
MEMORY_MB = 2048


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m faults.fuzz")
    parser.add_argument("target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--bad")
    given = parser.parse_args()
    with atheris.instrument_imports(
        include=["vitals", "server.arrivals", "homevigil.canonical", "homevigil.decode"], enable_loader_override=False
    ):
        from faults.fuzz.targets import TARGETS
    target = TARGETS[given.target]
    if given.bad:
        from faults.rings import bad_build

        bad_build(given.bad).switch_on()
    corpus = given.folder / "corpus"
    corpus.mkdir(parents=True)
    found = Path(__file__).parent / "found"
    seeds = [*target.seeds, *(path.read_bytes() for path in sorted(found.glob(f"{given.target}-*")))]
    for number, seed in enumerate(seeds):
        (corpus / f"{number:03}").write_bytes(seed)
    atheris.Setup(
        [
            sys.argv[0],
            f"-runs={given.runs}",
            f"-seed={given.seed or 1}",
            f"-max_len={max(target.max_bytes, *map(len, seeds))}",
            f"-timeout={SLOW_S}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={given.folder}/find-",
            "-print_final_stats=1",
            str(corpus),
        ],
        target.check,
        **({"custom_mutator": _mutated} if target.is_json else {}),
    )
    atheris.Fuzz()


def _mutated(data: bytes, max_size: int, seed: int) -> bytes:
    return trees.mutated(data, max_size, seed, atheris.Mutate)


if __name__ == "__main__":
    main()
