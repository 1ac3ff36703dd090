"""`/metrics` for Prometheus: the states of the fleet and the figures behind them, read from the database once for each scrape.

Behind a bearer token of its own (`HOMEVIGIL_SERVER_METRICS_TOKEN`); without one there is no such page. No label names or
numbers a patient. The only module that imports prometheus_client; nothing is counted in the process, so that any number of
processes say the same.
"""

import hmac
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException

from server.people.door import AClinic
from server.people.errors import NotSignedInError
from server.store import fleet as store
from server.store.alarms import AlarmKind
from server.store.contacts import KINDS
from server.store.intake import transaction_time
from server.store.postgres import Connection, transaction
from server.watch.silence import MeterState, PatientState
from server.watch.states import Fleet, look

router: Final = APIRouter(include_in_schema=False)

Pushes = Iterable[tuple[str, str, int]]

CHANNELS: Final = ("inbox", "webhook", *KINDS)


@router.get("/metrics")
def show_metrics(request: Request, clinic: AClinic) -> Response:
    """The figures at this moment, by the database's clock. 404 where no token is set, 401 for another one."""
    _check_token(request)
    with transaction(clinic.pool) as conn:
        registry = CollectorRegistry()
        registry.register(_Figures(conn))
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _check_token(request: Request) -> None:
    wanted = request.app.state.metrics_token
    if wanted is None:
        raise HTTPException(404, "Not Found")
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), wanted.encode()):
        raise NotSignedInError("send the token of the metrics")


class _Figures(Collector):
    """What one scrape says, from one transaction."""

    def __init__(self, conn: Connection) -> None:
        self._fleet = look(conn, now=transaction_time(conn))
        self._pushes = store.count_pushes(conn)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing beforehand: a registry that asks at registration would read twice."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from _of_gateways(self._fleet)
        yield from _of_line(self._fleet, self._pushes)
        yield from _of_watch(self._fleet)
        yield from _of_states(self._fleet)


def _of_gateways(fleet: Fleet) -> Iterator[GaugeMetricFamily]:
    gateways = fleet.gateways
    yield _gauge(
        "gateway_last_heard_timestamp_seconds",
        "When the gateway was last heard.",
        ["gateway"],
        {(each.facts.gateway_id,): _seconds(each.facts.last_heard_at) for each in gateways},
    )
    yield _gauge(
        "gateway_readings",
        "Readings by fate; received is the sum of the others.",
        ["gateway", "fate"],
        {
            (each.facts.gateway_id, fate): float(getattr(each.facts, fate))
            for each in gateways
            for fate in ("received", "stored", "repeated", "quarantined")
        },
    )
    yield _gauge(
        "gateway_outbox_waiting",
        "Readings in the gateway's outbox that have no receipt, as it last said.",
        ["gateway"],
        {(each.facts.gateway_id,): each.report.waiting for each in gateways},
    )
    yield _gauge(
        "gateway_numbers_missing",
        "Numbers below the highest of its outboxes that have not come.",
        ["gateway"],
        {(each.facts.gateway_id,): each.facts.missing for each in gateways},
    )
    waiting = Counter[str]()
    for each in fleet.facts.held:
        waiting[each.gateway_id] += each.rows
    yield _gauge(
        "gateway_quarantine_rows",
        "Rows in quarantine at which nobody has looked.",
        ["gateway"],
        {(each.facts.gateway_id,): waiting[each.facts.gateway_id] for each in gateways},
    )


def _of_line(fleet: Fleet, pushes: Pushes) -> Iterator[GaugeMetricFamily]:
    house = fleet.facts.house
    yield _gauge(
        "judge_lag_seconds", "How long the oldest due row has waited.", [], {(): _age(fleet, house.oldest_due_at)}
    )
    yield _gauge("due_rows", "Rows that are due to be judged.", [], {(): house.due_rows})
    yield _gauge("judging_broken_patients", "Patients whose judging broke.", [], {(): len(house.broken)})
    yield _gauge(
        "pushes",
        "Messages to people, by state.",
        ["channel", "state"],
        {(each[0], each[1]): each[2] for each in pushes},
    )
    ages = {each.channel: _age(fleet, each.oldest_due_at) for each in house.waiting}
    yield _gauge(
        "push_oldest_undelivered_seconds",
        "How long the oldest due message has waited.",
        ["channel"],
        {(channel,): ages.get(channel, 0.0) for channel in CHANNELS},
    )


def _of_watch(fleet: Fleet) -> Iterator[GaugeMetricFamily]:
    beat, run = fleet.facts.house.beat, fleet.facts.house.recompute
    yield _gauge(
        "watchdog_last_success_timestamp_seconds",
        "When the watchdog's reading last came out as a message.",
        [],
        {(): _seconds(beat.came_through_at if beat else None)},
    )
    yield _gauge("watchdog_took_seconds", "How long it then took.", [], {(): beat.took_s if beat else None})
    yield _gauge(
        "recompute_last_success_timestamp_seconds",
        "When the recompute last came to its end.",
        [],
        {(): _seconds(run.ended_at if run else None)},
    )
    yield _gauge("recompute_differences", "What it then found.", [], {(): run.differences if run else None})
    kinds = Counter(alarm.kind for alarm in fleet.facts.alarms)
    yield _gauge("alarms_open", "Open alarms.", ["kind"], {(kind,): kinds[kind] for kind in AlarmKind})


def _of_states(fleet: Fleet) -> Iterator[GaugeMetricFamily]:
    yield _gauge(
        "house_state",
        "1 for each state of a part of the house that holds now.",
        ["part", "state"],
        {(each.part, each.state): 1 for each in fleet.house},
    )
    yield _gauge(
        "gateway_state",
        "1 for each state of a gateway that holds now.",
        ["gateway", "state"],
        {(each.facts.gateway_id, state): 1 for each in fleet.gateways for state in each.states},
    )
    meters = Counter(each.state for each in fleet.meters)
    yield _gauge("meters", "Meters by state.", ["state"], {(state,): meters[state] for state in MeterState})
    patients = Counter(each.state for each in fleet.patients)
    yield _gauge("patients", "Patients by state.", ["state"], {(state,): patients[state] for state in PatientState})


def _gauge(
    name: str, documentation: str, labels: list[str], values: Mapping[tuple[str, ...], float | None]
) -> GaugeMetricFamily:
    """A metric; what is not known has no sample rather than a false one."""
    family = GaugeMetricFamily(f"homevigil_{name}", documentation, labels=labels)
    for label_values, value in values.items():
        if value is not None:
            family.add_metric([str(each) for each in label_values], value)
    return family


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _age(fleet: Fleet, at: datetime | None) -> float:
    return 0.0 if at is None else max(0.0, (fleet.at - at).total_seconds())
