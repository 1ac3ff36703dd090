"""What a list of values comes to, exactly: no float, no rounding but the one that the rules speak of.

Values are in millionths of their unit; what comes out is in the unit itself, percent (cv), or a plain number (count).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

Exact = int | Fraction
"""Of a reading whole millionths, which add up fast; of a mean of readings a fraction of them."""

MILLION: Final = 1_000_000

STEPS: Final = {"sd": 1_000, "cv": 100}
"""Thresholds of these are whole thousandths of the unit and whole hundredths of a percent, all others whole millionths."""

FEWEST: Final = {"sd": 2, "cv": 2, "rise": 2, "fall": 2}
"""Values without which there is no such figure; of the others there is one of one."""


@dataclass(frozen=True, slots=True)
class Root:
    """The square root of `square`: it can be compared with a number, and nothing else is needed of it."""

    square: Fraction

    def __lt__(self, number: Fraction) -> bool:
        return number > 0 and self.square < number**2

    def __le__(self, number: Fraction) -> bool:
        return number >= 0 and self.square <= number**2

    def __gt__(self, number: Fraction) -> bool:
        return not self <= number

    def __ge__(self, number: Fraction) -> bool:
        return not self < number


Figure = Fraction | Root


def figure(statistic: str, values: Sequence[Exact], steps: Sequence[Exact]) -> Figure:
    """One `statistic` of `values`, in order, the newest last; `steps` lead from neighbour to neighbour (for arv alone)."""
    match statistic:
        case "mean":
            return _mean(values)
        case "highest":
            return Fraction(max(values)) / MILLION
        case "lowest":
            return Fraction(min(values)) / MILLION
        case "rise":
            return Fraction(values[-1] - min(values)) / MILLION
        case "fall":
            return Fraction(max(values) - values[-1]) / MILLION
        case "arv":
            return _mean([max(step, -step) for step in steps])
        case "count":
            return Fraction(len(values))
        case "sd" | "cv":
            return _spread(statistic, [value // 1_000 for value in values])
    raise AssertionError(f"no statistic is called {statistic}")


def whole(statistic: str, threshold: Fraction) -> Fraction:
    """A threshold, or a distance from one, to the last place in which this statistic is compared."""
    step = STEPS.get(statistic, MILLION)
    return Fraction(round(threshold * step), step)


def _mean(values: Sequence[Exact]) -> Fraction:
    return Fraction(sum(values)) / (len(values) * MILLION)


def _spread(statistic: str, thousandths: Sequence[int]) -> Root:
    """The sample SD (n - 1), or the CV in percent, of values that were rounded down to a thousandth of the unit."""
    n, total = len(thousandths), sum(thousandths)
    assert n >= 2, "one value does not vary"
    variance = Fraction(sum((n * value - total) ** 2 for value in thousandths), n**2 * (n - 1))
    if statistic == "sd":
        return Root(variance / 1_000**2)
    assert total > 0, "no signal that has a CV is zero or less"
    return Root(variance * (100 * n) ** 2 / total**2)
