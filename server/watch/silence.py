"""What is said of a meter and of a patient, from what is known of them and of their gateway. Pure.

Silence is the last explanation, never the first: before a patient is called silent, everything else that keeps readings from
arriving has been ruled out. Days are the patient's own (`server.rules.clinical_days`) and only whole ones count, so that
nobody is silent on the day of enrolment.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from server.rules.clinical_days import Calendar
from server.rules.windows import ZoneSpan
from server.store.fleet import HeldFacts, MeterFacts, PatientFacts
from server.store.quarantine import WANTING_AN_OWNER
from server.watch.gateways import GatewaySaid, GatewayState
from server.watch.limits import Limits

CONFLICT: Final = "binding_conflict"


class MeterState(StrEnum):
    """Each its own; exactly one is said of a meter."""

    UNKNOWABLE = "unknowable"
    """Nothing can be known: its gateway is not heard, or cannot hear it."""
    CONFLICT = "conflict"
    """It is bound in one home and was read in another."""
    WAITS_FOR_BINDING = "waits_for_binding"
    """It hands readings over, and nobody has said whose they are."""
    WANTS_CONSENT = "wants_consent"
    """It keeps its users apart, and its gateway knows nobody's consent code, or only wrong ones."""
    ON_THE_WAY = "on_the_way"
    """Nothing has arrived for days, and its gateway holds readings that have not arrived either."""
    SILENT = "silent"
    """It has brought nothing for days, though its patient measures with another meter."""
    QUIET_WITH_PATIENT = "quiet_with_patient"
    """It has brought nothing for days, and neither has any other meter of its patient: see there."""
    NOTHING_YET = "nothing_yet"
    """Bound lately; nothing has come yet."""
    BATTERY_LOW = "battery_low"
    """It brings readings, and says that its battery runs down."""
    BRINGING = "bringing"
    """It brings readings."""


class PatientState(StrEnum):
    """Each its own; exactly one is said of a patient."""

    UNKNOWABLE = "unknowable"
    """Nothing can be known: a gateway of the patient is not heard, or hears no meter."""
    NO_METER = "no_meter"
    """No meter is bound to the patient."""
    ON_THE_WAY = "on_the_way"
    """Nothing has arrived for days, and the gateway holds readings that have not arrived either."""
    WAITS_FOR_BINDING = "waits_for_binding"
    """Nothing has arrived for days, and readings of that home lie in quarantine because nobody has said whose they are."""
    REFUSED = "refused"
    """Nothing has arrived for days, and readings of that home lie in quarantine for another reason."""
    SILENT = "silent"
    """Nothing has been measured for seven days."""
    QUIET = "quiet"
    """Nothing has been measured for three days."""
    NOTHING_USABLE = "nothing_usable"
    """The patient measures, and nothing of the last three days can be used."""
    NOTHING_YET = "nothing_yet"
    """Enrolled lately; nothing has been measured yet."""
    MEASURING = "measuring"
    """The patient measures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSaid:
    """What is said of one meter. `because`: the gateway's state that it cannot be known for. `days`: whole days without,
    at least: further back than `searched_since` nobody has looked."""

    facts: MeterFacts
    state: MeterState
    days: int
    battery_percent: int | None
    because: GatewayState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientSaid:
    """What is said of one patient. `because` and `gateway_id`: the gateway's state that it cannot be known for."""

    facts: PatientFacts
    state: PatientState
    days: int
    because: GatewayState | None = None
    gateway_id: str | None = None


def say_patient(
    facts: PatientFacts,
    gateways: Mapping[str, GatewaySaid],
    held: Sequence[HeldFacts],
    *,
    now: datetime,
    limits: Limits,
) -> PatientSaid:
    """The state of one patient at `now`. `held`: what lies in quarantine, of which only this home's is looked at."""
    days = _days_without_reading(facts, now)

    def say(state: PatientState) -> PatientSaid:
        return PatientSaid(facts=facts, state=state, days=days)

    theirs = [each for each in held if _is_of_patient(each, facts)]
    wanting = _newest(each for each in theirs if each.reason in WANTING_AN_OWNER)
    if facts.covered_since is None:
        is_wanting = wanting is not None and days_without(wanting, now, facts.zone) < limits.patient_silent_days
        return say(PatientState.WAITS_FOR_BINDING if is_wanting else PatientState.NO_METER)
    is_quiet = days >= limits.patient_quiet_days
    blind = [(each, why) for each in facts.gateway_ids if (why := _blindness(gateways, each, is_quiet=is_quiet))]
    if blind and (is_quiet or len(blind) == len(facts.gateway_ids)):
        gateway_id, why = blind[0]
        return PatientSaid(facts=facts, state=PatientState.UNKNOWABLE, days=days, because=why, gateway_id=gateway_id)
    if not is_quiet:
        return say(_of_those_who_measure(facts, now, limits))
    if any(_holds_readings(gateways, gateway_id) for gateway_id in facts.gateway_ids):
        return say(PatientState.ON_THE_WAY)
    if _is_fresh(wanting, facts, now, limits):
        return say(PatientState.WAITS_FOR_BINDING)
    if _is_fresh(_newest(theirs), facts, now, limits):
        return say(PatientState.REFUSED)
    return say(PatientState.SILENT if days >= limits.patient_silent_days else PatientState.QUIET)


