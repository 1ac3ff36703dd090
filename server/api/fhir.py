"""`/fhir`: what the clinic knows as FHIR R4, to be read only. A patient outside the caller's panel does not exist.

Every answer is `application/fhir+json`; what goes wrong is an OperationOutcome. Who wants the records of everybody asks for a
bulk export (`fhir_bulk`).
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from importlib import metadata
from typing import Annotated, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from server.api.fhir_json import ERRORS, RESOURCE, base_of, fhir
from server.api.fhir_search import Search, Work, kinds_of, page_of, place_of, says_code
from server.fhir import alerts, bundles, calls, capability, devices, observations, patients
from server.fhir.codes import Resource
from server.people import looks, panels
from server.people.door import AClinic, Caller, SignedIn
from server.people.errors import NotOnPanelError
from server.people.evidence import reading_ids
from server.store import fhir as store
from server.store import follow_ups, worklist
from server.store.fhir import RecordedReading
from server.store.follow_ups import FollowUp
from server.store.postgres import Connection, transaction
from server.store.worklist import Alert, PanelPatient, ShownPush

router: Final = APIRouter(prefix="/fhir", tags=["FHIR"], responses={**ERRORS, **RESOURCE})

EVER: Final = timedelta(days=200 * 365)
"""How far back a patient's readings are counted: all of them."""
PUSHES_MAX: Final = 500

FhirId = Annotated[str, Path(pattern=r"^[A-Za-z0-9.-]{1,64}$")]
PatientId = Annotated[int, Path(ge=1, lt=2**62)]


@router.get("/metadata")
def show_capability(request: Request, clinic: AClinic) -> Response:
    """What this facade can do. Nobody need be signed in."""
    return fhir(
        capability.statement(base=base_of(request), version=metadata.version("homevigil"), now=clinic.now()),
    )


@router.get("/Patient")
def list_patients(
    caller: SignedIn,
    request: Request,
    only: Annotated[str | None, Query(alias="_id", pattern=r"^[0-9]{1,18}$")] = None,
    count: Annotated[int | None, Query(alias="_count", ge=1, le=5000)] = None,
) -> Response:
    """Everybody on the caller's panel: a panel is one page."""
    with transaction(caller.pool) as conn:
        found = worklist.list_panel(conn, user_id=caller.user_id, since=caller.now - EVER, now=caller.now)
    shown = [patients.patient(each) for each in found if only is None or each.patient_id == int(only)]
    return _page(request, shown[:count], None)


@router.get("/Patient/{patient_id}")
def show_patient(caller: SignedIn, patient_id: PatientId) -> Response:
    with transaction(caller.pool) as conn:
        return fhir(patients.patient(_patient(conn, caller, patient_id)))


@router.get("/Device")
def list_devices(caller: SignedIn, request: Request, search: Annotated[Search, Query()]) -> Response:
    """The gateways and meters by which a patient is or was measured, and this program."""
    with transaction(caller.pool) as conn:
        _check(conn, caller, request, search.patient_id)
        found = _devices(conn, [search.patient_id])
    return _page(request, list(found.values())[: search.count], None)


@router.get("/Device/{device_id}")
def show_device(caller: SignedIn, device_id: FhirId) -> Response:
    """A Device of somebody on the caller's panel."""
    with transaction(caller.pool) as conn:
        panel = worklist.list_panel(conn, user_id=caller.user_id, since=caller.now, now=caller.now)
        found = _devices(conn, [each.patient_id for each in panel])
    if device_id not in found:
        raise NotOnPanelError("no such Device")
    return fhir(found[device_id])


