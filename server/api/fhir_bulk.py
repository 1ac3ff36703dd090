"""`/fhir/Group/panel/$export`: everything of one's panel, as files of one resource a line (HL7, FHIR Bulk Data Access 2).

No file is ever made: what was asked for is a row that says from when to when, and each part is read when it is fetched, as things
stood at that end. So nothing of a patient lies anywhere that would have to be found and erased.
"""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from importlib import metadata
from typing import Annotated, Any, Final, Literal, get_args
from uuid import UUID, uuid5

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from server.api.fhir_json import ERRORS, RESOURCE, base_of, fhir
from server.fhir import alerts, calls, dates, devices, observations, patients
from server.fhir.codes import Resource, reference
from server.people import looks
from server.people.door import Caller, Changing, SignedIn
from server.people.errors import NotOnPanelError
from server.people.evidence import reading_ids
from server.store import audit, follow_ups, programs, worklist
from server.store import fhir as store
from server.store.fhir import PAGE_MAX, Span
from server.store.postgres import Connection, transaction
from server.store.programs import BulkExport
from server.store.worklist import Alert, PanelPatient, Place
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/fhir", tags=["FHIR"], responses=ERRORS)

Kind = Literal["Patient", "Device", "Observation", "DetectedIssue", "Task", "Communication"]
KINDS: Final = get_args(Kind)
NAMESPACE: Final = UUID("7c0d3a52-8c5e-5b0c-9f7a-3f2a2f7d9c11")
LASTS_FOR: Final = timedelta(hours=1)
PANEL: Final = "panel"
NDJSON: Final = "application/fhir+ndjson"
FORMATS: Final = (NDJSON, "application/ndjson", "ndjson")
EVER: Final = timedelta(days=200 * 365)

LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "one resource a line", "content": {NDJSON: {"schema": {"type": "string"}}}}
}

ExportId = Annotated[UUID, Path()]


@router.get("/Group/panel", responses=RESOURCE)
def show_panel(caller: SignedIn) -> Response:
    """Whom one sees, as a Group."""
    with transaction(caller.pool) as conn:
        panel = _panel(conn, caller)
    members = [{"entity": reference("Patient", each.patient_id)} for each in panel]
    group: Resource = {"resourceType": "Group", "id": PANEL, "type": "person", "actual": True, "quantity": len(members)}
    return fhir({**group, **({"member": members} if members else {})})


@router.get("/Group/panel/$export", status_code=202, response_class=Response)
def start_export(
    caller: SignedIn,
    request: Request,
    types: Annotated[str | None, Query(alias="_type", max_length=256)] = None,
    since: Annotated[str | None, Query(alias="_since", max_length=64)] = None,
    output_format: Annotated[str, Query(alias="_outputFormat", max_length=64)] = NDJSON,
) -> Response:
    """Asks for everything of one's panel, of these types, that has changed since then. `Content-Location` says where it will
    be."""
    if output_format not in FORMATS:
        raise MalformedError("_outputFormat", f"there is {NDJSON} alone")
    kinds = KINDS if types is None else tuple(dict.fromkeys(types.split(",")))
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise MalformedError("_type", f"there is no {', '.join(unknown)}; there are {', '.join(KINDS)}")
    begin = dates.span([f"ge{since}"]).since if since is not None else None
    until = caller.now
    export = BulkExport(
        export_id=uuid5(NAMESPACE, f"{caller.user_id}|{until.isoformat()}|{','.join(kinds)}|{begin}"),
        user_id=caller.user_id,
        kinds=kinds,
        since=begin,
        until=until,
        ends_at=until + LASTS_FOR,
    )
    with transaction(caller.pool) as conn:
        programs.add_export(conn, export)
        audit.note(
            conn,
            actor=f"user:{caller.user_id}",
            act="record.export",
            at=caller.now,
            subject=str(export.export_id),
            detail={"kinds": list(kinds), "since": begin.isoformat() if begin else None, "of": "panel"},
        )
    return Response(status_code=202, headers={"Content-Location": f"{base_of(request)}/export/{export.export_id}"})


@router.get("/export/{export_id}")
def show_export(caller: SignedIn, request: Request, export_id: ExportId) -> dict[str, object]:
    """Where the parts are: it is ready at once."""
    export = _find(caller, export_id)
    address = f"{base_of(request)}/export/{export_id}"
    return {
        "transactionTime": dates.instant(export.until),
        "request": f"{base_of(request)}/Group/{PANEL}/$export",
        "requiresAccessToken": True,
        "output": [{"type": kind, "url": f"{address}/{kind}"} for kind in export.kinds],
        "error": [],
    }


@router.delete("/export/{export_id}", status_code=202, response_class=Response)
def end_export(caller: Changing, export_id: ExportId) -> Response:
    """It is not wanted any more."""
    with transaction(caller.pool) as conn:
        if not programs.end_export(conn, export_id, user_id=caller.user_id, now=caller.now):
            raise NotOnPanelError("no such export")
    return Response(status_code=202)


