"""Who has fallen silent, and what is silent: the patient, the meter, or the line. For the list that a nurse works through.

The states are `server.watch`'s; after how many days somebody counts as lost is the patient's own number of the rule that judges
silence, which follows from the plan. Nothing is judged here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from server.people.plans import SILENCE_RULE
from server.rules.own_numbers import days_in_force
from server.rules.rule import RuleSet, SilenceRule
from server.store import thresholds
from server.store.follow_ups import Wanted, list_follow_ups
from server.store.people import Session
from server.store.postgres import Connection, Pool, transaction
from server.store.rule_book import in_force
from server.watch.sight import see_fleet
from server.watch.silence import PatientSaid, PatientState

Cause = Literal["patient", "meter", "line"]

CAUSES: Final[Mapping[PatientState, Cause]] = {
    PatientState.SILENT: "patient",
    PatientState.QUIET: "patient",
    PatientState.NO_METER: "meter",
    PatientState.WAITS_FOR_BINDING: "meter",
    PatientState.REFUSED: "meter",
    PatientState.NOTHING_USABLE: "meter",
    PatientState.UNKNOWABLE: "line",
    PatientState.ON_THE_WAY: "line",
}
"""What keeps readings from coming. A broken line or meter is no patient who has given up."""


LOST_AFTER: Final = 7
"""Where the rule is not in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A patient of whom nothing (usable) comes. `lost_after`: from so many days on, the patient counts as lost."""

    patient_id: int
    name: str
    days: int
    state: PatientState
    cause: Cause
    lost_after: int
    follow_up_id: int | None

    @property
    def is_lost(self) -> bool:
        return self.cause == "patient" and self.days >= self.lost_after


def silent_patients(house: Pool, own: Pool, who: Session, *, now: datetime) -> list[Silent]:
    """Of the panel of `who`, the longest silent first. The lines are the house's to ask; the patients are asked for by `who`."""
    sight = see_fleet(house, own, who, now=now)
    quiet = [each for each in sight.patients if each.state in CAUSES]
    with transaction(own) as conn:
        open_tasks = list_follow_ups(conn, Wanted(), user_id=who.user_id, now=now)
        tasks = {task.patient_id: task.follow_up_id for task in open_tasks}
        rules = in_force(conn)
        found = [_silent(conn, each, sight.names, tasks, rules) for each in quiet]
    return sorted(found, key=lambda each: (-each.days, each.patient_id))


def _silent(
    conn: Connection, said: PatientSaid, names: Mapping[int, str], tasks: Mapping[int, int], rules: RuleSet
) -> Silent:
    patient_id = said.facts.patient_id
    return Silent(
        patient_id=patient_id,
        name=names.get(patient_id, ""),
        days=said.days,
        state=said.state,
        cause=CAUSES[said.state],
        lost_after=_lost_after(conn, patient_id, rules),
        follow_up_id=tasks.get(patient_id),
    )


def _lost_after(conn: Connection, patient_id: int, rules: RuleSet) -> int:
    own = next(iter(thresholds.list_versions(conn, patient_id, rule_id=SILENCE_RULE)), None)
    if SILENCE_RULE not in rules:
        return LOST_AFTER
    rule = rules.by_id(SILENCE_RULE)
    assert isinstance(rule, SilenceRule), rule.id
    return days_in_force(rule, own.parameters if own else {})