@router.get("/Observation")
def list_observations(caller: SignedIn, request: Request, search: Annotated[Search, Query()]) -> Response:
    """Newest first; by `code` (LOINC or MDC, with or without its system), `date`, `_lastUpdated`."""

    def read(conn: Connection, search: Search, limit: int) -> Sequence[RecordedReading]:
        return store.list_recorded(
            conn,
            [search.patient_id],
            limit=limit,
            kinds=kinds_of(search.code),
            measured=search.measured,
            changed=search.changed,
            after=search.after,
        )

    def build(reading: RecordedReading) -> list[Resource]:
        return [each for each in observations.observations(reading) if says_code(each, search.code)]

    with transaction(caller.pool) as conn:
        _check(conn, caller, request, search.patient_id)
        shown, cursor = page_of(search, lambda limit: read(conn, search, limit), build)
    return _page(request, shown, cursor)


@router.get("/Observation/{observation_id}")
def show_observation(caller: SignedIn, request: Request, observation_id: FhirId) -> Response:
    """A reading's main Observation is named by the reading, those that hang on it by the reading and a suffix."""
    with transaction(caller.pool) as conn:
        panel = worklist.list_panel(conn, user_id=caller.user_id, since=caller.now, now=caller.now)
        readings = store.list_recorded(
            conn, [each.patient_id for each in panel], limit=1, reading_id=_uuid(observation_id[:36])
        )
    found = [
        each for reading in readings for each in observations.observations(reading) if each["id"] == observation_id
    ]
    if not found:
        raise NotOnPanelError("no such Observation")
    looks.looked_at(request, readings[0].patient_id)
    return fhir(found[0])


@router.get("/DetectedIssue")
def list_issues(caller: SignedIn, request: Request, search: Annotated[Search, Query()]) -> Response:
    """The alerts of a patient, newest first."""
    return _alerts(caller, request, search, _issue)


@router.get("/DetectedIssue/{episode_id}")
def show_issue(caller: SignedIn, episode_id: FhirId) -> Response:
    return fhir(_issue(_alert(caller, episode_id)))


@router.get("/Task")
def list_tasks(caller: SignedIn, request: Request, search: Annotated[Search, Query()]) -> Response:
    """The work that a patient is for the clinic, newest first: of each alert, and each call."""

    def read(conn: Connection, limit: int) -> Sequence[Work]:
        work: list[Work] = [*_found(conn, caller, search, limit), *_calls(conn, caller, search)]
        return sorted(work, key=_age, reverse=True)[:limit]

    with transaction(caller.pool) as conn:
        _check(conn, caller, request, search.patient_id)
        shown, cursor = page_of(search, lambda limit: read(conn, limit), lambda work: [_task(work)])
    return _page(request, shown, cursor)


@router.get("/Task/call-{follow_up_id}")
def show_call(caller: SignedIn, follow_up_id: Annotated[int, Path(ge=1, lt=2**62)]) -> Response:
    with transaction(caller.pool) as conn:
        found = follow_ups.find(conn, follow_up_id, user_id=caller.user_id, now=caller.now)
    if found is None:
        raise NotOnPanelError("no such call")
    return fhir(calls.call(found))


@router.get("/Task/{episode_id}")
def show_task(caller: SignedIn, episode_id: FhirId) -> Response:
    return fhir(alerts.task(_alert(caller, episode_id)))


@router.get("/Communication")
def list_communications(caller: SignedIn, request: Request, search: Annotated[Search, Query()]) -> Response:
    """Who was told what about a patient, the newest 500."""
    with transaction(caller.pool) as conn:
        _check(conn, caller, request, search.patient_id)
        person = _patient(conn, caller, search.patient_id)
        pushes = worklist.list_pushes(conn, search.patient_id, limit=PUSHES_MAX)
    wanted = [each for each in pushes if search.measured.holds(each.sent_at or each.due_at)]
    return _page(request, [_told(each, person) for each in wanted][: search.count], None)


@router.get("/Communication/{push_id}")
def show_communication(
    caller: SignedIn, request: Request, push_id: FhirId, patient: Annotated[int | None, Query(ge=1, lt=2**62)] = None
) -> Response:
    """One message. `patient` spares looking through the panel."""
    wanted = _uuid(push_id)
    with transaction(caller.pool) as conn:
        panel = worklist.list_panel(conn, user_id=caller.user_id, since=caller.now, now=caller.now)
        for person in panel:
            if patient is not None and person.patient_id != patient:
                continue
            for push in worklist.list_pushes(conn, person.patient_id, limit=PUSHES_MAX):
                if push.push_id == wanted:
                    looks.looked_at(request, person.patient_id)
                    return fhir(_told(push, person))
    raise NotOnPanelError("no such Communication")


