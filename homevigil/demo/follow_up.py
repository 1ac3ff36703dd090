"""What the demo's doctor agreed with people in the last weeks, and whom somebody is to call: so that no page of it is empty.

It goes through the doors that a clinic uses. Reminders begin with the demo; what lies before it was nobody's to remind of.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from homevigil.demo.population import Doctor, Resident
from server.people import follow_ups, plans
from server.people.errors import DecisionConflictError
from server.people.follow_ups import Call, Outcome, Result, Touch
from server.people.plans import NO_PLAN, Setting
from server.rules.plans import Medicine, Plan, plan_templates
from server.store.postgres import Pool

AGREED_AGO: Final = timedelta(days=10)
"""The first; each further plan a day before, so that the regular calls do not all come due together."""
PLANS: Final = ("pressure-adjustment", "pressure-maintenance", "glucose-tablets")
MEDICINE: Final = Medicine(kind="medicine", name="氨氯地平 amlodipine", dose="5 mg", at=("08:00",))
NOTES: Final = (
    "Asks whether the cuff fits her arm",
    "Wants to speak about the evening values",
    "Battery of the meter was low last week",
)


def agree_plans(pool: Pool, residents: Sequence[Resident], doctor: Doctor, *, now: datetime) -> int:
    """A plan for everybody but each fourth, in turn; how many that were."""
    usual = {each.id: each.plan for each in plan_templates()}
    chosen = [resident for place, resident in enumerate(residents) if place % 4 != 3]
    for place, resident in enumerate(chosen):
        plan = usual[PLANS[0 if place == 0 else place % len(PLANS)]]
        if place % 2 == 0:
            plan = Plan.model_validate(
                plan.model_dump() | {"items": [*plan.model_dump()["items"], MEDICINE.model_dump()]}
            )
        setting = Setting(
            patient_id=resident.patient_id,
            version=NO_PLAN,
            plan=plan,
            reason="demo",
            user_id=doctor.user_id,
            login=doctor.login,
            role="doctor",
            now=now - AGREED_AGO - timedelta(days=place),
        )
        plans.set_plan(pool, setting)
    return len(chosen)


def ask_for_calls(pool: Pool, residents: Sequence[Resident], doctor: Doctor, *, now: datetime) -> int:
    """Some calls: one of last week that is settled, one that reached nobody, the others open; how many are open."""
    asked = 0
    for place, resident in enumerate(residents[2:7]):
        opened_at = now - timedelta(days=6 - place)
        try:
            task = follow_ups.open_by_hand(
                pool,
                patient_id=resident.patient_id,
                user_id=doctor.user_id,
                role="doctor",
                note=NOTES[place % len(NOTES)],
                due_at=None,
                assigned_to=None,
                now=opened_at,
            )
        except DecisionConflictError:
            continue  # an alert has asked for it already
        who = Touch(
            follow_up_id=task.follow_up_id,
            version=task.version,
            user_id=doctor.user_id,
            role="doctor",
            now=opened_at + timedelta(hours=2),
        )
        if place == 0:
            follow_ups.call(pool, who, Call(result=Result.REACHED, outcome=Outcome.ADVISED, note="measures again"))
        else:
            asked += 1
            if place == 1:
                follow_ups.call(pool, who, Call(result=Result.NO_ANSWER))
    return asked
