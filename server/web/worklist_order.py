"""Who stands where on the worklist: in which tab, behind which filters, in which order. Pure: it reads and shows nothing.

Order: severity; among equals who has waited longest, by the hour; within the hour (alerts over days open together, when a day
closes) whose values go the wrong way fastest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal, get_args

from fastapi import Query

from server.store.worklist import Alert
from server.store.worklist_rows import Member, Trend
from server.web.history import KINDS_OF

Tab = Literal["attention", "in_hand", "snoozed", "problems", "all"]
TABS: Final[tuple[Tab, ...]] = get_args(Tab)

GRAVITY: Final = {"high": 0, "medium": 1, "low": 2, "information": 3}
_STATE: Final = {"active": 0, "acknowledged": 1, "snoozed": 2}
_TAB_OF: Final[Mapping[str, Tab]] = {"active": "attention", "acknowledged": "in_hand", "snoozed": "snoozed"}
_CALM: Final = len(_STATE)

STEP: Final[Mapping[str, float]] = {
    "blood_pressure": 10.0,
    "glucose": 1.0,
    "sensor_glucose": 1.0,
    "weight": 1.0,
    "oxygen_saturation": 2.0,
    "temperature": 0.5,
    "heart_rate": 10.0,
}
"""Which changes of different kinds are put on one level, in the unit in which a kind is shown: ten mmHg, one mmol/L and so on. It
orders rows that are equal otherwise, and decides nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What the address of the page asks for; empty asks for nothing."""

    doctor: int | None = None
    condition: str = ""
    rule: str = ""
    priority: str = ""
    text: str = ""

    @property
    def is_on(self) -> bool:
        return self != Filters()

    def parts(self) -> dict[str, str]:
        """As the address says it."""
        said = {
            "doctor": "" if self.doctor is None else str(self.doctor),
            "condition": self.condition,
            "rule": self.rule,
            "priority": self.priority,
            "q": self.text,
        }
        return {name: value for name, value in said.items() if value}

    def let_through(self, member: Member, alerts: Sequence[Alert]) -> bool:
        return (
            (self.doctor is None or member.doctor_id == self.doctor)
            and (not self.condition or self.condition in member.conditions)
            and (not self.rule or any(alert.rule_id == self.rule for alert in alerts))
            and (not self.priority or any(alert.priority == self.priority for alert in alerts))
            and (not self.text or self.text.casefold() in member.name.casefold())
        )


Word = Annotated[str, Query(max_length=64)]


def filters_of(doctor: Word = "", condition: Word = "", rule: Word = "", priority: Word = "", q: Word = "") -> Filters:
    """From an address. What is no filter of ours filters nothing: a form sends its empty fields, too."""
    return Filters(
        doctor=int(doctor) if doctor.isdecimal() and len(doctor) < 16 else None,
        condition=condition.strip(),
        rule=rule.strip(),
        priority=priority if priority in GRAVITY else "",
        text=q.strip(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How the values of a kind have moved: their average lately and before."""

    kind: str
    lately: float
    before: float
    is_worse: bool

    @property
    def by(self) -> float:
        return self.lately - self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One patient with the open alerts of whoever looks, in order; `change` of what the gravest is about, if it is known."""

    member: Member
    alerts: tuple[Alert, ...]
    change: Change | None = None

    @property
    def gravest(self) -> Alert | None:
        return self.alerts[0] if self.alerts else None

    @property
    def tab(self) -> Tab:
        return _TAB_OF[self.alerts[0].state] if self.alerts else "all"

    def is_in(self, tab: Tab) -> bool:
        """Every patient is in "all"; whoever has any snoozed alert is found among the snoozed, too."""
        return tab in ("all", self.tab) or (tab == "snoozed" and any(each.state == "snoozed" for each in self.alerts))


def in_order(alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    """Alerts of one patient: what nobody has taken first, then the gravest, then the oldest."""
    return tuple(sorted(alerts, key=lambda each: (_STATE[each.state], GRAVITY[each.priority], each.opened_at)))


def place(case: Case, now: datetime) -> tuple[int, int, int, float, float, str, int]:
    """By which cases are sorted. Waiting is counted in whole hours, so that worsening has a say."""
    alert = case.gravest
    if alert is None:
        return (_CALM, 0, 0, 0.0, 0.0, case.member.name, case.member.patient_id)
    alike = [each for each in case.alerts if each.state == alert.state]
    oldest = min(each.opened_at for each in alike)
    hours = int((now - oldest).total_seconds() // 3600)
    worse = (
        0.0
        if case.change is None
        else abs(case.change.by) / STEP[case.change.kind] * (1 if case.change.is_worse else -1)
    )
    return (
        _STATE[alert.state],
        GRAVITY[alert.priority],
        -hours,
        -worse,
        oldest.timestamp(),
        "",
        case.member.patient_id,
    )


def kinds_of(alert: Alert | None) -> tuple[str, ...]:
    """What an alert is about: that is drawn in the row. Of several conditions each that supports it is."""
    verdict = {} if alert is None else alert.verdict
    parts = [each for each in verdict.get("parts", ()) if each["said"] == ("no" if each["not"] else "yes")]
    return tuple(dict.fromkeys(_kind_of(each) for each in parts or [verdict]))


def _kind_of(verdict: Mapping[str, object]) -> str:
    if verdict.get("of") in STEP:
        return str(verdict["of"])
    kinds = next((KINDS_OF[each["signal"]] for each in _thresholds(verdict) if each["signal"] in KINDS_OF), ())
    return kinds[0] if kinds else "blood_pressure"


def change_of(alert: Alert | None, trends: Sequence[Trend]) -> Change | None:
    """How what the alert is about has moved, in the direction in which the alert says that it is bad."""
    if alert is None:
        return None
    kind = kinds_of(alert)[0]
    trend = next((each for each in trends if each.kind == kind), None)
    if trend is None:
        return None
    is_pressure = kind == "blood_pressure"
    lately = trend.systolic_lately if is_pressure else trend.value_lately
    before = trend.systolic_before if is_pressure else trend.value_before
    if lately is None or before is None:
        return None
    is_bad_below = any(str(each["comparison"]) in ("below", "at_most") for each in _thresholds(alert.verdict))
    return Change(kind=kind, lately=lately, before=before, is_worse=(lately < before) is is_bad_below)


def _thresholds(verdict: Mapping[str, object]) -> Sequence[Mapping[str, str]]:
    found = verdict.get("thresholds", ())
    return found if isinstance(found, list | tuple) else ()
