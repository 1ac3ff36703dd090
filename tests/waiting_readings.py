"""A home whose gateway has sent readings of a meter that nobody has bound: what waits in quarantine."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from fix_clinic import Clinic
from households import Household

from server import clock
from server.intake import Intake
from server.store import enrolment
from server.store.postgres import transaction

NEW = "F0:00:00:10:AA:01"
"""A cuff that nobody has bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A household of one or more patients, and what its gateway sends of the new cuff."""

    clinic: Clinic
    household: Household
    gateway_id: str

    def measures(self, *minutes_ago: int, slot: int | None = None, meter_id: str = NEW, systolic: int = 152) -> None:
        readings = [
            self.household.pressure(ago(minutes), systolic, 94, meter_id=meter_id, user_slot=slot)
            for minutes in minutes_ago
        ]
        (count,) = self.clinic.rows("select coalesce(max(seq), 0)::int as n from quarantine")
        envelope = self.household.envelope(*readings, first_seq=int(str(count["n"])) + 1)
        Intake(self.clinic.pool).take(envelope, topic_gateway=self.gateway_id)


def ago(minutes: float) -> datetime:
    return clock.now().replace(microsecond=0) - timedelta(minutes=minutes)


def home_of(clinic: Clinic, number: int, *patient_ids: int, since: timedelta = timedelta(days=30)) -> Home:
    """A home at one gateway, where each patient has a scale."""
    gateway_id = f"gw-home-{number}"
    with transaction(clinic.pool) as conn:
        enrolment.add_gateway(conn, gateway_id, "Asia/Shanghai")
        for patient_id in patient_ids:
            enrolment.bind_meter(
                conn,
                meter_id=f"scale-{patient_id}",
                user_slot=None,
                gateway_id=gateway_id,
                patient_id=patient_id,
                bound_by="test",
                now=clock.now() - since,
            )
    household = Household(gateway_id=gateway_id, patient_id=0, cuff=NEW, glucometer=NEW, since=clock.now() - since)
    return Home(clinic=clinic, household=household, gateway_id=gateway_id)
