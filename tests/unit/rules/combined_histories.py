"""Made-up combined rules, of conditions drawn like rules of their own, and histories of people who measure what they ask."""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

import yaml
from unit.rules import histories, trend_histories
from unit.rules.trend_histories import CENTRES, Drawn

from server.oracle.shapes import OraclePatient, OracleReading

RULE = "combined"
KINDS = ("rolling", "rolling", "count_of_last", "change")
PRESSURES = ("systolic", "diastolic")
WITHIN: tuple[dict[str, int], ...] = (
    {"hours": 1},
    {"hours": 12},
    {"hours": 24},
    {"hours": 72},
    {"days": 1},
    {"days": 2},
    {"days": 3},
    {"days": 7},
)
SHAPES = ("flat", "flat", "flat", "nested", "nested", "two nested")


@dataclass(slots=True, kw_only=True)
class _Drawing:
    random: Random
    groups: list[tuple[str, ...]]

    def leaf(self) -> dict[str, Any]:
        """A condition on one of the groups of signals, or not one."""
        kind = self.random.choice(KINDS)
        signals = self.random.choice(self.groups)
        drawn = trend_histories.some_rule(self.random, kind, signals=signals[:1] if kind == "change" else signals)
        (rule,) = yaml.safe_load(drawn.text)["rules"]
        when = rule["when"]
        if self.random.random() < 0.5:
            when["below_by"] = rule["resolve"]["below_by"]
        return {"not": when} if self.random.random() < 0.25 else when

    def parts(self, fewest: int = 2) -> list[dict[str, Any]]:
        return [self.leaf() for _ in range(self.random.choice((fewest, fewest, fewest, fewest + 1, fewest + 2)))]


def some_rule(random: Random) -> Drawn:
    """Of one to three groups of signals, joined in any way that can be written."""
    names = random.sample([each for each in CENTRES if each not in PRESSURES], random.choice((1, 1, 2)))
    groups: list[tuple[str, ...]] = [(name,) for name in names]
    if random.random() < 0.6:
        groups.append(random.choice((PRESSURES, PRESSURES, PRESSURES[:1])))
    drawing = _Drawing(random=random, groups=groups)
    word, other = random.choice((("all_of", "any_of"), ("any_of", "all_of")))
    match random.choice(SHAPES):
        case "flat":
            parts = drawing.parts()
        case "nested":
            parts = [*drawing.parts(1), {other: drawing.parts()}]
        case _:
            parts = [{other: drawing.parts()}, {other: drawing.parts()}]
    random.shuffle(parts)
    rule = {
        "id": RULE,
        "version": 2,
        "title": {"en": "t", "zh": "t"},
        "source": "made up",
        "when": {"kind": "combined", "within": random.choice(WITHIN), word: parts},
        "resolve": {"by": "parts"},
        "priority": "low",
        "tell": ["doctor"],
    }
    signals = tuple(dict.fromkeys(signal for group in groups for signal in group))
    return Drawn(text=yaml.safe_dump({"rules": [rule]}, allow_unicode=True), signals=signals)


def some_patient(random: Random, drawn: Drawn, *, days: int = 24) -> OraclePatient:
    """Now and then two kinds of reading are taken at the very same moment."""
    made = trend_histories.some_patient(random, drawn.signals, days=days)
    readings: list[OracleReading] = []
    for reading in made.readings:
        at = random.choice(readings).measured_at if readings and random.random() < 0.1 else reading.measured_at
        readings.append(replace(reading, name=histories.name_of(len(readings)), measured_at=at, received_at=at))
    return replace(made, readings=tuple(readings))
