"""The states of the fleet, all of them at one instant, and the loop that makes the open alarms exactly these.

What is said of one gateway, meter, patient or part of the house is decided beside (`gateways`, `silence`, `house`), purely.
Here they meet: a gateway is heard before anything is said of what lies behind it. The pages and the metrics ask the same
function, so they are true also where nobody plays the role `watch`; only the alarms need it.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from server.store import fleet as store
from server.store.alarms import AlarmKind, state_alarms
from server.store.fleet import Facts, HeldFacts, Scope, Spans
from server.store.intake import transaction_time
from server.store.postgres import Connection, Pool, in_transaction
from server.watch.gateways import GatewaySaid, GatewayState, is_nobody_heard, say_gateway
from server.watch.house import HouseSaid, HouseState, say_house
from server.watch.limits import LIMITS, Limits
from server.watch.silence import (
    MeterSaid,
    MeterState,
    PatientSaid,
    PatientState,
    say_meter,
    say_patient,
    unbound_meters,
)
from vitals.errors import UnavailableError

log = structlog.get_logger()

EVERY_S: Final = 15.0
BACKOFF_S: Final = 5.0

AILMENTS: Final = (
    GatewayState.DISK_FULL,
    GatewayState.DISK_LOW,
    GatewayState.UNDERVOLTAGE,
    GatewayState.RESTARTING,
    GatewayState.CERTIFICATE_ENDS,
)

METERS_SEARCHED: Final = timedelta(days=30)
"""How far back a meter's newest reading is looked for; a meter silent for longer is said to be so, without the day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Everything that is said at one instant."""

    at: datetime
    facts: Facts
    house: tuple[HouseSaid, ...]
    gateways: tuple[GatewaySaid, ...]
    meters: tuple[MeterSaid, ...]
    patients: tuple[PatientSaid, ...]


def say_fleet(facts: Facts, *, now: datetime, limits: Limits = LIMITS) -> Fleet:
    """The states of everything in `facts` at `now`. Pure."""
    is_deaf = is_nobody_heard(facts.house, now, limits)
    miscounted = {alarm.subject for alarm in facts.alarms if alarm.kind == AlarmKind.ACCOUNT_UNBALANCED}
    gateways = {
        each.gateway_id: say_gateway(
            each, is_deaf=is_deaf, is_miscounted=each.gateway_id in miscounted, now=now, limits=limits
        )
        for each in facts.gateways
    }
    patients = {each.patient_id: each for each in facts.patients}
    held = _Held(facts.held)
    meters = (*facts.meters, *unbound_meters(facts.meters, facts.held))
    said_gateways = tuple(gateways.values())
    return Fleet(
        at=now,
        facts=facts,
        house=say_house(facts, said_gateways, now=now, limits=limits),
        gateways=said_gateways,
        meters=tuple(
            say_meter(each, gateways, patients, held.of((), (each.meter_id,)), now=now, limits=limits)
            for each in meters
        ),
        patients=tuple(
            say_patient(each, gateways, held.of(each.gateway_ids, each.meter_ids), now=now, limits=limits)
            for each in facts.patients
        ),
    )


class _Held:
    """What lies in quarantine, found by gateway and by meter: a clinic may have much of it, and every patient is asked for."""

    def __init__(self, held: Sequence[HeldFacts]) -> None:
        self._by_gateway: dict[str, list[HeldFacts]] = {}
        self._by_meter: dict[str, list[HeldFacts]] = {}
        for each in held:
            self._by_gateway.setdefault(each.gateway_id, []).append(each)
            if each.meter_id is not None:
                self._by_meter.setdefault(each.meter_id, []).append(each)

    def of(self, gateway_ids: Sequence[str], meter_ids: Sequence[str]) -> Sequence[HeldFacts]:
        """What was read at these gateways or with these meters; a row may come twice."""
        return [
            *(row for gateway_id in gateway_ids for row in self._by_gateway.get(gateway_id, ())),
            *(row for meter_id in meter_ids for row in self._by_meter.get(meter_id, ())),
        ]


def look(conn: Connection, *, now: datetime, scope: Scope | None = None, limits: Limits = LIMITS) -> Fleet:
    """The states at `now`, from the facts as this transaction sees them; of everybody, or of the homes of `scope`."""
    spans = Spans(hole=limits.hole, long_away=limits.long_away, meters=METERS_SEARCHED)
    return say_fleet(store.load_facts(conn, now=now, spans=spans, scope=scope), now=now, limits=limits)


