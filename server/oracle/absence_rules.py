"""The kinds of rule about readings that do not come, as the oracle reads them: nobody measures, or less than was agreed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from server.oracle.shapes import Kind
from server.oracle.written import common, need

SILENCE_WORDS: Final = {"kind", "days", "unknown_after_hours"}
SCHEDULE_WORDS: Final = {"kind", "of", "measured_days", "of_days", "readings_per_day", "unknown_after_hours"}

MOST_DAYS: Final = 90
HOURS_A_DAY: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceRule:
    """On `days` days nothing was measured, those not counted on which for longer than `unknown_after_hours` nothing could be
    heard; over when something is.
    """

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    days: int
    unknown_after_hours: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRule:
    """On fewer than `measured_days` of the last `of_days` closed days there were `readings_per_day` readings of the kind `of`.

    Over when there were on as many. A day on which for longer than `unknown_after_hours` nothing could be heard may be either.
    """

    id: str
    version: int
    priority: str
    tell: tuple[str, ...]
    is_for_everyone: bool
    of: Kind
    measured_days: int
    of_days: int
    readings_per_day: int
    unknown_after_hours: int


def silence_rule(written: Mapping[str, Any], when: Mapping[str, Any]) -> SilenceRule:
    need(written["resolve"] == {"by": "measuring"} and 1 <= when["days"] <= MOST_DAYS, written)
    return SilenceRule(**common(written), days=when["days"], unknown_after_hours=_unknown_after(written, when))


def schedule_rule(written: Mapping[str, Any], when: Mapping[str, Any]) -> ScheduleRule:
    per_day = when.get("readings_per_day", 1)
    need(written["resolve"] == {"by": "schedule"} and when["of"] in get_args(Kind), written)
    need(1 <= when["measured_days"] <= when["of_days"] <= MOST_DAYS and 1 <= per_day <= HOURS_A_DAY, written)
    return ScheduleRule(
        **common(written),
        of=when["of"],
        measured_days=when["measured_days"],
        of_days=when["of_days"],
        readings_per_day=per_day,
        unknown_after_hours=_unknown_after(written, when),
    )


def _unknown_after(written: Mapping[str, Any], when: Mapping[str, Any]) -> int:
    hours: int = when["unknown_after_hours"]
    need(0 <= hours <= HOURS_A_DAY, written)
    return hours
