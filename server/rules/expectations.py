"""What a scenario expects against what its rehearsal brought. Plays a scenario; prints nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from server.rules.episodes import Episode, Finding
from server.rules.load import CATALOG, SCENARIO_SUFFIX, is_scenario, load_catalog, load_rules
from server.rules.rehearsal import Played, Rehearsal
from server.rules.rule import RuleSet
from server.rules.scenarios import Expected, Scenario, load_scenarios
from vitals.errors import MalformedError

Actual = dict[str, Any]
"""What an episode is, under the keys of `Expected`."""

_INSTANTS: Final = ("opened_at", "resolved_at", "told_at", "raised_at")
_DAYS: Final = ("first_day", "last_day")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one scenario went: `problems` is empty if it passed."""

    file: Path
    name: str
    rules: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.problems


def scenario_files(path: Path) -> tuple[Path, ...]:
    """The scenario files at `path`: itself, those beside the rule file, or all in a folder and below.

    Raises `MalformedError` (`scenario`) if there is none: a test run that tested nothing has not passed.
    """
    if path.is_dir():
        found = tuple(sorted(path.rglob(f"*{SCENARIO_SUFFIX}")))
    elif is_scenario(path):
        found = (path,)
    else:
        beside = path.with_name(path.name.removesuffix(".yaml") + SCENARIO_SUFFIX)
        found = (beside,) if beside.exists() else ()
    if not found:
        raise MalformedError("scenario", f"{path}: no scenario found; a file of scenarios is called *{SCENARIO_SUFFIX}")
    return found


def run_file(file: Path) -> tuple[Outcome, ...]:
    """Play every scenario of `file` by the rules that lie beside it, or in the catalog."""
    scenarios = load_scenarios(file)
    wanted = tuple(dict.fromkeys(rule_id for scenario in scenarios for rule_id in scenario.rules))
    rules = rules_beside(file, wanted)
    return tuple(run(scenario, rules.only(scenario.rules)) for scenario in scenarios)


def rules_beside(file: Path, wanted: tuple[str, ...]) -> RuleSet:
    """The rules called `wanted`: from the rule file of the same name, else from the folder, else from the catalog."""
    namesake = file.with_name(file.name.removesuffix(SCENARIO_SUFFIX) + ".yaml")
    found = RuleSet(())
    for source in (namesake, file.parent, CATALOG):
        if all(rule_id in found for rule_id in wanted):
            break
        if source.exists() and source != file:
            rules = load_catalog() if source == CATALOG else load_rules(source)
            found = RuleSet((*found.rules, *(rule for rule in rules.rules if rule.id not in found)))
    return found.only(wanted)


def run(scenario: Scenario, rules: RuleSet) -> Outcome:
    """Play one scenario."""
    rehearsal = Rehearsal(scenario.patient, rules)
    rehearsal.run(scenario.arrivals, scenario.now)
    live = [_of_played(p, scenario.now) for p in rehearsal.played if p.episode.state != "retracted"]
    hidden = [_of_played(p, scenario.now) for p in rehearsal.played if p.episode.state == "retracted"]
    hidden += [_of_pending(finding) for finding in rehearsal.pending]
    return Outcome(
        file=scenario.file,
        name=scenario.name,
        rules=scenario.rules,
        problems=tuple(_compare(scenario, live, hidden)),
    )


def _compare(scenario: Scenario, live: list[Actual], hidden: list[Actual]) -> list[str]:
    problems = []
    for expected in sorted(scenario.expected, key=lambda e: -len(e.model_fields_set)):
        wanted = _wanted(expected, scenario)
        pool = hidden if expected.state in ("pending", "retracted") else live
        match = next((actual for actual in pool if not _differences(wanted, actual)), None)
        if match is not None:
            pool.remove(match)
            continue
        problems.append(f"expected {_show(wanted)}, got {_nearest(wanted, pool)}")
    problems += [f"expected {'none' if not scenario.expected else 'no other'}, got {_show(actual)}" for actual in live]
    return problems


def _wanted(expected: Expected, scenario: Scenario) -> Actual:
    wanted: Actual = expected.model_dump(exclude_unset=True)
    for key in _INSTANTS:
        if wanted.get(key) is not None:
            wanted[key] = scenario.moment(wanted[key])
    for key in _DAYS:
        if wanted.get(key) is not None:
            wanted[key] = scenario.day(wanted[key])
    if wanted.get("doctor_told") is not None:
        wanted["doctor_told"] = tuple(scenario.moment(at) for at in wanted["doctor_told"])
    if "told" in wanted:
        wanted["told"] = tuple(sorted(wanted["told"]))
    return wanted


def _differences(wanted: Actual, actual: Actual) -> list[str]:
    return [key for key, value in wanted.items() if actual.get(key) != value]


def _nearest(wanted: Actual, pool: Sequence[Actual]) -> str:
    same_rule = [actual for actual in pool if actual["rule"] == wanted["rule"]]
    if not same_rule:
        return "none"
    nearest = min(same_rule, key=lambda actual: len(_differences(wanted, actual)))
    return _show({key: nearest.get(key) for key in ("rule", *_differences(wanted, nearest))})


def _of_played(played: Played, now: datetime) -> Actual:
    told = [told for told in played.told if told.at <= now]
    first = min((t.at for t in told), default=None)
    return _of(played.episode, played.finding, played.episode.state) | {
        "told": tuple(sorted({t.who for t in told})),
        "told_at": first,
        "doctor_told": tuple(t.at for t in told if t.who == "doctor"),
    }


def _of_pending(finding: Finding) -> Actual:
    return _of(finding, finding, finding.state) | {"told": (), "told_at": None, "doctor_told": ()}


def _of(facts: Episode | Finding, finding: Finding, state: str) -> Actual:
    return {
        "rule": facts.rule_id,
        "state": state,
        "priority": facts.priority,
        "first_day": facts.first_day,
        "last_day": facts.last_day,
        "opened_at": facts.opened_at.astimezone(UTC),
        "resolved_at": None if facts.resolved_at is None else facts.resolved_at.astimezone(UTC),
        "raised_at": None if finding.raised_at is None else finding.raised_at.astimezone(UTC),
        "sentence": finding.verdict.sentence["en"],
        "sentence_zh": finding.verdict.sentence["zh"],
    }


def _show(facts: Actual) -> str:
    shown: dict[type, Callable[[Any], str]] = {tuple: lambda names: "[" + ", ".join(map(str, names)) + "]"}
    return ", ".join(
        f"{key} {shown.get(type(value), str)(value)}"
        for key, value in facts.items()
        if key == "rule" or value is not None
    )