@router.get("/export/{export_id}/{kind}", responses=LINES)
def fetch_part(caller: SignedIn, request: Request, export_id: ExportId, kind: Kind) -> Response:
    """One resource a line. Of each patient it is written down who took it, as of a record that is opened by itself."""
    export = _find(caller, export_id)
    if kind not in export.kinds:
        raise NotOnPanelError("this export has no such part")
    with transaction(caller.pool) as conn:
        looks.looked_at(request, *(each.patient_id for each in _panel(conn, caller)))
    lines = (json.dumps(each, ensure_ascii=False) + "\n" for each in _read(caller, export, kind))
    return StreamingResponse(lines, media_type=NDJSON)


def _find(caller: Caller, export_id: UUID) -> BulkExport:
    with transaction(caller.pool) as conn:
        export = programs.find_export(conn, export_id, user_id=caller.user_id, now=caller.now)
    if export is None:
        raise NotOnPanelError("no such export")
    return export


def _panel(conn: Connection, caller: Caller) -> list[PanelPatient]:
    return list(worklist.list_panel(conn, user_id=caller.user_id, since=caller.now - EVER, now=caller.now))


def _read(caller: Caller, export: BulkExport, kind: Kind) -> Iterator[Resource]:
    """A transaction for each page, so that no connection waits for whoever reads slowly; who leaves the panel is left out at
    once."""
    readers: dict[Kind, Callable[[Caller, BulkExport, PanelPatient], Iterator[Resource]]] = {
        "Observation": _observations,
        "DetectedIssue": lambda caller, export, person: (
            alerts.detected_issue(each, reading_ids(each.verdict)) for each in _alerts(caller, export, person)
        ),
        "Task": _tasks,
        "Communication": _communications,
    }
    with transaction(caller.pool) as conn:
        panel = _panel(conn, caller)
        equipment = store.list_equipment(conn, [each.patient_id for each in panel]) if kind == "Device" else ()
    if kind == "Patient":
        yield from (patients.patient(each) for each in panel)
    elif kind == "Device":
        built = [devices.software(metadata.version("homevigil"))]
        built += [devices.gateway(each) for each in sorted({one.gateway_id for one in equipment})]
        yield from built + [devices.meter(each) for each in sorted({one.meter_id for one in equipment})]
    else:
        for person in panel:
            yield from readers[kind](caller, export, person)


def _observations(caller: Caller, export: BulkExport, person: PanelPatient) -> Iterator[Resource]:
    after: Place | None = None
    changed = Span(since=export.since, until=export.until)
    while True:
        with transaction(caller.pool) as conn:
            if not _is_on_panel(conn, caller, person):
                return
            page = store.list_recorded(conn, [person.patient_id], limit=PAGE_MAX, changed=changed, after=after)
        for reading in page:
            yield from observations.observations(reading)
        if len(page) < PAGE_MAX:
            return
        after = Place(at=page[-1].measured_at, row_id=page[-1].reading_id)


def _alerts(caller: Caller, export: BulkExport, person: PanelPatient) -> Iterator[Alert]:
    before: Place | None = None
    while True:
        with transaction(caller.pool) as conn:
            page = worklist.list_alerts(
                conn,
                user_id=caller.user_id,
                limit=worklist.PAGE_MAX,
                patient_id=person.patient_id,
                before=before,
            )
        yield from (each for each in page if _is_wanted(export, alerts.changed_at(each)))
        if len(page) < worklist.PAGE_MAX:
            return
        before = Place(at=page[-1].opened_at, row_id=page[-1].episode_id)


def _tasks(caller: Caller, export: BulkExport, person: PanelPatient) -> Iterator[Resource]:
    yield from (alerts.task(each) for each in _alerts(caller, export, person))
    with transaction(caller.pool) as conn:
        found = follow_ups.list_of_patient(conn, person.patient_id, user_id=caller.user_id, now=caller.now)
    yield from (calls.call(each) for each in found if _is_wanted(export, calls.changed_at(each)))


def _communications(caller: Caller, export: BulkExport, person: PanelPatient) -> Iterator[Resource]:
    with transaction(caller.pool) as conn:
        if not _is_on_panel(conn, caller, person):
            return
        pushes = worklist.list_pushes(conn, person.patient_id, limit=2**31 - 1)
    wanted = (each for each in pushes if _is_wanted(export, each.sent_at or each.due_at))
    yield from (alerts.communication(each, person.patient_id, person.language) for each in wanted)


def _is_on_panel(conn: Connection, caller: Caller, person: PanelPatient) -> bool:
    found = worklist.find_panel_patient(
        conn, person.patient_id, user_id=caller.user_id, since=caller.now, now=caller.now
    )
    return found is not None


def _is_wanted(export: BulkExport, at: datetime) -> bool:
    return Span(since=export.since, until=export.until).holds(at)