def watch_states(pool: Pool, stop: threading.Event) -> None:
    """Keep the alarms true until `stop` is set. Any number of processes may do so at once."""
    while not stop.is_set():
        wait_s = EVERY_S
        try:
            in_transaction(pool, keep_alarms)
        except UnavailableError as e:
            wait_s = BACKOFF_S
            log.warning("database_unavailable", reason=str(e), retry_in_s=wait_s)
        stop.wait(wait_s)


def keep_alarms(conn: Connection) -> bool:
    """Make the open alarms of each kind of state exactly those that hold now; False if another watcher is at it."""
    if not store.is_first_of_round(conn):
        return False
    for kind, found in alarms_of(look(conn, now=transaction_time(conn))).items():
        state_alarms(conn, kind, found)
    return True


def alarms_of(fleet: Fleet, limits: Limits = LIMITS) -> Mapping[AlarmKind, Mapping[str, str]]:
    """Which alarms the states are, with the detail by subject: plain facts, never a value or a name.

    The accounts are checked where they are kept (`server.intake`), the watchdog and the recompute raise their own.
    """
    return {**_alarms_of_homes(fleet, limits), **_alarms_of_house(fleet)}


def _alarms_of_homes(fleet: Fleet, limits: Limits) -> dict[AlarmKind, dict[str, str]]:
    return {
        AlarmKind.GATEWAY_UNHEARD: {
            each.facts.gateway_id: f"last heard {_instant(each.facts.last_heard_at)}"
            for each in fleet.gateways
            if _is_unheard(each, fleet.at, limits)
        },
        AlarmKind.GATEWAY_AILING: {
            each.facts.gateway_id: ", ".join(ailments)
            for each in fleet.gateways
            if (ailments := _ailments(each, limits))
        },
        AlarmKind.BATTERY_LOW: {
            each.facts.meter_id: f"gateway {each.facts.gateway_id}, {each.battery_percent} %"
            for each in fleet.meters
            if each.state is MeterState.BATTERY_LOW
        },
        AlarmKind.HOLE: {
            each.facts.gateway_id: each.facts.hole for each in fleet.gateways if GatewayState.HOLE in each.states
        },
        AlarmKind.METER_SILENT: {
            each.facts.meter_id: f"gateway {each.facts.gateway_id}, {each.days} whole days without a reading"
            for each in fleet.meters
            if each.state is MeterState.SILENT
        },
        AlarmKind.PATIENT_SILENT: {
            f"patient:{each.facts.patient_id}": f"{each.days} whole days without a reading"
            for each in fleet.patients
            if each.state is PatientState.SILENT
        },
    }


def _alarms_of_house(fleet: Fleet) -> dict[AlarmKind, dict[str, str]]:
    broken = {f"patient:{each}": "judging breaks and was put off; see the log" for each in fleet.facts.house.broken}
    return {
        AlarmKind.NOBODY_HEARD: _late(fleet, HouseState.NOBODY_HEARD),
        AlarmKind.JUDGE_LAG: _late(fleet, HouseState.JUDGE_LAG) | broken,
        AlarmKind.PUSH_UNDELIVERED: _late(fleet, HouseState.PUSH_UNDELIVERED),
    }


def _is_unheard(said: GatewaySaid, now: datetime, limits: Limits) -> bool:
    if GatewayState.NOT_YET_HEARD in said.states:
        return now - said.facts.enrolled_at >= limits.first_word
    return GatewayState.UNHEARD in said.states


def _ailments(said: GatewaySaid, limits: Limits) -> list[str]:
    """The states of a gateway for which somebody must go there. A box that has just started may still be told the time."""
    up_s = said.report.up_s
    has_waited = up_s is not None and up_s >= limits.clock_waits.total_seconds()
    found = {state for state in AILMENTS if state in said.states}
    return sorted(found | ({GatewayState.CLOCK_WAITING} & set(said.states) if has_waited else set()))


def _late(fleet: Fleet, state: HouseState) -> dict[str, str]:
    return {
        each.subject: f"{each.count} waiting, since {_instant(each.since)}" if each.count else _instant(each.since)
        for each in fleet.house
        if each.state is state
    }


def _instant(at: datetime | None) -> str:
    return "never" if at is None else at.isoformat(timespec="seconds")
