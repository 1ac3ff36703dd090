"""The instrument of ring F1: honest inputs pass every target, trees are changed for real, and a find is told with its input.

The fuzzing itself runs in the campaign (`homevigil faults`); whatever it has found lies in `fuzz/found` and is tried here, too.
"""

import json
from pathlib import Path

import pytest

from faults.fuzz import trees
from faults.fuzz.targets import TARGETS
from faults.rings import f1_decoders
from faults.trial import Size, Trial

FOUND = Path(__file__).parent / "fuzz" / "found"


def test_the_ring_takes_every_target() -> None:
    assert sorted(f1_decoders.TARGETS) == sorted(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_and_everything_ever_found_passes(name: str) -> None:
    target = TARGETS[name]
    assert target.seeds
    for seed in (*target.seeds, b"", *(path.read_bytes() for path in FOUND.glob(f"{name}-*"))):
        target.check(seed)


def test_a_tree_is_changed_in_one_place_and_alike_for_the_same_seed() -> None:
    seed = TARGETS["message"].seeds[0]
    made = [trees.mutated(seed, 4000, number, lambda data, _: data) for number in range(200)]
    assert made == [trees.mutated(seed, 4000, number, lambda data, _: data) for number in range(200)]
    assert len(set(made)) > 80
    taken = sum(_is_json(each) for each in made)
    assert 100 < taken < 200, "most are still JSON, some are not"
    for each in made:
        TARGETS["message"].check(each)


def test_what_is_no_tree_is_left_to_the_other_mutator() -> None:
    assert trees.mutated(b"\xff[", 10, 5, lambda data, size: data * 2) == b"\xff[\xff["


@pytest.mark.skipif(f1_decoders.why_not() is not None, reason=str(f1_decoders.why_not()))
def test_a_find_is_told_with_its_input(tmp_path: Path) -> None:
    bad = f1_decoders.BAD[1].name
    tally = f1_decoders.run(Trial(ring="F1", seed=1, number=1, size=Size.SMALL, folder=tmp_path, bad=bad))
    assert len(tally.failures) == 1
    assert tally.failures[0].startswith("sfloat: AssertionError")
    assert "input ff07" in tally.failures[0]


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True
