"""What the fault campaign is made of: rings of trials, what a trial counts, and the bad builds that a ring must catch.

A trial is drawn from `(ring, seed, number)` alone: the same three and the same commit make the same faults at the same places.
A trial that finds nothing wrong has no `failures`; what it proves is in its counts.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Self


class Size(StrEnum):
    """How much of a ring is run: inside the test command, or by hand."""

    SMALL = "small"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial of a ring. `bad` names a bad build that is switched on in it; `folder` is the trial's own, and empty."""

    ring: str
    seed: int
    number: int
    size: Size
    folder: Path
    bad: str | None = None

    @property
    def rng(self) -> random.Random:
        """A die that always falls alike for this trial; each call starts it anew."""
        return random.Random(f"{self.ring} {self.seed} {self.number}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What trials counted; tallies add up. `failures` are sentences, each enough to look into it."""

    trials: int = 0
    readings: int = 0
    kills: int = 0
    faults: int = 0
    repeats: int = 0
    lost: int = 0
    doubled: int = 0
    pushes: int = 0
    missed_pushes: int = 0
    doubled_pushes: int = 0
    repeated_pushes: int = 0
    states: int = 0
    inputs: int = 0
    steps: int = 0
    failures: tuple[str, ...] = field(default=())

    def __add__(self, other: "Tally") -> Self:
        return type(self)(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """One kind of fault. `small` and `full`: how many trials; `at_once`: how many may run side by side on two cores;
    `mostly_waits`: they leave those cores idle most of the time, so that each of a few is worth a worker of its own.

    `run` is a function of a module, so that it can be sent to a worker process. `why_not` says why the ring cannot run on
    this machine, or None. `makes` are the faults in words, for the results page.
    """

    name: str
    title: str
    makes: str
    small: int
    full: int
    run: Callable[[Trial], Tally]
    at_once: int = 2
    mostly_waits: bool = False
    why_not: Callable[[], str | None] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class BadBuild:
    """A mistake that somebody could make. `switch_on` makes it, for the rest of the process, by replacing parts of the product;
    it is called in every process that runs the product in a trial with `bad=name`, before anything starts. The ring named
    must fail within `trials` trials, or the campaign has passed a bad build and fails itself."""

    name: str
    breaks: str
    ring: str
    trials: int
    switch_on: Callable[[], None]
