"""Whether an alert that sleeps is worse than what was on the screen when it was put to sleep. Pure.

Worse is, whatever the rule's kind:

- a higher priority;
- a number further past its line than the furthest of the same signal was then: a reading's value, a day's mean, the value of a
  window, the farthest of an excursion; LO and HI are past every number;
- of an urgent rule that looks at single readings: any reading that was not there then. Each new critical value wakes it.

More of the same is not worse: a longer silence, another day at the same height, another excursion minute.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from server.rules.episodes import is_more_urgent

_RISING: Final = ("above", "at_least")
_NOTHING: Final = 1e-9
"""Numbers of a verdict are rounded to three places; less than that is the same number."""


def is_worse(seen: Mapping[str, Any], *, priority: str, numbers: Mapping[str, Any], is_urgent: bool) -> bool:
    """`seen`: the `priority` and the `numbers` that were on the screen."""
    if is_more_urgent(priority, than=str(seen["priority"])):
        return True
    before = dict(_furthest(seen["numbers"]))
    now = dict(_furthest(numbers))
    if any(past > max(before.get(line, 0.0), 0.0) + _NOTHING for line, past in now.items()):
        return True
    return is_urgent and _names_readings(numbers) and bool(_ids(numbers) - _ids(seen["numbers"]))


def _furthest(numbers: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, float], float]]:
    """How far past each of its lines the verdict's worst number is; below 0 on the good side."""
    for part in (numbers, *numbers.get("parts", ())):
        for line in part.get("thresholds") or ():
            is_rising = line["comparison"] in _RISING
            past = [_past(value, line["value"], is_rising) for value in _values(part, line)]
            if past:
                yield (line["signal"], line["comparison"], float(line["value"])), max(past)


def _values(part: Mapping[str, Any], line: Mapping[str, Any]) -> Iterator[Any]:
    for each in (*_listed(part, "readings"), *_listed(part, "days")):
        yield from (each[name] for name in (line["signal"], "value", "censored") if each.get(name) is not None)
    for each in _listed(part, "later_days"):
        yield from (each[name] for name in (line["signal"],) if each.get(name) is not None)
    yield from (part[name] for name in ("value", "farthest") if part.get(name) is not None)
    yield from _plain(part.get("values"))


def _listed(part: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Rows of that name; some verdicts have a count under it."""
    found = part.get(name)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _plain(found: Any) -> list[Any]:
    return [each for each in found if isinstance(each, int | float)] if isinstance(found, list) else []


def _past(value: Any, limit: float, is_rising: bool) -> float:
    if isinstance(value, str):
        is_past = (value.upper() == "HI") == is_rising
        return float("inf") if is_past else float("-inf")
    return float(value) - limit if is_rising else limit - float(value)


def _names_readings(numbers: Mapping[str, Any]) -> bool:
    return bool(_listed(numbers, "readings")) or isinstance(numbers.get("values"), list)


def _ids(numbers: Mapping[str, Any]) -> set[str]:
    return set(numbers.get("reading_ids", ()))