def _alerts(caller: Caller, request: Request, search: Search, build: Callable[[Alert], Resource]) -> Response:
    with transaction(caller.pool) as conn:
        _check(conn, caller, request, search.patient_id)
        shown, cursor = page_of(search, lambda limit: _found(conn, caller, search, limit), lambda alert: [build(alert)])
    return _page(request, shown, cursor)


def _found(conn: Connection, caller: Caller, search: Search, limit: int) -> Sequence[Alert]:
    found = worklist.list_alerts(
        conn, user_id=caller.user_id, limit=limit, patient_id=search.patient_id, before=search.after
    )
    return [each for each in found if search.measured.holds(each.opened_at)]


def _calls(conn: Connection, caller: Caller, search: Search) -> Sequence[FollowUp]:
    """Those that come after the last page, however many: a patient has a few."""
    found = follow_ups.list_of_patient(conn, search.patient_id, user_id=caller.user_id, now=caller.now)
    after = search.after
    return [
        each
        for each in found
        if search.measured.holds(each.opened_at) and (after is None or _age(each) < (after.at, after.row_id))
    ]


def _age(work: Work) -> tuple[datetime, UUID]:
    place = place_of(work)
    return place.at, place.row_id


def _task(work: Work) -> Resource:
    return alerts.task(work) if isinstance(work, Alert) else calls.call(work)


def _issue(alert: Alert) -> Resource:
    return alerts.detected_issue(alert, reading_ids(alert.verdict))


def _told(push: ShownPush, person: PanelPatient) -> Resource:
    return alerts.communication(push, person.patient_id, person.language)


def _alert(caller: Caller, episode_id: str) -> Alert:
    with transaction(caller.pool) as conn:
        alert = worklist.find_alert(conn, _uuid(episode_id), user_id=caller.user_id)
    if alert is None:
        raise NotOnPanelError("no such alert")
    return alert


def _patient(conn: Connection, caller: Caller, patient_id: int) -> PanelPatient:
    found = worklist.find_panel_patient(
        conn, patient_id, user_id=caller.user_id, since=caller.now - EVER, now=caller.now
    )
    if found is None:
        raise NotOnPanelError("no such patient")
    return found


def _check(conn: Connection, caller: Caller, request: Request, patient_id: int) -> None:
    """Whoever is asked about is on the panel, and the look is written down."""
    panels.check(conn, user_id=caller.user_id, patient_id=patient_id)
    looks.looked_at(request, patient_id)


def _devices(conn: Connection, patient_ids: Sequence[int]) -> dict[str, Resource]:
    """By id, each once."""
    equipment = store.list_equipment(conn, patient_ids)
    built = [devices.gateway(each.gateway_id) for each in equipment] + [
        devices.meter(each.meter_id) for each in equipment
    ]
    return {each["id"]: each for each in (*built, devices.software(metadata.version("homevigil")))}


def _page(request: Request, resources: Sequence[Resource], cursor: str | None) -> Response:
    base, kind = base_of(request), request.url.path.rpartition("/")[2]
    asked = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    own = f"{base}/{kind}?{request.url.query}" if request.url.query else f"{base}/{kind}"
    following = None if cursor is None else f"{base}/{kind}?{urlencode([*asked, ('cursor', cursor)])}"
    return fhir(bundles.searchset(base, resources, self_url=own, next_url=following))


def _uuid(text: str) -> UUID:
    """Raises `NotOnPanelError`: what is no id of ours names nothing."""
    try:
        return UUID(text)
    except ValueError as e:
        raise NotOnPanelError("no such resource") from e