def say_meter(
    facts: MeterFacts,
    gateways: Mapping[str, GatewaySaid],
    patients: Mapping[int, PatientFacts],
    held: Sequence[HeldFacts],
    *,
    now: datetime,
    limits: Limits,
) -> MeterSaid:
    """The state of one meter at `now`. `held`: what lies in quarantine, of which only this meter's is looked at."""
    owners = [patients[patient_id] for patient_id in facts.patient_ids if patient_id in patients]
    zone = owners[0].zone if owners else "UTC"
    gateway = gateways.get(facts.gateway_id)
    newest = facts.last_measured_at or facts.searched_since
    days = days_without(_latest(newest, facts.bound_since), now, zone) if facts.bound_since else 0
    battery = ((gateway.report.batteries or {}) if gateway else {}).get(facts.meter_id)
    why = _blindness(gateways, facts.gateway_id, is_quiet=days >= limits.meter_silent_days)

    def state() -> MeterState:
        reasons = {each.reason for each in held if each.meter_id == facts.meter_id}
        if CONFLICT in reasons:
            return MeterState.CONFLICT
        if why is not None:
            return MeterState.UNKNOWABLE
        if not facts.patient_ids or reasons & set(WANTING_AN_OWNER):
            return MeterState.WAITS_FOR_BINDING
        if gateway is not None and facts.meter_id in gateway.report.wanting_consent:
            return MeterState.WANTS_CONSENT
        if days >= limits.meter_silent_days:
            if _holds_readings(gateways, facts.gateway_id):
                return MeterState.ON_THE_WAY
            is_alone = all(_days_without_reading(owner, now) >= limits.patient_quiet_days for owner in owners)
            return MeterState.QUIET_WITH_PATIENT if is_alone else MeterState.SILENT
        if facts.last_measured_at is None:
            return MeterState.NOTHING_YET
        is_low = battery is not None and battery <= limits.battery_low_percent
        return MeterState.BATTERY_LOW if is_low else MeterState.BRINGING

    said = state()
    because = why if said is MeterState.UNKNOWABLE else None
    return MeterSaid(facts=facts, state=said, days=days, battery_percent=battery, because=because)


def unbound_meters(meters: Iterable[MeterFacts], held: Iterable[HeldFacts]) -> tuple[MeterFacts, ...]:
    """The meters that bring readings to a gateway where nobody is bound to them."""
    bound = {(meter.gateway_id, meter.meter_id) for meter in meters}
    found = {
        (each.gateway_id, each.meter_id): each
        for each in held
        if each.meter_id is not None and each.reason in WANTING_AN_OWNER
    }
    return tuple(
        MeterFacts(
            meter_id=str(meter_id),
            gateway_id=gateway_id,
            patient_ids=(),
            bound_since=None,
            last_measured_at=None,
            searched_since=each.first_at,
        )
        for (gateway_id, meter_id), each in sorted(found.items(), key=lambda item: str(item[0]))
        if (gateway_id, meter_id) not in bound
    )


def days_without(since: datetime, now: datetime, zone: str) -> int:
    """Whole days of the patient's own between the day of `since` and today: 0 on the same day and on the day after."""
    if now - since < timedelta(days=1):  # most patients are spared the calendar
        return 0
    calendar = Calendar([ZoneSpan(valid_from=_LONG_AGO, zone=zone)], now)
    return max(0, calendar.day_of(now) - calendar.day_of(since) - 1)


_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _of_those_who_measure(facts: PatientFacts, now: datetime, limits: Limits) -> PatientState:
    if facts.last_measured_at is None:
        return PatientState.NOTHING_YET
    unusable_days = days_without(_latest(_started_at(facts), facts.last_accepted_at), now, facts.zone)
    return PatientState.NOTHING_USABLE if unusable_days >= limits.patient_quiet_days else PatientState.MEASURING


def _days_without_reading(facts: PatientFacts, now: datetime) -> int:
    return days_without(_latest(_started_at(facts), facts.last_measured_at), now, facts.zone)


def _started_at(facts: PatientFacts) -> datetime:
    """Since when readings could have come: enrolled, and with a meter."""
    return _latest(facts.created_at, facts.covered_since)


def _is_of_patient(held: HeldFacts, facts: PatientFacts) -> bool:
    return held.gateway_id in facts.gateway_ids or held.meter_id in facts.meter_ids


def _is_fresh(held_at: datetime | None, facts: PatientFacts, now: datetime, limits: Limits) -> bool:
    """Whether what was held back came after the newest reading, and lately enough to speak against silence."""
    if held_at is None or (facts.last_measured_at is not None and held_at <= facts.last_measured_at):
        return False
    return days_without(held_at, now, facts.zone) < limits.patient_silent_days


def _blindness(gateways: Mapping[str, GatewaySaid], gateway_id: str, *, is_quiet: bool) -> GatewayState | None:
    """Why nothing can be known there. That a gateway was away is an excuse for silence, and says nothing against a reading."""
    gateway = gateways.get(gateway_id)
    why = None if gateway is None else gateway.blindness
    return why if is_quiet or why is not GatewayState.JUST_BACK else None


def _holds_readings(gateways: Mapping[str, GatewaySaid], gateway_id: str) -> bool:
    gateway = gateways.get(gateway_id)
    return gateway is not None and bool(gateway.report.waiting)


def _newest(held: Iterable[HeldFacts]) -> datetime | None:
    return max((each.last_at for each in held), default=None)


def _latest(instant: datetime, other: datetime | None) -> datetime:
    return instant if other is None else max(instant, other)
