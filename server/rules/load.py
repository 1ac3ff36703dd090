"""Rule files from disk: YAML (`safe_load`) to strict models, and their JSON Schema.

Knows where the built-in catalog is. It does not judge, and it never guesses: the first thing it cannot take is an error
that names the file and the place.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from server.rules.combined_conditions import PART_TAGS
from server.rules.rule import KINDS, Rule, RuleFile, RuleSet
from vitals.errors import MalformedError

CATALOG: Final = Path(__file__).parent / "catalog"
WATCHDOG: Final = Path(__file__).parent / "watchdog.yaml"
SCENARIO_SUFFIX: Final = ".test.yaml"
_UNION_TAGS: Final = frozenset({*KINDS, *PART_TAGS})


@cache
def load_catalog() -> RuleSet:
    """The built-in rules."""
    return load_rules(CATALOG)


@cache
def load_watchdog() -> RuleSet:
    """The rule by which the house's watchdog is judged, and nobody else."""
    return load_rules(WATCHDOG)


def load_rules(path: Path) -> RuleSet:
    """The rules of a file, or of every `*.yaml` in a folder but the scenarios; raises `MalformedError` (`rule_file`)."""
    if not path.is_dir():
        return RuleSet(_rules_of(path))
    files = sorted(file for file in path.glob("*.yaml") if not is_scenario(file))
    return RuleSet(tuple(rule for file in files for rule in _rules_of(file)))


def is_scenario(file: Path) -> bool:
    """Does `file` hold scenarios and not rules?"""
    if file.name.endswith(SCENARIO_SUFFIX):
        return True
    content = read_yaml(file)
    return isinstance(content, dict) and "tests" in content


def schema() -> dict[str, Any]:
    """The JSON Schema of a rule file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | RuleFile.model_json_schema()


def read_yaml(file: Path) -> Any:
    """What `file` holds, as plain values; raises `MalformedError` (`yaml`) naming the file and the line."""
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise MalformedError("yaml", f"{file}: cannot be read: {e}") from e
    except yaml.YAMLError as e:
        raise MalformedError("yaml", f"{file}: {' '.join(str(e).split())}") from e


def explain(error: ValidationError, file: Path, skip: Iterable[str] = ()) -> str:
    """What is wrong, each with its place in `file`: `rules.0.when.days: Input should be …`."""
    unseen = set(skip)
    lines = []
    for detail in error.errors(include_url=False):
        place = ".".join(str(step) for step in detail["loc"] if step not in unseen)
        lines.append(f"{file}: {place or 'file'}: {detail['msg']}")
    return "\n".join(lines)


def _rules_of(file: Path) -> tuple[Rule, ...]:
    try:
        return RuleFile.model_validate(read_yaml(file)).rules
    except ValidationError as e:
        raise MalformedError("rule_file", explain(e, file, skip=_UNION_TAGS), str(file)) from e
