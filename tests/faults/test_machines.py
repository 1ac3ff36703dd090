"""The instrument of ring D2: a trial can be had again, counts what it did, and raises what its machine found."""

from dataclasses import replace
from pathlib import Path

import pytest

from faults.rings import d2_machines
from faults.trial import Size, Trial
from server.rules import episodes

EPISODES = 2


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    few = tuple((machine, 4, 4) for machine, *_ in d2_machines.MACHINES)
    monkeypatch.setattr(d2_machines, "MACHINES", few)
    return Trial(ring="D2", seed=5, number=EPISODES, size=Size.SMALL, folder=tmp_path)


def test_a_trial_takes_the_same_steps_again_and_another_takes_others(trial: Trial) -> None:
    tally = d2_machines.run(trial)
    assert tally.trials == 1
    assert tally.steps > 40
    assert d2_machines.run(trial) == tally
    assert d2_machines.run(replace(trial, seed=6)) != tally


def test_what_a_machine_finds_is_raised(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episodes, "_match", lambda *_: {})
    with pytest.raises((AssertionError, ExceptionGroup)):  # a group where several things break
        d2_machines.run(trial)


def test_every_bad_build_knows_its_machine() -> None:
    assert {build.name for build in d2_machines.BAD} == set(d2_machines._MACHINE_OF_BAD)
