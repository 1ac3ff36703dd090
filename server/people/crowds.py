"""Nobody stands out: what is told of each is told of at least five (k-anonymity: Samarati and Sweeney 1998).

Whoever is alone in sex, age band and zone loses the zone first, then the age, then the sex, and is left out if that is not
enough.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

AT_LEAST: Final = 5
"""The smallest group about which anything is told: the usual floor for small cells (engineering choice). CMS of the United States
has 11, EMA policy 0070 a risk of 0.09, which is 12: ask your ethics board, and raise it with `--at-least`."""

_CATEGORY: Final = re.compile(r"[A-Z]\d[0-9A-Z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What others might know somebody by. None: not told."""

    sex: str | None
    age_band: str | None
    zone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """What may be told of whom. Counts: whose zone, age or sex is not told, and who is left out for being alone all the same."""

    told: Mapping[int, Traits]
    without_zone: int
    without_age: int
    without_sex: int
    left_out: int


def hide(people: Mapping[int, Traits], *, at_least: int = AT_LEAST) -> Crowd:
    """Every combination that is told is told of `at_least` people or more."""
    told: dict[int, Traits] = {}
    rest = dict(people)
    hidden = []
    for name in (None, "zone", "age_band", "sex"):
        if name is not None:
            rest = {number: replace(traits, **{name: None}) for number, traits in rest.items()}
        sizes = Counter((*rest.values(), *told.values()))
        shown = {number: traits for number, traits in rest.items() if sizes[traits] >= at_least}
        told |= shown
        rest = {number: traits for number, traits in rest.items() if number not in shown}
        hidden.append(len(rest))
    without_zone, without_age, without_sex, left_out = hidden
    return Crowd(
        told=told,
        without_zone=without_zone - left_out,
        without_age=without_age - left_out,
        without_sex=without_sex - left_out,
        left_out=left_out,
    )


def categories(codes: Iterable[str]) -> Sequence[str]:
    """The three-character categories of ICD-10 codes (`I10` of `I10.x09`), each once; what is no code is nothing."""
    found = (_CATEGORY.match(code.strip().upper()) for code in codes)
    return sorted({each.group() for each in found if each})


def common(of_each: Iterable[Sequence[str]], *, at_least: int = AT_LEAST) -> frozenset[str]:
    """The categories that `at_least` people have."""
    counts = Counter(category for each in of_each for category in each)
    return frozenset(category for category, n in counts.items() if n >= at_least)
