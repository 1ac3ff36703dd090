"""What the race asks of an engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.rules_bench.cohort import Cohort
from benchmarks.rules_bench.specs import Raises, RuleSpec

Judge = Callable[[Cohort, Sequence[RuleSpec], int], list[Raises]]
"""`judge(cohort, rules, threads)`: the answer to each rule."""


class Engine(Protocol):
    """An engine that holds a cohort in its own format. Building one loads it; loading is not timed."""

    name: str
    threads: int
    is_elsewhere: bool
    """Whether another process does the work, so that this one's processor time says nothing."""

    def judge(self, rules: Sequence[RuleSpec]) -> list[Raises]:
        """The answer to each rule, from the readings on: nothing may be kept from one call to the next."""

    def close(self) -> None:
        """Give back what the engine holds."""


@dataclass(slots=True, kw_only=True)
class FunctionEngine:
    """An engine that is a function over the cohort's own arrays."""

    name: str
    threads: int
    function: Judge
    cohort: Cohort
    is_elsewhere: bool = False

    def judge(self, rules: Sequence[RuleSpec]) -> list[Raises]:
        return self.function(self.cohort, rules, self.threads)

    def close(self) -> None:
        return None
