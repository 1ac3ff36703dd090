"""Presets: which rules a clinic usually chooses for whom, by condition and age. A proposal; a doctor applies it. Pure.

Where several presets fit a patient, each rule goes as the last of them says, in the order of the file: it is written from the
common to the special, so that what pregnancy asks for stands before what age asks for.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationError, model_validator

from server.rules.conditions import Part
from server.rules.icd10 import range_of
from server.rules.load import explain, load_catalog, read_yaml
from server.rules.own_numbers import check_parameters
from server.rules.rule import PerLanguage, RuleSet, Text
from vitals.errors import MalformedError

PRESETS: Final = Path(__file__).parent / "presets.yaml"


def _range(text: str) -> str:
    try:
        range_of(text)
    except MalformedError as e:
        raise ValueError(e.message) from e
    return text


RuleId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]


class Preset(Part):
    """For whoever has one of `conditions` (ICD-10, a code or a range) and is at least `age_at_least` years old, as far as given.

    `watch`: rules that are chosen. `instead_of`: rules that are switched off, because one of `watch` takes their place.
    `parameters`: the patient's own numbers for one of `watch`.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    title: PerLanguage
    source: Text
    conditions: Annotated[tuple[Annotated[str, AfterValidator(_range)], ...], Field(strict=False)] = ()
    age_at_least: Annotated[int, Field(ge=1, le=120)] | None = None
    watch: Annotated[tuple[RuleId, ...], Field(strict=False, min_length=1)]
    instead_of: Annotated[tuple[RuleId, ...], Field(strict=False)] = ()
    parameters: dict[RuleId, dict[str, float]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _for_somebody(self) -> "Preset":
        if not self.conditions and self.age_at_least is None:
            raise ValueError("give conditions or age_at_least")
        if both := sorted(set(self.watch) & set(self.instead_of)):
            raise ValueError(f"{', '.join(both)} is both watched and not")
        if unknown := sorted(set(self.parameters) - set(self.watch)):
            raise ValueError(f"parameters of {', '.join(unknown)}, which is not watched")
        return self

    def fits(self, conditions: Collection[str], age: int | None) -> bool:
        is_old = self.age_at_least is None or (age is not None and age >= self.age_at_least)
        ranges = [range_of(text) for text in self.conditions]
        return is_old and (not ranges or any(code in codes for codes in ranges for code in conditions))


class _PresetFile(Part):
    presets: Annotated[tuple[Preset, ...], Field(strict=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is proposed for one patient and one rule. `because`: the preset that says so, the last of those that fit."""

    rule_id: str
    is_watched: bool
    parameters: Mapping[str, float]
    because: str


@cache
def catalog_presets() -> tuple[Preset, ...]:
    """Those of this build, read once."""
    return load_presets(load_catalog())


def load_presets(rules: RuleSet, file: Path = PRESETS) -> tuple[Preset, ...]:
    """The presets of `file`; raises `MalformedError` (`preset_file`) for one that names what is not there."""
    try:
        presets = _PresetFile.model_validate(read_yaml(file)).presets
    except ValidationError as e:
        raise MalformedError("preset_file", explain(e, file)) from e
    for preset in presets:
        for rule_id in (*preset.watch, *preset.instead_of):
            if rule_id not in rules:
                raise MalformedError("preset_file", f"{file}: {preset.id}: there is no rule {rule_id}", rule_id)
        for rule_id, parameters in preset.parameters.items():
            check_parameters(rules.by_id(rule_id), parameters)
    return presets


def proposed(presets: Collection[Preset], *, conditions: Collection[str], age: int | None) -> dict[str, Choice]:
    """By rule, what the presets that fit say of it; rules of which none speaks are left as they are."""
    found: dict[str, Choice] = {}
    for preset in presets:
        if not preset.fits(conditions, age):
            continue
        for rule_id in preset.instead_of:
            found[rule_id] = Choice(rule_id=rule_id, is_watched=False, parameters={}, because=preset.id)
        for rule_id in preset.watch:
            parameters = preset.parameters.get(rule_id, {})
            found[rule_id] = Choice(rule_id=rule_id, is_watched=True, parameters=parameters, because=preset.id)
    return found
